// The one enforcement point: policy decides, people are asked, the record is written; only then may anything go on.
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type {
  AccessRequest,
  Allow,
  Decision,
  Deny,
  Hold,
  Obligation,
  Operation,
  RowLimitObligation,
  Settled,
  Subject,
  Target,
} from '@gate/shared/model'
import type { Answer, Approvals } from '../approval/approvals.ts'
import type { ApprovalRequest } from '../approval/requests.ts'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Command, Gate, HoldNotice, Preparation, RowCount, RowVerdict, Verdict } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import type { Recorder } from '../record/recorder.ts'
import type { TaskKey, TaskRows } from './task-rows.ts'

/** Longer texts are cut in the record and marked. */
const MAX_RECORDED_TEXT = 64 * 1024
/** Texts of a session that later commands can refer to instead of repeating them. */
const MAX_REMEMBERED_TEXTS = 1_000
const SHORT_TEXT = 64

export interface GateContext {
  readonly session: string
  readonly target: Target
  readonly task: string | undefined
  readonly reason: string | undefined
  subject(): Subject
  policy(): Policy
  /** Obligations that the protocol's room can perform. */
  readonly performable: readonly Obligation['kind'][]
  readonly taskRows: TaskRows
  readonly recorder: Recorder
  readonly approvals: Approvals
  readonly clock: Clock
  readonly log: Log
}

interface Judged {
  readonly command: Command
  readonly decision: Decision
}

/** A command that runs under row limits. */
interface Limited {
  readonly judged: Command
  readonly limits: readonly RowLimitObligation[]
  /** Everything that was sent with it. */
  readonly text: string
}

/** What a message wrote under one rule's limit. */
interface Tally {
  readonly limit: RowLimitObligation
  readonly counts: readonly (RowCount & Limited)[]
  readonly rows: number
  /** Written before, for the same task. */
  readonly earlier: number
}

export class SessionGate implements Gate {
  readonly #context: GateContext
  #commands = 0
  #refused = 0
  #held = 0
  readonly #texts = new Map<string, number>()
  /** When commands that are under way began, for their durations. */
  readonly #began = new Map<number, number>()
  readonly #limited = new Map<number, Limited>()

  constructor(context: GateContext) {
    this.#context = context
  }

