// Messages from the client: each passes, is refused in its place, or waits for an answer. Pure.
import { GateError } from '@gate/shared/errors'
import type { Declaration } from '../machine.ts'
import { readNamed } from './bodies.ts'
import {
  B,
  C,
  c,
  clientMessages,
  D,
  d,
  E,
  type ErrorFields,
  F,
  f,
  H,
  HEADER_BYTES,
  MalformedMessage,
  P,
  Q,
  S,
  X,
} from './codec.ts'
import type { CountingClient } from './counting.ts'
import { ExtendedQueries } from './extended-query.ts'
import type { Inbound } from './inbound.ts'
import { MAX_LONG_QUERY_BYTES } from './long-queries.ts'
import type { Transaction } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import { errorOf } from './refuse.ts'
import { flushMessage, Sending, type Shared, unexpected } from './sending.ts'
import { SimpleQueries } from './simple-query.ts'
import { BEGINNING_BYTES } from './unreadable.ts'

/** What a client may send while the server reads COPY data; the server ends the session at anything else. */
const duringCopy: ReadonlySet<number> = new Set([d, c, f, H, S, X])

export function outOfCopy(what: string): GateError {
  return new GateError('ERR_GATE_PROTOCOL', `unexpected ${what} during COPY from stdin`)
}

export class ClientHalf implements CountingClient {
  readonly #inbound: Inbound
  readonly #shared: Shared
  readonly #sending: Sending
  readonly #simple: SimpleQueries
  readonly #extended: ExtendedQueries
  #terminated = false
  /** A long query is on its way, or has come whole: then it has gone on as soon as nothing is blocked. */
  #long: 'none' | 'coming' | 'whole' = 'none'

  /** `unguessable` names a portal that no client can have. With `declare`, every command is declared before it is sent. */
  constructor(
    inbound: Inbound,
    shared: Shared,
    unguessable: string,
    ask: (question: Question) => number,
    declare: ((declaration: Declaration) => void) | undefined,
  ) {
    this.#inbound = inbound
    this.#shared = shared
    this.#sending = new Sending(inbound, shared, ask, declare)
    this.#simple = new SimpleQueries(this.#sending)
    this.#extended = new ExtendedQueries(this.#sending, unguessable)
  }

  get blocked(): boolean {
    return this.#sending.blocked
  }

  /** A command of the client is at hand that is not on its way to the server yet. */
  get commandAtHand(): boolean {
    return this.#sending.commandAtHand
  }

  get asking(): number | undefined {
    return this.#sending.asking
  }

  get held(): number {
    return this.#inbound.held
  }

  receive(chunk: Buffer): void {
    this.#inbound.append(chunk)
    this.process()
  }

  /** The client is gone: what waits is not sent. */
  close(): void {
    this.#sending.forget()
    this.#sending.closed = true
    this.#inbound.flush()
  }

  settle(answer: Answer): void {
    this.#sending.settle(answer)
    this.process()
  }

  /** The server reported an error in a segment that the client has not closed yet: it skips the rest of it. */
  serverSkips(): void {
    this.#sending.skipping = true
    this.#sending.forget()
  }

  /** Something was answered. */
  advance(): void {
    this.#sending.advance()
    this.process()
  }

