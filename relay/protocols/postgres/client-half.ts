// Messages from the client: each passes, is refused in its place, or waits for an answer. Pure.
import { GateError } from '@gate/shared/errors'
import { serialize } from 'pg-protocol'
import type { Declaration } from '../machine.ts'
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
  message,
  P,
  Q,
  readBind,
  readBindNames,
  readExecute,
  readFunctionCall,
  readNamed,
  readParse,
  S,
  X,
} from './codec.ts'
import { type Counted, type CountingClient, countedOf, IDLE } from './counting.ts'
import type { Inbound } from './inbound.ts'
import type { Names } from './names.ts'
import type {
  Entry,
  ExecuteEntry,
  FunctionEntry,
  InjectedEntry,
  Pending,
  Portal,
  QueryEntry,
  StatementPlan,
  Transaction,
} from './pending.ts'
import type { Answer, NameLookup, Question } from './questions.ts'
import { countedInSegment } from './refuse.ts'
import { type Failing, NO_SQL } from './unreadable.ts'

/** Parameters up to this size are kept, shown to approvers and recorded; larger Binds and calls go through as they come. */
const INSPECTED_BIND_BYTES = 256 * 1024
/** Unanswered messages of one client; PostgreSQL would go on reading until its socket is full. */
const MAX_PENDING = 65_536
const NUL = Buffer.alloc(1)
const NO_PARAMETER_TYPES = Buffer.alloc(2)
const failingQuery = serialize.query(NO_SQL)
const flushMessage = serialize.flush()
const transactions: Readonly<Record<Transaction, Buffer>> = {
  begin: serialize.query('BEGIN'),
  commit: serialize.query('COMMIT'),
  rollback: serialize.query('ROLLBACK'),
}
/** OID 0 is no function; no formats, no arguments, text result. */
const failingCall = message(F, Buffer.alloc(4 + 2 + 2 + 2))

export interface Shared {
  readonly pending: Pending
  readonly names: Names
  /** Counts Syncs and simple queries: where the server starts anew after an error. */
  segment: number
  /** The transaction status that the server said last. */
  status: number
  /** As servers from version 18 on report it; undefined with older ones. */
  searchPath: string | undefined
  /** A command under a row limit that is not decided or whose transaction is not ended: the client waits behind it. */
  counted: Counted | undefined
  /** Statements longer than this are refused unread. */
  readonly maximumStatementBytes: number
}

/** What a client may send while the server reads COPY data; the server ends the session at anything else. */
const duringCopy: ReadonlySet<number> = new Set([d, c, f, H, S, X])

const nothingYet = { bytes: 0, copyIn: false, copyOut: undefined }

export function outOfCopy(what: string): GateError {
  return new GateError('ERR_GATE_PROTOCOL', `unexpected ${what} during COPY from stdin`)
}

interface Asking {
  readonly id: number
  resume(answer: Answer): void
}

