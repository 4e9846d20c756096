// A Port: one side of a stream of bytes or messages, with back-pressure both ways; and the loop that joins two of them.
import type { Duplex } from 'node:stream'
import { asGateError, type ErrorCode, type GateError } from './errors.ts'

/** One side of a stream. Iterating reads until the other side is done; a broken stream makes the iteration throw. */
export interface Port<Unit> extends AsyncIterable<Unit> {
  /** Undefined means go on; a promise means wait for it before writing more. */
  write(unit: Unit): Promise<void> | undefined
  /** Says that no more comes from this side; the other direction goes on. */
  end(): void
  /** Ends both directions at once. */
  destroy(cause?: GateError): void
  /** Set when the port broke, also after its other side was done: what is written goes nowhere any more. */
  readonly broken?: GateError | undefined
}

/** What a queued unit costs beside its own bytes: a stream of single bytes would otherwise take a hundred times the limit. */
export const UNIT_OVERHEAD_BYTES = 128

/**
 * A bounded queue between a source that pushes and a loop that pulls. `pause` and `resume` are called as the
 * queue crosses `highWaterBytes` and half of it, so that memory stays near that limit. `taken` is told of every unit that
 * the loop gets, for sources that are bounded otherwise.
 */
export class Inbox<Unit extends { readonly length: number }> implements AsyncIterable<Unit>, AsyncIterator<Unit> {
  readonly #units: Unit[] = []
  #head = 0
  #bytes = 0
  #paused = false
  #done = false
  #failure: GateError | undefined
  #waiting: { resolve(result: IteratorResult<Unit>): void; reject(cause: unknown): void } | undefined
  readonly #highWaterBytes: number
  readonly #pause: () => void
  readonly #resume: () => void
  readonly #taken: ((unit: Unit) => void) | undefined

  constructor(highWaterBytes: number, pause: () => void, resume: () => void, taken?: (unit: Unit) => void) {
    this.#highWaterBytes = highWaterBytes
    this.#pause = pause
    this.#resume = resume
    this.#taken = taken
  }

  /** Whether somebody waits for the next unit: it will not be queued. */
  get isAwaited(): boolean {
    return this.#waiting !== undefined
  }

  push(unit: Unit): void {
    if (this.#done || this.#failure !== undefined) return
    const waiting = this.#waiting
    if (waiting !== undefined) {
      this.#waiting = undefined
      waiting.resolve({ value: unit, done: false })
      this.#taken?.(unit)
      return
    }
    this.#units.push(unit)
    this.#bytes += unit.length + UNIT_OVERHEAD_BYTES
    if (!this.#paused && this.#bytes > this.#highWaterBytes) {
      this.#paused = true
      this.#pause()
    }
  }

  /** What is queued is still read; then the iteration ends. */
  finish(): void {
    if (this.#failure !== undefined) return
    this.#done = true
    if (this.#waiting === undefined) return
    this.#waiting.resolve({ value: undefined, done: true })
    this.#waiting = undefined
  }

  /** The queue is dropped; the iteration throws. */
  fail(cause: GateError): void {
    if (this.#done || this.#failure !== undefined) return
    this.#failure = cause
    this.#units.length = 0
    this.#head = 0
    this.#waiting?.reject(cause)
    this.#waiting = undefined
  }

  next(): Promise<IteratorResult<Unit>> {
    const unit = this.#units[this.#head]
    if (unit !== undefined) return Promise.resolve({ value: this.#take(unit), done: false })
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    if (this.#done) return Promise.resolve({ value: undefined, done: true })
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject }
    })
  }

  #take(unit: Unit): Unit {
    this.#head += 1
    if (this.#head === this.#units.length) {
      this.#units.length = 0
      this.#head = 0
    }
    this.#bytes -= unit.length + UNIT_OVERHEAD_BYTES
    if (this.#paused && this.#bytes <= this.#highWaterBytes / 2) {
      this.#paused = false
      this.#resume()
    }
    this.#taken?.(unit)
    return unit
  }

  return(): Promise<IteratorResult<Unit>> {
    return Promise.resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

/** Bytes kept of one socket while nobody reads them. */
export const SOCKET_INBOX_BYTES = 256 * 1024

/**
 * Makes a Port of a socket. `lost` is the code of the error that a broken socket becomes.
 * Node closes half-open sockets by itself unless they were made with `allowHalfOpen`.
 */
export function socketPort(socket: Duplex, lost: ErrorCode): Port<Buffer> {
  const inbox = new Inbox<Buffer>(
    SOCKET_INBOX_BYTES,
    () => socket.pause(),
    () => socket.resume(),
  )
  let wake: (() => void) | undefined
  let blocked: Promise<void> | undefined
  let broken: GateError | undefined
  const fail = (cause: unknown, message: string): void => {
    broken ??= asGateError(cause, lost, message)
    inbox.fail(broken)
  }
  const unblock = (): void => {
    wake?.()
    wake = undefined
    blocked = undefined
  }
  socket.on('data', (chunk: Buffer) => inbox.push(chunk))
  socket.on('end', () => inbox.finish())
  socket.on('drain', unblock)
  socket.on('error', thrown => fail(thrown, 'the connection broke'))
  const closed = (): void => {
    unblock()
    if (socket.readableEnded && socket.writableFinished) inbox.finish()
    else fail(undefined, 'the connection was closed')
  }
  socket.on('close', closed)
  // The socket may have been paused, or have ended, while somebody else had it.
  if (socket.destroyed) closed()
  else socket.resume()
  return {
    [Symbol.asyncIterator]: () => inbox,
    get broken() {
      return broken
    },
    write(bytes) {
      if (socket.destroyed || socket.writableEnded) return undefined
      if (socket.write(bytes)) return undefined
      blocked ??= new Promise(resolve => {
        wake = resolve
      })
      return blocked
    },
    end() {
      if (!socket.writableEnded) socket.end()
    },
    destroy(cause) {
      fail(cause, 'the connection was closed')
      socket.destroy()
    },
  }
}

/** Moves everything from one port to the other and passes the end on. Throws what breaks either port. */
export async function pump<Unit>(from: Port<Unit>, to: Port<Unit>): Promise<void> {
  for await (const unit of from) {
    // Nobody reads from `to` any more when its end came before it broke: only here is it noticed.
    if (to.broken !== undefined) throw to.broken
    const full = to.write(unit)
    if (full !== undefined) await full
  }
  to.end()
}

/** Joins two ports until both directions are done; a failure of one destroys both and is thrown. */
export async function join<Unit>(a: Port<Unit>, b: Port<Unit>): Promise<void> {
  try {
    await Promise.all([pump(a, b), pump(b, a)])
  } catch (thrown) {
    const cause = asGateError(thrown)
    a.destroy(cause)
    b.destroy(cause)
    throw cause
  }
}
