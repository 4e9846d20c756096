// Policy's decisions of one session, used again as long as nothing that they depend on has changed.
import type { Decision, Operation, Resource, Subject } from '@gate/shared/model'
import type { Policy } from '../policy/decide.ts'
import type { Command } from '../protocols/protocol.ts'
import { type GateContext, judge, requestOf } from './judge.ts'

/** Decisions that are remembered; beyond them all are forgotten. */
const MAX_DECISIONS = 128
/** Of longer texts none is: they would be kept in memory along with their facts. */
const MAX_TEXT_LENGTH = 2048

/** All that a decision depends on beside the session's own target, task and reason, which do not change. */
interface Decided {
  readonly policy: Policy
  readonly subject: Subject
  readonly protocol: string
  readonly action: string
  readonly text: string
  readonly resources: readonly Resource[]
  readonly writes: boolean
  readonly routine: boolean
  readonly decision: Decision
}

/**
 * Rooms that know a command from before give the very same facts and resources again, so that to compare them is cheap; what
 * is merely equal is decided anew. Policy does not see parameters. Where a rule asks for the time nothing is remembered.
 */
export class Decisions {
  readonly #context: GateContext
  readonly #decided = new Map<Operation['facts'], Decided>()

  constructor(context: GateContext) {
    this.#context = context
  }

  /** As judge() says it. */
  judge(command: Command, policy: Policy): Decision {
    if (command.refusal !== undefined) return command.refusal
    return judge(this.#context, command, policy, this.#decide(command.operation, policy))
  }

  #decide(operation: Operation, policy: Policy): Decision {
    const subject = this.#context.subject()
    const known = this.#decided.get(operation.facts)
    if (known?.policy === policy && known.subject === subject && isOf(known, operation)) return known.decision
    const decision = policy.decide(requestOf(this.#context, operation))
    if (!policy.dependsOnTime && operation.rows === undefined && operation.text.length <= MAX_TEXT_LENGTH)
      this.#remember(operation, policy, subject, decision)
    return decision
  }

  #remember(operation: Operation, policy: Policy, subject: Subject, decision: Decision): void {
    const { protocol, action, text, resources, writes, routine, facts } = operation
    if (this.#decided.size >= MAX_DECISIONS) this.#decided.clear()
    this.#decided.set(facts, { policy, subject, protocol, action, text, resources, writes, routine, decision })
  }
}

function isOf(decided: Decided, operation: Operation): boolean {
  return (
    decided.resources === operation.resources &&
    decided.action === operation.action &&
    decided.text === operation.text &&
    decided.writes === operation.writes &&
    decided.routine === operation.routine &&
    decided.protocol === operation.protocol
  )
}
