// WebSocket through the agent: a handshake written anew, frames both ways, and every other answer as it is.

import { once } from 'node:events'
import { connect } from 'node:net'
import { connectorFor } from '@gate/agent/connectors/registry'
import { httpTarget } from '@gate/agent/http-target'
import type { GateError } from '@gate/shared/errors'
import { forHandshake } from '@gate/shared/http-frames'
import type { Port } from '@gate/shared/port'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { startFront, startRawService, startService } from '../../support/http-connector.ts'

const HANDSHAKE = [
  'GET /chat HTTP/1.1',
  'Host: x',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
].join('\r\n')

async function answerTo(port: number, text: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(text)
  let answer = ''
  for await (const chunk of socket) answer += String(chunk)
  return answer
}

t.test('frames go both ways, with the subprotocol and the credential but without extensions', async t => {
  process.env['GATE_TEST_TOKEN'] = 'service-token'
  let seen: import('node:http').IncomingHttpHeaders = {}
  let path: string | undefined
  await using service = await startService(() => {})
  const sockets = new WebSocketServer({
    server: service.server,
    perMessageDeflate: true,
    handleProtocols: offered => [...offered][1] ?? false,
  })
  sockets.on('connection', (socket, incoming) => {
    seen = incoming.headers
    path = incoming.url
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  await using front = await startFront({
    url: `${service.url}/base`,
    credential: { bearer: { environment: 'GATE_TEST_TOKEN' } },
  })
  const client = new WebSocket(`${front.url.replace('http', 'ws')}/chat?x=1`, ['one', 'two'], {
    perMessageDeflate: true,
    headers: { authorization: 'Bearer mine', cookie: 'a=b' },
  })
  await once(client, 'open')
  t.equal(client.protocol, 'two')
  t.equal(client.extensions, '')
  t.equal(path, '/base/chat?x=1')
  t.match(seen, { authorization: 'Bearer service-token', host: new URL(service.url).host })
  t.equal(seen['sec-websocket-extensions'], undefined)
  t.equal(seen.cookie, undefined)

  client.send('hello')
  t.equal(String((await once(client, 'message'))[0]), 'hello')
  const big = Buffer.alloc(8 * 1024 * 1024, 'x')
  client.send(big)
  t.ok(big.equals((await once(client, 'message'))[0] as Buffer))

  client.close(1000, 'bye')
  const [code, reason] = (await once(client, 'close')) as [number, Buffer]
  t.equal(code, 1000)
  t.equal(String(reason), 'bye')
  sockets.close()
  t.same(front.failures, [])
})

t.test('a frame that comes with the handshake is not lost', async t => {
  await using service = await startService(() => {})
  const sockets = new WebSocketServer({ server: service.server })
  const got = new Promise<string>(resolve => {
    sockets.on('connection', socket => socket.on('message', data => resolve(String(data))))
  })
  await using front = await startFront({ url: service.url })
  const socket = connect({ port: front.port, host: '127.0.0.1' })
  // A masked text frame "hi" with a mask of zeros.
  socket.write(Buffer.concat([Buffer.from(`${HANDSHAKE}\r\n\r\n`), Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69])]))
  t.equal(await got, 'hi')
  socket.destroy()
  sockets.close()
})

t.test('when one side breaks off, so does the other', async t => {
  await using service = await startService(() => {})
  const sockets = new WebSocketServer({ server: service.server })
  await using front = await startFront({ url: service.url })
  const url = front.url.replace('http', 'ws')

  const first = new WebSocket(url)
  const [atService] = (await once(sockets, 'connection')) as [WebSocket]
  await once(first, 'open')
  const gone = once(atService, 'close')
  first.terminate()
  t.equal((await gone)[0], 1006)

  const second = new WebSocket(url)
  const [again] = (await once(sockets, 'connection')) as [WebSocket]
  await once(second, 'open')
  const lost = once(second, 'close')
  again.terminate()
  t.equal((await lost)[0], 1006)
  sockets.close()
})

