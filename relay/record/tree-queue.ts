// Events that are in the journal and not in the tree yet: a second after the first of them they are, under a signed checkpoint.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { TreeHead } from '@gate/shared/record/checkpoint'
import type { Archive } from './archive.ts'
import type { Journal } from './journal.ts'
import { codeOf } from './trouble.ts'
import type { Uploads } from './uploads.ts'

/** A checkpoint is signed this long after the first event that it covers. */
const CHECKPOINT_DELAY_MS = 1_000
/** Events that are written and not yet in the tree; beyond it commands are refused until the tree can grow again. */
const MAX_UNARCHIVED_BYTES = 64 * 1024 * 1024
/** From here on commands wait until the tree has caught up: a client that sends faster than it grows becomes as slow as it. */
const UNHURRIED_BYTES = 16 * 1024 * 1024
/** Events that go into the tree in one step. */
export const ARCHIVE_STEP = 4_096

export class TreeQueue {
  readonly #archive: Archive
  readonly #journal: Journal
  readonly #uploads: Uploads | undefined
  /** Brings everything that is written into the tree. */
  readonly #seal: () => Promise<unknown>
  readonly #log: Log
  /** Lines in the journal that the tree does not have yet, each with its newline. Bytes: as texts the collector would move them. */
  #lines: Buffer[] = []
  /** The number of the first of them. */
  #from: number
  #bytes = 0
  #timer: NodeJS.Timeout | undefined
  #growing: Promise<void> | undefined
  #failing = false
  /** Resolves when the tree has caught up. */
  #room: Promise<void> | undefined
  #giveRoom = (): void => {}
  #closed = false
  readonly #watchers = new Set<(head: TreeHead, note: string) => void>()

  constructor(
    archive: Archive,
    journal: Journal,
    uploads: Uploads | undefined,
    from: number,
    seal: () => Promise<unknown>,
    log: Log,
  ) {
    this.#archive = archive
    this.#journal = journal
    this.#uploads = uploads
    this.#from = from
    this.#seal = seal
    this.#log = log
  }

  get isFull(): boolean {
    return this.#bytes > MAX_UNARCHIVED_BYTES
  }

  /**
   * Resolves when no command has to wait for the tree any more; undefined when none has to. While the tree cannot be written
   * nobody waits for it: commands go on until the queue is full.
   */
  get room(): Promise<void> | undefined {
    if (!this.#isBehind) return undefined
    this.#room ??= new Promise(resolve => {
      this.#giveRoom = resolve
    })
    return this.#room
  }

  get #isBehind(): boolean {
    return this.#bytes > UNHURRIED_BYTES && !this.#failing
  }

  #makeRoom(): void {
    if (this.#isBehind) return
    this.#giveRoom()
    this.#room = undefined
  }

  /** The number of the first event that the tree does not have. */
  get from(): number {
    return this.#from
  }

  /** The lines as they are now, each with its newline. */
  get lines(): readonly Buffer[] {
    return this.#lines.slice()
  }

  /** Takes lines that were written, of so many bytes together. */
  push(lines: readonly Buffer[], bytes: number): void {
    for (const line of lines) this.#lines.push(line)
    this.#bytes += bytes
    this.#timer ??= setTimeout(() => void this.#growSoon(), CHECKPOINT_DELAY_MS)
  }

  /** Tells of every new checkpoint; the listener must not throw. */
  watch(listener: (head: TreeHead, note: string) => void): Disposable {
    this.#watchers.add(listener)
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) }
  }

  async #growSoon(): Promise<void> {
    this.#timer = undefined
    try {
      await this.#seal()
    } catch (thrown) {
      if (this.#closed) return
      this.#log.warn('record.tree-waits', { error: asGateError(thrown) })
      this.#timer = setTimeout(() => void this.#growSoon(), CHECKPOINT_DELAY_MS)
    }
  }

  /** One step of what waits is in the tree when this resolves. @throws {GateError} ERR_GATE_RECORD. */
  grow(): Promise<void> {
    this.#growing ??= this.#step().finally(() => {
      this.#growing = undefined
    })
    return this.#growing
  }

  async #step(): Promise<void> {
    const lines = this.#lines.slice(0, ARCHIVE_STEP)
    try {
      await this.#archive.extend(lines.map(line => line.subarray(0, -1)))
      this.#lines.splice(0, lines.length)
      this.#from += lines.length
      const bytes = lines.reduce((sum, line) => sum + line.length, 0)
      this.#bytes -= bytes
      this.#uploads?.grew(bytes)
      this.#failing = false
      this.#makeRoom()
      for (const listener of this.#watchers) listener(this.#archive.head, this.#archive.note)
      await this.#journal.forget(Math.min(this.#archive.whole, this.#uploads?.whole ?? this.#archive.whole))
    } catch (cause) {
      if (!this.#failing) this.#log.error('record.tree-failing', { error: cause, relay: this.#archive.verifier.name })
      this.#failing = true
      this.#makeRoom()
      throw new GateError('ERR_GATE_RECORD', `the tree of the record cannot be written (${codeOf(cause)})`, { cause })
    }
  }

  /** What fails from now on is not tried again. */
  close(): void {
    this.#closed = true
  }

  /** Nothing grows any more by itself. */
  stop(): void {
    clearTimeout(this.#timer)
  }
}
