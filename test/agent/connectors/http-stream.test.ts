// Frames to the agent that no relay of ours would send: what is no request reaches no service, and ends the stream.
import { connectorFor } from '@gate/agent/connectors/registry'
import { httpTarget } from '@gate/agent/http-target'
import type { GateError } from '@gate/shared/errors'
import { dataHeader, FrameReader, linesFrame, requestLines } from '@gate/shared/http-frames'
import type { Port } from '@gate/shared/port'
import t from 'tap'
import { startRawService, startService } from '../../support/http-connector.ts'
import { until } from '../../support/until.ts'

async function openTo(url: string): Promise<Port<Buffer>> {
  const config = httpTarget.parse({ name: 'billing-api', protocol: 'http', url })
  return (await connectorFor(config).connect(config, {}, new AbortController().signal, undefined)).port
}

/** `length` is -1 where only the end tells. */
const request = (method: string, path: string, length = 0, fields: string[] = []): Buffer =>
  linesFrame('request', requestLines({ method, path, length: length < 0 ? undefined : length, fields }))
const data = (text: string): Buffer => Buffer.concat([dataHeader(text.length), Buffer.from(text)])
const end = linesFrame('end', [])

/** Frames that come back, as text; at last the code of the error that the stream ends with, if any. */
async function answersOf(port: Port<Buffer>, frames: number): Promise<string[]> {
  const seen: string[] = []
  const reader = new FrameReader({
    lines: (kind, lines) => void seen.push([kind, ...lines].join(' ')),
    data: bytes => void seen.push(`data ${bytes.toString()}`),
  })
  try {
    for await (const bytes of port) {
      reader.push(bytes)
      if (seen.length >= frames) return seen
    }
  } catch (thrown) {
    seen.push((thrown as GateError).code)
  }
  return seen
}

t.test('one request after the other is answered in frames, also when each byte comes alone', async t => {
  await using service = await startService((incoming, outgoing) => {
    outgoing.sendDate = false
    let body = ''
    incoming.on('data', chunk => {
      body += String(chunk)
    })
    incoming.on('end', () => outgoing.setHeader('Content-Length', body.length + 1).end(`${body}!`))
  })
  const port = await openTo(service.url)
  for (const bytes of [
    request('GET', '/'),
    Buffer.concat([request('POST', '/', 4), data('ab'), data('cd'), end]),
    Buffer.concat([request('POST', '/', -1), data('x'), end]),
    Buffer.concat([request('PUT', '/', -1), end]),
  ]) {
    for (const byte of bytes) void port.write(Buffer.from([byte]))
    const [head = '', body, last] = await answersOf(port, 3)
    t.match(head, /^answer 200 OK /)
    t.match(body, /^data \w*!$/)
    t.equal(last, 'end')
  }
  port.end()
  t.same(await answersOf(port, 1), [])
  t.equal(service.opened, 1)
})

