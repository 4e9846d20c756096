// What policy says of one command of a session, and what several verdicts come to together.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type {
  AccessRequest,
  Allow,
  Decision,
  Deny,
  Hold,
  Obligation,
  Operation,
  Subject,
  Target,
} from '@gate/shared/model'
import type { Approvals } from '../approval/approvals.ts'
import type { Asking } from '../approval/asking.ts'
import type { Policy } from '../policy/decide.ts'
import type { Command } from '../protocols/protocol.ts'
import { type EventBody, isSessionEvent } from '../record/events.ts'
import type { Recorder } from '../record/recorder.ts'
import { cutText, LARGEST_EVENT_BYTES } from './record-limits.ts'
import type { RecordTerms } from './recorded-text.ts'
import { saidFacts, saidResources } from './said.ts'
import type { TaskRows } from './task-rows.ts'

/** Where events of one session go. */
export type SessionRecorder = Pick<Recorder, 'append' | 'later' | 'sync' | 'ready'>

/** Marks every event of a session in which the glass was broken. */
export function markedRecorder(recorder: Recorder): SessionRecorder {
  const mark = (body: EventBody): EventBody => (isSessionEvent(body) ? { ...body, brokeGlass: true } : body)
  return {
    append: body => recorder.append(mark(body)),
    later: body => recorder.later(mark(body)),
    sync: () => recorder.sync(),
    ready: durable => recorder.ready(durable),
  }
}

export interface GateContext {
  readonly session: string
  readonly target: Target
  readonly task: string | undefined
  readonly reason: string | undefined
  /** The person passes holds without being approved, where rules allow that; the session is reviewed. */
  readonly breakGlass: boolean
  subject(): Subject
  policy(): Policy
  /** Obligations that the protocol's room can perform. */
  readonly performable: readonly Obligation['kind'][]
  readonly taskRows: TaskRows
  readonly recorder: SessionRecorder
  /** How commands are written down. */
  readonly record: RecordTerms
  readonly approvals: Approvals
  readonly clock: Clock
  readonly log: Log
}

export interface Judged {
  readonly command: Command
  readonly decision: Decision
}

/** What policy is asked of an operation of this session, now. */
export function requestOf(context: GateContext, operation: Operation): AccessRequest {
  const { target, task, reason, clock } = context
  return { subject: context.subject(), target, operation, context: { task, reason, timeMs: clock.now() } }
}

/** Policy's word, unless the room cannot do it or what it obliges to. `decided` is that word, where it is known already. */
export function judge(context: GateContext, command: Command, policy: Policy, decided?: Decision): Decision {
  if (command.refusal !== undefined) return command.refusal
  const decision = decided ?? policy.decide(requestOf(context, command.operation))
  if (decision.effect === 'deny') return decision
  const unable = decision.obligations.find(obligation => !context.performable.includes(obligation.kind))
  if (unable !== undefined) {
    const reason = `rule ${decision.rule} asks for ${unable.kind}, which is not available for ${context.target.protocol}`
    return { effect: 'deny', rule: decision.rule, reason, hint: undefined }
  }
  const refusal = command.perform?.(decision.obligations)
  if (refusal === undefined) return decision
  return decision.record === undefined ? refusal : { ...refusal, record: decision.record }
}

export function obligationsOf(decision: Decision): readonly Obligation[] {
  return decision.effect === 'deny' ? [] : decision.obligations
}

export function allowOf(judged: readonly Judged[]): Allow {
  const [first] = judged
  const rule =
    judged.find(({ decision }) => decision.effect === 'hold')?.decision.rule ?? first?.decision.rule ?? 'routine'
  return { effect: 'allow', rule, obligations: [] }
}

export function denyOf(judged: readonly Judged[]): Deny | undefined {
  const deny = judged.find(({ decision }) => decision.effect === 'deny')?.decision
  return deny?.effect === 'deny' ? deny : undefined
}

/** The refusal of what was held, where policy holds it by now under a rule, or for people, that nobody asked. */
export function unaskedOf(judged: readonly Judged[], asked: readonly Hold[]): Deny | undefined {
  for (const { command, decision } of judged) {
    if (decision.effect !== 'hold' || command.people !== 'now') continue
    const { rule, approvers } = decision
    if (asked.some(each => each.rule === rule && each.approvers.text === approvers.text)) continue
    const reason = `policy changed meanwhile: it waits for ${approvers.text} now, who were not asked`
    return { effect: 'deny', rule, reason, hint: 'Send it again.' }
  }
  return undefined
}

/** The command that a rule holds. */
export function held(judged: readonly Judged[], hold: Hold): Command {
  const found = judged.find(({ decision }) => decision.effect === 'hold' && decision.rule === hold.rule)
  if (found === undefined) throw new GateError('ERR_GATE_INTERNAL', 'a hold without a command')
  return found.command
}

/** What may be kept of a command that people were asked about, with everything that would run along with it. */
export function heldRecorded(
  { operation, recorded }: Command,
  commands: readonly Command[],
  key: Uint8Array,
): Asking['recorded'] {
  const texts = new Set(commands.map(each => each.recorded.text))
  return {
    text: cutText([...texts].join(';\n'), LARGEST_EVENT_BYTES),
    parameters: (commands[0]?.recorded.parameters ?? []).map(parameter => ({
      ...parameter,
      bytes: parameter.bytes ?? Buffer.byteLength(parameter.text ?? ''),
    })),
    resources: saidResources(recorded.resources ?? operation.resources, key),
    facts: saidFacts(recorded.facts ?? operation.facts, key),
  }
}
