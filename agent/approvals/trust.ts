// Whether approvals that a relay shows are good: signed by keys that this agent's own configuration names, for exactly this command.
import { DECISION_VERSION, isSignedBy, keyId, type SignedDecision, statementBytes } from '@gate/shared/approval'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'

/** How far clocks of relay, approvers and agent may be apart. */
const CLOCK_TOLERANCE_MS = 60_000
/** Requests that were used, so that none is used twice; the oldest is forgotten first, and has expired long before. */
const MAX_REMEMBERED_REQUESTS = 100_000

/** What a relay says of a command before it sends its bytes. */
export interface Declaration {
  readonly actions: readonly string[]
  readonly approvals: readonly SignedDecision[]
}

/** A command as the agent itself reads it from the bytes. */
export interface ReadCommand {
  readonly commandSha256: string
  readonly parametersSha256: string
}

export interface TrustOptions {
  readonly target: string
  readonly protocol: string
  /** Actions that need approval; `*` stands for all. */
  readonly actions: readonly string[]
  /** Public keys that are trusted, SubjectPublicKeyInfo in base64url. */
  readonly keys: readonly string[]
  /** Different keys that have to agree. */
  readonly count: number
}

/** The approvals of one target. */
export class Trust {
  readonly #options: TrustOptions
  readonly #keys: ReadonlySet<string>
  readonly #clock: Clock
  readonly #used = new Set<string>()

  constructor(options: TrustOptions, clock: Clock) {
    this.#options = options
    this.#keys = new Set(options.keys)
    this.#clock = clock
  }

  /** Those of these actions that need approval. */
  needing(actions: readonly string[]): readonly string[] {
    const { actions: guarded } = this.#options
    return actions.filter(action => guarded.includes('*') || guarded.includes(action))
  }

  /**
   * Lets a command pass, or not. An approval for one command is used up by it.
   * @throws {GateError} ERR_GATE_REFUSED.
   */
  check({ actions, approvals }: Declaration, command: ReadCommand): void {
    const { count, target } = this.#options
    const needing = [...new Set(this.needing(actions))]
    if (needing.length === 0) return
    const good = approvals.filter(approval => this.#isGood(approval, command))
    const keys = new Set(good.map(({ publicKey }) => publicKey))
    if (keys.size < count) {
      const known = keys.size === 0 ? 'none' : [...keys].map(keyId).join(', ')
      throw new GateError(
        'ERR_GATE_REFUSED',
        `the agent lets ${needing.join(', ')} on ${target} pass only when approved`,
        {
          detail: `It needs ${count} signatures by keys that its configuration names over exactly this command, and has ${known}.`,
        },
      )
    }
    for (const { statement } of good) if (statement.grantMs === null) this.#use(statement.request)
  }

  #isGood(approval: SignedDecision, command: ReadCommand): boolean {
    const { statement, publicKey, signature } = approval
    const { target, protocol } = this.#options
    if (!this.#keys.has(publicKey) || statement.verdict !== 'approve') return false
    if (statement.version !== DECISION_VERSION) return false
    if (statement.target !== target || statement.protocol !== protocol) return false
    if (!isSignedBy(publicKey, statementBytes(statement), signature)) return false
    // When a grant was signed is not known; it was before the request expired.
    const untilMs = statement.expiresMs + (statement.grantMs ?? 0) + CLOCK_TOLERANCE_MS
    if (this.#clock.now() > untilMs) return false
    if (statement.grantMs !== null) return true
    if (this.#used.has(statement.request)) return false
    return statement.commandSha256 === command.commandSha256 && statement.parametersSha256 === command.parametersSha256
  }

  #use(request: string): void {
    this.#used.add(request)
    const [oldest] = this.#used
    if (this.#used.size > MAX_REMEMBERED_REQUESTS && oldest !== undefined) this.#used.delete(oldest)
  }
}
