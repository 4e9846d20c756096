// Writes events before anything goes on; when it cannot write, nothing may run. What is written becomes part of a signed tree.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { TreeHead, Verifier } from '@gate/shared/record/checkpoint'
import type { Receipt } from '@gate/shared/record/receipt'
import { MAX_RECORD_BYTES } from '@gate/shared/record/tiles'
import type { Archive, TreeKey } from './archive.ts'
import { EVENT_VERSION, type EventBody, type StoredEvent } from './events.ts'
import { Expiry, retentionSource } from './expiry.ts'
import type { Journal } from './journal.ts'
import { formatLine, parseEvent, sessionMark } from './line.ts'
import { openParts, type Parts, type RecorderOptions } from './parts.ts'
import { type Consistency, consistencyOf, receiptOf } from './proofs.ts'
import { SessionDigests } from './session-digests.ts'
import { TreeQueue } from './tree-queue.ts'
import { behindError, Trouble } from './trouble.ts'
import type { Uploads } from './uploads.ts'

/** Outcomes wait this long for a command to be written with. */
const OUTCOME_DELAY_MS = 50
/** Outcomes that wait while the disk refuses; beyond it sessions end rather than lose any. */
const MAX_WAITING_BYTES = 1024 * 1024

export class Recorder {
  readonly #uploads: Uploads | undefined
  readonly #expiry: Expiry
  readonly #archive: Archive
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #trouble: Trouble
  readonly #log: Log
  #sequence: number
  /** The number of the newest event in the journal; what waits comes after it. */
  #written: number
  #later: Buffer[] = []
  #laterBytes = 0
  #timer: NodeJS.Timeout | undefined
  readonly #queue: TreeQueue
  readonly #digests = new SessionDigests()
  readonly #watchers = new Set<(event: StoredEvent) => void>()

  private constructor(parts: Parts, options: RecorderOptions, clock: Clock, log: Log) {
    const { archive, journal, uploads, retention, sequence } = parts
    this.#uploads = uploads
    this.#archive = archive
    this.#journal = journal
    this.#clock = clock
    this.#log = log
    this.#trouble = new Trouble(archive.verifier.name, log)
    this.#sequence = sequence
    this.#written = sequence
    this.#queue = new TreeQueue(archive, journal, uploads, sequence + 1, () => this.seal(), log)
    const source = {
      now: () => clock.now(),
      kept: () => this.kept,
      written: () => this.#written,
      append: (body: EventBody) => this.append(body),
      sync: () => this.sync(),
      seal: () => this.seal(),
      elsewhere: options.uploads?.store,
    }
    this.#expiry = new Expiry(retention, options.retentionMs, retentionSource(archive, journal, source), clock, log)
  }

  /**
   * Opens the record. Half a line at the journal's end, as a power cut leaves it, is cut off: it was never answered for.
   * @throws {GateError} ERR_GATE_RECORD when the directory cannot be used, or is not as it was left.
   */
  static async open(
    directory: string,
    tree: TreeKey,
    clock: Clock,
    log: Log,
    options: RecorderOptions = {},
  ): Promise<Recorder> {
    try {
      const parts = await openParts(directory, tree, clock, log, options)
      const { sequence, cutBytes, uploads } = parts
      const recorder = new Recorder(parts, options, clock, log)
      uploads?.start()
      recorder.#expiry.start()
      if (cutBytes > 0) log.warn('record.torn-line-removed', { bytes: cutBytes })
      if (sequence === 0) recorder.append({ type: 'log.start', version: EVENT_VERSION, relay: tree.origin })
      return recorder
    } catch (cause) {
      if (cause instanceof GateError) throw cause
      throw new GateError('ERR_GATE_RECORD', `the record in ${directory} cannot be opened`, { cause })
    }
  }

  /** The number of the newest event. */
  get sequence(): number {
    return this.#sequence
  }

  /** The newest signed state of the tree. */
  get head(): TreeHead {
    return this.#archive.head
  }

  get checkpoint(): string {
    return this.#archive.note
  }

  get verifier(): Verifier {
    return this.#archive.verifier
  }

