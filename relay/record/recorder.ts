// Writes events before anything goes on; when it cannot write, nothing may run. What is written becomes part of a signed tree.
import { createHash, type Hash } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { TreeHead, Verifier } from '@gate/shared/record/checkpoint'
import type { Receipt } from '@gate/shared/record/receipt'
import { MAX_RECORD_BYTES } from '@gate/shared/record/tiles'
import { consistencyProof, inclusionProof, leafHash } from '@gate/shared/record/tree'
import { Archive, type TreeKey } from './archive.ts'
import { EVENT_VERSION, type EventBody, isSessionEvent, type StoredEvent } from './events.ts'
import { Journal } from './journal.ts'
import { formatLine, parseEvent, parseLine, sessionMark } from './line.ts'
import type { ObjectStore } from './object-store.ts'
import { Retention } from './retention.ts'
import { Uploads, type UploadTerms } from './uploads.ts'

/** A file of the journal that reached this size is closed and a new one begun. */
const SEGMENT_BYTES = 64 * 1024 * 1024
/** Outcomes wait this long for a command to be written with. */
const OUTCOME_DELAY_MS = 50
/** Outcomes that wait while the disk refuses; beyond it sessions end rather than lose any. */
const MAX_WAITING_BYTES = 1024 * 1024
/** A checkpoint is signed this long after the first event that it covers. */
const CHECKPOINT_DELAY_MS = 1_000
/** Events that are written and not yet in the tree; beyond it commands are refused until the tree can grow again. */
const MAX_UNARCHIVED_BYTES = 64 * 1024 * 1024
/** Events that go into the tree in one step. */
const ARCHIVE_STEP = 4_096

export interface RecorderOptions {
  readonly segmentBytes?: number | undefined
  /** Where the tree is uploaded to. */
  readonly uploads?: UploadTerms | undefined
  /** Events older than this are deleted; undefined: never. */
  readonly retentionMs?: number | undefined
}

/** How often it is looked whether events became too old, and how soon when something is left to do. */
const RETENTION_CHECK_MS = 60 * 60_000
const RETENTION_SOON_MS = 10_000

interface Parts {
  readonly archive: Archive
  readonly journal: Journal
  readonly uploads: Uploads | undefined
  readonly retention: Retention
  readonly options: RecorderOptions
}

export class Recorder {
  readonly #uploads: Uploads | undefined
  readonly #elsewhere: ObjectStore | undefined
  readonly #retention: Retention
  readonly #retentionMs: number | undefined
  readonly #stop = new AbortController()
  #expiring: Promise<void> | undefined
  #expiringNow: Promise<boolean> | undefined
  readonly #origin: string
  readonly #archive: Archive
  readonly #journal: Journal
  readonly #clock: Clock
  readonly #log: Log
  #sequence: number
  /** The number of the newest event in the journal; what waits comes after it. */
  #written: number
  #failing = false
  #later: Buffer[] = []
  #laterBytes = 0
  #timer: NodeJS.Timeout | undefined
  /** Lines in the journal that the tree does not have yet, each with its newline. Bytes: as texts the collector would move them. */
  #unarchived: Buffer[] = []
  /** The number of the first of them. */
  #unarchivedFrom: number
  #unarchivedBytes = 0
  #archiveTimer: NodeJS.Timeout | undefined
  #archiving: Promise<void> | undefined
  #archiveFailing = false
  #closed = false
  /** Of each session that goes on: how many events it has, and SHA-256 over their lines, each with its newline. */
  readonly #digests = new Map<string, { events: number; readonly hash: Hash }>()
  readonly #watchers = new Set<(event: StoredEvent) => void>()
  readonly #headWatchers = new Set<(head: TreeHead, note: string) => void>()

