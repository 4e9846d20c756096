// The newest checkpoint of each relay's record that this agent has seen: a relay that cuts its record off or rewrites it is found out.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asGateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { openCheckpoint, parseVerifier } from '@gate/shared/record/checkpoint'
import { acceptCheckpoint, type CheckpointAnswer, type Kept } from '@gate/shared/record/receipt'
import { writeWhole } from '@gate/shared/whole-file'
import * as z from 'zod'

const FILE = 'checkpoints.json'
/** Trees that are remembered; a relay that makes up more is not one to trust. */
const MAX_TREES = 20

const schema = z.record(z.string(), z.object({ verifier: z.string(), checkpoint: z.string() }))

export interface Held {
  readonly origin: string
  readonly size: number
}

export class Checkpoints {
  readonly #directory: string
  readonly #log: Log
  /** By the name of the tree. */
  readonly #kept: Map<string, Kept>
  #writing: Promise<void> = Promise.resolve()

  private constructor(directory: string, log: Log, kept: Map<string, Kept>) {
    this.#directory = directory
    this.#log = log
    this.#kept = kept
  }

  /** @throws {GateError} ERR_GATE_CONFIG when the file is there and cannot be read: it is evidence. */
  static async open(directory: string, log: Log): Promise<Checkpoints> {
    try {
      const text = await readFile(join(directory, FILE), 'utf8')
      return new Checkpoints(directory, log, new Map(Object.entries(schema.parse(JSON.parse(text)))))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return new Checkpoints(directory, log, new Map())
      throw asGateError(cause, 'ERR_GATE_CONFIG', `${join(directory, FILE)} cannot be read`)
    }
  }

  held(): Held[] {
    return [...this.#kept].map(([origin, { verifier, checkpoint }]) => ({
      origin,
      size: openCheckpoint(checkpoint, parseVerifier(verifier)).size,
    }))
  }

  /** Takes a checkpoint that goes on from the one that is kept; one that does not is said, and the kept one stays as evidence. */
  async take(answer: CheckpointAnswer): Promise<void> {
    try {
      const { name } = parseVerifier(answer.verifier)
      const before = this.#kept.get(name)
      const { kept, head } = acceptCheckpoint(before, answer)
      if (before === undefined) {
        if (this.#kept.size >= MAX_TREES) return this.#log.error('record.too-many-trees', { count: MAX_TREES })
        // A relay that lost its state begins a new record; so does one that wants the old one forgotten.
        if (this.#kept.size > 0) this.#log.warn('record.new-tree', { relay: name, count: this.#kept.size })
      }
      if (before?.checkpoint === kept.checkpoint) return
      this.#kept.set(name, kept)
      this.#log.debug('record.checkpoint', { relay: name, count: head.size })
    } catch (error) {
      return this.#log.error('record.not-trusted', { error: asGateError(error) })
    }
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
  }

  /** What the disk does not take now goes with the next one; that is nothing that the relay has done. */
  async #write(): Promise<void> {
    try {
      await writeWhole(join(this.#directory, FILE), JSON.stringify(Object.fromEntries(this.#kept), undefined, 2))
    } catch (error) {
      this.#log.error('record.checkpoint-not-kept', { error: asGateError(error, 'ERR_GATE_CONFIG') })
    }
  }
}
