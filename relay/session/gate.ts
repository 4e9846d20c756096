// The one enforcement point: policy decides, people are asked, the record is written; only then may anything go on.
import type { Deny, FieldMaskObligation, Hold, MaskObligation, Obligation, Settled, Subject } from '@gate/shared/model'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type {
  Asked,
  Command,
  Gate,
  HoldNotice,
  Preparation,
  RowCount,
  RowVerdict,
  Terminal,
  TerminalSize,
  Verdict,
} from '../protocols/protocol.ts'
import { CommandRecord } from './command-record.ts'
import { Decisions } from './decisions.ts'
import { waitsForDisk } from './durability.ts'
import { distinct, free, Holds, type Passage } from './holds.ts'
import {
  allowOf,
  denyOf,
  type GateContext,
  held,
  heldRecorded,
  type Judged,
  judge,
  obligationsOf,
  unaskedOf,
} from './judge.ts'
import { RowDecisions } from './row-decisions.ts'

/** Where a rule asks for the time, what is under way is decided anew after so long. */
const STANDING_MS = 10_000

interface Basis {
  readonly policy: Policy
  readonly subject: Subject
  /** What the two say of all commands: it is asked for several times with each. */
  readonly masks: readonly Obligation[]
  readonly bodyNeed: 'rules' | 'people' | undefined
  readonly asksForTables: boolean
}

/** All that decisions depend on beside commands. */
interface Standing {
  readonly basis: Basis
  readonly time: number
}

export class SessionGate implements Gate {
  readonly #context: GateContext
  readonly #commands: CommandRecord
  readonly #holds: Holds
  readonly #rows: RowDecisions
  readonly #decisions: Decisions
  /** Holds that people let pass. */
  readonly #passed = new WeakMap<Verdict, readonly Hold[]>()
  #basis: Basis | undefined
  #standing: Standing | undefined
  #refused = 0

  constructor(context: GateContext) {
    this.#context = context
    this.#commands = new CommandRecord(context)
    this.#holds = new Holds(context, () => this.#commands.history)
    this.#rows = new RowDecisions(context, this.#holds)
    this.#decisions = new Decisions(context)
  }

  get counts(): { commands: number; refused: number; held: number } {
    return {
      commands: this.#commands.commands,
      refused: this.#refused + this.#rows.refused,
      held: this.#holds.held,
    }
  }

  get masked(): boolean {
    return this.masks.length > 0
  }

  get masks(): readonly Obligation[] {
    return this.basis.masks
  }

  get asksForTables(): boolean {
    return this.basis.asksForTables
  }

  get recordMasks(): readonly MaskObligation[] {
    return this.#context.policy().recordMasks(this.#context.target)
  }

  get recordFields(): readonly FieldMaskObligation[] {
    return this.#context.policy().recordFields(this.#context.target)
  }

  get routes(): readonly string[] {
    return this.#context.policy().routes(this.#context.target)
  }

  get headers(): readonly string[] {
    return this.#context.policy().headers(this.#context.target)
  }

  get keepsEncodedSlashes(): boolean {
    return this.#context.policy().keepsEncodedSlashes(this.#context.target)
  }

  get keepsPathParameters(): boolean {
    return this.#context.policy().keepsPathParameters(this.#context.target)
  }

  get bodyNeed(): 'rules' | 'people' | undefined {
    return this.basis.bodyNeed
  }

