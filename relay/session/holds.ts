// How a held command of a session can pass: a grant, broken glass, or people who are asked.

import type { SignedDecision } from '@gate/shared/approval'
import { abortReason, asGateError } from '@gate/shared/errors'
import type { Deny, Estimate, Hold, Operation } from '@gate/shared/model'
import type { Asking } from '../approval/asking.ts'
import type { ApprovalRequest, EarlierCommand } from '../approval/requests.ts'
import type { Answer } from '../approval/waiting.ts'
import type { Policy } from '../policy/decide.ts'
import type { Asked, HoldNotice } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import { type GateContext, requestOf } from './judge.ts'

/** Approvers do not wait longer for what the target expects. */
const ESTIMATE_TIMEOUT_MS = 3_000

/** How the holds of one command ended, up to the first no. */
export interface Passage {
  /** Undefined when all of them were passed. */
  readonly deny: Deny | undefined
  /** Requests that were made, in order; those that were approved still have to be used. */
  readonly requests: readonly string[]
  /** Those of them that were approved before the command came: the same command may use them up elsewhere. */
  readonly earlier: readonly string[]
  readonly grants: readonly string[]
  /** A request that waits on, without the client. */
  readonly pending: string | undefined
  readonly brokeGlass: boolean
  /** What approvers signed. */
  readonly approvals: readonly SignedDecision[]
}

/** What people are asked about under one rule. */
export interface Question {
  readonly operation: Operation
  readonly recorded: Asking['recorded']
  readonly hold: Hold
  readonly asked: Asked
}

/** A command that nothing holds. */
export const free: Passage = {
  deny: undefined,
  requests: [],
  earlier: [],
  grants: [],
  pending: undefined,
  brokeGlass: false,
  approvals: [],
}

type AskedWhole = Asked & { readonly parameters: NonNullable<Asked['parameters']> }

export class Holds {
  readonly #context: GateContext
  readonly #history: () => readonly EarlierCommand[]
  #held = 0

  /** `history` gives what was done before in the session. */
  constructor(context: GateContext, history: () => readonly EarlierCommand[]) {
    this.#context = context
    this.#history = history
  }

  /** Commands that had to wait for people. */
  get held(): number {
    return this.#held
  }

