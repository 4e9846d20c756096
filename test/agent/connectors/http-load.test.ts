// Much of it through the agent: memory, connections and turns have limits.

import { createHash, randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import { MAX_WAITING, Slots } from '@gate/agent/connectors/http/slots'
import { DEFAULT_CONNECTIONS } from '@gate/agent/http-target'
import { GateError } from '@gate/shared/errors'
import { Waiting } from '@gate/shared/waiting'
import t, { type Test } from 'tap'
import { Agent, request } from 'undici'
import { startFront, startRawService, startService } from '../../support/http-connector.ts'

t.test('64 MiB go up and come down unchanged, and hardly any of them are in memory', async t => {
  const TOTAL = 64 * 1024 * 1024
  const chunk = randomBytes(256 * 1024)
  await using service = await startService((incoming, outgoing) => {
    // The peer is slower than we are: what does not fit would pile up between.
    outgoing.writeHead(200, { 'content-length': String(TOTAL) })
    incoming.pipe(outgoing)
  })
  await using front = await startFront({ url: service.url })
  const sent = createHash('sha256')
  let produced = 0
  let received = 0
  let widest = 0
  const source = Readable.from(
    (function* () {
      for (; produced < TOTAL; produced += chunk.length) {
        sent.update(chunk)
        yield chunk
      }
    })(),
    { highWaterMark: 1 },
  )
  const got = createHash('sha256')
  const { body } = await request(front.url, {
    method: 'POST',
    body: source,
    headers: { 'content-length': String(TOTAL) },
  })
  for await (const bytes of body) {
    got.update(bytes)
    received += (bytes as Buffer).length
    widest = Math.max(widest, produced - received)
  }
  t.equal(got.digest('hex'), sent.digest('hex'))
  t.equal(received, TOTAL)
  // Six sockets' kernel buffers are in it as well.
  t.ok(widest < TOTAL / 2, `at most ${widest} bytes were under way`)
})

t.test('a client that does not read stops the service, not the memory', async t => {
  let written = 0
  let stopped: () => void = () => {}
  const full = new Promise<void>(resolve => {
    stopped = resolve
  })
  await using service = await startService((_incoming, outgoing) => {
    const chunk = Buffer.alloc(1024 * 1024)
    const more = (): void => {
      for (let flowing = true; flowing && written < 512; ) {
        flowing = outgoing.write(chunk)
        written += 1
      }
      // Nobody drains it any more: the wait is over when nothing moved for a while.
      clearTimeout(timer)
      timer = setTimeout(stopped, 500)
    }
    let timer = setTimeout(stopped, 5_000)
    outgoing.on('drain', more)
    more()
  })
  await using front = await startFront({ url: service.url })
  const socket = connect({ port: front.port, host: '127.0.0.1' })
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  await full
  t.ok(written < 64, `${written} MiB were taken`)
  socket.destroy()
})

t.test('10,000 requests in a row leave nothing behind', async t => {
  await using service = await startService((incoming, outgoing) => {
    incoming.resume()
    outgoing.end('ok')
  })
  await using front = await startFront({ url: service.url })
  const client = new Agent({ connections: 1 })
  const warnings: Error[] = []
  const warned = (warning: Error): number => warnings.push(warning)
  process.on('warning', warned)
  for (let index = 0; index < 10_000; index += 1) {
    const answer = await request(`${front.url}/${index}`, {
      dispatcher: client,
      ...(index % 3 === 0 ? { method: 'POST', body: 'x' } : {}),
    })
    if ((await answer.body.text()) !== 'ok') t.fail(`request ${index}`)
  }
  process.off('warning', warned)
  t.same(warnings, [])
  t.ok(service.opened < 10, `${service.opened} connections to the service`)
  t.ok(front.opened < 10, `${front.opened} connections to the connector`)
  for (const socket of service.sockets)
    for (const event of ['drain', 'close', 'error', 'data'])
      t.ok(socket.listenerCount(event) < 10, `${socket.listenerCount(event)} listeners for ${event}`)
  await client.close()
})

for (const [name, connections, more] of [
  ['as many as there are by default', DEFAULT_CONNECTIONS, {}],
  ['as many as the target says', 300, { connections: 300 }],
] as const)
  t.test(`more requests than connections wait, and every one is answered: ${name}`, async t =>
    waitAndAnswer(t, connections, more),
  )

async function waitAndAnswer(t: Test, connections: number, more: object): Promise<void> {
  const held: (() => void)[] = []
  let holds = true
  await using service = await startService((_incoming, outgoing) => {
    const answer = (): void => void outgoing.end('ok')
    if (holds) held.push(answer)
    else answer()
  })
  await using front = await startFront({ url: service.url, ...more })
  const answers = Array.from({ length: 400 }, async () => (await request(front.url)).body.text())
  while (held.length < connections) await new Promise(resolve => setTimeout(resolve, 20))
  await new Promise(resolve => setTimeout(resolve, 200))
  t.equal(held.length, connections)
  t.equal(service.opened, connections)
  holds = false
  for (const answer of held) answer()
  t.equal((await Promise.all(answers)).filter(text => text === 'ok').length, 400)
}

t.test('of those that wait there are only so many, and one that gives up makes room', async t => {
  const slots = new Slots('billing-api', 1)
  await slots.take(new Waiting())
  const order: number[] = []
  const quits = new Waiting()
  const waiting = Array.from({ length: MAX_WAITING }, (_, index) =>
    slots.take(index === 0 ? quits : new Waiting()).then(() => void order.push(index)),
  )
  await t.rejects(slots.take(new Waiting()), { code: 'ERR_GATE_LIMIT' })
  quits.leave(new GateError('ERR_GATE_CANCELLED', 'enough'))
  await t.rejects(waiting[0] ?? Promise.resolve(), { code: 'ERR_GATE_CANCELLED' })
  waiting.push(slots.take(new Waiting()).then(() => void order.push(MAX_WAITING)))
  for (let given = 0; given < MAX_WAITING; given += 1) slots.give()
  await Promise.all(waiting.slice(1))
  t.same(
    order,
    Array.from({ length: MAX_WAITING }, (_, index) => index + 1),
  )
  slots.give()
  await slots.take(new Waiting())
  await t.rejects(slots.take(quits), { code: 'ERR_GATE_CANCELLED' })
})

t.test(
  'an answer wins over the end of the connection that comes with it; without one, the end is the error',
  async t => {
    for (const [text, status] of [
      ['HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwho?', 401],
      ['HTTP/1.1 401 No\r\nContent-Length: 4\r\n\r\nwho?', 401],
      ['', 502],
    ] as const) {
      let seen = 0
      await using service = await startRawService(socket => {
        seen += 1
        // What it has not read makes a reset of the end.
        socket.write(text, () => socket.destroy())
        socket.pause()
      })
      await using front = await startFront({ url: service.url })
      for (let round = 1; round <= 5; round += 1) {
        const chunks = Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024))
        const answer = await request(front.url, { method: 'POST', body: Readable.from(chunks) })
        t.equal(answer.statusCode, status)
        t.match(await answer.body.text(), status === 401 ? /^who\?$/ : /closed the connection|connection reset/)
        t.equal(seen, round, 'nothing is sent twice')
      }
    }
  },
)
