// Requests through the agent to a real service: what arrives there, and what comes back.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as nodeRequest } from 'node:http'
import t from 'tap'
import { request } from 'undici'
import { exchangeBytes, startFront, startService } from '../../support/http-connector.ts'

t.test('a request arrives as it was sent, and so does the answer', async t => {
  await using service = await startService((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      outgoing.writeHead(201, ['X-One', 'a', 'X-Two', 'b', 'X-One', 'c', 'Content-Type', 'text/plain'])
      outgoing.end(
        JSON.stringify({
          line: `${incoming.method} ${incoming.url}`,
          headers: incoming.rawHeaders,
          body: Buffer.concat(chunks).toString('hex'),
        }),
      )
    })
  })
  await using front = await startFront({ url: `${service.url}/base/` })
  for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'REPORT']) {
    const body = method === 'GET' || method === 'OPTIONS' ? undefined : randomBytes(100)
    const path = "/a%2Fb/%C3%A9;x=1/'!*?q=1&q=%20+&=&%"
    const answer = await request(`${front.url}${path}`, { method: method as 'GET', ...(body ? { body } : {}) })
    t.equal(answer.statusCode, 201)
    t.same(answer.headers['x-one'], ['a', 'c'])
    const seen = (await answer.body.json()) as { line: string; body: string; headers: string[] }
    t.equal(seen.line, `${method} /base${path}`)
    t.equal(seen.body, body?.toString('hex') ?? '')
    t.equal(seen.headers[seen.headers.findIndex(name => /^host$/i.test(name)) + 1], new URL(service.url).host)
  }
  const head = await request(front.url, { method: 'HEAD' })
  t.equal(head.statusCode, 201)
  t.equal(await head.body.text(), '')
})

t.test('where COPY and MOVE lead is behind the base path as well, and never above it', async t => {
  const seen: unknown[] = []
  await using service = await startService((incoming, outgoing) => {
    seen.push(incoming.headers['destination'])
    outgoing.end()
  })
  await using front = await startFront({ url: `${service.url}/base` })
  const ask = async (method: string, destination: string): Promise<number> => {
    const answer = await request(front.url, { method: method as 'GET', headers: { destination } })
    await answer.body.dump()
    return answer.statusCode
  }
  t.equal(await ask('MOVE', '/b%40?c=1'), 200)
  t.equal(await ask('COPY', '/'), 200)
  t.equal(await ask('POST', 'left as it is'), 200)
  t.same(seen, [`${service.url}/base/b%40?c=1`, `${service.url}/base/`, 'left as it is'])
  for (const destination of ['/../b', '/a/%2e%2E/b', 'http://elsewhere.example/b', 'b', '/b#c'])
    t.equal(await ask('MOVE', destination), 502, destination)
  t.equal(seen.length, 3)
})

t.test('headers of one hop, of the client’s own login and of the service’s host do not pass', async t => {
  await using service = await startService((incoming, outgoing) => {
    const sent: [string, string][] = [
      ['X-Passes', 'yes'],
      ['Set-Cookie', 'a=b'],
      ['WWW-Authenticate', 'Basic realm="x"'],
      ['Authentication-Info', 'x'],
      ['Proxy-Authenticate', 'Basic'],
      ['Gate-Error', 'ERR_GATE_FORGED'],
      ['Gate-Anything', 'x'],
      ['Strict-Transport-Security', 'max-age=1'],
      ['Alt-Svc', 'h3=":443"'],
      ['Public-Key-Pins', 'x'],
      ['Clear-Site-Data', '"*"'],
      ['Authorization', 'x'],
      ['X-Hop', 'x'],
      ['Connection', 'X-Hop, close'],
      ['X-Seen', JSON.stringify(incoming.rawHeaders)],
    ]
    outgoing.writeHead(200, sent.flat())
    outgoing.end()
  })
  const lines = [
    'GET / HTTP/1.1',
    'Host: evil.example',
    'X-Passes: yes',
    'Via: 1.1 gate',
    'X-Forwarded-For: 1.2.3.4',
    'Forwarded: for=1.2.3.4',
    'Authorization: Bearer mine',
    'Cookie: c=d',
    'Cookie2: $Version=1',
    'Proxy-Authorization: x',
    'Proxy_Authorization: x',
    'Proxy-Connection: keep-alive',
    'Keep-Alive: 1',
    'TE: gzip, trailers',
    'Expect: 100-continue',
    'Upgrade-Insecure-Requests: 1',
    'X-Hop: x',
    'X_Hop: x',
    'Connection: keep-alive, x-hop',
  ]
  const ask = async (settings: object): Promise<{ seen: string[]; answer: string }> => {
    await using front = await startFront({ url: service.url, ...settings })
    const answer = await exchangeBytes(front.port, `${lines.join('\r\n')}\r\n\r\n`, /X-Seen: .*\r\n[\s\S]*\r\n\r\n/)
    return { seen: JSON.parse(/X-Seen: (.*)\r\n/.exec(answer)?.[1] ?? '[]') as string[], answer }
  }
  const names = (seen: string[]) => seen.filter((_, index) => index % 2 === 0).map(name => name.toLowerCase())

  const plain = await ask({})
  t.same(
    names(plain.seen).sort(),
    ['connection', 'forwarded', 'host', 'te', 'upgrade-insecure-requests', 'via', 'x-forwarded-for', 'x-passes'].sort(),
  )
  t.equal(plain.seen[names(plain.seen).indexOf('te') * 2 + 1], 'trailers')
  t.match(plain.answer, /X-Passes: yes/)
  t.notMatch(
    plain.answer,
    /set-cookie|authenticate|authentication-info|forged|gate-|strict-transport|alt-svc|key-pins|clear-site|authorization: x|x-hop: /i,
  )

  t.notOk(names((await ask({ via: false })).seen).includes('via'), 'some services compress nothing for gateways')

  const passed = await ask({ pass: ['cookies', 'authorization'] })
  t.ok(names(passed.seen).includes('cookie'))
  t.ok(passed.seen.includes('Bearer mine'))
  t.match(passed.answer, /Set-Cookie: a=b/)
  t.match(passed.answer, /WWW-Authenticate: Basic/)
  t.notMatch(passed.answer, /proxy-authenticate|gate-|authorization: x/i)
})

t.test('an answer streams as it comes, with its trailers, and hints before it are left out', async t => {
  let more: () => void = () => {}
  await using service = await startService((_incoming, outgoing) => {
    outgoing.writeEarlyHints({ link: '</x>; rel=preload' })
    outgoing.writeHead(200, 'Quite Fine', { 'content-type': 'text/event-stream', trailer: 'X-Sum, Set-Cookie' })
    outgoing.flushHeaders()
    more = () => {
      outgoing.write('one')
      more = () => {
        outgoing.addTrailers({ 'X-Sum': '42', 'Set-Cookie': 'a=b' })
        outgoing.end()
      }
    }
  })
  await using front = await startFront({ url: service.url })
  let hints = 0
  const asked = nodeRequest(front.url, { headers: { te: 'trailers' } })
  asked.on('information', () => {
    hints += 1
  })
  asked.end()
  // Each wait would never end if the connector kept back what it has.
  const [answer] = (await once(asked, 'response')) as [import('node:http').IncomingMessage]
  t.equal(answer.statusMessage, 'Quite Fine')
  t.equal(answer.headers.trailer, 'X-Sum, Set-Cookie')
  more()
  t.equal(String((await once(answer, 'data'))[0]), 'one')
  more()
  await once(answer, 'end')
  t.same(answer.trailers, { 'x-sum': '42' })
  t.equal(hints, 0)
})