  /**
   * Asks one question after the other; the first no ends it. What was approved still has to be used, or dropped.
   * @throws {GateError} when nobody can be asked, the client goes away or the record cannot be written: nothing may run then.
   */
  async pass(
    questions: readonly Question[],
    policy: Policy,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Passage> {
    let passage = free
    try {
      for (const question of questions) {
        passage = join(passage, await this.#passOne(question, policy, waiting, signal))
        if (passage.deny !== undefined) break
      }
      if (passage.deny === undefined && signal.aborted)
        throw asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away')
    } catch (thrown) {
      await this.drop(passage)
      throw thrown
    }
    if (passage.deny !== undefined) await this.drop(passage)
    return passage
  }

  /**
   * Uses what was approved up: its command goes on now, and never again. False where the same command, sent at the same time,
   * was faster with an approval from before: then it is like any that nobody has approved.
   * @throws {GateError} ERR_GATE_CONFLICT, ERR_GATE_STORE; nothing may run then.
   */
  async use({ requests, earlier }: Passage): Promise<boolean> {
    for (const request of requests) {
      try {
        await this.#context.approvals.use(request)
      } catch (thrown) {
        if (earlier.includes(request) && asGateError(thrown).code === 'ERR_GATE_CONFLICT') return false
        throw thrown
      }
    }
    return true
  }

  /** The command does not run after all. */
  async drop({ requests }: Passage): Promise<void> {
    for (const request of requests) {
      await this.#context.approvals
        .drop(request)
        .catch(error => this.#context.log.warn('request.withdraw-failed', { request, error }))
    }
  }

  async #passOne(
    question: Question,
    policy: Policy,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Passage> {
    const { hold, asked } = question
    const { approvals, target, breakGlass } = this.#context
    const subject = this.#context.subject()
    if (breakGlass && hold.breakGlass.some(group => subject.groups.includes(group)))
      return { ...free, brokeGlass: true }
    const grant = hold.grants === undefined ? undefined : await approvals.grants.find(subject, target.name, hold.rule)
    if (grant !== undefined) return { ...free, grants: [grant.id], approvals: await approvals.signed(grant.request) }
    const { parameters } = asked
    if (parameters === undefined) {
      const why = asked.unshown ?? 'its parameters are too large to be shown to anybody'
      const reason = `rule ${hold.rule} holds it, and ${why}`
      return { ...free, deny: { effect: 'deny', rule: hold.rule, reason, hint: undefined } }
    }
    if (asked.later === true || hold.mode === 'retry')
      return this.#passLater(question, policy, { ...asked, parameters }, waiting, signal)
    const answer = await this.#ask(question, policy, { ...asked, parameters }, waiting, signal)
    const requests = [answer.request]
    if (answer.state !== 'approved') return { ...free, requests, deny: refusedByPeople(hold, answer) }
    return { ...free, requests, approvals: answer.decisions.flatMap(decision => decision.signed ?? []) }
  }

  /** Passes with an approval that was given for exactly this; without one people are asked, and the client is refused for now. */
  async #passLater(
    question: Question,
    policy: Policy,
    asked: AskedWhole,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Passage> {
    const { hold } = question
    const { approvals, recorder, session } = this.#context
    const asking = await this.#asking(question, policy, asked, signal)
    const { request, answer } = await approvals.askLater(asking, this.#made(question, waiting))
    if (answer !== undefined) {
      recorder.append(approvalEvent(session, answer))
      const requests = [request]
      const signed = answer.decisions.flatMap(decision => decision.signed ?? [])
      return { ...free, requests, earlier: requests, approvals: signed }
    }
    const reason = `it waits for ${hold.approvers.text} to approve it`
    const hint = `Send exactly the same again when it is approved: gate requests --mine shows ${request}.`
    return { ...free, pending: request, deny: { effect: 'deny', rule: hold.rule, reason, hint } }
  }

  /** Records a request that was made, and tells the client. @throws {GateError} ERR_GATE_RECORD. */
  #made({ operation, hold }: Question, waiting: (notice: HoldNotice) => void): (request: ApprovalRequest) => void {
    const { session, recorder, log } = this.#context
    const { rows } = operation
    this.#held += 1
    return ({ id, approvers, commandSha256, expiresMs }: ApprovalRequest): void => {
      recorder.append({
        type: 'hold',
        session,
        request: id,
        action: operation.action,
        rule: hold.rule,
        approvers,
        commandHash: commandSha256 ?? '',
        expiresMs,
        ...(rows === undefined ? {} : { rows }),
      })
      log.info('command.held', { session, request: id, rule: hold.rule, action: operation.action })
      waiting({ request: id, approvers, rule: hold.rule, expiresMs, rows })
    }
  }

  async #asking(
    { operation, recorded, hold }: Question,
    policy: Policy,
    asked: AskedWhole,
    signal: AbortSignal,
  ): Promise<Asking> {
    const isEstimated = hold.estimate && operation.rows === undefined
    return {
      session: this.#context.session,
      access: requestOf(this.#context, operation),
      hold,
      policy: policy.version,
      command: asked.command,
      parameters: asked.parameters,
      recorded,
      context: asked.context,
      history: this.#history(),
      estimate: isEstimated ? await this.#estimate(asked, signal) : undefined,
    }
  }

  /** Asks people about one operation, and records that and their answer. */
  async #ask(
    question: Question,
    policy: Policy,
    asked: AskedWhole,
    waiting: (notice: HoldNotice) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { session, approvals, recorder } = this.#context
    const asking = await this.#asking(question, policy, asked, signal)
    const answer = await approvals.ask(asking, this.#made(question, waiting), signal)
    recorder.append(approvalEvent(session, answer))
    return answer
  }

  /** Approvers can do without: whatever goes wrong only means that they are not told. */
  async #estimate(asked: Asked, signal: AbortSignal): Promise<Estimate | undefined> {
    const late = AbortSignal.timeout(ESTIMATE_TIMEOUT_MS)
    const either = AbortSignal.any([signal, late])
    try {
      return await Promise.race([asked.estimate(either), whenAborted(either)])
    } catch (thrown) {
      this.#context.log.info('command.not-estimated', { session: this.#context.session, error: asGateError(thrown) })
      return undefined
    }
  }
}

function join(a: Passage, b: Passage): Passage {
  return {
    deny: a.deny ?? b.deny,
    requests: [...a.requests, ...b.requests],
    earlier: [...a.earlier, ...b.earlier],
    grants: [...a.grants, ...b.grants],
    pending: a.pending ?? b.pending,
    brokeGlass: a.brokeGlass || b.brokeGlass,
    approvals: [...a.approvals, ...b.approvals],
  }
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(abortReason(signal)), { once: true })
    if (signal.aborted) reject(abortReason(signal))
  })
}

/** Holds of the same rule are one question. */
export function distinct(holds: readonly Hold[]): Hold[] {
  return [...new Map(holds.map(hold => [`${hold.rule} ${hold.approvers.text}`, hold])).values()]
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
      ...(decision.signed === undefined ? {} : { signed: decision.signed }),
    })),
  }
}
