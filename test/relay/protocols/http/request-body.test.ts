// The body of a request on its way, read from node's parser over real sockets.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createTcp, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { overrideScan } from '@gate/relay/protocols/http/overrides'
import { RequestBody } from '@gate/relay/protocols/http/request-body'
import { socketPort } from '@gate/shared/port'
import { portStream } from '@gate/shared/port-stream'
import t from 'tap'

// As the room does: the parser reads from a stream, not from a socket.
const server = createServer()
const listener = createTcp({ allowHalfOpen: true }, socket =>
  server.emit(
    'connection',
    portStream(socketPort(socket, 'ERR_GATE_CANCELLED')).on('error', () => {}),
  ),
)
listener.listen(0, '127.0.0.1')
await once(listener, 'listening')
t.teardown(() => void listener.close())
const { port } = listener.address() as AddressInfo

/** A request whose head has come, and the client's side of it. */
async function begin(...fields: string[]): Promise<[IncomingMessage, ServerResponse, Socket]> {
  const socket = connect(port, '127.0.0.1')
  const arrived = once(server, 'request')
  socket.on('error', () => {})
  socket.write(['POST / HTTP/1.1', 'Host: x', ...fields, '', ''].join('\r\n'))
  const [request, response] = (await arrived) as [IncomingMessage, ServerResponse]
  request.on('error', () => {})
  return [request, response, socket]
}

const CHUNKED = 'Transfer-Encoding: chunked'

t.test('many small chunks arrive as few, in order and whole', async t => {
  const [request, , socket] = await begin(CHUNKED)
  const body = new RequestBody(request, undefined)
  const digits = Array.from({ length: 50_000 }, (_, index) => String(index % 10))
  socket.write(`${digits.map(digit => `1\r\n${digit}\r\n`).join('')}0\r\n\r\n`)
  const pieces: Buffer[] = []
  for await (const piece of body) pieces.push(piece as Buffer)
  t.equal(Buffer.concat(pieces).toString('latin1'), digits.join(''))
  t.ok(pieces.length < 1_000, `${pieces.length} pieces`)
  socket.destroy()
})

t.test('what must not reach the target breaks the body off before it is out', async t => {
  const [request, , socket] = await begin(CHUNKED)
  const body = new RequestBody(request, overrideScan('urlencoded'))
  const form = 'a=1&_method=delete&b=2'
  socket.write(`${[...form].map(character => `1\r\n${character}\r\n`).join('')}0\r\n\r\n`)
  let seen = ''
  await t.rejects(
    (async () => {
      for await (const piece of body) seen += String(piece)
    })(),
    { code: 'ERR_GATE_PROTOCOL' },
  )
  t.notMatch(seen, /_method=/)
  socket.destroy()
})

t.test('a body that breaks off never ends', async t => {
  const [request, , socket] = await begin('Content-Length: 10')
  const body = new RequestBody(request, undefined)
  let ended = false
  body.on('end', () => {
    ended = true
  })
  socket.write('12345')
  await once(body, 'data')
  socket.resetAndDestroy()
  await new Promise(resolve => body.once('close', resolve))
  t.match(body.errored, { code: 'ERR_GATE_CANCELLED' })
  t.notOk(ended)
})

t.test('a target that does not read stops the client, and one that wants no more lets it go on', async t => {
  const [request, response, socket] = await begin('Content-Length: 100000000')
  const body = new RequestBody(request, undefined)
  body.read(0)
  const chunk = Buffer.alloc(64 * 1024)
  let sent = 0
  const send = async (bytes: number): Promise<void> => {
    while (sent < bytes && !socket.destroyed) {
      sent += Math.min(chunk.length, bytes - sent)
      if (!socket.write(chunk.subarray(0, Math.min(chunk.length, bytes)))) await once(socket, 'drain')
    }
  }
  void send(64 * 1024 * 1024).catch(() => {})
  await wait(500)
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes are on their way`)
  t.notOk(body.isWanted)
  const before = sent
  body.destroy()
  while (sent < before + 8 * 1024 * 1024) await wait(10)
  t.notOk(response.headersSent)
  socket.destroy()
})

t.test('only a client that sends nothing although more is wanted is told of', async t => {
  const [request, response, socket] = await begin(CHUNKED)
  const body = new RequestBody(request, undefined)
  let stalls = 0
  const stalled = (): void => {
    stalls += 1
  }
  body.watch(response, () => socket.bytesWritten, 50, stalled)
  await wait(300)
  t.equal(stalls, 0, 'nobody has asked for the body yet')
  body.resume()
  await wait(300)
  t.ok(stalls > 0)
  socket.destroy()
})
