// Decides commands under row limits again, by the rows they have written, before they are committed.
import { counted } from '@gate/shared/counted'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Deny, RowLimitObligation, Settled } from '@gate/shared/model'
import type { Asked, Command, HoldNotice, RowCount, RowVerdict } from '../protocols/protocol.ts'
import type { Holds } from './holds.ts'
import { type GateContext, heldRecorded, type Judged, judge, obligationsOf } from './judge.ts'
import { verdictOf } from './said.ts'
import type { TaskKey } from './task-rows.ts'

/** A command that runs under row limits. */
interface Limited {
  readonly judged: Command
  readonly limits: readonly RowLimitObligation[]
  /** Everything that was sent with it. */
  asked(): Asked
}

/** What a message wrote under one rule's limit. */
interface Tally {
  readonly limit: RowLimitObligation
  readonly counts: readonly (RowCount & Limited)[]
  readonly rows: number
  /** Written before, for the same task. */
  readonly earlier: number
}

export class RowDecisions {
  readonly #context: GateContext
  readonly #holds: Holds
  readonly #limited = new Map<number, Limited>()
  #refused = 0

  constructor(context: GateContext, holds: Holds) {
    this.#context = context
    this.#holds = holds
  }

  get refused(): number {
    return this.#refused
  }

  /** Remembers the commands that have to be decided again by the rows they write. */
  remember(judged: readonly Judged[], commands: readonly number[], asked: () => Asked): void {
    for (const [index, { command, decision }] of judged.entries()) {
      const limits = obligationsOf(decision).flatMap(obligation =>
        obligation.kind === 'row-limit' ? [obligation] : [],
      )
      const number = commands[index]
      if (limits.length > 0 && number !== undefined) this.#limited.set(number, { judged: command, limits, asked })
    }
  }

  /** The command has ended: nothing of it has to be decided any more. */
  forget(command: number): void {
    if (this.#limited.size > 0) this.#limited.delete(command)
  }

  /** As Gate.decideRows. */
  decide(
    counts: readonly RowCount[],
    fault: string | undefined,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): RowVerdict | Promise<RowVerdict> {
    const tallies = this.#tallies(counts)
    const [first] = tallies
    if (first === undefined) throw new GateError('ERR_GATE_INTERNAL', 'rows were counted where there is no limit')
    if (fault !== undefined) {
      const settled: Deny = { effect: 'deny', rule: first.limit.rule, reason: fault, hint: undefined }
      return this.#record(tallies, settled, undefined)
    }
    const over = tallies.filter(({ limit, rows, earlier }) => earlier + rows > limit.rows)
    // What people approve does not count: they saw it.
    const within = (): void => {
      for (const { limit, rows } of tallies.filter(tally => !over.includes(tally))) {
        const key = this.#taskKey(limit)
        if (key !== undefined) this.#context.taskRows.add(key, rows)
      }
    }
    const [worst] = over
    if (worst === undefined) {
      within()
      return { settled: { effect: 'allow', rule: first.limit.rule, obligations: [] }, request: undefined }
    }
    const denying = over.find(({ limit }) => limit.hold === undefined)
    if (denying !== undefined) return this.#record(over, this.#overLimit(denying), undefined)
    return this.#askRows(over, waiting, signal).then(
      ({ settled, request }) => {
        if (settled.effect === 'allow') within()
        return this.#record(over, settled, request)
      },
      async thrown => {
        const reason = asGateError(thrown).message
        await this.#record(over, { effect: 'deny', rule: worst.limit.rule, reason, hint: undefined }, undefined)
        throw thrown
      },
    )
  }

  /** What the commands wrote, by the rules that limit them. */
  #tallies(counts: readonly RowCount[]): Tally[] {
    const commands = counts.flatMap(count => {
      const limited = this.#limited.get(count.command)
      return limited === undefined ? [] : [{ ...count, ...limited }]
    })
    const limits = new Map(commands.flatMap(({ limits }) => limits.map(limit => [limit.rule, limit])))
    return [...limits.values()].map(limit => {
      const under = commands.filter(({ limits }) => limits.some(({ rule }) => rule === limit.rule))
      const key = this.#taskKey(limit)
      return {
        limit,
        counts: under,
        rows: under.reduce((sum, { rows }) => sum + rows, 0),
        earlier: key === undefined ? 0 : this.#context.taskRows.of(key),
      }
    })
  }

  /** Without a task every message is counted alone. */
  #taskKey({ rule }: RowLimitObligation): TaskKey | undefined {
    const { task, target } = this.#context
    return task === undefined ? undefined : { subject: this.#context.subject().id, target: target.name, task, rule }
  }

  #overLimit({ limit, rows, earlier }: Tally): Deny {
    const before = earlier === 0 ? '' : ` after ${counted(earlier, 'row')} of task ${this.#context.task}`
    const reason = `it changes ${counted(rows, 'row')}${before}, and ${limit.rule} allows ${limit.rows}`
    return { effect: 'deny', rule: limit.rule, reason, hint: undefined }
  }

  async #askRows(
    over: readonly Tally[],
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<RowVerdict> {
    const questions = over.map(({ limit, counts, rows }) => {
      const [first] = counts
      if (limit.hold === undefined || first === undefined)
        throw new GateError('ERR_GATE_INTERNAL', 'a limit that holds without approvers or commands')
      const asked = first.asked()
      const commands = counts.map(({ judged }) => judged)
      const recorded = heldRecorded(first.judged, commands, this.#context.record.key)
      return { operation: { ...first.judged.operation, text: asked.command, rows }, recorded, hold: limit.hold, asked }
    })
    const passage = await this.#holds.pass(questions, this.#context.policy(), waiting, signal)
    const request = passage.requests.at(-1)
    if (passage.deny !== undefined) return { settled: passage.deny, request }
    // Time has passed: who asked may have lost the right meanwhile.
    const current = this.#context.policy()
    for (const { judged } of over.flatMap(({ counts }) => counts)) {
      const decision = judge(this.#context, judged, current)
      if (decision.effect !== 'deny') continue
      await this.#holds.drop(passage)
      return { settled: decision, request }
    }
    if (!(await this.#holds.use(passage))) return this.#askRows(over, waiting, signal)
    return { settled: { effect: 'allow', rule: over[0]?.limit.rule ?? 'routine', obligations: [] }, request }
  }

  /** Writes down what was decided over rows; when its promise resolves, they may be committed. */
  #record(tallies: readonly Tally[], settled: Settled, request: string | undefined): RowVerdict | Promise<RowVerdict> {
    const { session, recorder, log } = this.#context
    for (const { limit, counts, rows: sum, earlier } of tallies) {
      for (const { command, rows } of counts) {
        recorder.append({
          type: 'rows',
          session,
          command,
          rows,
          ...(sum + earlier === rows ? {} : { total: sum + earlier }),
          limit: limit.rows,
          rule: limit.rule,
          decision: verdictOf(settled, this.#context.record.key),
          ...(request === undefined ? {} : { request }),
        })
      }
    }
    const verdict = { settled, request }
    if (settled.effect === 'allow')
      return this.#context.record.durability === 'write' ? verdict : recorder.sync().then(() => verdict)
    this.#refused += 1
    log.info('command.refused', { session, rule: settled.rule })
    return verdict
  }
}
