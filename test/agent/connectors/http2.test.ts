// HTTP/2 to services: negotiated or known before, with all that HTTP/1.1 has; and what breaks off never looks whole.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import { Client, request } from 'undici'
import { createAuthority } from '../../support/certificates.ts'
import { exchangeBytes, gateError, startFront, startRawService, startService } from '../../support/http-connector.ts'
import { type Http2Service, startHttp2 } from '../../support/http2-service.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const http2 = { http_version: '2' }

t.test(
  'a request and its answer go over HTTP/2 with the credential, fields in Latin-1, trailers and a body',
  async t => {
    let seen: IncomingHttpHeaders = {}
    await using service = await startHttp2((stream, headers) => {
      seen = headers
      stream.respond(
        { ':status': 201, 'x-name': 'caf\u00e9', 'set-cookie': ['a=1', 'b=2'], 'x-twice': ['1', '2'] },
        { waitForTrailers: true },
      )
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-checksum': 'abc' }))
      stream.pipe(stream)
    })
    process.env['GATE_TEST_HTTP2_KEY'] = 's3cret'
    await using front = await startFront({
      ...http2,
      url: `${service.url}/base`,
      pass: ['cookies'],
      credential: { header: { name: 'X-Api-Key', value: { environment: 'GATE_TEST_HTTP2_KEY' } } },
    })
    const answer = await request(`${front.url}/echo?a=b`, {
      method: 'POST',
      headers: { 'x-user': 'caf\u00e9', connection: 'keep-alive', te: 'trailers' },
      body: Readable.from([Buffer.from('one '), Buffer.from('two')]),
    })
    t.equal(await answer.body.text(), 'one two')
    t.match(answer, {
      statusCode: 201,
      headers: { 'x-name': 'caf\u00e9', 'set-cookie': ['a=1', 'b=2'], 'x-twice': ['1', '2'] },
      trailers: { 'x-checksum': 'abc' },
    })
    t.match(seen, {
      ':method': 'POST',
      ':path': '/base/echo?a=b',
      ':scheme': 'http',
      ':authority': new URL(service.url).host,
      'x-api-key': 's3cret',
      'x-user': 'caf\u00e9',
      te: 'trailers',
    })
    t.equal(seen.connection, undefined)
  },
)

t.test('over TLS it is negotiated, and a service without it is refused', async t => {
  await using directory = await temporaryDirectory('http2')
  const authority = await createAuthority(directory.path)
  const issued = await authority.issue('here')
  const tls = { cert: await readFile(issued.certificate), key: await readFile(issued.key) }
  let protocol: unknown
  await using service = await startHttp2((stream, headers) => {
    protocol = [stream.session?.alpnProtocol, headers[':scheme']]
    stream.respond({ ':status': 200, 'content-length': '2' })
    stream.end('ok')
  }, tls)
  await using front = await startFront({ ...http2, url: service.url, ca: authority.certificate })
  t.equal(await (await request(front.url)).body.text(), 'ok')
  t.same(protocol, ['h2', 'https'])

  await using stranger = await startFront({ ...http2, url: service.url })
  t.match(await gateError(await request(stranger.url)), { status: 502, body: { message: /TLS: UNABLE_TO_/ } })

  for (const protocols of [[], ['http/1.1']]) {
    await using older = await startService((_incoming, outgoing) => outgoing.end('no'), {
      ...tls,
      ALPNProtocols: protocols,
    })
    await using refused = await startFront({ ...http2, url: older.url, ca: authority.certificate })
    const { header, body } = await gateError(await request(refused.url))
    t.equal(header, 'ERR_GATE_TARGET_PROTOCOL')
    t.match(body, {
      message: /^billing-api does not speak HTTP\/2: its TLS agree.*\(ALPN\)$/,
      hint: /^Set http_version of billing-api to "1\.1"/,
    })
  }
})

t.test('a service that speaks HTTP/1.1 where HTTP/2 was agreed gives an error, not its bytes', async t => {
  await using service = await startRawService(
    socket => void socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno'),
  )
  await using front = await startFront({ ...http2, url: service.url })
  const { status, header, body } = await gateError(await request(front.url))
  t.equal(status, 502)
  t.equal(header, 'ERR_GATE_TARGET_PROTOCOL')
  t.match(body, { message: /does not speak HTTP\/2/, hint: /http_version/ })
})