t.test('what is no request ends the stream before a service hears of it', async t => {
  await using service = await startService(() => {})
  for (const [what, bytes] of [
    ['bytes', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an answer', linesFrame('answer', ['200', 'OK'])],
    ['data', data('x')],
    ['an end', end],
    ['no method', request('', '/')],
    ['a method with a space', request('GET /', '/')],
    ['no path', request('GET', '')],
    ['a path with a space', request('GET', '/a b')],
    ['a length that is none', linesFrame('request', ['GET', '/', '-1'])],
    ['no length', linesFrame('request', ['GET', '/'])],
    ['a name without a value', linesFrame('request', ['GET', '/', '0', 'a'])],
    ['a pseudo-header', request('GET', '/', 0, [':path', '/other'])],
    ['an empty name', request('GET', '/', 0, ['', 'x'])],
    [
      'a carriage return',
      Buffer.from(request('GET', '/', 0, ['a', 'b']).toString('latin1').replace(/b$/, '\r'), 'latin1'),
    ],
    ['a frame that is too long', Buffer.from([1, 0xff, 0xff, 0xff, 0xff])],
    ['an unknown kind', Buffer.from([9, 0, 0, 0, 0])],
  ] as const) {
    const port = await openTo(service.url)
    void port.write(bytes)
    t.same(await answersOf(port, 1), ['ERR_GATE_PROTOCOL'], what)
    t.equal(port.broken?.code, 'ERR_GATE_PROTOCOL', what)
  }
  t.equal(service.opened, 0)
})

t.test('a request that comes before the answer to the one before it ends the stream, and is not sent', async t => {
  const seen: string[] = []
  await using service = await startService(incoming => void seen.push(incoming.url ?? ''))
  const port = await openTo(service.url)
  void port.write(Buffer.concat([request('GET', '/1'), request('GET', '/2')]))
  t.same(await answersOf(port, 1), ['ERR_GATE_PROTOCOL'])
  t.notOk(seen.includes('/2'))
})

t.test('a body of another length than was said is not whole at the service', async t => {
  let bodies = 0
  let broken = 0
  await using service = await startService((incoming, outgoing) => {
    incoming.resume()
    incoming.on('error', () => {})
    incoming.once('close', () => {
      if (incoming.complete) bodies += 1
      else broken += 1
    })
    incoming.on('end', () => outgoing.end())
  })
  for (const frames of [
    [request('POST', '/', 3), data('ab'), end],
    [request('POST', '/', 3), data('ab'), data('cd')],
    [request('POST', '/', -1), data('ab'), request('GET', '/')],
  ]) {
    const port = await openTo(service.url)
    const [head, body, rest] = frames
    void port.write(Buffer.concat([head ?? end, body ?? end]))
    await until('a connection', () => service.sockets.size > 0)
    void port.write(rest ?? end)
    t.same(await answersOf(port, 1), ['ERR_GATE_PROTOCOL'])
    await until('its end', () => service.sockets.size === 0)
  }
  const cut = await openTo(service.url)
  void cut.write(Buffer.concat([request('POST', '/', -1), data('ab')]))
  await until('a connection', () => service.sockets.size > 0)
  cut.end()
  t.same(await answersOf(cut, 1), ['ERR_GATE_CANCELLED'])
  await until('its end', () => service.sockets.size === 0)
  t.equal(bodies, 0)
  t.ok(broken > 0)
})

t.test('what comes of a body after its answer is dropped, and the stream goes on', async t => {
  await using service = await startService((incoming, outgoing) => {
    if (incoming.url === '/early') outgoing.writeHead(413, ['Content-Length', '0']).end()
    else outgoing.writeHead(200, ['Content-Length', '0']).end()
  })
  const port = await openTo(service.url)
  void port.write(Buffer.concat([request('POST', '/early', -1), data('x')]))
  t.match((await answersOf(port, 2))[0], /^answer 413/)
  for (let sent = 0; sent < 100; sent += 1) void port.write(data('x'.repeat(64 * 1024)))
  void port.write(Buffer.concat([end, request('GET', '/')]))
  t.match((await answersOf(port, 2))[0], /^answer 200/)
  port.destroy()
})

t.test('a relay that ends its side while the answer is under way gets the rest of it', async t => {
  await using service = await startService((_incoming, outgoing) => {
    outgoing.write('first ')
    setTimeout(() => outgoing.end('last'), 50)
  })
  const port = await openTo(service.url)
  void port.write(request('GET', '/'))
  port.end()
  t.match((await answersOf(port, 10)).slice(1), ['data first ', 'data last', 'end'])
})

t.test('that a client leaves while the service is dialled is no failure of the service', async t => {
  await using service = await startRawService(() => {})
  // Of TLS nothing comes.
  const config = httpTarget.parse({ name: 'billing-api', protocol: 'http', url: `https://127.0.0.1:${service.port}` })
  const failures: string[] = []
  const { signal } = new AbortController()
  const connected = await connectorFor(config).connect(config, {}, signal, undefined, ({ message }) => {
    failures.push(message)
  })
  void connected.port.write(request('GET', '/'))
  await until('a connection', () => service.sockets.size > 0)
  connected.port.destroy()
  await new Promise(resolve => setTimeout(resolve, 50))
  t.same(failures, [])
})