  /**
   * Writes an event, and with it the outcomes that waited. Returns its number.
   * @throws {GateError} ERR_GATE_RECORD when it could not be written; the record is then as it was before.
   */
  append(body: EventBody): number {
    if (this.#queue.isFull || this.#uploads?.isFull === true) throw behindError(this.#uploads?.isFull === true)
    const timeMs = this.#clock.now()
    const line = this.#format(timeMs, body)
    try {
      this.#write(this.#later.length === 0 ? [line] : [...this.#later, line])
    } catch (cause) {
      throw this.#trouble.fail(cause)
    }
    this.#sequence += 1
    this.#written = this.#sequence
    this.#forgetLater()
    this.#trouble.recover()
    this.#took(timeMs, body, line)
    return this.#sequence
  }

  /**
   * Writes an event soon: with the next command, or within 50 ms.
   * @throws {GateError} ERR_GATE_RECORD when the disk refuses and too much waits already.
   */
  later(body: EventBody): void {
    if (this.#laterBytes > MAX_WAITING_BYTES) {
      this.#flushLater()
      if (this.#laterBytes > MAX_WAITING_BYTES) throw new GateError('ERR_GATE_RECORD', 'the record cannot be written')
    }
    const timeMs = this.#clock.now()
    const line = this.#format(timeMs, body)
    this.#sequence += 1
    this.#later.push(line)
    this.#laterBytes += line.length
    this.#timer ??= setTimeout(() => this.#flushLater(), OUTCOME_DELAY_MS)
    this.#took(timeMs, body, line)
  }

  /** The line with its newline, in the form in which it is written, hashed and kept. */
  #format(timeMs: number, body: EventBody): Buffer {
    const line = Buffer.from(`${formatLine(this.#sequence + 1, timeMs, this.#digests.sealed(body))}\n`)
    if (line.length - 1 > MAX_RECORD_BYTES)
      throw new GateError(
        'ERR_GATE_RECORD',
        `an event is larger than ${MAX_RECORD_BYTES} bytes, so the command was not run`,
      )
    return line
  }

  #took(timeMs: number, body: EventBody, line: Buffer): void {
    this.#digests.took(body, line)
    for (const listener of this.#watchers) listener({ sequence: this.#sequence, timeMs, body })
  }

  /** Tells of every event from now on, once it is written or waits to be; the listener must not throw. */
  watch(listener: (event: StoredEvent) => void): Disposable {
    this.#watchers.add(listener)
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) }
  }

  /** Tells of every new checkpoint; the listener must not throw. */
  watchHead(listener: (head: TreeHead, note: string) => void): Disposable {
    return this.#queue.watch(listener)
  }

  /** The recorded events of one session between two numbers (the last may be unknown), in order. */
  async *read(session: string, first: number, last: number | undefined): AsyncGenerator<StoredEvent> {
    const mark = sessionMark(session)
    for await (const line of this.lines(first, last)) {
      if (!line.includes(mark)) continue
      const event = parseEvent(line)
      if ('session' in event.body && event.body.session === session) yield event
    }
  }

  /** Every event from a number on, up to the newest one there is now. */
  async *readFrom(sequence: number): AsyncGenerator<StoredEvent> {
    for await (const line of this.lines(sequence, undefined)) yield parseEvent(line)
  }

  /** The lines of events between two numbers, as they were written. */
  async *lines(first: number, last: number | undefined): AsyncGenerator<string> {
    this.#flushLater()
    const size = this.#queue.from - 1
    const unarchived = this.#queue.lines
    const end = Math.min(last ?? Number.MAX_SAFE_INTEGER, size + unarchived.length)
    for await (const line of this.#archive.lines(Math.max(0, first - 1, this.#archive.deleted), Math.min(end, size)))
      yield line.toString('utf8')
    for (const line of unarchived.slice(Math.max(0, first - size - 1), Math.max(0, end - size)))
      yield line.toString('utf8', 0, line.length - 1)
  }

  /** Resolves when everything appended so far is on the disk. @throws {GateError} ERR_GATE_RECORD when the disk refuses. */
  sync(): Promise<void> {
    return this.#journal.sync().catch((cause: unknown) => {
      throw this.#trouble.fail(cause)
    })
  }

  /**
   * What a command that is written down waits for before it goes on: for the disk where it is `durable`, and for the tree where
   * that is far behind. Undefined when for nothing; promises resolve in the order in which they were given.
   * @throws {GateError} ERR_GATE_RECORD when the disk refuses.
   */
  ready(durable: boolean): Promise<void> | undefined {
    const { room } = this.#queue
    if (room !== undefined) return Promise.all([this.sync(), room]).then(() => {})
    return durable ? this.sync() : undefined
  }

  #flushLater(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#later.length === 0) return
    try {
      this.#write(this.#later)
      this.#written = this.#sequence
      this.#forgetLater()
      this.#trouble.recover()
    } catch (cause) {
      this.#trouble.fail(cause)
      this.#timer = setTimeout(() => this.#flushLater(), OUTCOME_DELAY_MS * 20)
    }
  }

  /** The timer goes on: most commands take outcomes along, and to set it anew for each would cost more than it runs for nothing. */
  #forgetLater(): void {
    this.#later = []
    this.#laterBytes = 0
  }

  #write(lines: readonly Buffer[]): void {
    const [first] = lines
    const bytes = lines.length === 1 && first !== undefined ? first : Buffer.concat(lines)
    // What the journal may have lost is safe when the tree has it: its files are written anew and synced.
    if (this.#journal.isDistrusted && this.#queue.from > this.#written) this.#journal.renew(this.#written + 1)
    this.#journal.write(bytes, this.#written + 1)
    this.#queue.push(lines, bytes.length)
  }

  /**
   * Signs a checkpoint over everything that is written now, and gives it.
   * @throws {GateError} ERR_GATE_RECORD when the disk refuses.
   */
  async seal(): Promise<TreeHead> {
    this.#flushLater()
    const wanted = this.#written
    while (this.#archive.head.size < wanted) await this.#queue.grow()
    return this.#archive.head
  }

  /**
   * The receipt of a session that has ended, with event `sequence` as its end.
   * @throws {GateError} ERR_GATE_NOT_FOUND when that is not its end; ERR_GATE_RECORD.
   */
  async receipt(session: string, sequence: number): Promise<Receipt> {
    if (this.#archive.head.size < sequence) await this.seal()
    return receiptOf(this.#archive, this.lines(sequence, sequence), session, sequence)
  }

  /**
   * The newest checkpoint, and hashes that show that its tree grew out of one of the first `older` records. Whoever knows of
   * more records than there are gets no proof, and sees in the checkpoint that they are gone.
   */
  consistency(older: number): Promise<Consistency> {
    return consistencyOf(this.#archive, older)
  }

  /** The number of the oldest event that was not deleted by age. */
  get oldest(): number {
    return this.#archive.deleted + 1
  }

  /** Events that are where they are kept, under a signed checkpoint: in the storage, where there is one. */
  get kept(): number {
    return this.#uploads?.size ?? this.#archive.head.size
  }

  /** Deletes events that became too old; true when something is left to do at once. @throws what disk and storage say. */
  expire(): Promise<boolean> {
    return this.#expiry.expire()
  }

  /** Writes what waits, signs a last checkpoint, and closes the record. */
  async close(): Promise<void> {
    this.#queue.close()
    await this.#expiry.close()
    this.#queue.stop()
    try {
      await this.seal()
    } catch (error) {
      // The journal has it all; the next start puts it into the tree.
      this.#log.error('record.not-sealed', { error })
    }
    clearTimeout(this.#timer)
    this.#queue.stop()
    await this.#uploads?.close()
    await this.#journal.close()
  }

  /** A file of the log, as C2SP's tlog-tiles names it; from the storage when it is no longer here. */
  part(path: string): Promise<Buffer | undefined> {
    return this.#archive.part(path)
  }

  /** Bytes of the journal's newest file; for tests and health. */
  get size(): number {
    return this.#journal.size
  }
}
