// Waits that grow, between attempts at something that fails for a while.
import type { Clock } from './clock.ts'

/** The first wait has this length, each one after it twice that of the one before, none more than the longest. */
export interface BackoffLimits {
  readonly firstMs: number
  readonly longestMs: number
}

/** For whoever is sent things over the network and may be away for long: quickly at first, once a minute in the end. */
export const DELIVERY_BACKOFF: BackoffLimits = { firstMs: 1_000, longestMs: 60_000 }

export class Backoff {
  readonly #limits: BackoffLimits
  readonly #clock: Clock
  #nextMs: number

  constructor(limits: BackoffLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#nextMs = limits.firstMs
  }

  /** Waits, and longer the next time; until the signal aborts at most, and does not reject then. `factor` lets many waits differ. */
  async wait(signal: AbortSignal, factor = 1): Promise<void> {
    const ms = this.#nextMs * factor
    this.#nextMs = Math.min(this.#nextMs * 2, this.#limits.longestMs)
    await this.#clock.sleep(ms, signal).catch((thrown: unknown) => {
      if (!signal.aborted) throw thrown
    })
  }

  /** After a success: the next wait is the first again. */
  reset(): void {
    this.#nextMs = this.#limits.firstMs
  }
}
