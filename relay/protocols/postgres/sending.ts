// How a message of the client goes on to the server: as it came, as one that fails in its place, or when its answer is there.
import { GateError } from '@gate/shared/errors'
import { serialize } from 'pg-protocol'
import type { Declaration } from '../machine.ts'
import { broken } from './codec.ts'
import type { Counted } from './counting.ts'
import type { Inbound } from './inbound.ts'
import type { LongQueryShare } from './long-queries.ts'
import type { Names } from './names.ts'
import type { Entry, ExecuteEntry, FunctionEntry, InjectedEntry, Pending, QueryEntry } from './pending.ts'
import type { Answer, NameLookup, Question } from './questions.ts'
import type { Reading, ReadingNow } from './reading.ts'

/** Parameters up to this size are kept, shown to approvers and recorded; larger Binds and calls go through as they come. */
export const INSPECTED_BIND_BYTES = 256 * 1024
/** Unanswered messages of one client; PostgreSQL would go on reading until its socket is full. */
const MAX_PENDING = 65_536
export const flushMessage = serialize.flush()
/** What the server says before its first ReadyForQuery belongs to no command. */
export const LOGIN_SEGMENT = -1

const BEYOND_ASCII = /[\u0080-\u00ff]/

/** What both halves of a session know. */
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
  readonly reading: Reading
  /** A command that changes what names mean was sent, and its transaction is not over. */
  changesNames: boolean
  /** The same of one that changes the catalog. */
  changesCatalog: boolean
  /** Statements longer than this are refused unread, but for simple queries that `longQueries` has room for. */
  readonly maximumStatementBytes: number
  readonly longQueries: LongQueryShare
}

function someOf(entry: Entry, what: 'changesNames' | 'changesCatalog'): boolean {
  if (entry.kind === 'execute') return entry.plan?.[what] === true
  return entry.kind === 'query' && entry.plans.some(plan => plan[what] === true)
}

interface Asking {
  readonly id: number
  resume(answer: Answer): void
}

/** The way to the server, with what the client has to wait for. */
export class Sending {
  readonly inbound: Inbound
  readonly shared: Shared
  readonly #ask: (question: Question) => number
  readonly #declare: ((declaration: Declaration) => void) | undefined
  #asking: Asking | undefined
  /** Waits until nothing is in flight, because a name's meaning depends on it. */
  #draining = false
  /** What is done then, instead of looking at the message again. */
  #drained: (() => void) | undefined
  /** Something was sent that no Sync follows yet: whether a transaction is open is not known. */
  segmentOpen = false
  closed = false
  /** The server skips what comes before the next Sync, or will. */
  skipping = false
  readonly lookup: NameLookup

  /** With `declare`, every command is declared before it is sent. */
  constructor(
    inbound: Inbound,
    shared: Shared,
    ask: (question: Question) => number,
    declare: ((declaration: Declaration) => void) | undefined,
  ) {
    this.inbound = inbound
    this.shared = shared
    this.#ask = ask
    this.#declare = declare
    this.lookup = (kind, name) => this.shared.names.inSql(kind, name)
  }

  get blocked(): boolean {
    return this.#asking !== undefined || this.#draining || this.#counting || this.shared.pending.size >= MAX_PENDING
  }

  /** A counted command is under way and wants nothing from the client: only COPY does. */
  get #counting(): boolean {
    const { counted } = this.shared
    return counted !== undefined && !counted.entry.copyIn
  }

  /** A command of the client is at hand that is not on its way to the server yet. */
  get commandAtHand(): boolean {
    return this.#asking !== undefined || this.#draining
  }

  /** Whether commands are declared to the agent. */
  get declares(): boolean {
    return this.#declare !== undefined
  }

  get asking(): number | undefined {
    return this.#asking?.id
  }

  /** How the server will read the text at hand; undefined when nobody has changed anything about it. */
  get reading(): ReadingNow | undefined {
    return this.shared.reading.now(this.shared.pending.size, this.segmentOpen)
  }

  /** Whether it is known how literals with a backslash are read. */
  get literals(): ReadingNow['certain'] {
    return this.shared.reading.literals(this.shared.pending.head, this.shared.segment)
  }

  /** Names are compared as bytes here and as characters in the server. Throws a MalformedMessage. */
  checkName(name: string): void {
    if ((this.shared.names.asciiOnly || this.reading !== undefined) && BEYOND_ASCII.test(name))
      throw broken('a name of a statement or portal beyond ASCII where the encoding is not, or may not be, UTF8')
  }

  settle(answer: Answer): void {
    const asking = this.#asking
    this.#asking = undefined
    asking?.resume(answer)
  }

  /** Nothing is waited for any more. */
  forget(): void {
    this.#asking = undefined
    this.#draining = false
    this.#drained = undefined
  }

  /** Something was answered: what waited until nothing is in flight may go on. */
  advance(): void {
    if (!this.#draining || this.shared.pending.size > 0) return
    this.#draining = false
    const drained = this.#drained
    this.#drained = undefined
    drained?.()
  }

  /** Done when everything in flight is answered, which a Sync that was sent already brings about. */
  whenDrained(next: () => void): void {
    this.#draining = true
    this.#drained = next
  }

  /** Takes down what is sent next, declared first where the agent checks approvals itself. */
  push(entry: Entry): void {
    if (entry.kind !== 'copy-end')
      this.segmentOpen = entry.kind !== 'sync' && entry.kind !== 'query' && entry.kind !== 'function'
    if (this.#declare !== undefined && (isQuery(entry) || entry.kind === 'execute')) this.#declare(declarationOf(entry))
    this.shared.pending.push(entry)
    this.shared.names.sent(entry)
    this.shared.reading.sent(entry)
    if (someOf(entry, 'changesNames')) this.shared.changesNames = true
    if (someOf(entry, 'changesCatalog')) this.shared.changesCatalog = true
  }

  /** The message at hand goes on as it came. */
  pass(entry: Entry, total: number): void {
    this.push(entry)
    this.inbound.pass(total)
  }

  /** Another message takes the place of a refused one: it can only fail, in the same way and at the same place. */
  replace(entry: Entry, total: number, failing: Buffer): void {
    this.push(entry)
    this.inbound.drop(total)
    this.inbound.put(failing)
  }

  /** Asks about the message at hand; until it is answered nothing else of the client is read. */
  question(question: Question, resume: (answer: Answer) => void): void {
    const id = this.#ask(question)
    this.#asking = {
      id,
      resume: answer => {
        if (answer.kind === 'again') this.drain()
        else resume(answer)
      },
    }
  }

  /** Comes back to the message at hand when everything in flight is answered. Flush makes the server answer without a Sync. */
  drain(): void {
    if (this.shared.pending.size === 0)
      throw new GateError('ERR_GATE_INTERNAL', 'a name stays unknown although nothing is in flight')
    this.#draining = true
    this.inbound.put(flushMessage)
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

/** The error for an answer that does not belong to the question. */
export function unexpected(answer: Answer): GateError {
  return new GateError('ERR_GATE_INTERNAL', `a client message cannot be answered with ${answer.kind}`)
}