  decide(
    commands: readonly Command[],
    asked: () => Asked,
    waiting: (notice: HoldNotice) => void,
    signal: () => AbortSignal,
  ): Verdict | Promise<Verdict> {
    const policy = this.#context.policy()
    const judged = commands.map(command => ({ command, decision: this.#decisions.judge(command, policy) }))
    const deny = denyOf(judged)
    if (deny !== undefined) return this.#record(judged, deny, free, asked, policy)
    if (!judged.some(({ decision }) => decision.effect === 'hold'))
      return this.#record(judged, allowOf(judged), free, asked, policy)
    const holds = judged.flatMap(({ command, decision }) =>
      decision.effect === 'hold' && command.people === 'now' ? [decision] : [],
    )
    if (holds.length === 0) return this.#record(judged, allowOf(judged), free, asked, policy)
    return this.#ask(judged, holds, policy, asked(), waiting, signal())
  }

  prepare(commands: readonly Command[]): Preparation {
    const policy = this.#context.policy()
    const judged = commands.map(command => ({ command, decision: this.#decisions.judge(command, policy) }))
    const deny = judged.find(({ decision }) => decision.effect === 'deny')?.decision
    const refused = deny?.effect === 'deny' ? deny : undefined
    const [first] = judged
    if (first !== undefined) this.#commands.write(first, refused, free, policy, refused === undefined)
    const held = judged.some(({ decision }) => decision.effect === 'hold')
    return {
      refused,
      held,
      obligations: first === undefined || refused !== undefined ? [] : obligationsOf(first.decision),
    }
  }

  /** Asks people, one rule after the other; the first no ends it. */
  async #ask(
    judged: readonly Judged[],
    holds: readonly Hold[],
    policy: Policy,
    asked: Asked,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Verdict> {
    const commands = judged.map(({ command }) => command)
    const questions = distinct(holds).map(hold => {
      const command = held(judged, hold)
      const recorded = heldRecorded(command, commands, this.#context.record.key)
      return { operation: { ...command.operation, text: asked.command }, recorded, hold, asked }
    })
    const passage = await this.#holds.pass(questions, policy, waiting, signal)
    if (passage.deny !== undefined) return this.#record(judged, passage.deny, passage, () => asked, policy)
    // Time has passed: who asked may have lost the right meanwhile, or others have to be asked now.
    const current = this.#context.policy()
    const again = commands.map(each => {
      const command = each.again?.() ?? each
      return { command, decision: judge(this.#context, command, current) }
    })
    const deny = denyOf(again) ?? unaskedOf(again, holds)
    // Each turn takes an approval that was used up for this one, so there are no more turns than approvals.
    if (deny === undefined && !(await this.#holds.use(passage)))
      return this.#ask(judged, holds, policy, asked, waiting, signal)
    if (deny !== undefined) await this.#holds.drop(passage)
    const verdict = this.#record(again, deny ?? allowOf(again), passage, () => asked, current)
    if (deny === undefined) this.#passed.set(verdict, holds)
    return verdict
  }

  get basis(): Basis {
    const policy = this.#context.policy()
    const subject = this.#context.subject()
    if (this.#basis?.policy === policy && this.#basis.subject === subject) return this.#basis
    const { target } = this.#context
    this.#basis = {
      policy,
      subject,
      masks: policy.masks(subject, target),
      bodyNeed: policy.bodyNeed(subject, target),
      asksForTables: policy.asksForTables(target),
    }
    return this.#basis
  }

  get standing(): unknown {
    const { basis } = this
    const time = basis.policy.dependsOnTime ? Math.floor(this.#context.clock.monotonic() / STANDING_MS) : 0
    if (this.#standing?.basis !== basis || this.#standing.time !== time) this.#standing = { basis, time }
    return this.#standing
  }

  judgeAgain(command: Command, verdict: Verdict): readonly Obligation[] | Deny {
    const policy = this.#context.policy()
    const judged = { command, decision: this.#decisions.judge(command, policy) }
    const deny = denyOf([judged]) ?? unaskedOf([judged], this.#passed.get(verdict) ?? [])
    if (deny === undefined) return obligationsOf(judged.decision)
    this.#commands.write(judged, deny, free, policy, false)
    this.#refuse(deny)
    return deny
  }

  #refuse({ rule }: Settled): void {
    this.#refused += 1
    this.#context.log.info('command.refused', { session: this.#context.session, rule })
  }

  /** Writes every command down. What waits for the disk does not keep the next command from being decided. */
  #record(judged: readonly Judged[], settled: Settled, passage: Passage, asked: () => Asked, policy: Policy): Verdict {
    const allowed = settled.effect === 'allow'
    const commands = judged.map(each => this.#commands.write(each, settled, passage, policy, false))
    const verdict: Verdict = {
      settled,
      commands,
      obligations: judged.map(({ decision }) => obligationsOf(decision)),
      request: passage.pending ?? passage.requests.at(-1),
      isPending: passage.pending !== undefined,
      approvals: passage.approvals,
      recorded: undefined,
    }
    if (!allowed) {
      this.#refuse(settled)
      return verdict
    }
    this.#commands.begin(commands)
    if (judged.some(({ decision }) => decision.effect !== 'deny' && decision.obligations.length > 0))
      this.#rows.remember(judged, commands, asked)
    const operations = judged.map(({ command }) => command.operation)
    const recorded = this.#context.recorder.ready(waitsForDisk(this.#context.record.durability, operations))
    return recorded === undefined ? verdict : { ...verdict, recorded }
  }

  decideRows(
    counts: readonly RowCount[],
    fault: string | undefined,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): RowVerdict | Promise<RowVerdict> {
    return this.#rows.decide(counts, fault, waiting, signal)
  }

  now(): number {
    return this.#context.clock.monotonic()
  }

  observe(outcome: Outcome): void {
    this.#rows.forget(outcome.command)
    this.#commands.observe(outcome)
  }

  terminal(command: number, size: TerminalSize): Terminal {
    return this.#commands.terminal(command, size)
  }

  /** Nothing more is shown. @throws {GateError} ERR_GATE_RECORD when what was shown last cannot be written. */
  end(): void {
    this.#commands.end()
  }
}
