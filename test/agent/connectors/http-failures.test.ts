// When the service, the client or the stream between them fails: an error that says so, or a broken transfer; never a clean end.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { Agent, Client, request } from 'undici'
import { exchangeBytes, gateError, startFront, startRawService, startService } from '../../support/http-connector.ts'

t.test('a service that is not there, or not believed, is an error of gate’s without its address', async t => {
  await using gone = await startService(() => {})
  const { url } = gone
  await gone[Symbol.asyncDispose]()
  await using front = await startFront({ url })
  const refused = await gateError(await request(front.url, { method: 'POST', body: 'x'.repeat(100_000) }))
  t.match(refused, {
    status: 502,
    header: 'ERR_GATE_TARGET_UNREACHABLE',
    body: { code: 'ERR_GATE_TARGET_UNREACHABLE' },
  })
  t.match(refused.body.message, /billing-api \(ECONNREFUSED\)/)
  t.notMatch(JSON.stringify(refused), /127\.0\.0\.1|:\d{4}/)
  // The stream is good for more requests.
  const client = new Agent({ connections: 1 })
  for (let index = 0; index < 3; index += 1)
    t.equal((await gateError(await request(front.url, { dispatcher: client }))).status, 502)
  await client.close()

  const body = 'x'.repeat(1_000_000)
  const twice = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const socket = connect({ port: front.port, host: '127.0.0.1' })
  let answers = ''
  socket.on('data', bytes => {
    answers += String(bytes)
  })
  for (const count of [1, 2]) {
    socket.write(twice)
    while (answers.split('ERR_GATE_TARGET_UNREACHABLE"').length <= count) await once(socket, 'data')
  }
  t.equal(answers.match(/HTTP\/1\.1 502 /g)?.length, 2)
  socket.destroy()

  await using unknown = await startFront({ url: 'http://no-such-host.invalid' })
  t.match(await gateError(await request(unknown.url)), {
    header: 'ERR_GATE_TARGET_UNREACHABLE',
    body: { message: /ENOTFOUND|EAI_AGAIN/ },
  })
})

t.test('a service that does not answer is given up after its time', async t => {
  let seen = 0
  await using service = await startRawService(() => {
    seen += 1
  })
  await using front = await startFront({ url: service.url, timeouts: { headers: '1s' } })
  t.match(await gateError(await request(front.url)), {
    status: 504,
    header: 'ERR_GATE_TIMEOUT',
    body: { hint: /timeouts\.headers of billing-api/ },
  })
  t.equal(seen, 1, 'nothing is sent twice')
})

t.test('a service that closes or resets before it answers may have done what was asked', async t => {
  for (const how of ['end', 'resetAndDestroy'] as const) {
    await using service = await startRawService(socket => void socket[how]())
    await using front = await startFront({ url: service.url })
    const error = await gateError(await request(front.url, { method: 'POST', body: 'x' }))
    t.match(error, { status: 502, header: 'ERR_GATE_TARGET_UNREACHABLE', body: { hint: /look before/ } }, how)
  }
})