t.test('any other answer than 101 is the client’s answer', async t => {
  await using service = await startService((_incoming, outgoing) => {
    const body = 'not you'.repeat(100_000)
    outgoing.writeHead(403, { 'content-length': String(body.length), 'set-cookie': 'a=b' }).end(body)
  })
  await using front = await startFront({ url: service.url })
  const answer = await answerTo(front.port, `${HANDSHAKE}\r\n\r\n`)
  t.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n/)
  t.match(answer, /connection: close/i)
  t.notMatch(answer, /set-cookie/i)
  t.equal(answer.split('not you').length, 100_001)
})

t.test('an answer that was not asked for is an error of gate’s', async t => {
  const wrong: [string, string][] = [
    ['another protocol', 'Upgrade: h2c\r\n'],
    ['an extension', 'Upgrade: websocket\r\nSec-WebSocket-Extensions: permessage-deflate\r\n'],
  ]
  for (const [what, headers] of wrong) {
    let open = true
    await using service = await startRawService(socket => {
      socket.once('end', () => {
        open = false
      })
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n${headers}\r\n`)
    })
    await using front = await startFront({ url: service.url })
    const answer = await answerTo(front.port, `${HANDSHAKE}\r\n\r\n`)
    t.match(answer, /^HTTP\/1\.1 502 [\s\S]*gate-error: ERR_GATE_TARGET_PROTOCOL/, what)
    for (let tries = 0; open && tries < 100; tries += 1) await new Promise(resolve => setTimeout(resolve, 20))
    t.notOk(open, what)
  }
})

t.test('an upgrade to anything else, with a body or by another method is refused unseen', async t => {
  await using service = await startService(() => {})
  await using front = await startFront({ url: service.url })
  for (const text of [
    HANDSHAKE.replace('websocket', 'h2c'),
    HANDSHAKE.replace('GET', 'POST'),
    `${HANDSHAKE}\r\nContent-Length: 3`,
    `${HANDSHAKE}\r\nTransfer-Encoding: chunked`,
  ])
    t.match(await answerTo(front.port, `${text}\r\n\r\n`), /^HTTP\/1\.1 501 [\s\S]*"code":"ERR_GATE_USAGE"/, text)
  t.equal(service.opened, 0)
})

t.test('nothing but a handshake is served on a stream for one, and no stream of another kind is opened', async t => {
  await using service = await startService(() => {})
  const config = httpTarget.parse({ name: 'billing-api', protocol: 'http', url: service.url })
  const open = async (parameters: Readonly<Record<string, string>>): Promise<Port<Buffer>> =>
    (await connectorFor(config).connect(config, parameters, new AbortController().signal, undefined)).port
  for (const [text, expected] of [
    ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 501 [\s\S]*ERR_GATE_USAGE/],
    ['CONNECT billing:443 HTTP/1.1\r\nHost: x\r\n\r\n', /^HTTP\/1\.1 501 [\s\S]*ERR_GATE_USAGE/],
    ['GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n', /^ERR_GATE_PROTOCOL/],
    [`GET / HTTP/1.1\r\nHost: x\r\nX-A: ${'a'.repeat(70 * 1024)}\r\n\r\n`, /^ERR_GATE_PROTOCOL/],
  ] as const) {
    const port = await open(forHandshake)
    void port.write(Buffer.from(text))
    port.end()
    let answer = ''
    try {
      for await (const bytes of port) answer += bytes.toString('latin1')
    } catch (thrown) {
      answer = (thrown as GateError).code
    }
    t.match(answer, expected, text.slice(0, 60))
  }
  for (const parameters of [{ upgrade: 'h2c' }, { upgrade: 'websocket', more: '1' }, { other: '' }])
    await t.rejects(open(parameters), { code: 'ERR_GATE_PROTOCOL' }, JSON.stringify(parameters))
  t.equal(service.opened, 0)
})