  private constructor(
    { archive, journal, uploads, retention, options }: Parts,
    sequence: number,
    clock: Clock,
    log: Log,
  ) {
    this.#uploads = uploads
    this.#retention = retention
    this.#retentionMs = options.retentionMs
    this.#elsewhere = options.uploads?.store
    this.#archive = archive
    this.#origin = archive.verifier.name
    this.#journal = journal
    this.#clock = clock
    this.#log = log
    this.#sequence = sequence
    this.#written = sequence
    this.#unarchivedFrom = sequence + 1
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
    const { segmentBytes = SEGMENT_BYTES, uploads: terms } = options
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const archive = await Archive.open(
        directory,
        tree,
        terms === undefined ? undefined : terms.store.get.bind(terms.store),
      )
      const retention = await Retention.open(directory)
      archive.deleted = retention.deleted
      const { size } = archive.head
      let found: Buffer[] = []
      const look = async (line: Buffer, sequence: number): Promise<void> => {
        if (sequence <= size) return checkLine(archive, line, sequence)
        parseLine(line.toString('utf8'), sequence)
        found.push(Buffer.from(line))
        if (found.length < ARCHIVE_STEP) return
        await archive.extend(found)
        found = []
      }
      const { journal, sequence, cutBytes } = await Journal.open(directory, size, segmentBytes, look)
      await archive.extend(found)
      const uploads = terms === undefined ? undefined : await Uploads.open(directory, archive, terms, clock, log)
      const recorder = new Recorder({ archive, journal, uploads, retention, options }, sequence, clock, log)
      uploads?.start()
      // What an earlier configuration has decided to delete is still deleted.
      if (options.retentionMs !== undefined || retention.isPending) recorder.#expiring = recorder.#expireNowAndThen()
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
    if (this.#unarchivedBytes > MAX_UNARCHIVED_BYTES || this.#uploads?.isFull === true) throw this.#behind()
    const timeMs = this.#clock.now()
    const line = this.#format(timeMs, body)
    try {
      this.#write(this.#later.length === 0 ? [line] : [...this.#later, line])
    } catch (cause) {
      throw this.#fail(cause)
    }
    this.#sequence += 1
    this.#written = this.#sequence
    this.#forgetLater()
    this.#recover()
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
    const line = Buffer.from(`${formatLine(this.#sequence + 1, timeMs, this.#sealed(body))}\n`)
    if (line.length - 1 > MAX_RECORD_BYTES)
      throw new GateError(
        'ERR_GATE_RECORD',
        `an event is larger than ${MAX_RECORD_BYTES} bytes, so the command was not run`,
      )
    return line
  }

  /** A session's end says what came before it: the receipt for this one event vouches for all of them. */
  #sealed(body: EventBody): EventBody {
    if (body.type !== 'session.end') return body
    const digest = this.#digests.get(body.session)
    return digest === undefined ? body : { ...body, events: digest.events, sha256: digest.hash.copy().digest('hex') }
  }

  #took(timeMs: number, body: EventBody, line: Buffer): void {
    if (isSessionEvent(body)) {
      if (body.type === 'session.start') this.#digests.set(body.session, { events: 0, hash: createHash('sha256') })
      if (body.type === 'session.end') this.#digests.delete(body.session)
      const digest = this.#digests.get(body.session)
      if (digest !== undefined) {
        digest.events += 1
        digest.hash.update(line)
      }
    }
    for (const listener of this.#watchers) listener({ sequence: this.#sequence, timeMs, body })
  }

