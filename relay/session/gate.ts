// The one enforcement point: policy decides, people are asked, the record is written; only then may anything go on.
import { asGateError } from '@gate/shared/errors'
import type { Hold, Settled } from '@gate/shared/model'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Command, Gate, HoldNotice, Preparation, RowCount, RowVerdict, Verdict } from '../protocols/protocol.ts'
import { CommandRecord } from './command-record.ts'
import { distinct, Holds, refusedByPeople } from './holds.ts'
import { allowOf, combine, type GateContext, type Judged, judge, obligationsOf } from './judge.ts'
import { RowDecisions } from './row-decisions.ts'

export class SessionGate implements Gate {
  readonly #context: GateContext
  readonly #commands: CommandRecord
  readonly #holds: Holds
  readonly #rows: RowDecisions
  #refused = 0

  constructor(context: GateContext) {
    this.#context = context
    this.#commands = new CommandRecord(context)
    this.#holds = new Holds(context)
    this.#rows = new RowDecisions(context, this.#holds)
  }

  get counts(): { commands: number; refused: number; held: number } {
    return {
      commands: this.#commands.commands,
      refused: this.#refused + this.#rows.refused,
      held: this.#holds.held,
    }
  }

  get masked(): boolean {
    return this.#context.policy().masks(this.#context.subject(), this.#context.target).length > 0
  }

  decide(
    commands: readonly Command[],
    waiting: (notice: HoldNotice) => void,
    signal: () => AbortSignal,
  ): Verdict | Promise<Verdict> {
    const policy = this.#context.policy()
    const judged = commands.map(command => ({ command, decision: judge(this.#context, command, policy) }))
    const deny = judged.find(({ decision }) => decision.effect === 'deny')?.decision
    if (deny?.effect === 'deny') return this.#record(judged, deny, undefined, policy)
    const holds = judged.flatMap(({ command, decision }) =>
      decision.effect === 'hold' && command.people === 'now' ? [decision] : [],
    )
    const [hold] = holds
    if (hold === undefined) return this.#record(judged, allowOf(judged), undefined, policy)
    return this.#ask(judged, holds, policy, waiting, signal())
  }

  prepare(commands: readonly Command[]): Preparation {
    const policy = this.#context.policy()
    const judged = commands.map(command => ({ command, decision: judge(this.#context, command, policy) }))
    const deny = judged.find(({ decision }) => decision.effect === 'deny')?.decision
    const refused = deny?.effect === 'deny' ? deny : undefined
    const [first] = judged
    if (first !== undefined) this.#commands.write(first, refused, undefined, policy, refused === undefined)
    return { refused, obligations: first === undefined || refused !== undefined ? [] : obligationsOf(first.decision) }
  }

  /** Asks people, one rule after the other; the first no ends it. */
  async #ask(
    judged: readonly Judged[],
    holds: readonly Hold[],
    policy: Policy,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Verdict> {
    let request: string | undefined
    for (const hold of distinct(holds)) {
      const answer = await this.#holds.ask(combine(judged, hold), hold, policy, waiting, signal)
      request = answer.request
      if (answer.state !== 'approved') return this.#record(judged, refusedByPeople(hold, answer), request, policy)
    }
    if (signal.aborted) throw asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away')
    // Time has passed: who asked may have lost the right meanwhile.
    const again = judged.map(({ command }) => ({
      command,
      decision: judge(this.#context, command, this.#context.policy()),
    }))
    const deny = again.find(({ decision }) => decision.effect === 'deny')?.decision
    return this.#record(again, deny?.effect === 'deny' ? deny : allowOf(again), request, this.#context.policy())
  }

  /** Writes every command down. What waits for the disk does not keep the next command from being decided. */
  #record(judged: readonly Judged[], settled: Settled, request: string | undefined, policy: Policy): Verdict {
    const allowed = settled.effect === 'allow'
    const commands = judged.map(each => this.#commands.write(each, settled, request, policy, false))
    const verdict: Verdict = {
      settled,
      commands,
      obligations: judged.map(({ decision }) => obligationsOf(decision)),
      request,
      recorded: undefined,
    }
    if (!allowed) {
      this.#refused += 1
      this.#context.log.info('command.refused', { session: this.#context.session, rule: settled.rule })
      return verdict
    }
    this.#commands.begin(commands)
    if (judged.some(({ decision }) => decision.effect !== 'deny' && decision.obligations.length > 0))
      this.#rows.remember(judged, commands)
    if (!judged.some(({ command }) => command.operation.writes && !command.operation.routine)) return verdict
    return { ...verdict, recorded: this.#context.recorder.sync() }
  }

  decideRows(
    counts: readonly RowCount[],
    fault: string | undefined,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): RowVerdict | Promise<RowVerdict> {
    return this.#rows.decide(counts, fault, waiting, signal)
  }

  observe(outcome: Outcome): void {
    this.#rows.forget(outcome.command)
    this.#commands.observe(outcome)
  }
}
