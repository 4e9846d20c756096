// Tunnels at random: what comes was sent, in order and whole where the end is said; nothing hangs, and nothing is left.
import { randomInt } from 'node:crypto'
import t from 'tap'
import { randomTunnel } from '../../support/random-tunnels.ts'

t.test('tunnels at random carry what is sent, and come to an end', async t => {
  const first = randomInt(2 ** 31)
  for (let round = 0; round < 24; round += 4) {
    const seeds = [0, 1, 2, 3].map(more => first + round + more)
    const found = await Promise.all(seeds.map(randomTunnel))
    for (const [at, wrong] of found.entries()) t.equal(wrong, undefined, `seed ${seeds[at]}`)
  }
})