t.test('an answer that is not HTTP is not passed on', async t => {
  const wrong: [string, string][] = [
    ['no HTTP at all', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['both lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: 3x\r\n\r\nabc'],
    ['a folded header', 'HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n'],
    ['a header with a NUL', 'HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n'],
    ['a bare CR', 'HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n'],
    ['a name with a space', 'HTTP/1.1 200 OK\r\nX-A : b\r\nContent-Length: 0\r\n\r\n'],
    ['headers that are too long', `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(70 * 1024)}\r\nContent-Length: 0\r\n\r\n`],
    ...['gzip, chunked', 'gzip', 'identity', 'chunked, chunked', 'xchunked', 'chunked\r\nTransfer-Encoding: gzip'].map(
      (coding): [string, string] => [coding, `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`],
    ),
    ['no status', 'HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nok'],
    ['a status below all', 'HTTP/1.1 099 None\r\nContent-Length: 2\r\n\r\nok'],
    ['an early answer with bare LF', 'HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['an early answer and no more', 'HTTP/1.1 100 Continue\r\nX: 1'.padEnd(70 * 1024, 'x')],
    ['a few bytes of something else', '-ERR\r\n'],
    ['another protocol', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'],
  ]
  for (const [what, text] of wrong) {
    let seen = 0
    await using service = await startRawService(socket => {
      seen += 1
      socket.end(text, 'latin1')
    })
    await using front = await startFront({ url: service.url })
    const error = await gateError(await request(front.url))
    const code = 'ERR_GATE_TARGET_PROTOCOL'
    t.match(error, { status: 502, header: code, body: { code } }, what)
    // What the connector itself finds wrong it says itself.
    if (!/chunked|gzip|identity/.test(what)) t.match(error, { body: { hint: /look before/ } }, what)
    t.equal(seen, 1, what)
  }
})

t.test('a service that says for ever that it will answer is given up', async t => {
  const early = 'HTTP/1.1 102 Processing\r\n\r\n'
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
  for (const [count, status] of [
    [10_000, 200],
    [10_001, 502],
  ] as const) {
    await using service = await startRawService(socket => {
      socket.on('error', () => {})
      socket.write(early.repeat(count) + ok)
    })
    await using front = await startFront({ url: service.url })
    const answer = await request(front.url)
    t.equal(answer.statusCode, status)
    t.match(await answer.body.text(), status === 200 ? 'ok' : /sent 10000 answers before its answer/)
  }
  t.end()
})

t.test('answers before the answer are passed over, wherever they are cut', async t => {
  const early = 'HTTP/1.1 100 Continue\r\n\r\n'
  const hints = 'HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX: \r\n\r\n'
  const whole = 'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n+more'
  for (const before of [early, early + early, hints + early, early + hints + early])
    for (const size of [1, 2, 5, 11, 12, 13, 26, 1_000]) {
      const pieces = (before + whole).match(new RegExp(`[^]{1,${size}}`, 'g')) ?? []
      let seen = 0
      await using service = await startRawService(socket => {
        seen += 1
        socket.setNoDelay(true)
        const say = (from: number): void => {
          if (from === pieces.length) return
          socket.write(pieces[from] ?? '', 'latin1')
          setImmediate(say, from + 1)
        }
        say(0)
      })
      await using front = await startFront({ url: service.url })
      const client = new Agent({ connections: 1 })
      for (const method of ['GET', 'POST', 'GET'] as const) {
        const answer = await request(front.url, { method, body: method === 'POST' ? 'abc' : null, dispatcher: client })
        const what = `${method} ${before.length} ${size}`
        t.equal(answer.statusCode, 200, what)
        t.equal(await answer.body.text(), 'HTTP/1.1 100 Continue\r\n\r\n+more', what)
      }
      t.equal(seen, 3)
      t.same(front.failures, [])
      await client.close()
    }
})

t.test('an answer without a body may say how long it would be, and nothing after it is believed', async t => {
  for (const status of [304, 204])
    for (const method of ['GET', 'HEAD'] as const)
      for (const extra of ['', 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged', 'x'.repeat(1234)]) {
        let seen = 0
        await using service = await startRawService((socket, text) => {
          seen += 1
          if (text.includes(' /next ')) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext')
          else socket.write(`HTTP/1.1 ${status} Fine\r\nETag: "7"\r\nContent-Length: 1234\r\n\r\n${extra}`)
        })
        await using front = await startFront({ url: service.url })
        const client = new Agent({ connections: 1 })
        const answer = await request(front.url, { method, dispatcher: client })
        const what = `${method} ${status} ${extra.slice(0, 8)}`
        t.match({ status: answer.statusCode, etag: answer.headers['etag'] }, { status, etag: '"7"' }, what)
        t.equal(answer.headers['content-length'], undefined, what)
        t.equal(await answer.body.text(), '', what)
        const next = await request(`${front.url}/next`, { dispatcher: client })
        t.equal(await next.body.text(), 'next', what)
        t.equal(seen, 2, what)
        t.same(front.failures, [], what)
        await client.close()
      }
})

t.test('an answer that nobody asked for is nobody’s', async t => {
  const forged = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged'
  for (const [what, delayMs] of [
    ['behind an answer', 0],
    ['while the connection is idle', 20],
  ] as const) {
    const paths: string[] = []
    await using service = await startRawService((socket, text) => {
      paths.push(text.split(' ')[1] ?? '')
      const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
      if (paths.length > 1) return void socket.write(answer)
      socket.write(delayMs === 0 ? answer + forged : answer)
      if (delayMs > 0) setTimeout(() => socket.write(forged), delayMs)
    })
    await using front = await startFront({ url: service.url })
    t.equal(await (await request(`${front.url}/1`)).body.text(), 'ok', what)
    if (delayMs > 0) await new Promise(resolve => setTimeout(resolve, 5 * delayMs))
    t.equal(await (await request(`${front.url}/2`)).body.text(), 'ok', what)
    t.same(paths, ['/1', '/2'], `${what}: nothing is sent twice`)
    t.equal(service.opened, 2, `${what}: the connection is not used again`)
  }
})

t.test(
  'each stream has a connection to the service of its own: what comes there twice reaches nobody else',
  async t => {
    let forgeries = 0
    const asked = new Map<object, Set<string>>()
    await using service = await startRawService((socket, text) => {
      const person = text.split(' ')[1] ?? ''
      asked.set(socket, new Set([...(asked.get(socket) ?? []), person]))
      const answer = `HTTP/1.1 200 OK\r\nContent-Length: ${person.length}\r\n\r\n${person}`
      if (person !== '/mallory') return void socket.write(answer)
      // The second half of what it says comes when the next request may be under way.
      socket.write(answer)
      setImmediate(() => {
        forgeries += 1
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged')
      })
    })
    await using front = await startFront({ url: service.url })
    const people = ['/mallory', '/alice', '/bob', '/carol'].map(path => ({ path, client: new Client(front.url) }))
    for (let round = 0; round < 50; round += 1) {
      const answers = people.map(async ({ path, client }) => {
        const answer = await client.request({ method: 'GET', path }).then(({ body }) => body.text(), String)
        if (path !== '/mallory') t.equal(answer, path)
      })
      await Promise.all(answers)
    }
    t.equal(forgeries, 50)
    for (const paths of asked.values()) t.equal(paths.size, 1, [...paths].join())
    await Promise.all(people.map(({ client }) => client.close()))
  },
)

t.test('a reason phrase that node would not write is no reason to refuse the answer', async t => {
  await using service = await startRawService(socket => {
    socket.end(Buffer.from('HTTP/1.1 200 \u4e2d\u6587\r\nContent-Length: 2\r\n\r\nok'))
  })
  await using front = await startFront({ url: service.url })
  t.equal(await (await request(front.url)).body.text(), 'ok')
})

t.test('an answer that breaks off is broken for the client too, never complete', async t => {
  const CLOSES = 'HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'
  const broken: [string, string, 'end' | 'reset'][] = [
    ['a length that is not reached', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'end'],
    ['chunks without the last', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'end'],
    ['a chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n', 'end'],
    ['a reset within a length', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc', 'reset'],
    ['a reset within chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n', 'reset'],
    ['the last chunk missing on a connection that closes', CLOSES, 'end'],
    ['a reset within chunks on a connection that closes', CLOSES, 'reset'],
    ['a reset where only the end says the length', 'HTTP/1.1 200 OK\r\n\r\nabc', 'reset'],
  ]
  for (const [what, text, how] of broken) {
    await using service = await startRawService(socket => {
      socket.write(text, () => setTimeout(() => (how === 'end' ? socket.end() : socket.resetAndDestroy()), 50))
    })
    await using front = await startFront({ url: service.url })
    await t.rejects(
      request(front.url).then(({ body }) => body.text()),
      what,
    )
    t.match(front.failures, [{ code: /^ERR_GATE_TARGET_(UNREACHABLE|PROTOCOL)$/, message: /billing-api/ }], what)
  }
})

t.test('a client that goes away ends its request at the service', async t => {
  let atService: () => void = () => {}
  const closed = new Promise<void>(resolve => {
    atService = resolve
  })
  let started: () => void = () => {}
  const begun = new Promise<void>(resolve => {
    started = resolve
  })
  await using service = await startService((incoming, outgoing) => {
    incoming.on('error', () => {})
    outgoing.once('close', () => {
      t.notOk(outgoing.writableFinished)
      atService()
    })
    started()
  })
  await using front = await startFront({ url: service.url })
  await t.test('while the answer is awaited', async () => {
    const socket = connect({ port: front.port, host: '127.0.0.1' })
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await begun
    socket.resetAndDestroy()
    await closed
  })
  await t.test('while it still sends: the service sees no complete body', async t => {
    const complete = new Promise<boolean>(resolve => {
      service.server.removeAllListeners('request')
      service.server.on('request', (incoming: import('node:http').IncomingMessage) => {
        incoming.on('error', () => {})
        incoming.once('data', () => socket.resetAndDestroy())
        incoming.once('close', () => resolve(incoming.complete))
      })
    })
    const socket = connect({ port: front.port, host: '127.0.0.1' })
    socket.write('POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n')
    t.notOk(await complete)
  })
})

t.test('an early answer arrives, and the stream is good for the next request', async t => {
  await using service = await startService((incoming, outgoing) => {
    if (incoming.url === '/early') outgoing.writeHead(413).end('too much')
    else outgoing.end('next')
  })
  await using front = await startFront({ url: service.url })
  const chunk = 'a'.repeat(64 * 1024)
  const socket = connect({ port: front.port, host: '127.0.0.1' })
  let answer = ''
  socket.on('data', bytes => {
    answer += bytes.toString('latin1')
  })
  socket.write(`POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: ${chunk.length * 400}\r\n\r\n`)
  for (let index = 0; index < 400; index += 1) if (!socket.write(chunk)) await once(socket, 'drain')
  while (!answer.includes('too much')) await once(socket, 'data')
  t.match(answer, /^HTTP\/1\.1 413 /)
  socket.write('GET /next HTTP/1.1\r\nHost: x\r\n\r\n')
  while (!answer.includes('next')) await once(socket, 'data')
  t.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 1)
  socket.destroy()
})

t.test('what is not a path within the base path is refused before the service hears of it', async t => {
  await using service = await startService(() => {})
  await using front = await startFront({ url: `${service.url}/base` })
  for (const target of [
    'OPTIONS *',
    'GET http://elsewhere/',
    'GET /../secret',
    'GET /a/%2E%2e/%2e./secret',
    'GET /a%2f..%5csecret',
  ])
    t.match(
      await exchangeBytes(front.port, `${target} HTTP/1.1\r\nHost: x\r\n\r\n`, /}$/),
      /^HTTP\/1\.1 502 [\s\S]*ERR_GATE_PROTOCOL/,
      target,
    )
  t.equal(service.opened, 0)
})

t.test('a service that resets while the client does not read breaks that answer and nothing else', async t => {
  let written: (socket: Socket) => void = () => {}
  const atService = new Promise<Socket>(resolve => {
    written = resolve
  })
  await using service = await startRawService((socket, text) => {
    if (text.startsWith('GET /good')) {
      socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
      return
    }
    socket.write(`HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${64 * 1024 * 1024}\r\n\r\n`)
    socket.write(Buffer.alloc(32 * 1024 * 1024))
    written(socket)
  })
  await using front = await startFront({ url: service.url })
  const socket = connect({ port: front.port, host: '127.0.0.1' })
  socket.pause()
  socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const sending = await atService
  // Long enough that everything between is full.
  await new Promise(resolve => setTimeout(resolve, 300))
  sending.resetAndDestroy()
  const closed = once(socket, 'close')
  socket.on('error', () => {})
  await new Promise(resolve => setTimeout(resolve, 100))
  socket.resume()
  await closed
  t.match(front.failures, [{ code: /^ERR_GATE_TARGET_(UNREACHABLE|PROTOCOL)$/, message: /billing-api/ }])
  t.equal(await (await request(`${front.url}/good`)).body.text(), 'ok')
})