  process(): void {
    if (this.#sending.closed) return
    while (!this.blocked) {
      if (this.#long === 'whole') this.#forgetLong()
      if (!this.#inbound.continueStream()) break
      if (this.#terminated) this.#inbound.drop(this.#inbound.available)
      if (!this.#inbound.hasHeader) break
      const { type, length } = this.#inbound
      const known = clientMessages.get(type)
      if (known === undefined) throw new GateError('ERR_GATE_PROTOCOL', `invalid frontend message type ${type}`)
      if (length < 4 || length > known.limit)
        throw new GateError('ERR_GATE_PROTOCOL', `invalid message length ${length} in ${known.name}`)
      if (!this.#message(type, length + 1)) break
    }
    if (!this.blocked) this.#inbound.compact()
  }

  /** False when more of the message has to come first. */
  #message(type: number, total: number): boolean {
    if (this.#copying && !duringCopy.has(type)) throw outOfCopy(`message type 0x${type.toString(16)}`)
    if (this.#sending.skipping && type !== S && type !== X) {
      this.#forgetLong()
      this.#inbound.stream(total, false)
      return true
    }
    try {
      return this.#command(type, total)
    } catch (thrown) {
      if (!(thrown instanceof MalformedMessage)) throw thrown
      this.#malformed(type, total, errorOf(thrown, 'ERROR'))
      return true
    }
  }

  #command(type: number, total: number): boolean {
    switch (type) {
      case d:
        this.#inbound.stream(total, true)
        return true
      case B:
        return this.#extended.bind(total)
      case F:
        return this.#simple.functionCall(total)
      case Q:
      case P:
        if (total > this.#shared.maximumStatementBytes + HEADER_BYTES) return this.#longStatement(type, total)
        break
    }
    if (this.#inbound.available < total) return false
    this.#whole(type, total)
    return true
  }

  /** To the server it would be an error like others, after which it goes on. */
  #malformed(type: number, total: number, error: ErrorFields): void {
    if (type === Q) this.#simple.refused(error, total)
    else if (type === F) this.#simple.callRefused(error, total)
    else this.#extended.executeRefused(undefined, error, total)
  }

  #whole(type: number, total: number): void {
    const body = this.#inbound.body(total)
    switch (type) {
      case Q:
        return this.#simple.query(body, total)
      case P:
        return this.#extended.parse(body, total)
      case E:
        return this.#extended.execute(body, total)
      case D:
        return this.#extended.describe(body, total)
      case C: {
        const { what, name } = readNamed(body)
        this.#sending.checkName(name)
        return this.#sending.pass({ kind: 'close', what, name, segment: this.#shared.segment }, total)
      }
      case S:
        return this.#sync(total)
      case H:
        // In COPY the server ignores Flush and Sync: CopyGetData in src/backend/commands/copyfromparse.c.
        if (this.#copying) return this.#inbound.drop(total)
        return this.#inbound.pass(total)
      case c:
      case f:
        return this.#copyEnd(total)
      case X:
        this.#terminated = true
        return this.#inbound.pass(total)
      default:
        throw new GateError('ERR_GATE_INTERNAL', `no rule for frontend message type ${type}`)
    }
  }

  /** Ends the COPY at hand; or, sent ahead of the server's request, the one to come; the server ignores any other. */
  #copyEnd(total: number): void {
    const { head } = this.#shared.pending
    if (head !== undefined && 'copyIn' in head && head.copyIn) head.copyIn = false
    else if (head !== undefined) this.#sending.push({ kind: 'copy-end', segment: this.#shared.segment })
    this.#inbound.pass(total)
    // The client's Sync waits until the rows are counted, and without it the server would keep its answer.
    if (this.#shared.counted?.entry.kind === 'execute') this.#inbound.put(flushMessage)
  }

  get terminated(): boolean {
    return this.#terminated
  }

  /** The server has asked for COPY data and did not get their end yet. */
  get #copying(): boolean {
    const head = this.#shared.pending.head
    return head !== undefined && 'copyIn' in head && head.copyIn
  }

  #sync(total: number): void {
    this.#sending.skipping = false
    if (this.#copying) return this.#inbound.drop(total)
    this.#sending.pass({ kind: 'sync', segment: this.#shared.segment }, total)
    this.#shared.segment += 1
  }

  /** A simple query may be long for its constants: it is kept whole where there is room. */
  #longStatement(type: typeof Q | typeof P, total: number): boolean {
    // An agent that checks approvals itself compares whole texts.
    if (type === P || this.#sending.declares || total > MAX_LONG_QUERY_BYTES) return this.#tooLong(type, total, false)
    if (this.#long === 'none' && !this.#shared.longQueries.take(total)) return this.#tooLong(type, total, true)
    const isWhole = this.#inbound.available >= total
    this.#long = isWhole ? 'whole' : 'coming'
    if (isWhole) this.#whole(type, total)
    return isWhole
  }

  #forgetLong(): void {
    this.#long = 'none'
    this.#shared.longQueries.give()
  }

  /** A statement too long to be analysed is never seen whole: it is refused and its bytes are dropped as they come. */
  #tooLong(type: typeof Q | typeof P, total: number, isCrowded: boolean): boolean {
    const beginning = Buffer.from(this.#inbound.partialBody.subarray(0, BEGINNING_BYTES))
    const nameEnd = type === P ? beginning.indexOf(0) : 0
    if (nameEnd === -1) return false
    const question = { kind: 'too-long', bytes: total, beginning: beginning.subarray(nameEnd), isCrowded } as const
    this.#sending.question(question, answer => {
      if (answer.kind !== 'refuse') throw unexpected(answer)
      if (type === Q) this.#simple.refused(answer.error)
      else this.#extended.parseRefused(beginning.toString('latin1', 0, nameEnd), 0, answer.error)
      this.#inbound.stream(total, false)
    })
    return true
  }

  inject(what: Transaction): void {
    this.#simple.inject(what)
  }

  begun(): void {
    this.#simple.begun()
  }

  notBegun(): void {
    this.#simple.notBegun()
  }

  refuseQuery(error: ErrorFields): void {
    this.#simple.refused(error)
  }

  refuseExecute(error: ErrorFields): void {
    if (!this.#sending.closed) this.#extended.executeRefused(undefined, error, 0)
  }
}
