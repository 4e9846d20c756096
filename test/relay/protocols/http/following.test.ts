// What is under way when policy changes: all of it is decided anew, and nobody else waits for that.
import { setTimeout as wait } from 'node:timers/promises'
import { Following } from '@gate/relay/protocols/http/following'
import type { Decidable } from '@gate/relay/protocols/http/request'
import type { Gate, Verdict } from '@gate/relay/protocols/protocol'
import t from 'tap'

const COUNT = 1_500
const EACH_MS = 1
/** Far more than a turn, and far less than all of them. */
const LONGEST_MS = 700

t.test('very many that are decided anew do not keep others waiting', async t => {
  let decisions = 0
  const gate = {
    standing: 1,
    judgeAgain: () => {
      decisions += 1
      for (const until = performance.now() + EACH_MS; performance.now() < until; ) {}
      return decisions % 2 === 0 ? { effect: 'deny', rule: 'never', reason: 'no' } : []
    },
  }
  const decidable = { command: {}, maskRoutes: [] } as unknown as Decidable
  const verdict = { obligations: [[]] } as unknown as Verdict
  let ended = 0
  const all = Array.from({ length: COUNT }, () => {
    const following = new Following(gate as unknown as Gate, 1, decidable, () => decidable, verdict, Buffer.alloc(32))
    return following.watch(() => {
      ended += 1
    })
  })
  gate.standing = 2
  let last = performance.now()
  let longest = 0
  const beat = setInterval(() => {
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 5)
  while (decisions < COUNT) await wait(20)
  clearInterval(beat)
  t.ok(longest < LONGEST_MS, `${longest} ms`)
  t.equal(ended, COUNT / 2)
  await wait(1_200)
  t.equal(decisions, COUNT, 'what nothing has changed for is not decided again')
  for (const end of all) end()
})
