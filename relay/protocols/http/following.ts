// Whether what is under way may go on: decided anew when policy has changed, or the person's groups have.
import { setImmediate as nextTurn } from 'node:timers/promises'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Deny, Obligation } from '@gate/shared/model'
import type { Gate, Verdict } from '../protocol.ts'
import { masksOf } from './masking/body.ts'
import { maskingOf } from './masking-of.ts'
import { deny } from './perform.ts'
import type { Masking } from './plan.ts'
import type { Decidable } from './request.ts'

/** What is silent, or only takes, ends so soon; no byte goes to a client by the policy of before in any case. */
const FOLLOW_MS = 1_000
/** Others wait no longer than this, and one decision. */
const TURN_MS = 10

/**
 * All that is under way: nearly every request is over before anybody would look, so one timer looks at those that are not,
 * and a timer of its own for each would cost more than it is worth.
 */
class Watched {
  readonly #looks = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #isLooking = false

  /** Has it called about every second, for the first time within one; gives what ends that. */
  add(look: () => void): () => void {
    this.#looks.add(look)
    this.#timer ??= setInterval(() => void this.#look(), FOLLOW_MS).unref()
    return () => this.#looks.delete(look)
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      await this.#lookAtAll()
    } finally {
      this.#isLooking = false
    }
    // Only now and not when the last one ends: the next request is often not far.
    if (this.#looks.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /**
   * When policy has changed each look decides anew: thousands of them would keep all others waiting, so they are done a few at a
   * time. What is added meanwhile has its turn a second later.
   */
  async #lookAtAll(): Promise<void> {
    let began = performance.now()
    for (const look of [...this.#looks]) {
      if (this.#looks.has(look)) look()
      if (performance.now() - began < TURN_MS) continue
      await nextTurn()
      began = performance.now()
    }
  }
}

const watched = new Watched()

export class Following {
  readonly #gate: Gate
  readonly #again: () => Decidable
  readonly #verdict: Verdict
  readonly #maskKey: Uint8Array
  #standing: unknown
  #obligations: readonly Obligation[]
  #routes: readonly string[]
  #isBegun = false

  /** `standing` is the gate's from before `verdict`; `again` reads the request by the policy of the moment. */
  constructor(
    gate: Gate,
    standing: unknown,
    decided: Decidable,
    again: () => Decidable,
    verdict: Verdict,
    maskKey: Uint8Array,
  ) {
    this.#gate = gate
    this.#standing = standing
    this.#again = again
    this.#verdict = verdict
    this.#maskKey = maskKey
    this.#obligations = verdict.obligations[0] ?? []
    this.#routes = decided.maskRoutes
  }

  /** What is masked of the answer, as it was decided last. */
  get masking(): Masking | undefined {
    return maskingOf(this.#obligations, this.#routes, this.#maskKey)
  }

  /** The answer begins: what is masked of it cannot become something else in its middle. */
  begin(): Masking | undefined {
    this.#isBegun = true
    return this.masking
  }

  /** Why it may not go on; undefined where it may. Costs a comparison as long as nothing has changed. */
  refusal(): GateError | undefined {
    const { standing } = this.#gate
    if (standing === this.#standing) return undefined
    this.#standing = standing
    try {
      const { command, maskRoutes } = this.#again()
      const perform = (obligations: readonly Obligation[]): Deny | undefined =>
        command.perform?.(obligations) ?? this.#changed(obligations, maskRoutes)
      const decided = this.#gate.judgeAgain({ ...command, perform }, this.#verdict)
      if ('effect' in decided) return ended(decided)
      this.#obligations = decided
      this.#routes = maskRoutes
      return undefined
    } catch (thrown) {
      return asGateError(thrown)
    }
  }

  #changed(obligations: readonly Obligation[], routes: readonly string[]): Deny | undefined {
    if (!this.#isBegun) return undefined
    const before = JSON.stringify(masksOf(this.#obligations, this.#routes))
    if (JSON.stringify(masksOf(obligations, routes)) === before) return undefined
    return deny('other parts of the answer are masked now', undefined)
  }

  /** Asks from time to time, and tells why it may not go on; gives what ends that. */
  watch(end: (cause: GateError) => void): () => void {
    const unwatch = watched.add(() => {
      const cause = this.refusal()
      if (cause === undefined) return
      unwatch()
      end(cause)
    })
    return unwatch
  }
}

/** The target has had the request: who sends it again should know. */
function ended({ reason }: Deny): GateError {
  return new GateError('ERR_GATE_REFUSED', `policy changed before it was over: ${reason}`, {
    hint: 'The service has had the request.',
  })
}
