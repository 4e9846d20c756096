// Time as an argument, so that tests can bring their own.
import { setTimeout as wait } from 'node:timers/promises'
import { abortReason } from './errors.ts'

export interface Clock {
  /** Milliseconds since 1970-01-01 UTC; may jump when the machine's clock is set. */
  now(): number
  /** Milliseconds that only ever grow; for durations. */
  monotonic(): number
  /** @throws {GateError} the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await wait(ms, undefined, signal === undefined ? {} : { signal })
    } catch (thrown) {
      if (signal?.aborted === true) throw abortReason(signal)
      throw thrown
    }
  },
}
