// Waits between attempts: they double up to a limit, begin anew after a success, and end with the signal.
import { Backoff } from '@gate/shared/backoff'
import type { Clock } from '@gate/shared/clock'
import t from 'tap'

function noting(): { clock: Clock; waits: number[] } {
  const waits: number[] = []
  const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
    signal?.throwIfAborted()
    waits.push(ms)
  }
  return { waits, clock: { now: () => 0, monotonic: () => 0, sleep } }
}

const { signal } = new AbortController()

t.test('each wait is twice the one before, up to the longest, and after a success the first again', async t => {
  const { clock, waits } = noting()
  const backoff = new Backoff({ firstMs: 200, longestMs: 1_000 }, clock)
  for (let attempt = 0; attempt < 5; attempt += 1) await backoff.wait(signal)
  backoff.reset()
  await backoff.wait(signal)
  await backoff.wait(signal, 1.5)
  await backoff.wait(signal)
  t.same(waits, [200, 400, 800, 1_000, 1_000, 200, 600, 800], 'a factor changes one wait and none after it')
})

t.test('a wait ends quietly when the signal aborts, and not when the clock fails', async t => {
  const { clock, waits } = noting()
  await new Backoff({ firstMs: 1, longestMs: 1 }, clock).wait(AbortSignal.abort(new Error('enough')))
  t.same(waits, [])
  const broken: Clock = { ...clock, sleep: () => Promise.reject(new Error('no clock')) }
  await t.rejects(new Backoff({ firstMs: 1, longestMs: 1 }, broken).wait(signal), { message: 'no clock' })
})
