// What the server's messages are matched with: the command whose answer is under way, and where gate has to ask first.
import { GateError } from '@gate/shared/errors'
import type { Outcome } from '../machine.ts'
import { rowsOf } from './bodies.ts'
import { IDLE, IN_TRANSACTION } from './codec.ts'
import type { Inbound } from './inbound.ts'
import type { Entry, ExecuteEntry, FunctionEntry, QueryEntry, StatementPlan } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import type { Shared } from './sending.ts'
import type { Withholding } from './withholding.ts'

/** The error for what a server does not send that speaks the protocol. */
export function wrong(what: string): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the server sent ${what}`)
}

/** A command whose answer is under way. */
export type Running = QueryEntry | ExecuteEntry | FunctionEntry

export interface TargetEffects {
  send(unit: Buffer): void
  ask(question: Question): number
  observe(outcome: Outcome): void
  /** A transaction is over in which a command changed the catalog, or what names mean. */
  over(): void
  /** The client's question is moot: the server will skip what it is about. */
  forgetClientQuestion(): void
}

/** The server's stream, with what its messages answer. */
export class Receiving {
  readonly inbound: Inbound
  readonly shared: Shared
  readonly effects: TargetEffects
  readonly withheld: Withholding
  #asking: ((answer: Answer) => void) | undefined
  /** What is asked is whether rows may be committed. */
  #askingRows = false

  constructor(inbound: Inbound, shared: Shared, effects: TargetEffects, withheld: Withholding) {
    this.inbound = inbound
    this.shared = shared
    this.effects = effects
    this.withheld = withheld
  }

  /** A question is not answered yet: nothing of the server's goes on before it is. */
  get blocked(): boolean {
    return this.#asking !== undefined
  }

  get askingRows(): boolean {
    return this.#askingRows
  }

  ask(question: Question, resume: (answer: Answer) => void): void {
    this.#asking = resume
    this.#askingRows = question.kind === 'rows'
    this.effects.ask(question)
  }

  settle(answer: Answer): void {
    const resume = this.#asking
    this.forget()
    resume?.(answer)
  }

  /** The question is moot. */
  forget(): void {
    this.#asking = undefined
    this.#askingRows = false
  }

  /** The command that `what` is part of the answer to; throws a GateError when there is none. */
  running(head: Entry | undefined, what: string): Running {
    if (head?.kind !== 'query' && head?.kind !== 'execute' && head?.kind !== 'function')
      throw wrong(`${what} for nothing`)
    if (head.refusal !== undefined) throw wrong(`${what} for a command that was refused`)
    return head
  }

  /** Whether a transaction block is open at the server, whatever it has read of what is on its way: nothing there ends one. */
  get holdsLocks(): boolean {
    return this.shared.status === IN_TRANSACTION && !this.shared.pending.some(endsTransaction)
  }

  plan(head: Entry | undefined): StatementPlan | undefined {
    if (head?.kind === 'query') return head.plans[head.index]
    return head?.kind === 'execute' || head?.kind === 'function' ? head.plan : undefined
  }

  /** The head of what is pending is answered. */
  shift(how: 'done' | 'failed' | 'skipped'): void {
    const entry = this.shared.pending.shift()
    if (entry !== undefined) {
      this.shared.names.settled(entry, how)
      this.shared.reading.settled(entry)
    }
    // The end of COPY data means nothing to the server when no COPY waits for it.
    while (this.shared.pending.head?.kind === 'copy-end') this.shared.pending.shift()
  }

  report(running: Running, plan: StatementPlan | undefined, tag: string, status: string): void {
    for (const command of plan?.commands ?? []) {
      const { bytes, firstByteAtMs } = running
      const inTransaction = this.shared.status !== IDLE
      this.effects.observe({ command, rows: rowsOf(tag), bytes, firstByteAtMs, status, inTransaction })
    }
  }
}

function endsTransaction(entry: Entry): boolean {
  if (entry.kind === 'query') return entry.plans.some(plan => plan.endsTransaction)
  return entry.kind === 'injected' || (entry.kind === 'execute' && entry.plan?.endsTransaction === true)
}
