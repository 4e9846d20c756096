// Simple queries and function calls: each is a segment of its own, and one under a row limit is wrapped in a transaction. Pure.
import { serialize } from 'pg-protocol'
import { readFunctionCall } from './bodies.ts'
import { broken, type ErrorFields, F, HEADER_BYTES, IDLE, message, Q } from './codec.ts'
import { countedOf } from './counting.ts'
import type { FunctionEntry, QueryEntry, StatementPlan, Transaction } from './pending.ts'
import { countedInSegment } from './refuse.ts'
import { INSPECTED_BIND_BYTES, type Sending, unexpected } from './sending.ts'
import { type Failing, NO_SQL } from './unreadable.ts'

const NUL = Buffer.alloc(1)
const failingQuery = serialize.query(NO_SQL)
const transactions: Readonly<Record<Transaction, Buffer>> = {
  begin: serialize.query('BEGIN'),
  commit: serialize.query('COMMIT'),
  rollback: serialize.query('ROLLBACK'),
}
/** OID 0 is no function; no formats, no arguments, text result. */
const failingCall = message(F, Buffer.alloc(4 + 2 + 2 + 2))

export class SimpleQueries {
  readonly #sending: Sending
  /** The query at hand, which is sent once gate's BEGIN is answered. */
  #begun: { readonly entry: QueryEntry; readonly total: number } | undefined

  constructor(sending: Sending) {
    this.#sending = sending
  }

  /** Throws a MalformedMessage when its text does not end where the message ends. */
  query(body: Buffer, total: number): void {
    const text = body.subarray(0, -1)
    if (body.length === 0 || body.indexOf(0) !== body.length - 1)
      throw broken('a Query whose text does not end where it ends')
    this.#sending.question(
      {
        kind: 'query',
        text,
        reading: this.#sending.reading,
        literals: this.#sending.literals,
        names: this.#sending.lookup,
        searchPath: this.#sending.shared.searchPath,
      },
      answer => {
        if (answer.kind === 'refuse') this.#queryRefused(total, answer.error, answer.failing)
        else if (answer.kind === 'go') this.#queryAllowed(answer.plans, total)
        else throw unexpected(answer)
      },
    )
  }

  #queryAllowed(plans: readonly StatementPlan[], total: number): void {
    const entry = this.#queryEntry(undefined, plans)
    if (plans.some(plan => plan.counted !== undefined)) return this.#queryCounted(entry, total)
    this.#sendQuery(entry, total)
  }

  #sendQuery(entry: QueryEntry, total: number): void {
    this.#sending.pass(entry, total)
    this.#sending.shared.segment += 1
  }

  /** Whether a transaction is open has to be known before a counted query is sent. */
  #queryCounted(entry: QueryEntry, total: number): void {
    if (this.#sending.segmentOpen) {
      this.#sending.replace(this.#queryEntry(countedInSegment, entry.plans), total, failingQuery)
      this.#sending.shared.segment += 1
    } else if (this.#sending.shared.pending.size === 0) this.#sendCounted(entry, total)
    else this.#sending.whenDrained(() => this.#sendCounted(entry, total))
  }

  #sendCounted(entry: QueryEntry, total: number): void {
    const counted = countedOf(entry, this.#sending.shared.status === IDLE)
    this.#sending.shared.counted = counted
    if (!counted.wrapped) return this.#sendQuery(entry, total)
    // The query waits for the answer: if BEGIN failed, by a cancel request for example, it would be committed at once.
    this.#begun = { entry, total }
    this.inject('begin')
  }

  /** gate's BEGIN is answered. */
  begun(): void {
    const query = this.#begun
    this.#begun = undefined
    if (query !== undefined && !this.#sending.closed) this.#sendQuery(query.entry, query.total)
  }

  /** It failed: the query is not sent. */
  notBegun(): void {
    if (this.#begun !== undefined) this.#sending.inbound.drop(this.#begun.total)
    this.#begun = undefined
  }

  /** Sends a command of gate's own. */
  inject(what: Transaction): void {
    if (this.#sending.closed) return
    this.#sending.push({ kind: 'injected', what, done: false, failed: false, segment: this.#sending.shared.segment })
    this.#sending.segmentOpen = false
    this.#sending.inbound.put(transactions[what])
  }

  /** Puts a query that fails with this error where one of so many bytes is, or was dropped. */
  refused(error: ErrorFields, total = 0): void {
    if (!this.#sending.closed) this.#queryRefused(total, error)
  }

  #queryRefused(total: number, error: ErrorFields, failing?: Failing): void {
    const sent = failing === undefined ? failingQuery : message(Q, Buffer.concat([failing.text, NUL]))
    this.#sending.replace({ ...this.#queryEntry(error, []), failing }, total, sent)
    this.#sending.shared.segment += 1
  }

  #queryEntry(refusal: ErrorFields | undefined, plans: readonly StatementPlan[]): QueryEntry {
    const { segment } = this.#sending.shared
    return {
      kind: 'query',
      refusal,
      plans,
      index: 0,
      rowMask: 'unknown',
      description: undefined,
      bytes: 0,
      firstByteAtMs: undefined,
      copyIn: false,
      copyOut: undefined,
      failed: false,
      segment,
    }
  }

  /**
   * False when more of the message has to come first. lo_write carries whatever its caller has at hand: of a long call only the
   * function's OID is read.
   */
  functionCall(total: number): boolean {
    const whole = total <= INSPECTED_BIND_BYTES
    if (this.#sending.inbound.available < (whole ? total : HEADER_BYTES + 4)) return false
    const call = whole
      ? readFunctionCall(this.#sending.inbound.body(total))
      : { function: this.#sending.inbound.partialBody.readUInt32BE(0), parameters: [] }
    const { searchPath } = this.#sending.shared
    const question = { kind: 'call', ...call, uninspectedBytes: whole ? 0 : total, searchPath } as const
    this.#sending.question(question, answer => {
      if (answer.kind === 'refuse') return this.callRefused(answer.error, total)
      if (answer.kind !== 'go') throw unexpected(answer)
      this.#sending.push(this.#callEntry(undefined, answer.plans[0]))
      this.#sending.inbound.stream(total, true)
      this.#sending.shared.segment += 1
    })
    return true
  }

  /** The server gets a call that fails in its place. */
  callRefused(error: ErrorFields, total: number): void {
    this.#sending.replace(this.#callEntry(error, undefined), 0, failingCall)
    this.#sending.inbound.stream(total, false)
    this.#sending.shared.segment += 1
  }

  #callEntry(refusal: ErrorFields | undefined, plan: StatementPlan | undefined): FunctionEntry {
    const { segment } = this.#sending.shared
    return { kind: 'function', plan, refusal, bytes: 0, firstByteAtMs: undefined, failed: false, segment }
  }
}