  /** Tells of every event from now on, once it is written or waits to be; the listener must not throw. */
  watch(listener: (event: StoredEvent) => void): Disposable {
    this.#watchers.add(listener)
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) }
  }

  /** Tells of every new checkpoint; the listener must not throw. */
  watchHead(listener: (head: TreeHead, note: string) => void): Disposable {
    this.#headWatchers.add(listener)
    return { [Symbol.dispose]: () => void this.#headWatchers.delete(listener) }
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
    const size = this.#unarchivedFrom - 1
    const unarchived = this.#unarchived.slice()
    const end = Math.min(last ?? Number.MAX_SAFE_INTEGER, size + unarchived.length)
    for await (const line of this.#archive.lines(Math.max(0, first - 1, this.#archive.deleted), Math.min(end, size)))
      yield line.toString('utf8')
    for (const line of unarchived.slice(Math.max(0, first - size - 1), Math.max(0, end - size)))
      yield line.toString('utf8', 0, line.length - 1)
  }

  /** Resolves when everything appended so far is on the disk. @throws {GateError} ERR_GATE_RECORD when the disk refuses. */
  sync(): Promise<void> {
    return this.#journal.sync().catch((cause: unknown) => {
      throw this.#fail(cause)
    })
  }

  #flushLater(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#later.length === 0) return
    try {
      this.#write(this.#later)
      this.#written = this.#sequence
      this.#forgetLater()
      this.#recover()
    } catch (cause) {
      this.#fail(cause)
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
    if (this.#journal.isDistrusted && this.#unarchivedFrom > this.#written) this.#journal.renew(this.#written + 1)
    this.#journal.write(bytes, this.#written + 1)
    for (const line of lines) this.#unarchived.push(line)
    this.#unarchivedBytes += bytes.length
    this.#archiveTimer ??= setTimeout(() => void this.#archiveSoon(), CHECKPOINT_DELAY_MS)
  }

  /**
   * Signs a checkpoint over everything that is written now, and gives it.
   * @throws {GateError} ERR_GATE_RECORD when the disk refuses.
   */
  async seal(): Promise<TreeHead> {
    this.#flushLater()
    const wanted = this.#written
    while (this.#archive.head.size < wanted) await this.#archiveNow()
    return this.#archive.head
  }

  async #archiveSoon(): Promise<void> {
    this.#archiveTimer = undefined
    try {
      await this.seal()
    } catch (thrown) {
      if (this.#closed) return
      this.#log.warn('record.tree-waits', { error: asGateError(thrown) })
      this.#archiveTimer = setTimeout(() => void this.#archiveSoon(), CHECKPOINT_DELAY_MS)
    }
  }

  #archiveNow(): Promise<void> {
    this.#archiving ??= this.#archiveStep().finally(() => {
      this.#archiving = undefined
    })
    return this.#archiving
  }

  async #archiveStep(): Promise<void> {
    const lines = this.#unarchived.slice(0, ARCHIVE_STEP)
    try {
      await this.#archive.extend(lines.map(line => line.subarray(0, -1)))
      this.#unarchived.splice(0, lines.length)
      this.#unarchivedFrom += lines.length
      const bytes = lines.reduce((sum, line) => sum + line.length, 0)
      this.#unarchivedBytes -= bytes
      this.#uploads?.grew(bytes)
      this.#archiveFailing = false
      for (const listener of this.#headWatchers) listener(this.#archive.head, this.#archive.note)
      await this.#journal.forget(Math.min(this.#archive.whole, this.#uploads?.whole ?? this.#archive.whole))
    } catch (cause) {
      if (!this.#archiveFailing) this.#log.error('record.tree-failing', { error: cause, relay: this.#origin })
      this.#archiveFailing = true
      throw new GateError('ERR_GATE_RECORD', `the tree of the record cannot be written (${codeOf(cause)})`, { cause })
    }
  }

  #behind(): GateError {
    if (this.#uploads?.isFull === true)
      return new GateError(
        'ERR_GATE_RECORD',
        'too much of the record has not reached its storage yet, so the command was not run',
        { hint: 'Ask whoever runs the relay to look at record.storage; it goes on by itself.' },
      )
    return new GateError(
      'ERR_GATE_RECORD',
      'too much of the record is not in its tree yet, so the command was not run',
      {
        hint: 'Ask whoever runs the relay to look at its disk.',
      },
    )
  }

  /**
   * The receipt of a session that has ended, with event `sequence` as its end.
   * @throws {GateError} ERR_GATE_NOT_FOUND when that is not its end; ERR_GATE_RECORD.
   */
  async receipt(session: string, sequence: number): Promise<Receipt> {
    if (this.#archive.head.size < sequence) await this.seal()
    const { size } = this.#archive.head
    const { note } = this.#archive
    for await (const record of this.lines(sequence, sequence)) {
      const { body } = parseEvent(record)
      if (body.type !== 'session.end' || body.session !== session) break
      const proof = await inclusionProof(this.#archive.nodes(size), sequence - 1, size)
      const base64 = proof.map(part => part.toString('base64'))
      return { session, checkpoint: note, verifier: this.verifier.text, index: sequence - 1, record, proof: base64 }
    }
    throw new GateError('ERR_GATE_NOT_FOUND', `there is no end of ${session} in the record`)
  }

  /**
   * The newest checkpoint, and hashes that show that its tree grew out of one of the first `older` records. Whoever knows of
   * more records than there are gets no proof, and sees in the checkpoint that they are gone.
   */
  async consistency(older: number): Promise<{ readonly checkpoint: string; readonly proof: readonly string[] }> {
    const { size } = this.#archive.head
    const { note } = this.#archive
    const proof = older === 0 || older >= size ? [] : await consistencyProof(this.#archive.nodes(size), older, size)
    return { checkpoint: note, proof: proof.map(part => part.toString('base64')) }
  }

  #fail(cause: unknown): GateError {
    if (cause instanceof GateError) return cause
    if (!this.#failing) this.#log.error('record.failing', { error: cause, relay: this.#origin })
    this.#failing = true
    return new GateError(
      'ERR_GATE_RECORD',
      `the record cannot be written (${codeOf(cause)}), so the command was not run`,
      {
        cause,
        hint: 'Ask whoever runs the relay to look at its disk.',
      },
    )
  }

  #recover(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#log.info('record.writing-again', { relay: this.#origin })
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
    this.#expiringNow ??= this.#expireNow().finally(() => {
      this.#expiringNow = undefined
    })
    return this.#expiringNow
  }

  #expireNow(): Promise<boolean> {
    const archive = this.#archive
    return this.#retention.expire(this.#retentionMs, {
      now: () => this.#clock.now(),
      kept: () => this.kept,
      head: archive.head,
      bundle: index => archive.wholeBundle(index),
      record: async body => {
        const sequence = this.append(body)
        await this.sync()
        await this.seal()
        return sequence
      },
      forget: deleted => {
        archive.deleted = deleted
      },
      forgetJournal: deleted => this.#forgetJournal(deleted),
      signal: this.#stop.signal,
      removeElsewhere: async path => this.#elsewhere?.delete(path),
    })
  }

  /** A journal that never became full would keep what the tree has long deleted. */
  async #forgetJournal(deleted: number): Promise<boolean> {
    await this.seal()
    if (this.#journal.holds(deleted, 'newest')) this.#journal.rotate(this.#written + 1)
    // What is in the tree is in no need of the journal, whether its bundle is whole or not.
    await this.#journal.forget(this.kept)
    return !this.#journal.holds(deleted, 'oldest')
  }

  /** Never rejects. */
  async #expireNowAndThen(): Promise<void> {
    const { signal } = this.#stop
    let failing = false
    while (!signal.aborted) {
      let more = false
      try {
        more = await this.expire()
        failing = false
      } catch (thrown) {
        if (!failing) this.#log.warn('record.retention-failing', { error: asGateError(thrown) })
        failing = true
      }
      const sleepMs = more || failing ? RETENTION_SOON_MS : RETENTION_CHECK_MS
      await this.#clock.sleep(sleepMs, signal).catch(() => {})
    }
  }

  /** Writes what waits, signs a last checkpoint, and closes the record. */
  async close(): Promise<void> {
    this.#closed = true
    this.#stop.abort()
    await this.#expiring
    clearTimeout(this.#archiveTimer)
    try {
      await this.seal()
    } catch (error) {
      // The journal has it all; the next start puts it into the tree.
      this.#log.error('record.not-sealed', { error })
    }
    clearTimeout(this.#timer)
    clearTimeout(this.#archiveTimer)
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

const codeOf = (cause: unknown): string => (cause as NodeJS.ErrnoException).code ?? 'unknown error'

async function checkLine(archive: Archive, line: Buffer, sequence: number): Promise<void> {
  if (leafHash(line).equals(await archive.leaf(sequence - 1))) return
  throw new GateError('ERR_GATE_RECORD', `record ${sequence} is not the one that was signed`, {
    hint: 'gate audit verify --from DIRECTORY says what was changed.',
  })
}
