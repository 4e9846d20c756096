// The states of a request: what can happen to it in each, and what becomes of it. docs/approvals.md draws its diagram from here. Pure.
import { GateError } from '@gate/shared/errors'

export type RequestState = 'waiting' | 'approved' | 'used' | 'denied' | 'expired' | 'withdrawn'

export type RequestEvent =
  /** Approvals fill the quorum. */
  | 'approve'
  /** One person says no. */
  | 'deny'
  /** Time runs out. */
  | 'expire'
  /** Whoever asked goes away, cancels, or the relay that holds the command does. */
  | 'withdraw'
  /** The command goes on to the target; or the grant that was asked for is made. */
  | 'use'

/** What is not listed cannot happen. */
export const transitions: Readonly<Record<RequestState, Readonly<Partial<Record<RequestEvent, RequestState>>>>> = {
  waiting: { approve: 'approved', deny: 'denied', expire: 'expired', withdraw: 'withdrawn' },
  approved: { use: 'used', expire: 'expired', withdraw: 'withdrawn' },
  used: {},
  denied: {},
  expired: {},
  withdrawn: {},
}

/** The states in which an event can happen to a request. */
export function statesBefore(event: RequestEvent): RequestState[] {
  return (Object.keys(transitions) as RequestState[]).filter(state => transitions[state][event] !== undefined)
}

/** @throws {GateError} ERR_GATE_CONFLICT when that cannot happen to a request in this state. */
export function stateAfter(state: RequestState, event: RequestEvent, id: string): RequestState {
  const after = transitions[state][event]
  if (after === undefined) throw new GateError('ERR_GATE_CONFLICT', `${id} is ${state} already`)
  return after
}

/** The diagram in Mermaid's words. */
export function stateDiagram(): string {
  const lines = Object.entries(transitions).flatMap(([state, events]) => {
    const entries = Object.entries(events)
    return entries.length === 0
      ? [`  ${state} --> [*]`]
      : entries.map(([event, after]) => `  ${state} --> ${after}: ${event}`)
  })
  return ['stateDiagram-v2', '  [*] --> waiting: ask', ...lines].join('\n')
}
