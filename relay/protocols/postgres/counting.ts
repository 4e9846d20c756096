// Commands under a row limit: withheld until the server has counted their rows and gate has decided, and only then committed. Pure.
//
// An Execute is followed by a Flush, and the client's Sync waits behind it: until then nothing of its segment is committed.
// A simple query outside a transaction runs between a BEGIN and a COMMIT of gate's own. Inside a transaction nothing has to
// be added. A refusal makes the server fail as every refusal does, so rollback, skipping and status stay its own.
import { GateError } from '@gate/shared/errors'
import type { Outcome } from '../machine.ts'
import type { RowCount } from '../protocol.ts'
import { rowsOf } from './bodies.ts'
import { C, E, type ErrorFields, errorMessage, FAILED, IDLE, IN_TRANSACTION, s } from './codec.ts'
import type { Entry, ExecuteEntry, InjectedEntry, QueryEntry, StatementPlan, Transaction } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import { isFatal } from './refuse.ts'
import { MAX_WITHHELD_BYTES, type Withholding } from './withholding.ts'

/** A command under a row limit that was sent and whose transaction is open. There is at most one: what follows it waits. */
export interface Counted {
  readonly entry: QueryEntry | ExecuteEntry
  /** Gate opens a transaction for it, and ends it. */
  readonly wrapped: boolean
  /** Of its statements, the first and the last whose rows are counted. */
  readonly first: number
  readonly last: number
  readonly rows: RowCount[]
  /** Told when it is known what became of them. */
  readonly outcomes: Outcome[]
  state: 'running' | 'allowed' | 'refused' | 'failed'
  /** The error that takes the place of its answers. */
  refusal: ErrorFields | undefined
  /** Why it cannot be allowed, whatever was counted. */
  fault: string | undefined
}

export function countedOf(entry: QueryEntry | ExecuteEntry, wrapped: boolean): Counted {
  const counts = entry.kind === 'query' ? entry.plans.map(plan => plan.counted !== undefined) : [true]
  return {
    entry,
    wrapped,
    first: counts.indexOf(true),
    last: counts.lastIndexOf(true),
    rows: [],
    outcomes: [],
    state: 'running',
    refusal: undefined,
    fault: undefined,
  }
}

const rolledBack = 'ROLLED BACK'

/** What the client half does for a counted command. */
export interface CountingClient {
  inject(what: Transaction): void
  /** The transaction for the client's message is open: now it can be sent. */
  begun(): void
  /** It could not be opened: the message is not sent. */
  notBegun(): void
  refuseQuery(error: ErrorFields): void
  refuseExecute(error: ErrorFields): void
}

export interface CountingTarget {
  ask(question: Question, resume: (answer: Answer) => void): void
  observe(outcome: Outcome): void
  /** The head of what is pending is answered. */
  shift(how: 'done' | 'failed'): void
  put(bytes: Buffer): void
}

const wrong = (what: string): GateError => new GateError('ERR_GATE_TARGET_PROTOCOL', `the server sent ${what}`)

export class Counting {
  readonly #withheld: Withholding
  readonly #client: CountingClient
  readonly #target: CountingTarget
  readonly #shared: { counted: Counted | undefined }

  constructor(
    withheld: Withholding,
    shared: { counted: Counted | undefined },
    client: CountingClient,
    target: CountingTarget,
  ) {
    this.#withheld = withheld
    this.#shared = shared
    this.#client = client
    this.#target = target
  }

  /** A message comes that answers `head`. */
  meet(counted: Counted, head: Entry | undefined): void {
    if (head !== counted.entry || counted.state !== 'running') return
    if (counted.entry.kind === 'execute' || counted.entry.index >= counted.first) this.#withheld.begin()
  }

  /** A statement is done; called before its completion passes. */
  completing(counted: Counted): void {
    const { entry, wrapped } = counted
    // The server itself says that the last statement is done only when its transaction is committed.
    if (wrapped && entry.kind === 'query' && entry.index === entry.plans.length - 1) this.#withheld.begin()
  }

  /** A statement is done, and its completion has passed, if only as far as here. */
  completed(counted: Counted, plan: StatementPlan | undefined, type: number, tag: string, bytes: number): void {
    const { firstByteAtMs } = counted.entry
    for (const command of plan?.commands ?? [])
      counted.outcomes.push({ command, rows: rowsOf(tag), bytes, firstByteAtMs, status: tag })
    if (plan?.counted === undefined) return
    const rows = rowsOf(tag)
    if (type === s) {
      counted.fault ??=
        'a row limit needs the number of all rows, and this Execute asks for a part of them: run it without a fetch size'
    } else if (rows === undefined) counted.fault ??= `the server's answer ${JSON.stringify(tag)} does not count rows`
    counted.rows.push({ command: plan.counted, rows: rows ?? 0 })
  }