t.test('what breaks off in the middle is broken for the client, and nothing is sent twice', async t => {
  let service: Http2Service | undefined
  const ends: [string, (stream: ServerHttp2Stream) => void][] = [
    ['reset', stream => stream.destroy(new Error('no more'))],
    ['reset without an error', stream => stream.destroy()],
    ['connection lost', () => service?.drop()],
    ['session ended', stream => stream.session?.destroy()],
  ]
  for (const [what, end] of ends)
    for (const length of [undefined, '100']) {
      let count = 0
      await using started = await startHttp2(stream => {
        count += 1
        stream.respond({ ':status': 200, ...(length === undefined ? {} : { 'content-length': length }) })
        stream.write('half')
        setTimeout(() => end(stream), 50)
      })
      service = started
      await using front = await startFront({ ...http2, url: service.url })
      const answer = await request(front.url)
      t.equal(answer.statusCode, 200)
      await t.rejects(answer.body.text(), `${what}, length ${length}`)
      t.equal(count, 1, what)
    }
})

t.test('an upload that is reset without an error before the answer to it is whole is broken off at once', async t => {
  const [data, headers, reset, settings] = [0, 1, 3, 4]
  for (const hasHead of [true, false]) {
    // Node's own service would end the answer first.
    await using service = await startRawService(socket => {
      socket.write(Buffer.concat([rawFrame(settings, 0), rawFrame(settings, 0, [], 1)]))
      const ok = [rawFrame(headers, 1, [0x88], 4), rawFrame(data, 1, Buffer.from('half'))]
      setTimeout(() => socket.write(Buffer.concat([...(hasHead ? ok : []), rawFrame(reset, 1, [0, 0, 0, 0])])), 200)
    })
    await using front = await startFront({ ...http2, url: service.url })
    const [body, signal] = [Buffer.alloc(1_000_000), AbortSignal.timeout(20_000)]
    const answer = await request(front.url, { method: 'POST', body, signal })
    t.equal(answer.statusCode, hasHead ? 200 : 502)
    if (hasHead) await t.rejects(answer.body.text(), { code: /UND_ERR_SOCKET|ECONNRESET/ })
    else t.match(await gateError(answer), { body: { message: /broke off/ } })
  }
})

