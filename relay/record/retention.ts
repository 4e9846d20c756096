// Deletes whole bundles of events by their age: said in the record first, then here and in the storage. Their hashes stay.
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { asGateError, GateError } from '@gate/shared/errors'
import { bundlePath, TILE_WIDTH } from '@gate/shared/record/tiles'
import { syncDirectory, writeWhole } from '@gate/shared/whole-file'
import * as z from 'zod'
import type { EventBody } from './events.ts'

export const RETENTION_FILE = 'retention.json'
/** Bundles that one event deletes; what is left is deleted with the next. */
const MAX_BUNDLES = 4_096

const stateSchema = z.strictObject({
  /** Events up to this number are deleted, by the event that says so. */
  deleted: z.int().nonnegative(),
  event: z.int().nonnegative(),
  /** Up to this one their bundles are gone everywhere. */
  removed: z.int().nonnegative(),
})
type State = z.infer<typeof stateSchema>

/** What is deleted from. */
export interface RetentionSource {
  now(): number
  /** Events that are where they are kept, under a signed checkpoint. */
  kept(): number
  readonly head: { readonly size: number; readonly root: Buffer }
  bundle(index: number): Promise<readonly Buffer[]>
  /** Writes an event; when it resolves, it is signed. */
  record(body: EventBody): Promise<number>
  /** From now on nobody reads events up to this number. */
  forget(deleted: number): void
  /** Deletes the journal's files with events up to this number; false when they still hold others that are needed. */
  forgetJournal(deleted: number): Promise<boolean>
  /** What is left to delete can be deleted later. */
  readonly signal: AbortSignal
  /** Deletes a bundle from the storage beside this machine, where there is one. */
  removeElsewhere(path: string): Promise<void>
}

export class Retention {
  readonly #directory: string
  #state: State

  private constructor(directory: string, state: State) {
    this.#directory = directory
    this.#state = state
  }

  /** @throws {GateError} ERR_GATE_RECORD when the file that says what is deleted cannot be read. */
  static async open(directory: string): Promise<Retention> {
    const path = join(directory, RETENTION_FILE)
    try {
      return new Retention(directory, stateSchema.parse(JSON.parse(await readFile(path, 'utf8'))))
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT')
        return new Retention(directory, { deleted: 0, event: 0, removed: 0 })
      throw asGateError(cause, 'ERR_GATE_RECORD', `${path} cannot be read`)
    }
  }

  /** Something is decided and not done. */
  get isPending(): boolean {
    return this.#state.removed < this.#state.deleted
  }

  /** Events up to this number are deleted. */
  get deleted(): number {
    return this.#state.deleted
  }

  /**
   * Deletes what became older than `ageMs`; true when something is left to do at once. It may be called again after any failure.
   * @throws what disk and storage say.
   */
  async expire(ageMs: number | undefined, source: RetentionSource): Promise<boolean> {
    if (this.#state.removed === this.#state.deleted && ageMs !== undefined) await this.#decide(ageMs, source)
    if (this.#state.removed === this.#state.deleted) return false
    // The word that they were deleted has to be where the records were, before they go.
    if (source.kept() < this.#state.event) return true
    if (!(await source.forgetJournal(this.#state.deleted))) return true
    for (let index = this.#state.removed / TILE_WIDTH; index * TILE_WIDTH < this.#state.deleted; index += 1) {
      if (source.signal.aborted) return true
      await source.removeElsewhere(bundlePath(index))
      await rm(join(this.#directory, bundlePath(index)), { force: true })
    }
    await this.#keep({ ...this.#state, removed: this.#state.deleted })
    return ageMs !== undefined
  }

  async #decide(ageMs: number, source: RetentionSource): Promise<void> {
    const before = source.now() - ageMs
    const first = this.#state.deleted
    let last = first
    let firstMs = Number.POSITIVE_INFINITY
    let lastMs = 0
    while (last + TILE_WIDTH <= source.kept() && last - first < MAX_BUNDLES * TILE_WIDTH) {
      const times = (await source.bundle(last / TILE_WIDTH)).map(timeOf)
      const newest = Math.max(...times)
      // A clock that was set back makes a bundle younger or older as a whole; what decides is its youngest event.
      if (newest >= before) break
      firstMs = Math.min(firstMs, ...times)
      lastMs = Math.max(lastMs, newest)
      last += TILE_WIDTH
    }
    if (last === first) return
    const { size, root } = source.head
    const event = await source.record({
      type: 'retention',
      first: first + 1,
      last,
      count: last - first,
      firstMs,
      lastMs,
      ageMs,
      size,
      root: root.toString('base64'),
    })
    await this.#keep({ deleted: last, event, removed: first })
    source.forget(last)
  }

  async #keep(state: State): Promise<void> {
    await writeWhole(join(this.#directory, RETENTION_FILE), JSON.stringify(state))
    await syncDirectory(this.#directory)
    this.#state = state
  }
}

const TIME = /^\{"sequence":\d+,"timeMs":(\d+),/

function timeOf(line: Buffer): number {
  const [, time] = TIME.exec(line.subarray(0, 80).toString('latin1')) ?? []
  if (time === undefined) throw new GateError('ERR_GATE_RECORD', 'a recorded line is no event')
  return Number(time)
}
