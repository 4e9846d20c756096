// A clock that a test moves by hand, so that nothing waits for real time.
import type { Clock } from '@gate/shared/clock'
import { abortReason } from '@gate/shared/errors'

export interface HandClock extends Clock {
  /** Moves time on and wakes whoever slept until then. */
  advance(ms: number): void
  /** Sets the wall clock alone, as an administrator or NTP does; sleepers are not woken. */
  setWallClock(ms: number): void
  /** Resolves when somebody sleeps. */
  sleeping(): Promise<void>
}

interface Sleeper {
  readonly untilMs: number
  wake(): void
}

export function createHandClock(startMs = Date.UTC(2030, 0, 1)): HandClock {
  let wallMs = startMs
  let elapsedMs = 0
  const sleepers = new Set<Sleeper>()
  let asleep: (() => void)[] = []
  return {
    now: () => wallMs,
    monotonic: () => elapsedMs,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted === true) return reject(abortReason(signal))
        const abort = (): void => {
          sleepers.delete(sleeper)
          if (signal !== undefined) reject(abortReason(signal))
        }
        const sleeper: Sleeper = {
          untilMs: elapsedMs + ms,
          wake: () => {
            sleepers.delete(sleeper)
            signal?.removeEventListener('abort', abort)
            resolve()
          },
        }
        signal?.addEventListener('abort', abort, { once: true })
        sleepers.add(sleeper)
        for (const tell of asleep) tell()
        asleep = []
      }),
    advance: ms => {
      wallMs += ms
      elapsedMs += ms
      for (const sleeper of [...sleepers]) if (sleeper.untilMs <= elapsedMs) sleeper.wake()
    },
    setWallClock: ms => {
      wallMs = ms
    },
    sleeping: () => (sleepers.size > 0 ? Promise.resolve() : new Promise(resolve => asleep.push(resolve))),
  }
}