export class ClientHalf implements CountingClient {
  readonly #inbound: Inbound
  readonly #shared: Shared
  readonly #ask: (question: Question) => number
  readonly #declare: ((declaration: Declaration) => void) | undefined
  readonly #failingExecute: Buffer
  #asking: Asking | undefined
  /** Waits until nothing is in flight, because a name's meaning depends on it. */
  #draining = false
  /** What is done then, instead of looking at the message again. */
  #drained: (() => void) | undefined
  /** The query at hand, which is sent once gate's BEGIN is answered. */
  #begun: { readonly entry: QueryEntry; readonly total: number } | undefined
  /** Something was sent that no Sync follows yet: whether a transaction is open is not known. */
  #segmentOpen = false
  #closed = false
  /** The server skips what comes before the next Sync, or will. */
  #skipping = false
  #terminated = false
  readonly #lookup: NameLookup

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
    this.#ask = ask
    this.#declare = declare
    this.#failingExecute = serialize.execute({ portal: unguessable, rows: 0 })
    this.#lookup = (kind, name) => this.#shared.names.inSql(kind, name)
  }

  get blocked(): boolean {
    return this.#asking !== undefined || this.#draining || this.#counting || this.#shared.pending.size >= MAX_PENDING
  }

  /** A counted command is under way and wants nothing from the client: only COPY does. */
  get #counting(): boolean {
    const { counted } = this.#shared
    return counted !== undefined && !counted.entry.copyIn
  }

  /** A command of the client is at hand that is not on its way to the server yet. */
  get commandAtHand(): boolean {
    return this.#asking !== undefined || this.#draining
  }

  get asking(): number | undefined {
    return this.#asking?.id
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
    this.#asking = undefined
    this.#draining = false
    this.#drained = undefined
    this.#closed = true
    this.#inbound.flush()
  }

  settle(answer: Answer): void {
    const asking = this.#asking
    this.#asking = undefined
    asking?.resume(answer)
    this.process()
  }

  /** The server reported an error in a segment that the client has not closed yet: it skips the rest of it. */
  serverSkips(): void {
    this.#skipping = true
    this.#asking = undefined
    this.#draining = false
    this.#drained = undefined
  }

  /** Something was answered. */
  advance(): void {
    if (this.#draining && this.#shared.pending.size === 0) {
      this.#draining = false
      const drained = this.#drained
      this.#drained = undefined
      drained?.()
    }
    this.process()
  }

  process(): void {
    if (this.#closed) return
    while (!this.blocked) {
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
    if (this.#skipping && type !== S && type !== X) {
      this.#inbound.stream(total, false)
      return true
    }
    switch (type) {
      case d:
        this.#inbound.stream(total, true)
        return true
      case B:
        return this.#bind(total)
      case F:
        return this.#functionCall(total)
      case Q:
      case P:
        if (total > this.#shared.maximumStatementBytes + HEADER_BYTES) return this.#tooLong(type, total)
        break
    }
    if (this.#inbound.available < total) return false
    this.#whole(type, total)
    return true
  }

  #whole(type: number, total: number): void {
    const body = this.#inbound.body(total)
    switch (type) {
      case Q:
        return this.#query(body, total)
      case P:
        return this.#parse(body, total)
      case E:
        return this.#execute(body, total)
      case D:
        return this.#describe(body, total)
      case C: {
        const { what, name } = readNamed(body)
        return this.#passWith({ kind: 'close', what, name, segment: this.#shared.segment }, total)
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
    else if (head !== undefined) this.#push({ kind: 'copy-end', segment: this.#shared.segment })
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

  #push(entry: Entry): void {
    if (entry.kind !== 'copy-end')
      this.#segmentOpen = entry.kind !== 'sync' && entry.kind !== 'query' && entry.kind !== 'function'
    if (this.#declare !== undefined && (isQuery(entry) || entry.kind === 'execute')) this.#declare(declarationOf(entry))
    this.#shared.pending.push(entry)
    this.#shared.names.sent(entry)
  }

  #passWith(entry: Entry, total: number): void {
    this.#push(entry)
    this.#inbound.pass(total)
  }

  /** Another message takes the place of a refused one: it can only fail, in the same way and at the same place. */
  #replace(entry: Entry, total: number, failing: Buffer): void {
    this.#push(entry)
    this.#inbound.drop(total)
    this.#inbound.put(failing)
  }

  #question(question: Question, resume: (answer: Answer) => void): void {
    const id = this.#ask(question)
    this.#asking = {
      id,
      resume: answer => {
        if (answer.kind === 'again') this.#drain()
        else resume(answer)
      },
    }
  }

  /** Comes back to the message at hand when everything in flight is answered. Flush makes the server answer without a Sync. */
  #drain(): void {
    if (this.#shared.pending.size === 0)
      throw new GateError('ERR_GATE_INTERNAL', 'a name stays unknown although nothing is in flight')
    this.#draining = true
    this.#inbound.put(flushMessage)
  }

  #sync(total: number): void {
    this.#skipping = false
    if (this.#copying) return this.#inbound.drop(total)
    this.#passWith({ kind: 'sync', segment: this.#shared.segment }, total)
    this.#shared.segment += 1
  }

  #query(body: Buffer, total: number): void {
    const text = body.subarray(0, -1)
    if (body.length === 0 || body.indexOf(0) !== body.length - 1)
      throw new GateError('ERR_GATE_PROTOCOL', 'invalid string in message')
    this.#question({ kind: 'query', text, names: this.#lookup, searchPath: this.#shared.searchPath }, answer => {
      if (answer.kind === 'refuse') this.#queryRefused(total, answer.error, answer.failing)
      else if (answer.kind === 'go') this.#queryAllowed(answer.plans, total)
      else throw unexpected(answer)
    })
  }

  #queryAllowed(plans: readonly StatementPlan[], total: number): void {
    const entry = this.#queryEntry(undefined, plans)
    if (plans.some(plan => plan.counted !== undefined)) return this.#queryCounted(entry, total)
    this.#sendQuery(entry, total)
  }

  #sendQuery(entry: QueryEntry, total: number): void {
    this.#passWith(entry, total)
    this.#shared.segment += 1
  }

  /** Whether a transaction is open has to be known before a counted query is sent. */
  #queryCounted(entry: QueryEntry, total: number): void {
    if (this.#segmentOpen) {
      this.#replace(this.#queryEntry(countedInSegment, entry.plans), total, failingQuery)
      this.#shared.segment += 1
    } else if (this.#shared.pending.size === 0) this.#sendCounted(entry, total)
    else {
      this.#draining = true
      this.#drained = () => this.#sendCounted(entry, total)
    }
  }

  #sendCounted(entry: QueryEntry, total: number): void {
    const counted = countedOf(entry, this.#shared.status === IDLE)
    this.#shared.counted = counted
    if (!counted.wrapped) return this.#sendQuery(entry, total)
    // The query waits for the answer: if BEGIN failed, by a cancel request for example, it would be committed at once.
    this.#begun = { entry, total }
    this.inject('begin')
  }

  begun(): void {
    const query = this.#begun
    this.#begun = undefined
    if (query !== undefined && !this.#closed) this.#sendQuery(query.entry, query.total)
  }

  notBegun(): void {
    if (this.#begun !== undefined) this.#inbound.drop(this.#begun.total)
    this.#begun = undefined
  }

  inject(what: Transaction): void {
    if (this.#closed) return
    this.#push({ kind: 'injected', what, done: false, failed: false, segment: this.#shared.segment })
    this.#segmentOpen = false
    this.#inbound.put(transactions[what])
  }

  refuseQuery(error: ErrorFields): void {
    if (!this.#closed) this.#queryRefused(0, error)
  }

  refuseExecute(error: ErrorFields): void {
    if (!this.#closed) this.#executeRefused(undefined, error, 0)
  }

  #queryRefused(total: number, error: ErrorFields, failing?: Failing): void {
    const sent = failing === undefined ? failingQuery : message(Q, Buffer.concat([failing.text, NUL]))
    this.#replace({ ...this.#queryEntry(error, []), failing }, total, sent)
    this.#shared.segment += 1
  }

  #queryEntry(refusal: ErrorFields | undefined, plans: readonly StatementPlan[]): QueryEntry {
    const { segment } = this.#shared
    return {
      kind: 'query',
      refusal,
      plans,
      index: 0,
      rowMask: 'unknown',
      description: undefined,
      bytes: 0,
      copyIn: false,
      copyOut: undefined,
      failed: false,
      segment,
    }
  }

  #parse(body: Buffer, total: number): void {
    const { name, text, parameterTypes } = readParse(body)
    if (this.#shared.names.full)
      throw new GateError('ERR_GATE_LIMIT', 'too many prepared statements or portals in one session')
    this.#question({ kind: 'parse', text, parameterTypes, names: this.#lookup }, answer => {
      if (answer.kind === 'refuse') this.#parseRefused(name, total, answer.error, answer.failing)
      else if (answer.kind === 'go') {
        const { prepared } = answer
        this.#passWith({ kind: 'parse', name, prepared, refusal: undefined, segment: this.#shared.segment }, total)
      } else throw unexpected(answer)
    })
  }

  #parseRefused(name: string, total: number, refusal: ErrorFields, failing?: Failing): void {
    const text = failing?.text ?? Buffer.from(NO_SQL)
    const sent = message(P, Buffer.concat([Buffer.from(`${name}\0`, 'latin1'), text, NUL, NO_PARAMETER_TYPES]))
    const { segment } = this.#shared
    this.#replace({ kind: 'parse', name, prepared: undefined, refusal, failing, segment }, total, sent)
    this.#skipping = true
  }

  /** A statement too long to be analysed is never seen whole: it is refused and its bytes are dropped as they come. */
  #tooLong(type: typeof Q | typeof P, total: number): boolean {
    const beginning = Buffer.from(this.#inbound.partialBody.subarray(0, 1024))
    const nameEnd = type === P ? beginning.indexOf(0) : 0
    if (nameEnd === -1) return false
    this.#question({ kind: 'too-long', bytes: total, beginning: beginning.subarray(nameEnd) }, answer => {
      if (answer.kind !== 'refuse') throw unexpected(answer)
      if (type === Q) this.#queryRefused(0, answer.error)
      else this.#parseRefused(beginning.toString('latin1', 0, nameEnd), 0, answer.error)
      this.#inbound.stream(total, false)
    })
    return true
  }

  #bind(total: number): boolean {
    const whole = total <= INSPECTED_BIND_BYTES
    if (whole && this.#inbound.available < total) return false
    const names = whole ? undefined : readBindNames(this.#inbound.partialBody)
    if (!whole && names === undefined) {
      if (this.#inbound.available > INSPECTED_BIND_BYTES)
        throw new GateError('ERR_GATE_LIMIT', 'names in Bind are too long')
      return false
    }
    const bind = names === undefined ? readBind(this.#inbound.body(total)) : { ...names, parameters: [] }
    const { segment } = this.#shared
    const prepared = this.#shared.names.statement(bind.statement, segment)
    if (prepared === 'unsure') {
      this.#drain()
      return true
    }
    const portal: Portal = {
      prepared: prepared === 'missing' ? undefined : prepared.found,
      holdable: false,
      rowMask: 'unknown',
      description: undefined,
      described: false,
      plan: undefined,
      suspended: false,
      parameters: bind.parameters,
      uninspectedBytes: whole ? 0 : total,
    }
    this.#push({ kind: 'bind', name: bind.portal, portal, segment })
    this.#inbound.stream(total, true)
    return true
  }

  #describe(body: Buffer, total: number): void {
    const { what, name } = readNamed(body)
    const { segment } = this.#shared
    const portal = what === 'portal' ? this.#shared.names.portal(name, segment) : 'missing'
    if (portal === 'unsure') return this.#drain()
    const found = portal === 'missing' ? undefined : portal.found
    if (found !== undefined) found.described = true
    this.#passWith({ kind: 'describe', portal: found, injected: false, segment }, total)
  }

  #execute(body: Buffer, total: number): void {
    const { portal: name } = readExecute(body)
    const lookup = this.#shared.names.portal(name, this.#shared.segment)
    if (lookup === 'unsure') return this.#drain()
    const portal = lookup === 'missing' ? undefined : lookup.found
    if (portal?.suspended === true && portal.plan !== undefined)
      return this.#executeAllowed(name, portal, portal.plan, total)
    const { prepared, parameters = [], uninspectedBytes = 0 } = portal ?? { prepared: undefined }
    this.#question(
      {
        kind: 'execute',
        prepared,
        portal: name,
        parameters,
        uninspectedBytes,
        names: this.#lookup,
        searchPath: this.#shared.searchPath,
      },
      answer => {
        if (answer.kind === 'refuse') {
          this.#executeRefused(portal, answer.error, total)
        } else if (answer.kind === 'go') {
          this.#executeAllowed(name, portal, answer.plans[0], total)
        } else throw unexpected(answer)
      },
    )
  }

  #executeRefused(portal: Portal | undefined, refusal: ErrorFields, total: number): void {
    const { segment } = this.#shared
    const entry: Entry = { kind: 'execute', portal, plan: undefined, refusal, ...nothingYet, segment }
    this.#replace(entry, total, this.#failingExecute)
    this.#skipping = true
  }

  #executeAllowed(name: string, portal: Portal | undefined, plan: StatementPlan | undefined, total: number): void {
    const { segment } = this.#shared
    if (portal !== undefined) {
      portal.plan = plan
      portal.suspended = false
    }
    if (plan?.masking !== undefined && portal?.described !== true) {
      // Without a description nobody knows which columns the rows hold.
      if (portal !== undefined) portal.described = true
      this.#push({ kind: 'describe', portal, injected: true, segment })
      this.#inbound.put(message(D, Buffer.from(`P${name}\0`, 'latin1')))
    }
    const entry: ExecuteEntry = { kind: 'execute', portal, plan, refusal: undefined, ...nothingYet, segment }
    this.#passWith(entry, total)
    if (plan?.counted === undefined) return
    this.#shared.counted = countedOf(entry, false)
    // The client's Sync would commit it: it waits until the rows are counted, and Flush makes the server say their number.
    this.#inbound.put(flushMessage)
  }

  /** lo_write carries whatever its caller has at hand: of a long call only the function's OID is read. */
  #functionCall(total: number): boolean {
    const whole = total <= INSPECTED_BIND_BYTES
    if (this.#inbound.available < (whole ? total : HEADER_BYTES + 4)) return false
    const call = whole
      ? readFunctionCall(this.#inbound.body(total))
      : { function: this.#inbound.partialBody.readUInt32BE(0), parameters: [] }
    const { searchPath } = this.#shared
    const question = { kind: 'call', ...call, uninspectedBytes: whole ? 0 : total, searchPath } as const
    this.#question(question, answer => {
      const { segment } = this.#shared
      const entry = { kind: 'function', bytes: 0, failed: false, segment } as const
      if (answer.kind === 'refuse') {
        this.#replace({ ...entry, plan: undefined, refusal: answer.error }, 0, failingCall)
        this.#inbound.stream(total, false)
      } else if (answer.kind === 'go') {
        this.#push({ ...entry, plan: answer.plans[0], refusal: undefined })
        this.#inbound.stream(total, true)
      } else throw unexpected(answer)
      this.#shared.segment += 1
    })
    return true
  }
}

type Commanding = QueryEntry | FunctionEntry | InjectedEntry | ExecuteEntry

function isQuery(entry: Entry): entry is Exclude<Commanding, ExecuteEntry> {
  return entry.kind === 'query' || entry.kind === 'function' || entry.kind === 'injected'
}

/** What is sent in place of a refused command does nothing, and needs nobody's approval. */
function declarationOf(entry: Commanding): Declaration {
  if (entry.kind === 'injected') return { actions: ['transaction'], approvals: [] }
  if (entry.refusal !== undefined) return { actions: [], approvals: [] }
  const plans = entry.kind === 'query' ? entry.plans : entry.plan === undefined ? [] : [entry.plan]
  const [first] = plans
  const actions = [...new Set(plans.flatMap(({ declaration }) => declaration.actions))]
  return { actions, approvals: first?.declaration.approvals ?? [] }
}

function unexpected(answer: Answer): GateError {
  return new GateError('ERR_GATE_INTERNAL', `a client message cannot be answered with ${answer.kind}`)
}
