// Writes events before anything goes on; when it cannot write, nothing may run.
import { closeSync, fdatasync, fstatSync, fsyncSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { formatLine, GENESIS } from './chain.ts'
import { EVENT_VERSION, type EventBody, type StoredEvent } from './events.ts'
import { lastState, readSession, segmentName } from './segments.ts'

/** A segment that reached this size is closed and a new one begun. */
const SEGMENT_BYTES = 64 * 1024 * 1024
/** Outcomes wait this long for a command to be written with. */
const OUTCOME_DELAY_MS = 50
/** Outcomes that wait while the disk refuses; beyond it sessions end rather than lose any. */
const MAX_WAITING_BYTES = 1024 * 1024

/** `write`: handed to the operating system. `fsync`: on the disk. */
export type Durability = 'write' | 'fsync'

/**
 * An append-only, hash-chained log in a directory.
 *
 * Writes are synchronous: a write to the page cache takes a few microseconds, less than a round trip through the
 * thread pool, and the command that waits for it waits no longer than that. What has to be on the disk is synced
 * in the thread pool, and everything that waits for a sync when one begins is served by that one.
 */
export class Recorder {
  readonly #directory: string
  readonly #relay: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #segmentBytes: number
  #file: number
  #size: number
  #sequence: number
  /** The number of the newest event in the file; what waits comes after it. */
  #written: number
  #hash: string
  /** True while a broken write may have left half a line behind. */
  #torn = false
  #failing = false
  #later: string[] = []
  #laterBytes = 0
  #timer: NodeJS.Timeout | undefined
  #syncing: Promise<void> | undefined
  #nextSync: Promise<void> | undefined
  readonly #watchers = new Set<(event: StoredEvent) => void>()

  private constructor(
    directory: string,
    relay: string,
    state: { sequence: number; hash: string; segment: string | undefined; size: number },
    segmentBytes: number,
    clock: Clock,
    log: Log,
  ) {
    this.#directory = directory
    this.#relay = relay
    this.#clock = clock
    this.#log = log
    this.#segmentBytes = segmentBytes
    this.#sequence = state.sequence
    this.#written = state.sequence
    this.#hash = state.hash
    this.#size = state.size
    this.#file = openSync(join(directory, state.segment ?? segmentName(state.sequence + 1)), 'a', 0o600)
    syncDirectory(directory)
  }

  /**
   * Opens the log. Half a line at its end, as a power cut leaves it, is cut off: it was never answered for.
   * @throws {GateError} ERR_GATE_RECORD when the directory cannot be used or the last lines do not fit the chain.
   */
  static async open(
    directory: string,
    relay: string,
    clock: Clock,
    log: Log,
    segmentBytes = SEGMENT_BYTES,
  ): Promise<Recorder> {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 })
      const state = await lastState(directory)
      const recorder = new Recorder(directory, relay, state, segmentBytes, clock, log)
      if (state.cutBytes > 0) log.warn('record.torn-line-removed', { bytes: state.cutBytes })
      if (state.hash === GENESIS) recorder.append({ type: 'log.start', version: EVENT_VERSION, relay })
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

  /**
   * Writes an event, and with it the outcomes that waited. Returns its number.
   * @throws {GateError} ERR_GATE_RECORD when it could not be written; the log is then as it was before.
   */
  append(body: EventBody): number {
    const before = { sequence: this.#sequence, hash: this.#hash }
    const timeMs = this.#clock.now()
    const line = formatLine(this.#sequence + 1, timeMs, body, this.#hash)
    this.#sequence += 1
    this.#hash = line.hash
    try {
      this.#write([...this.#later, line.text].join(''))
    } catch (cause) {
      this.#sequence = before.sequence
      this.#hash = before.hash
      throw this.#fail(cause)
    }
    this.#forgetLater()
    this.#recover()
    this.#tell(timeMs, body)
    return this.#sequence
  }

  /** Tells of every event from now on, once it is written or waits to be; the listener must not throw. */
  watch(listener: (event: StoredEvent) => void): Disposable {
    this.#watchers.add(listener)
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) }
  }

  /** The recorded events of one session between two numbers (the last may be unknown), in order. */
  async *read(session: string, first: number, last: number | undefined): AsyncGenerator<StoredEvent> {
    this.#flushLater()
    yield* readSession(this.#directory, session, first, last)
  }

  #tell(timeMs: number, body: EventBody): void {
    for (const listener of this.#watchers) listener({ sequence: this.#sequence, timeMs, body })
  }

  /** Resolves when everything appended so far is on the disk. @throws {GateError} ERR_GATE_RECORD when the disk refuses. */
  sync(): Promise<void> {
    // A sync that is under way may have begun before our bytes were written; the next one covers them.
    if (this.#syncing === undefined) return this.#startSync()
    this.#nextSync ??= this.#syncing.then(
      () => this.#startSync(),
      () => this.#startSync(),
    )
    return this.#nextSync
  }

  #startSync(): Promise<void> {
    this.#nextSync = undefined
    const started = new Promise<void>((resolve, reject) => {
      fdatasync(this.#file, error => {
        this.#syncing = undefined
        if (error === null) resolve()
        else reject(this.#fail(error))
      })
    })
    this.#syncing = started
    return started
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
    const line = formatLine(this.#sequence + 1, timeMs, body, this.#hash)
    this.#sequence += 1
    this.#hash = line.hash
    this.#tell(timeMs, body)
    this.#later.push(line.text)
    this.#laterBytes += line.text.length
    this.#timer ??= setTimeout(() => this.#flushLater(), OUTCOME_DELAY_MS)
  }

  #flushLater(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#later.length === 0) return
    try {
      this.#write(this.#later.join(''))
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

  /** Writes all or nothing: what a failed write left behind is cut off before anything else is written. */
  #write(text: string): void {
    if (this.#torn) {
      ftruncateSync(this.#file, this.#size)
      this.#torn = false
    }
    if (this.#size >= this.#segmentBytes) this.#rotate()
    const bytes = Buffer.from(text)
    this.#torn = true
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at)
    this.#torn = false
    this.#size += bytes.length
    this.#written = this.#sequence
  }

  #rotate(): void {
    fsyncSync(this.#file)
    const next = openSync(join(this.#directory, segmentName(this.#written + 1)), 'ax', 0o600)
    const full = this.#file
    const close = (): void => closeSync(full)
    // A sync may still wait for a thread; were the file closed under it, a command that is recorded would be refused.
    if (this.#syncing === undefined) close()
    else this.#syncing.then(close, close)
    this.#file = next
    this.#size = 0
    syncDirectory(this.#directory)
  }

  #fail(cause: unknown): GateError {
    if (!this.#failing) this.#log.error('record.failing', { error: cause, relay: this.#relay })
    this.#failing = true
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error'
    return new GateError('ERR_GATE_RECORD', `the record cannot be written (${code}), so the command was not run`, {
      cause,
      hint: 'Ask whoever runs the relay to look at its disk.',
    })
  }

  #recover(): void {
    if (!this.#failing) return
    this.#failing = false
    this.#log.info('record.writing-again', { relay: this.#relay })
  }

  /** Writes what waits and closes the log. */
  async close(): Promise<void> {
    this.#flushLater()
    clearTimeout(this.#timer)
    await this.sync()
    closeSync(this.#file)
  }

  /** Bytes of the newest segment; for tests and health. */
  get size(): number {
    return fstatSync(this.#file).size
  }
}

/** A new file's name is durable only when its directory is synced. */
function syncDirectory(directory: string): void {
  const handle = openSync(directory, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}