  /** Asks the gate when the last statement that counts is done. */
  decide(counted: Counted): void {
    if (counted.state !== 'running') return
    if (counted.entry.kind === 'query' && counted.entry.index <= counted.last) return
    if (counted.refusal !== undefined) return this.#refuse(counted, counted.refusal)
    const fault = this.#withheld.overflowed
      ? `more than ${MAX_WITHHELD_BYTES} bytes of rows would have to be withheld until they are counted`
      : counted.fault
    this.#target.ask({ kind: 'rows', counts: counted.rows, fault }, answer => {
      if (answer.kind === 'refuse') this.#refuse(counted, answer.error)
      else if (answer.kind === 'go' && fault === undefined) this.#allow(counted)
      else throw new GateError('ERR_GATE_INTERNAL', `counted rows cannot be answered with ${answer.kind}`)
    })
  }

  #allow(counted: Counted): void {
    const { entry, wrapped } = counted
    counted.state = 'allowed'
    if (wrapped && entry.kind === 'query') {
      if (entry.index < entry.plans.length) this.#withheld.release()
      return
    }
    this.#withheld.release()
    this.#tell(counted)
    this.#shared.counted = undefined
    if (entry.kind === 'execute') this.#target.shift('done')
  }

  #refuse(counted: Counted, error: ErrorFields): void {
    counted.state = 'refused'
    counted.refusal = error
    // The server goes on with the statements that follow: nothing of their answers is shown.
    if (counted.entry.kind === 'query') return this.#withheld.discard()
    this.#withheld.drop()
    this.#tell(counted, rolledBack)
    this.#shared.counted = undefined
    this.#target.shift('done')
    this.#client.refuseExecute(error)
  }

  /** Tells what became of the statements: what the server said, or that it came to nothing. */
  #tell(counted: Counted, failure?: string): void {
    for (const outcome of counted.outcomes.splice(0))
      this.#target.observe(failure === undefined ? outcome : { ...outcome, rows: undefined, status: failure })
  }

  /** The server reports an error; false when it is none of the client's business. */
  fail(head: Entry | undefined, fields: ErrorFields): boolean {
    if (isFatal(fields)) {
      this.abandon()
      return true
    }
    const { counted } = this.#shared
    if (head?.kind === 'injected') {
      head.failed = true
      if (head.what === 'rollback' || counted === undefined) return false
      counted.state = 'failed'
      this.#withheld.drop()
      const status = fields.get('C') ?? ''
      if (head.what === 'begin') {
        this.#client.notBegun()
        this.#notRun(counted, status)
      }
      this.#tell(counted, status)
    } else if (counted !== undefined && head === counted.entry && counted.state !== 'refused') {
      counted.state = 'failed'
      this.#withheld.drop()
      this.#tell(counted, rolledBack)
      if (!counted.wrapped) this.#shared.counted = undefined
    }
    return true
  }

  #notRun({ entry }: Counted, status: string): void {
    for (const plan of entry.kind === 'query' ? entry.plans : [])
      for (const command of plan.commands) this.#target.observe({ command, rows: undefined, bytes: 0, status })
  }

  /** The answer to a BEGIN, COMMIT or ROLLBACK of gate's own. */
  injectedDone(head: InjectedEntry, type: number, tag: string): void {
    if (type !== C || head.failed) throw wrong(`a wrong answer to ${head.what}`)
    head.done = true
    const { counted } = this.#shared
    if (head.what !== 'commit' || counted === undefined) return
    if (tag !== 'COMMIT') throw wrong(`${tag} for a COMMIT`)
    this.#withheld.release()
    this.#tell(counted)
  }

  /** ReadyForQuery; false when it is none of the client's business. */
  ready(head: Entry, status: number): boolean {
    if (head.kind === 'injected') return this.#injectedReady(head, status)
    const { counted } = this.#shared
    if (counted === undefined || head !== counted.entry) return true
    if (counted.state === 'running') throw wrong('the end of a query before that of its statements')
    if (counted.wrapped) {
      if (status === IDLE) throw wrong('the end of a transaction that gate opened')
      this.#target.shift('done')
      this.#client.inject(counted.state === 'allowed' && status === IN_TRANSACTION ? 'commit' : 'rollback')
      return false
    }
    if (counted.refusal === undefined || (status !== FAILED && status !== IN_TRANSACTION))
      throw wrong('the end of a transaction that the client opened')
    this.#shared.counted = undefined
    this.#withheld.drop()
    this.#tell(counted, rolledBack)
    if (status === FAILED) {
      this.#target.put(errorMessage(E, counted.refusal))
      return true
    }
    this.#target.shift('done')
    this.#client.refuseQuery(counted.refusal)
    return false
  }

  #injectedReady(head: InjectedEntry, status: number): boolean {
    const { counted } = this.#shared
    if (!head.done && !head.failed) throw wrong(`nothing in answer to ${head.what}`)
    if (status === IDLE && (head.what !== 'begin' || head.failed)) {
      this.#shared.counted = undefined
      this.#withheld.drop()
      if (counted?.state === 'refused' && counted.refusal !== undefined) {
        this.#tell(counted, rolledBack)
        this.#target.put(errorMessage(E, counted.refusal))
      }
      return true
    }
    this.#target.shift('done')
    if (head.what === 'begin' && !head.failed) {
      if (status !== IN_TRANSACTION) throw wrong('no transaction after BEGIN')
      this.#client.begun()
    } else {
      // A cancel request can hit a COMMIT or ROLLBACK; the transaction is still there then.
      this.#client.inject('rollback')
    }
    return false
  }

  /** The client is gone: nothing that waits is committed. */
  clientGone(error: ErrorFields): void {
    const { counted } = this.#shared
    if (counted === undefined) return
    counted.refusal = error
    this.#withheld.discard()
  }

  /** An error before it in its segment: the server skips it. */
  skipped(): void {
    this.#shared.counted = undefined
  }

  /** The connection to the server ends: it rolls back by itself. */
  abandon(): void {
    const { counted } = this.#shared
    this.#withheld.drop()
    if (counted === undefined) return
    this.#tell(counted, rolledBack)
    this.#shared.counted = undefined
  }
}