/** RFC 9113 section 4.1. */
function rawFrame(type: number, stream: number, payload: Iterable<number> = [], flags = 0): Buffer {
  const body = Buffer.from([...payload])
  const head = Buffer.alloc(9)
  head.writeUIntBE(body.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

t.test('no answer is made up: not of a reset, and not of a status that there is not', async t => {
  await using service = await startHttp2((stream, headers) => {
    if (headers[':path'] === '/reset') return void stream.destroy()
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  await using front = await startFront({ ...http2, url: service.url })
  for (const method of ['GET', 'POST'] as const) {
    const body = method === 'POST' ? 'sent' : null
    t.equal((await gateError(await request(`${front.url}/reset`, { method, body }))).status, 502, method)
  }
  t.equal(await (await request(front.url)).body.text(), 'ok')
})

t.test('what is cut off of a request never looks whole to the service', async t => {
  const ends: string[] = []
  let closed: Promise<unknown> = Promise.resolve()
  await using service = await startHttp2((stream, headers) => {
    stream.on('data', () => {})
    // Node ends what was reset as well.
    stream.on('end', () => {
      if (!stream.aborted && stream.rstCode === constants.NGHTTP2_NO_ERROR) ends.push(String(headers[':path']))
    })
    closed = once(stream, 'close')
    if (headers[':path'] === '/early') {
      stream.respond({ ':status': 413 })
      stream.end('no')
    }
  })
  await using front = await startFront({ ...http2, url: service.url, timeouts: { headers: '1s' } })
  for (const [path, status] of [
    ['/late', 504],
    ['/early', 413],
  ] as const) {
    const socket = connect({ port: front.port, host: '127.0.0.1' })
    socket.write(`POST ${path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    t.match(answer.toString(), `HTTP/1.1 ${status} `)
    await closed
    socket.destroy()
  }
  t.same(ends, [])
})

t.test('an upload may take longer than an answer may', async t => {
  await using service = await startHttp2(stream => {
    let bytes = 0
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    stream.on('end', () => {
      stream.respond({ ':status': 200 })
      stream.end(String(bytes))
    })
  })
  await using front = await startFront({ ...http2, url: service.url, timeouts: { headers: '1s' } })
  async function* slowly(): AsyncGenerator<Buffer> {
    for (let count = 0; count < 6; count += 1) {
      await new Promise(resolve => setTimeout(resolve, 400))
      yield Buffer.alloc(10)
    }
  }
  const answer = await request(front.url, { method: 'POST', body: Readable.from(slowly()) })
  t.same([answer.statusCode, await answer.body.text()], [200, '60'])
})

t.test('a body that was read whole is sent in pieces, and an early answer to it arrives', async t => {
  await using service = await startHttp2((stream, headers) => {
    if (headers[':path'] === '/early') {
      stream.respond({ ':status': 413 })
      return void stream.end('no')
    }
    let bytes = 0
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    stream.on('end', () => {
      stream.respond({ ':status': 200 })
      stream.end(`${headers['content-length']} ${bytes}`)
    })
  })
  process.env['GATE_TEST_HTTP2_ID'] = 'AKIDEXAMPLE'
  process.env['GATE_TEST_HTTP2_SECRET'] = 'wJalrXUtnFEMI'
  const aws_sigv4 = {
    region: 'us-east-1',
    service: 'execute-api',
    access_key_id: { environment: 'GATE_TEST_HTTP2_ID' },
    secret_access_key: { environment: 'GATE_TEST_HTTP2_SECRET' },
  }
  await using front = await startFront({ ...http2, url: service.url, credential: { aws_sigv4 } })
  const ask = (path: string): ReturnType<typeof request> =>
    request(`${front.url}${path}`, { method: 'POST', body: Buffer.alloc(6_000_000) })
  const whole = await ask('/')
  t.same([whole.statusCode, await whole.body.text()], [200, '6000000 6000000'])
  const early = await ask('/early')
  t.same([early.statusCode, await early.body.text()], [413, 'no'])
})

t.test('names of fields may be anything; the authority is that of the URL; lists stay lists', async t => {
  let seen: IncomingHttpHeaders = {}
  await using service = await startHttp2((stream, headers) => {
    seen = headers
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  const { port } = new URL(service.url)
  await using front = await startFront({ ...http2, url: `http://localhost:${port}` })
  const fields = ['constructor: 1', '__proto__: 2', 'If-None-Match: "a"', 'If-None-Match: "b"', 'Connection: close']
  const said = await exchangeBytes(front.port, ['GET / HTTP/1.1', 'Host: x', ...fields, '', ''].join('\r\n'), /ok/)
  t.match(said, /^HTTP\/1\.1 200 /)
  const own = (name: string): unknown => Object.getOwnPropertyDescriptor(seen, name)?.value
  t.same([own('constructor'), own('__proto__'), own('if-none-match')], ['1', '2', '"a", "b"'])
  t.equal(seen[':authority'], `localhost:${port}`)
  const twice = ['GET / HTTP/1.1', 'Host: x', 'User-Agent: a', 'User-Agent: b', 'Connection: close', '', ''].join(
    '\r\n',
  )
  t.match(await exchangeBytes(front.port, twice, /\}/), /ERR_GATE_PROTOCOL/)
})

t.test('a session on which nobody answered is not used again', async t => {
  await using service = await startRawService(() => {})
  await using front = await startFront({ ...http2, url: service.url, timeouts: { headers: '1s' } })
  const client = new Client(front.url)
  for (let round = 1; round <= 2; round += 1) {
    const answer = await client.request({ method: 'GET', path: '/' })
    t.equal(answer.statusCode, 504)
    await answer.body.dump()
    t.equal(service.opened, round)
  }
  await client.close()
})

t.test('a refusal before the answer is an error of gate’s, once; the next request goes through', async t => {
  const paths: (string | undefined)[] = []
  await using service = await startHttp2((stream, headers) => {
    paths.push(headers[':path'])
    if (headers[':path'] === '/refused') return void stream.close(constants.NGHTTP2_REFUSED_STREAM)
    stream.respond({ ':status': 200 })
    stream.end('ok')
  })
  await using front = await startFront({ ...http2, url: service.url })
  const client = new Client(front.url)
  const ask = (path: string): ReturnType<Client['request']> => client.request({ method: 'GET', path })
  t.match(await gateError((await ask('/refused')) as never), { status: 502, header: 'ERR_GATE_TARGET_UNREACHABLE' })
  t.equal(await (await ask('/next')).body.text(), 'ok')
  t.same(paths, ['/refused', '/next'])
  t.equal(service.sessions.size, 1, 'on the same connection')
  await client.close()
})

t.test(
  'a service that says goodbye finishes what it has begun; the next request has a connection of its own',
  async t => {
    await using service = await startHttp2(stream => {
      stream.respond({ ':status': 200 })
      stream.write('be')
      stream.session?.close()
      setTimeout(() => stream.end('gun'), 50)
    })
    await using front = await startFront({ ...http2, url: service.url })
    const client = new Client(front.url)
    for (const round of [1, 2]) {
      t.equal(await (await client.request({ method: 'GET', path: '/' })).body.text(), 'begun')
      t.equal(service.sessions.size, round)
    }
    await client.close()
  },
)

t.test('an early answer arrives though the body is not wanted; HEAD, 204 and 304 have none', async t => {
  await using service = await startHttp2((stream, headers) => {
    const status = Number(headers[':path']?.slice(1))
    stream.respond(
      { ':status': status, ...(status === 304 ? { 'content-length': '5' } : {}) },
      { endStream: status !== 413 },
    )
    if (status === 413) stream.end('too much')
  })
  await using front = await startFront({ ...http2, url: service.url })
  const client = new Client(front.url)
  for (let round = 0; round < 3; round += 1) {
    const chunks = Array.from({ length: 100 }, () => Buffer.alloc(64 * 1024))
    const early = await client.request({ method: 'POST', path: '/413', body: Readable.from(chunks) })
    t.match([early.statusCode, await early.body.text()], [413, 'too much'])
  }
  for (const [method, path] of [
    ['HEAD', '/200'],
    ['GET', '/204'],
    ['GET', '/304'],
  ] as const) {
    const answer = await client.request({ method, path })
    t.match([answer.statusCode, await answer.body.text()], [Number(path.slice(1)), ''])
  }
  await client.close()
})

t.test('a client that goes away, and one that does not read, are felt by the service', async t => {
  let closed: Promise<unknown> | undefined
  let sent = 0
  await using service = await startHttp2((stream, headers) => {
    closed = once(stream, 'close')
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/wait') return
    const more = (): void => {
      while (!stream.destroyed && sent < 512 * 1024 * 1024) {
        sent += 64 * 1024
        if (!stream.write(Buffer.alloc(64 * 1024))) return void stream.once('drain', more)
      }
    }
    more()
  })
  await using front = await startFront({ ...http2, url: service.url })
  const ask = async (path: string): Promise<Socket> => {
    const socket = connect({ port: front.port, host: '127.0.0.1' })
    socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`)
    await once(socket, 'readable')
    return socket
  }
  const patient = await ask('/wait')
  patient.resetAndDestroy()
  await closed
  const slow = await ask('/flood')
  await new Promise(resolve => setTimeout(resolve, 1_000))
  t.ok(sent < 32 * 1024 * 1024, `${sent} bytes were taken from a service whose client does not read`)
  slow.resetAndDestroy()
  await closed
})

t.test('a service that does not answer, or not even speak, is given up after its time', async t => {
  await using silent = await startHttp2(() => {})
  await using front = await startFront({ ...http2, url: silent.url, timeouts: { headers: '1s' } })
  t.match(await gateError(await request(front.url)), { status: 504, body: { message: /did not answer in time/ } })

  const work = async (stream: ServerHttp2Stream): Promise<void> => {
    for (let said = 0; said < 4; said += 1) {
      await wait(500)
      stream.additionalHeaders({ ':status': 102 })
    }
    stream.respond({ ':status': 200 })
    stream.end('done')
  }
  await using busy = await startHttp2(stream => void work(stream))
  await using patient = await startFront({ ...http2, url: busy.url, timeouts: { headers: '1s' } })
  t.equal(await (await request(patient.url)).body.text(), 'done', 'it says that it is at work')

  await using endless = await startHttp2(stream => {
    stream.on('error', () => {})
    const more = setInterval(() => {
      if (stream.destroyed) return clearInterval(more)
      for (let said = 0; said < 100; said += 1) stream.additionalHeaders({ ':status': 102 })
    }, 5)
    stream.on('close', () => clearInterval(more))
  })
  await using strict = await startFront({ ...http2, url: endless.url })
  t.match(await gateError(await request(strict.url)), {
    status: 502,
    body: { message: /sent 10000 answers before its answer/ },
  })

  await using nobody = await startFront({ ...http2, url: 'http://127.0.0.1:9' })
  t.match(await gateError(await request(nobody.url)), { status: 502, body: { message: /ECONNREFUSED/ } })
})

t.test('heads that are too long, or have too many fields, are not passed on', async t => {
  await using service = await startHttp2((stream, headers) => {
    const long = headers[':path'] === '/long'
    const fields = Object.fromEntries(Array.from({ length: 400 }, (_, index) => [`x-${index}`, '1']))
    stream.respond({ ':status': 200, ...(long ? { 'x-long': 'x'.repeat(100_000) } : fields) })
    stream.end('ok')
  })
  await using front = await startFront({ ...http2, url: service.url })
  for (const path of ['/long', '/many']) {
    const { status } = await gateError(await request(`${front.url}${path}`))
    t.equal(status, 502, path)
  }
})

t.test('a WebSocket handshake goes over HTTP/1.1', async t => {
  let asked = ''
  await using service = await startRawService((socket, text) => {
    asked = text
    socket.end('HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n')
  })
  await using front = await startFront({ ...http2, url: service.url })
  const handshake = ['GET / HTTP/1.1', 'Host: x', 'Connection: Upgrade', 'Upgrade: websocket']
  const key = ['Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13', '', '']
  t.match(await exchangeBytes(front.port, [...handshake, ...key].join('\r\n'), /\r\n\r\n/), /^HTTP\/1\.1 400 /)
  t.match(asked, /^GET \/ HTTP\/1\.1\r\n/)
})
