// Local ports: the same for a target every time, another for each target, in a range of their own.
import { stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { portFor, preferredPort } from '@gate/cli/ports'
import fc from 'fast-check'
import t from 'tap'
import { temporaryDirectory } from '../support/tmp.ts'

const RELAY = 'https://gate.example.com'

t.test('a target has its own port between 20000 and 29999, whatever its name', async t => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (home, relay, target) => {
      const port = preferredPort(home, relay, target)
      return Number.isInteger(port) && port >= 20_000 && port < 30_000 && port === preferredPort(home, relay, target)
    }),
  )
  const ports = Array.from({ length: 200 }, (_, index) => preferredPort('/home/a', RELAY, `t${index}`))
  t.ok(new Set(ports).size > 190, 'spread over the range')
  t.not(preferredPort('/home/a', RELAY, 'x'), preferredPort('/home/b', RELAY, 'x'), 'people on one machine do not meet')
  t.not(preferredPort('/a', 'b', 'c'), preferredPort('/a b', 'c', ''))
})

t.test('a port is kept, and is never another target’s', async t => {
  await using directory = await temporaryDirectory('ports')
  const home = join(directory.path, 'gate')
  const first = await portFor(home, RELAY, 'prod-db')
  t.equal(first, preferredPort(home, RELAY, 'prod-db'))
  t.equal(await portFor(home, RELAY, 'prod-db'), first)
  t.equal((await stat(join(home, 'ports.json'))).mode & 0o777, 0o600)
  const wanted = preferredPort(home, RELAY, 'other')
  await writeFile(
    join(home, 'ports.json'),
    JSON.stringify({ 'x y': wanted, 'x z': wanted + 1, [`${RELAY} prod-db`]: 25 }),
  )
  t.equal(await portFor(home, RELAY, 'other'), wanted + 2)
  t.equal(await portFor(home, RELAY, 'prod-db'), 25, 'a port that somebody chose is kept')
  const many = new Set<number>()
  for (let index = 0; index < 30; index += 1) many.add(await portFor(home, RELAY, `t${index}`))
  t.equal(many.size, 30)
})

t.test('a port that another program has is not chosen, and one that is kept stays', async t => {
  await using directory = await temporaryDirectory('ports')
  const wanted = preferredPort(directory.path, RELAY, 'busy')
  const other = createServer()
  await new Promise<void>(resolve => other.listen(wanted, '127.0.0.1', resolve))
  try {
    const chosen = await portFor(directory.path, RELAY, 'busy')
    t.not(chosen, wanted)
    t.equal(await portFor(directory.path, RELAY, 'busy'), chosen)
    await writeFile(join(directory.path, 'ports.json'), JSON.stringify({ [`${RELAY} busy`]: wanted }))
    t.equal(await portFor(directory.path, RELAY, 'busy'), wanted)
  } finally {
    other.close()
  }
})

t.test('after the last port of the range comes the first', async t => {
  await using directory = await temporaryDirectory('ports')
  let home = directory.path
  // Homes are tried until one has a target whose port is near the end of the range.
  let target = ''
  for (let index = 0; target === ''; index += 1) {
    if (preferredPort(home, RELAY, `t${index}`) === 29_999) target = `t${index}`
    if (index > 200_000) home = join(directory.path, String(index))
  }
  await writeFile(join(home, 'ports.json'), JSON.stringify({ 'x y': 29_999 }))
  t.equal(await portFor(home, RELAY, target), 20_000)
})

t.test('a file of ports that cannot be read costs the ports, not the work', async t => {
  await using directory = await temporaryDirectory('ports')
  for (const text of ['', '{', '[]', 'null', '{"a":"b"}', '{"a":0}', '{"a":70000}', '{"a":1.5}']) {
    await writeFile(join(directory.path, 'ports.json'), text)
    t.equal(await portFor(directory.path, RELAY, 'x'), preferredPort(directory.path, RELAY, 'x'), text)
  }
})
