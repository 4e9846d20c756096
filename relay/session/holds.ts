// Asks people about operations of a session, and records that and their answers.
import type { Deny, Hold, Operation } from '@gate/shared/model'
import type { Answer } from '../approval/approvals.ts'
import type { ApprovalRequest } from '../approval/requests.ts'
import type { Policy } from '../policy/decide.ts'
import type { HoldNotice } from '../protocols/protocol.ts'
import type { EventBody } from '../record/events.ts'
import { type GateContext, requestOf } from './judge.ts'

export class Holds {
  readonly #context: GateContext
  #held = 0

  constructor(context: GateContext) {
    this.#context = context
  }

  get held(): number {
    return this.#held
  }

  /** Asks people about one operation, and records that and their answer. */
  async ask(
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
    const answer = await approvals.ask(session, requestOf(this.#context, operation), hold, policy.version, made, signal)
    recorder.append(approvalEvent(session, answer))
    return answer
  }
}

/** Holds of the same rule are one question. */
export function distinct(holds: readonly Hold[]): Hold[] {
  return [...new Map(holds.map(hold => [`${hold.rule} ${hold.approvers.text}`, hold])).values()]
}

export function refusedByPeople(hold: Hold, answer: Answer): Deny {
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