  get counts(): { commands: number; refused: number; held: number } {
    return { commands: this.#commands, refused: this.#refused, held: this.#held }
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
    const judged = commands.map(command => ({ command, decision: this.#judge(command, policy) }))
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
    const judged = commands.map(command => ({ command, decision: this.#judge(command, policy) }))
    const deny = judged.find(({ decision }) => decision.effect === 'deny')?.decision
    const refused = deny?.effect === 'deny' ? deny : undefined
    const [first] = judged
    if (first !== undefined) this.#write(first, refused, undefined, policy, refused === undefined)
    return { refused, obligations: first === undefined || refused !== undefined ? [] : obligationsOf(first.decision) }
  }

  #request(operation: Operation): AccessRequest {
    const { target, task, reason, clock } = this.#context
    return { subject: this.#context.subject(), target, operation, context: { task, reason, timeMs: clock.now() } }
  }

  /** Policy's word, unless the room cannot do it or what it obliges to. */
  #judge(command: Command, policy: Policy): Decision {
    if (command.refusal !== undefined) return command.refusal
    const decision = policy.decide(this.#request(command.operation))
    if (decision.effect === 'deny') return decision
    const unable = decision.obligations.find(obligation => !this.#context.performable.includes(obligation.kind))
    if (unable !== undefined) {
      const reason = `rule ${decision.rule} asks for ${unable.kind}, which is not available for ${this.#context.target.protocol}`
      return { effect: 'deny', rule: decision.rule, reason, hint: undefined }
    }
    return command.perform?.(decision.obligations) ?? decision
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
      const answer = await this.#hold(combine(judged, hold), hold, policy, waiting, signal)
      request = answer.request
      if (answer.state !== 'approved') return this.#record(judged, refusedByPeople(hold, answer), request, policy)
    }
    if (signal.aborted) throw asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away')
    // Time has passed: who asked may have lost the right meanwhile.
    const again = judged.map(({ command }) => ({ command, decision: this.#judge(command, this.#context.policy()) }))
    const deny = again.find(({ decision }) => decision.effect === 'deny')?.decision
    return this.#record(again, deny?.effect === 'deny' ? deny : allowOf(again), request, this.#context.policy())
  }

  /** Asks people about one operation, and records that and their answer. */
  async #hold(
    operation: Operation,
    hold: Hold,
    policy: Policy,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { session, approvals, recorder, log } = this.#context
    const { rows } = operation
    this.#held += 1
    const made = ({ id, approvers, commandHash, expiresMs }: ApprovalRequest): void => {
      recorder.append({
        type: 'hold',
        session,
        request: id,
        action: operation.action,
        rule: hold.rule,
        approvers,
        commandHash,
        expiresMs,
        ...(rows === undefined ? {} : { rows }),
      })
      log.info('command.held', { session, request: id, rule: hold.rule, action: operation.action })
      waiting({ request: id, approvers, rule: hold.rule, expiresMs, rows })
    }
    const answer = await approvals.ask(session, this.#request(operation), hold, policy.version, made, signal)
    recorder.append(approvalEvent(session, answer))
    return answer
  }

  decideRows(
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
      return this.#recordRows(tallies, settled, undefined)
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
    if (denying !== undefined) return this.#recordRows(over, this.#overLimit(denying), undefined)
    return this.#askRows(over, waiting, signal).then(
      ({ settled, request }) => {
        if (settled.effect === 'allow') within()
        return this.#recordRows(over, settled, request)
      },
      async thrown => {
        const reason = asGateError(thrown).message
        await this.#recordRows(over, { effect: 'deny', rule: worst.limit.rule, reason, hint: undefined }, undefined)
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
    const before = earlier === 0 ? '' : ` after ${earlier} rows of task ${this.#context.task}`
    const reason = `it changes ${rows} rows${before}, and ${limit.rule} allows ${limit.rows}`
    return { effect: 'deny', rule: limit.rule, reason, hint: undefined }
  }

  async #askRows(
    over: readonly Tally[],
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<RowVerdict> {
    const policy = this.#context.policy()
    let request: string | undefined
    for (const { limit, counts, rows } of over) {
      const [first] = counts
      if (limit.hold === undefined || first === undefined)
        throw new GateError('ERR_GATE_INTERNAL', 'a limit that holds without approvers or commands')
      const operation = { ...first.judged.operation, text: first.text, rows }
      const answer = await this.#hold(operation, limit.hold, policy, waiting, signal)
      request = answer.request
      if (answer.state !== 'approved') return { settled: refusedByPeople(limit.hold, answer), request }
    }
    if (signal.aborted) throw asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away')
    // Time has passed: who asked may have lost the right meanwhile.
    const current = this.#context.policy()
    for (const { judged } of over.flatMap(({ counts }) => counts)) {
      const decision = this.#judge(judged, current)
      if (decision.effect === 'deny') return { settled: decision, request }
    }
    return { settled: { effect: 'allow', rule: over[0]?.limit.rule ?? 'routine', obligations: [] }, request }
  }

  /** Writes down what was decided over rows; when its promise resolves, they may be committed. */
  #recordRows(
    tallies: readonly Tally[],
    settled: Settled,
    request: string | undefined,
  ): RowVerdict | Promise<RowVerdict> {
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
          decision: verdictOf(settled),
          ...(request === undefined ? {} : { request }),
        })
      }
    }
    const verdict = { settled, request }
    if (settled.effect === 'allow') return recorder.sync().then(() => verdict)
    this.#refused += 1
    log.info('command.refused', { session, rule: settled.rule })
    return verdict
  }

  /** Writes every command down; when this returns, or its promise resolves, the bytes may go on. */
  #record(
    judged: readonly Judged[],
    settled: Settled,
    request: string | undefined,
    policy: Policy,
  ): Verdict | Promise<Verdict> {
    const allowed = settled.effect === 'allow'
    const commands = judged.map(each => this.#write(each, settled, request, policy, false))
    const verdict: Verdict = {
      settled,
      commands,
      obligations: judged.map(({ decision }) => obligationsOf(decision)),
      request,
    }
    if (!allowed) {
      this.#refused += 1
      this.#context.log.info('command.refused', { session: this.#context.session, rule: settled.rule })
      return verdict
    }
    const began = this.#context.clock.monotonic()
    for (const command of commands) this.#began.set(command, began)
    if (judged.some(({ decision }) => decision.effect !== 'deny' && decision.obligations.length > 0))
      this.#limit(judged, commands)
    if (!judged.some(({ command }) => command.operation.writes && !command.operation.routine)) return verdict
    return this.#context.recorder.sync().then(() => verdict)
  }

  /** Remembers the commands that have to be decided again by the rows they write. */
  #limit(judged: readonly Judged[], commands: readonly number[]): void {
    for (const [index, { command, decision }] of judged.entries()) {
      const limits = obligationsOf(decision).flatMap(obligation =>
        obligation.kind === 'row-limit' ? [obligation] : [],
      )
      const number = commands[index]
      if (limits.length > 0 && number !== undefined)
        this.#limited.set(number, { judged: command, limits, text: textOf(judged) })
    }
  }

  #write(
    { command, decision }: Judged,
    settled: Settled | undefined,
    request: string | undefined,
    policy: Policy,
    prepared: boolean,
  ): number {
    const { operation } = command
    const number = this.#commands + 1
    const { text, ...how } = this.#shorten(operation.text)
    const final =
      settled !== undefined && (settled.effect !== decision.effect || settled.rule !== decision.rule)
        ? settled
        : undefined
    this.#context.recorder.append({
      type: 'command',
      session: this.#context.session,
      command: number,
      ...(prepared ? { prepared: true as const } : {}),
      action: operation.action,
      text,
      ...how,
      ...(operation.parameters.length === 0 ? {} : { parameters: [...operation.parameters] }),
      resources: [...operation.resources],
      facts: saidFacts(operation),
      decision: verdictOf(decision),
      ...(final === undefined ? {} : { settled: verdictOf(final) }),
      ...(request === undefined ? {} : { request }),
      policy: policy.version,
    })
    // Counted only when it is written: a number that is not in the record would look like a lost event.
    this.#commands = number
    if (how.sameTextAs === undefined) this.#remember(operation.text, number)
    return number
  }

  #shorten(text: string): { text: string; sameTextAs?: number; cutFrom?: number } {
    const earlier = text.length > SHORT_TEXT ? this.#texts.get(text) : undefined
    if (earlier !== undefined) return { text: '', sameTextAs: earlier }
    if (text.length <= MAX_RECORDED_TEXT) return { text }
    return { text: text.slice(0, MAX_RECORDED_TEXT), cutFrom: Buffer.byteLength(text) }
  }

  #remember(text: string, command: number): void {
    if (text.length <= SHORT_TEXT || text.length > MAX_RECORDED_TEXT) return
    if (this.#texts.size >= MAX_REMEMBERED_TEXTS) this.#texts.clear()
    this.#texts.set(text, command)
  }

  observe(outcome: Outcome): void {
    const began = this.#began.get(outcome.command)
    this.#began.delete(outcome.command)
    if (this.#limited.size > 0) this.#limited.delete(outcome.command)
    this.#context.recorder.later({
      type: 'outcome',
      session: this.#context.session,
      command: outcome.command,
      ...(outcome.rows === undefined ? {} : { rows: outcome.rows }),
      bytes: outcome.bytes,
      ...(began === undefined
        ? {}
        : { durationMs: Math.round((this.#context.clock.monotonic() - began) * 1000) / 1000 }),
      status: outcome.status,
    })
  }
}

function obligationsOf(decision: Decision): readonly Obligation[] {
  return decision.effect === 'deny' ? [] : decision.obligations
}

function allowOf(judged: readonly Judged[]): Allow {
  const [first] = judged
  const rule =
    judged.find(({ decision }) => decision.effect === 'hold')?.decision.rule ?? first?.decision.rule ?? 'routine'
  return { effect: 'allow', rule, obligations: [] }
}

function verdictOf(decision: Decision): { effect: Decision['effect']; rule: string; reason?: string } {
  return {
    effect: decision.effect,
    rule: decision.rule,
    ...(decision.effect === 'deny' ? { reason: decision.reason } : {}),
  }
}

type SaidFacts = Record<string, string | number | boolean | null | string[]>

/** Rooms that know a command from before give the same facts again. */
const saidBefore = new WeakMap<Operation['facts'], SaidFacts>()

/** Facts that say nothing are left out of the record: they are the same for every command. */
function saidFacts({ facts }: Operation): SaidFacts {
  const known = saidBefore.get(facts)
  if (known !== undefined) return known
  const said: SaidFacts = {}
  for (const [name, value] of Object.entries(facts)) {
    if (value === '' || value === false || value === null || (Array.isArray(value) && value.length === 0)) continue
    said[name] = Array.isArray(value) ? [...value] : (value as string | number | boolean)
  }
  saidBefore.set(facts, said)
  return said
}

/** Holds of the same rule are one question. */
function distinct(holds: readonly Hold[]): Hold[] {
  return [...new Map(holds.map(hold => [`${hold.rule} ${hold.approvers.text}`, hold])).values()]
}

/** What people are shown: the held operation, with everything that would run along with it. */
function combine(judged: readonly Judged[], hold: Hold): Operation {
  const held = judged.find(({ decision }) => decision.effect === 'hold' && decision.rule === hold.rule)?.command
    .operation
  if (held === undefined) throw new GateError('ERR_GATE_INTERNAL', 'a hold without a command')
  return { ...held, text: textOf(judged) }
}

function textOf(judged: readonly Judged[]): string {
  return [...new Set(judged.map(({ command }) => command.operation.text))].join(';\n')
}

function refusedByPeople(hold: Hold, answer: Answer): Deny {
  const denial = answer.decisions.find(decision => decision.verdict === 'deny')
  const who = denial?.by.email ?? denial?.by.id ?? 'an approver'
  const reasons = {
    denied: `${who} denied it${denial?.reason === undefined ? '' : `: ${denial.reason}`}`,
    expired: `nobody decided in time (${hold.approvers.text})`,
    withdrawn: 'the request was withdrawn',
    approved: 'approved',
  }
  return { effect: 'deny', rule: hold.rule, reason: reasons[answer.state], hint: undefined }
}

function approvalEvent(session: string, answer: Answer): EventBody {
  return {
    type: 'approval',
    session,
    request: answer.request,
    outcome: answer.state,
    by: answer.decisions.map(decision => ({
      id: decision.by.id,
      ...(decision.by.email === undefined ? {} : { email: decision.by.email }),
      verdict: decision.verdict,
      ...(decision.reason === undefined ? {} : { reason: decision.reason }),
    })),
  }
}
