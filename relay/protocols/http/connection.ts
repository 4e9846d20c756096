// One connection of a client: its session, its way to the target, and its requests one after the other.
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { abortReason, asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { portStream } from '@gate/shared/port-stream'
import type { Session } from '../protocol.ts'
import { Exchange } from './exchange.ts'
import type { HttpLimits } from './limits.ts'
import { problemOf, rawProblem } from './problem.ts'
import { withEscapedTarget } from './raw-target.ts'
import type { Keys, Shared } from './room.ts'
import { Upstream } from './upstream.ts'

/** Requests that a client may send before the first is answered. */
const MAX_PIPELINED = 16
/** A client has this long to read the last answer when the session ends under it. */
const LAST_WORDS_MS = 2_000
/**
 * A client that has ended its side is taken for gone when nothing of an answer went out for so long: whether it still reads
 * shows only when something is written.
 */
const HALF_CLOSED_MS = 10_000

/** Hands a stream to node's parser. */
export type Accept = (stream: Duplex, connection: Connection) => void

export class Connection implements Shared {
  readonly session: Session
  readonly keys: Keys
  readonly limits: HttpLimits
  readonly log: Log
  readonly #accept: Accept
  readonly #stream: Duplex
  #upstream: Upstream | undefined
  #receivedBytes = 0
  #sentBytes = 0
  #begun: Promise<void> | undefined
  #queue: Promise<void> = Promise.resolve()
  #queued = 0
  /** Requests that were taken, and the number of the one after whose answer nothing more is read. */
  #taken = 0
  #last = Number.POSITIVE_INFINITY
  readonly #current = new Set<Exchange>()
  /** The last request was answered before all of it had come: what comes next is no head. */
  #isBodyLeft = false
  #headTimer: NodeJS.Timeout | undefined
  /** Why the connection ends, when it is not the client that ended it. */
  #cause: GateError | undefined
  #isHanded = false
  #isRefused = false
  #isHalfClosed = false

  constructor(room: Pick<Shared, 'keys' | 'limits'>, accept: Accept, session: Session, log: Log) {
    this.keys = room.keys
    this.limits = room.limits
    this.log = log
    this.#accept = accept
    this.session = session
    this.#stream = portStream({
      [Symbol.asyncIterator]: () => this.#watched(),
      write: unit => {
        this.#sentBytes += unit.length
        return session.client.write(unit)
      },
      end: () => session.client.end(),
      destroy: cause => session.client.destroy(cause),
      get broken() {
        return session.client.broken
      },
    })
  }

  /** The client's bytes; the first of a request's head starts a clock. */
  #watched(): AsyncIterator<Buffer> {
    const units = this.session.client[Symbol.asyncIterator]()
    return {
      next: async () => {
        const result = await units.next()
        if (result.done === true) return result
        this.#receivedBytes += result.value.length
        if (this.#queued > 0 || this.#isHanded) return result
        this.#startHead()
        return this.#isBodyLeft ? result : { done: false, value: withEscapedTarget(result.value) }
      },
    }
  }

  #startHead(): void {
    const { headMs } = this.limits
    this.#headTimer ??= setTimeout(() => this.#late(), headMs)
  }

  /** Somebody who has not asked for anything, as browsers that connect ahead, is not told and not written down. */
  #late(): void {
    const seconds = this.limits.headMs / 1000
    const cause = new GateError('ERR_GATE_CLIENT_TIMEOUT', `no whole head of a request within ${seconds} s`)
    if (this.#receivedBytes === 0) this.end(cause)
    else this.refuse(this.#stream, cause)
  }

  get receivedBytes(): number {
    return this.#receivedBytes
  }

  get isHalfClosed(): boolean {
    return this.#isHalfClosed
  }

  /** What was asked is answered nevertheless, if there is still somebody to read it. */
  #halfClose(): void {
    if (this.#isHanded) return
    this.#isHalfClosed = true
    for (const exchange of this.#current) exchange.withdrawIfHeld()
    let last = this.#sentBytes
    const watch = setInterval(() => {
      const isSilent = this.#sentBytes === last && this.#stream.writableLength === 0
      last = this.#sentBytes
      if (!isSilent && this.session.client.broken === undefined) return
      const seconds = HALF_CLOSED_MS / 1000
      this.end(new GateError('ERR_GATE_CANCELLED', `no answer within ${seconds} s after the client ended its side`))
    }, HALF_CLOSED_MS)
    this.#stream.once('close', () => clearInterval(watch))
  }

  #stopHead(): void {
    clearTimeout(this.#headTimer)
    this.#headTimer = undefined
  }

  /** Serves the connection until it ends. @throws {GateError} why it ended, if it was not the client who ended it. */
  async serve(): Promise<void> {
    const { signal } = this.session
    const abort = (): void => this.end(abortReason(signal))
    signal.addEventListener('abort', abort, { once: true })
    const closed = new Promise<void>(resolve => this.#stream.once('close', resolve))
    this.#stream.on('error', thrown => {
      this.#cause ??= asGateError(thrown)
    })
    this.#stream.once('end', () => this.#halfClose())
    this.#startHead()
    this.#accept(this.#stream, this)
    if (signal.aborted) abort()
    await closed
    this.#stopHead()
    signal.removeEventListener('abort', abort)
    const gone = this.#cause ?? new GateError('ERR_GATE_CANCELLED', 'the client went away')
    for (const exchange of this.#current) exchange.stop(gone)
    await this.#queue
    this.#upstream?.destroy(gone)
    if (this.#cause !== undefined && this.#cause.code !== 'ERR_GATE_CANCELLED') throw this.#cause
  }

  end(cause: GateError): void {
    this.#cause ??= cause
    const said = [...this.#current].map(exchange => exchange.stop(cause))
    // A WebSocket is ended with a code of its own, which its client should see.
    if (!said.some(Boolean) && !this.#isHanded) return void this.#stream.destroy()
    const late = setTimeout(() => this.#stream.destroy(), LAST_WORDS_MS)
    this.#stream.once('close', () => clearTimeout(late))
  }

  /** Takes a request that node has read the head of. `proceed` tells the client that its body is wanted. */
  take(request: IncomingMessage, response: ServerResponse, proceed: (() => void) | undefined): void {
    this.#stopHead()
    const number = this.#taken
    // RFC 9112 section 9.6: what comes after the last answer is not served, and the client knows that it was not.
    if (number > this.#last) return
    this.#taken += 1
    const exchange = new Exchange(this, number, request, response, proceed)
    if (this.#queued >= MAX_PIPELINED)
      return void exchange.stop(
        new GateError('ERR_GATE_LIMIT', `more than ${MAX_PIPELINED} requests at once on one connection`),
      )
    this.#queued += 1
    this.#current.add(exchange)
    this.#queue = this.#queue
      .then(() => (number > this.#last ? undefined : exchange.run()))
      .catch((thrown: unknown) => {
        const error = asGateError(thrown)
        this.log.error('http.failed', { session: this.session.id, error })
        exchange.stop(error)
      })
      .finally(() => {
        this.#current.delete(exchange)
        this.#queued -= 1
        this.#isBodyLeft = !exchange.isWhole
      })
  }

  endAfter(number: number): void {
    this.#last = Math.min(this.#last, number)
  }

  get isIdle(): boolean {
    return this.#queued === 0
  }

  hand(until: Promise<void>): void {
    this.#isHanded = true
    this.#stopHead()
    this.#queue = this.#queue.then(() => until)
  }

  begin(program: string): Promise<void> {
    this.#begun ??= this.session.start({ program })
    return this.#begun
  }

  get upstream(): Upstream {
    this.#upstream ??= new Upstream(() => this.session.open({}))
    return this.#upstream
  }

  /**
   * What came is no request. Requests before it that came whole are answered first; one in whose body it was found is
   * answered with it. `status` is what it is answered with, where that is not the cause's own.
   */
  refuse(stream: Duplex, cause: GateError, status?: number): void {
    if (this.#isRefused) return
    this.#isRefused = true
    this.#cause ??= cause
    this.endAfter(this.#taken - 1)
    const broken = [...this.#current].filter(exchange => !exchange.isWhole).map(exchange => exchange.stop(cause))
    const leave = (): void => void setTimeout(() => stream.destroy(), LAST_WORDS_MS).unref()
    if (broken.length > 0) return leave()
    this.#queue = this.#queue.then(async () => {
      // What was tried is in the record even if nothing came that could be decided.
      const answer = await this.begin('').then(() => cause, asGateError)
      const problem = problemOf(answer, this.session.id)
      const said = answer === cause && status !== undefined ? { ...problem, status } : problem
      if (stream.writable) stream.end(rawProblem(said))
      leave()
    })
  }

  /** What came makes something else of the stream, whose answers node no longer writes. */
  refuseUpgrade(stream: Duplex, cause: GateError): void {
    if (!this.isIdle) return this.end(cause)
    this.refuse(stream, cause)
  }
}
