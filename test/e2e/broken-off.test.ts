// A tunnel that breaks while a client is slow: what had come before is still read, and what had not does not look whole.
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { answerWith } from '../support/http-target.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { freePort } from '../support/net.ts'
import { startWire } from '../support/relay-wire.ts'

const policy = `
targets:
  - match: { labels: { protocol: http } }
    allow: { groups: [engineers] }
    rules: [{ name: everything, allow: [engineers] }]
`
/** More than is on its way to somebody who does not read, and less than two kernels keep. */
const WHOLE_BYTES = 1_000_000
const MORE_BYTES = 30_000_000

const [port, publicPort] = [await freePort(), await freePort()]
const wire = await startWire(publicPort, port)
t.teardown(() => wire[Symbol.asyncDispose]())
const world = await startHttpWorld({
  policy,
  relay: { port, publicPort },
  answers: {
    '/whole': answerWith('text/plain', 'x'.repeat(WHOLE_BYTES)),
    '/more': answerWith('text/plain', 'x'.repeat(MORE_BYTES)),
  },
})
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const gate = await alice.connect('billing-api')
t.teardown(() => gate[Symbol.asyncDispose]())

/** What a client gets that does not read while the tunnel breaks, and how it ends. */
async function readLate(path: string): Promise<{ bytes: number; isReset: boolean }> {
  const socket = connect(gate.port, '127.0.0.1')
  let bytes = 0
  let isReset = false
  socket.on('error', ({ code }: NodeJS.ErrnoException) => {
    isReset = code === 'ECONNRESET'
  })
  socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  await new Promise<void>(resolve =>
    socket.once('data', chunk => {
      bytes += chunk.length
      socket.pause()
      resolve()
    }),
  )
  socket.on('data', chunk => {
    bytes += chunk.length
  })
  socket.pause()
  // Until nothing more is on its way.
  await wait(1_000)
  t.equal(wire.cut('/v1/connect'), 1)
  await wait(300)
  socket.resume()
  await new Promise(resolve => socket.once('close', resolve))
  return { bytes, isReset }
}

t.test('an answer that had come whole is read to its end', async t => {
  const { bytes, isReset } = await readLate('/whole')
  t.ok(bytes > WHOLE_BYTES, `${bytes}`)
  t.ok(isReset)
})

t.test('one of which more was to come is reset', async t => {
  const { bytes, isReset } = await readLate('/more')
  t.ok(bytes < MORE_BYTES)
  t.ok(isReset)
})
