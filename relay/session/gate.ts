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
  Settled,
  Subject,
  Target,
} from '@gate/shared/model'
import type { Answer, Approvals } from '../approval/approvals.ts'
import type { Policy } from '../policy/decide.ts'
import type { Outcome } from '../protocols/machine.ts'
import type { Command, Gate, HoldNotice, Preparation, Verdict } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import type { Recorder } from '../record/recorder.ts'

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
  readonly recorder: Recorder
  readonly approvals: Approvals
  readonly clock: Clock
  readonly log: Log
}

interface Judged {
  readonly command: Command
  readonly decision: Decision
}

export class SessionGate implements Gate {
  readonly #context: GateContext
  #commands = 0
  #refused = 0
  #held = 0
  readonly #texts = new Map<string, number>()
  /** When commands that are under way began, for their durations. */
  readonly #began = new Map<number, number>()

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
    const { session, approvals, recorder } = this.#context
    let request: string | undefined
    for (const hold of distinct(holds)) {
      this.#held += 1
      const operation = combine(judged, hold)
      const answer = await approvals.ask(
        session,
        this.#request(operation),
        hold,
        policy.version,
        made => {
          request = made.id
          recorder.append({
            type: 'hold',
            session,
            request: made.id,
            action: operation.action,
            rule: hold.rule,
            approvers: made.approvers,
            commandHash: made.commandHash,
            expiresMs: made.expiresMs,
          })
          this.#context.log.info('command.held', {
            session,
            request: made.id,
            rule: hold.rule,
            action: operation.action,
          })
          waiting({ request: made.id, approvers: made.approvers, rule: hold.rule, expiresMs: made.expiresMs })
        },
        signal,
      )
      recorder.append(approvalEvent(session, answer))
      if (answer.state !== 'approved') return this.#record(judged, refusedByPeople(hold, answer), request, policy)
    }
    if (signal.aborted) throw asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away')
    // Time has passed: who asked may have lost the right meanwhile.
    const again = judged.map(({ command }) => ({ command, decision: this.#judge(command, this.#context.policy()) }))
    const deny = again.find(({ decision }) => decision.effect === 'deny')?.decision
    return this.#record(again, deny?.effect === 'deny' ? deny : allowOf(again), request, this.#context.policy())
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
    if (!judged.some(({ command }) => command.operation.writes && !command.operation.routine)) return verdict
    return this.#context.recorder.sync().then(() => verdict)
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
  const texts = [...new Set(judged.map(({ command }) => command.operation.text))]
  return { ...held, text: texts.join(';\n') }
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
