// The HTTP room and peers that stall, and WebSockets with frames that no library writes: each costs its own connection only.
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import t from 'tap'
import { WebSocket } from 'ws'
import { startHttpWorld } from '../support/http-world.ts'
import { agreement, closeCode, type Frame, frame, opcodes, openRaw } from '../support/raw-frames.ts'
import { type RawService, sendAndEnd, sendRaw, startRawService, statuses } from '../support/raw-http.ts'
import { handshake, request } from '../support/raw-requests.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support, dba] }
    viewers: [dba]
    routes: ["/read"]
    encoded_slashes: keep
    rules:
      - { name: everything, allow: [engineers, support, dba] }
      - { name: never, when: 'op.path.startsWith("/admin")', deny: "no" }
      - { name: read, when: 'op.route == "/read" && op.body.amount > 100', deny: "no" }
      - { name: quiet, when: 'op.action == "message" && op.text == "forbidden"', deny: "Not that word." }
      - { name: asks, when: 'op.action == "message" && op.text == "ask first"', hold: { approvers: "1 of dba", expires: 60s } }
      - { name: no-mutations, when: 'op.action == "message" && op.graphqlType == "mutation"', deny: "Only queries." }
      - { name: roles, when: 'op.direction == "sent" && op.path == "/roles" && op.body.role == "admin"', deny: "no" }
    mask:
      - { fields: ["**.email"], headers: [x-owner], for: { groups: [support] }, with: redact }
`

/** Far beyond the two seconds that everything is limited to here. */
const LONG_MS = 5_000
/** Longer bodies are not read before they are decided. */
const KEPT_BYTES = 1024 * 1024
const HUGE_BYTES = 16 * 1024 * 1024

const { text, binary, continuation, close, ping, pong } = opcodes
const ok = 'HTTP/1.1 200 OK\r\n'
const events = `${ok}Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n`
/** What a service sends behind the handshake, unmasked as services do. */
const wrongFrames: Readonly<Record<string, Buffer>> = {
  '/masked-frame': frame(text, 'x'),
  '/bad-text': frame(text, Buffer.from([0xff]), { isMasked: false }),
  '/long-message': frame(text, '', { isMasked: false, length: 2 ** 40 }),
}

const own = 'X-Owner: ann\r\nX-Odd: \xe9\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Hop: 1\r\nConnection: x-hop\r\n'
/** What a service says to a handshake. */
const handshakes: Readonly<Record<string, (asked: string) => string>> = {
  '/agreed': asked => agreement(asked).replace('\r\n\r\n', `\r\n${own}\r\n`),
  '/chosen': asked => agreement(asked).replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: two\r\n\r\n'),
  '/other-choice': asked => agreement(asked).replace('\r\n\r\n', '\r\nSec-WebSocket-Protocol: three\r\n\r\n'),
  '/login': () =>
    `HTTP/1.1 401 Who goes there\r\n${own}Content-Type: text/plain\r\nContent-Length: 11\r\n\r\nann@example`,
  '/moved': () => 'HTTP/1.1 302 Found\r\nLocation: /agreed\r\nContent-Length: 0\r\n\r\n',
  '/later': () =>
    'HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
  '/version': () =>
    'HTTP/1.1 426 Upgrade Required\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8, 7\r\nX-Own: 1\r\nContent-Length: 3\r\n\r\nold',
  '/long-refusal': () => `HTTP/1.1 404 Not Found\r\nContent-Length: 100000\r\n\r\n${'x'.repeat(100_000)}`,
}

async function misbehave(path: string, socket: Socket): Promise<void> {
  const said = handshakes[path]?.(hostile.got.at(-1) ?? '')
  if (said !== undefined) return void socket.write(said, 'latin1')
  const wrong = wrongFrames[path]
  if (wrong !== undefined)
    return void socket.write(Buffer.concat([Buffer.from(agreement(hostile.got.at(-1) ?? '')), wrong]))
  if (path === '/drip') for (const sign of `${ok}X-Long: ${'a'.repeat(100)}`) if (socket.write(sign)) await wait(50)
  if (path === '/half') socket.write(`${ok}Content-Length: 1000\r\n\r\nbeginning`)
  if (path === '/huge')
    socket.write(Buffer.concat([Buffer.from(`${ok}Content-Length: ${HUGE_BYTES}\r\n\r\n`), Buffer.alloc(HUGE_BYTES)]))
  if (path === '/silent-events') {
    socket.write(`${events}9\r\ndata: 1\n\n\r\n`)
    await wait(LONG_MS)
    socket.write('9\r\ndata: 2\n\n\r\n0\r\n\r\n')
  }
}

const hostile: RawService = await startRawService((path, socket) => void misbehave(path, socket))
t.teardown(() => hostile[Symbol.asyncDispose]())
const world = await startHttpWorld({
  policy,
  relay: { more: 'limits: { request_head: 2s, request_body: 2s, request_idle: 2s }' },
  target: `  - name: hostile-api
    protocol: http
    labels: { env: prod }
    url: http://127.0.0.1:${hostile.port}
    timeouts: { headers: 2s, body: 2s }
  - { name: wrong-frames, protocol: http, labels: { env: prod }, url: 'http://127.0.0.1:${hostile.port}', pass: [cookies] }
`,
})
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const carol = await world.person('carol')
const bob = await world.person('bob')
const connections = [
  await alice.connect('billing-api'),
  await alice.connect('hostile-api'),
  await carol.connect('billing-api'),
  await alice.connect('wrong-frames'),
  await carol.connect('wrong-frames'),
] as const
const [gate, toHostile, masked, toWrongFrames, maskedFrames] = connections
t.teardown(() => Promise.all(connections.map(each => each[Symbol.asyncDispose]())))

type Body = Readonly<Record<string, unknown>>
const recorded = async (): Promise<Body[]> => (await world.relay.events()).map(({ body }) => body as Body)

/** How the command about this path ended, as soon as the record says so. */
async function endOf(path: string): Promise<Record<string, unknown>> {
  for (;;) {
    const all = await recorded()
    const command = all.find(each => each['type'] === 'command' && String(each['text']).split(/[ \n]/)[1] === path)
    const { session, command: number } = command ?? {}
    const ended = all.find(
      each => each['type'] === 'outcome' && each['session'] === session && each['command'] === number,
    )
    if (command !== undefined && ended !== undefined) return ended
    await wait(50)
  }
}

async function outcomeOf(path: string): Promise<unknown> {
  return (await endOf(path))['status']
}

/** Sends piece by piece, with pauses, and gives what came back until the other side closed. */
async function sendSlowly(pieces: readonly string[], pauseMs: number): Promise<string> {
  const socket = connect({ port: gate.port, host: '127.0.0.1' })
  let answer = ''
  const closed = new Promise<void>(resolve => socket.on('error', () => {}).once('close', () => resolve()))
  socket.on('data', chunk => {
    answer += chunk.toString('latin1')
  })
  for (const piece of pieces) {
    if (!socket.writable) break
    socket.write(piece)
    await wait(pauseMs)
  }
  await closed
  return answer
}

t.test('what stalls ends with a word, and the record says why', async t => {
  const sizes = `Content-Length: ${KEPT_BYTES + 8}\r\nConnection: close`
  const ask = (path: string): Promise<string> => sendRaw(toHostile.port, request(`GET ${path}`, 'Connection: close'))
  const form = [
    'A: 1',
    'Content-Type: multipart/form-data; boundary=b',
    'Content-Length: 100000',
    'Connection: close',
  ].join('\r\n')
  const upload = Array.from({ length: 5 }, () => 'x'.repeat(20_000))
  const [nothing, head, read, uploaded, stalled, slow, silent, drip, half, quiet] = await Promise.all([
    sendSlowly([], 0),
    sendSlowly([...request('GET /slow-head', `X-Long: ${'a'.repeat(100)}`)], 50),
    sendSlowly([`${request('POST /read', 'Content-Type: application/json\r\nContent-Length: 100')}{"amount":`], 0),
    sendSlowly([request('POST /upload', form), ...upload], 700),
    sendSlowly([request('PUT /stalled', 'Content-Length: 100000000', 'x'.repeat(1_000_000))], 0),
    sendSlowly([request('PUT /slow', sizes, 'x'.repeat(KEPT_BYTES)), ...Array.from({ length: 8 }, () => 'x')], 400),
    ask('/silent'),
    ask('/drip'),
    ask('/half'),
    ask('/silent-events'),
  ])
  t.equal(nothing, '', 'who asks nothing is told nothing')
  for (const [name, answer] of Object.entries({ head, read, stalled })) {
    t.match(answer, /^HTTP\/1\.1 408 [\s\S]*application\/problem\+json/, `${name}: ${answer.slice(0, 100)}`)
    t.match(answer, /connection: close/i, name)
  }
  t.same(statuses(uploaded), [200], 'a form that is slow, and comes')
  t.same(statuses(slow), [200], 'a body that is slow, and comes')
  t.same(
    world.service.asked.map(({ url, body }) => [url, body.length]),
    [
      ['/slow', KEPT_BYTES + 8],
      ['/upload', 100_000],
    ],
    'and nothing else reached the service',
  )
  for (const answer of [silent, drip]) t.match(answer, /^HTTP\/1\.1 504 [\s\S]*ERR_GATE_TIMEOUT/, answer.slice(0, 200))
  t.match(half, /^HTTP\/1\.1 200 [\s\S]*beginning$/, 'of an answer that stalls what came')
  t.match(quiet, /data: 1[\s\S]*data: 2[\s\S]*\r\n0\r\n\r\n$/, 'events may be far apart')
  t.equal(await outcomeOf('/stalled'), 'ERR_GATE_CLIENT_TIMEOUT')
  t.equal(await outcomeOf('/silent'), 'ERR_GATE_TIMEOUT')
  t.equal(await outcomeOf('/half'), '200 ERR_GATE_TIMEOUT')
  t.equal(await outcomeOf('/silent-events'), '200')
  const all = await recorded()
  t.match(
    all.filter(({ type, text }) => type === 'command' && String(text).startsWith('POST /read')),
    [{ decision: { effect: 'deny', rule: 'http', reason: 'the body did not come within 2 s for each 16 KiB' } }],
  )
  const ends = all.filter(({ type, code }) => type === 'session.end' && code === 'ERR_GATE_CLIENT_TIMEOUT')
  t.match(ends, [{ reason: 'no whole head of a request within 2 s' }], 'the slow head, and not who asked nothing')
})

t.test('clients that end their side once they have asked', async t => {
  const body = request('PUT /ended', 'Transfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n')
  const [one, closing, many, cut, huge, events, silent] = await Promise.all([
    sendAndEnd(gate.port, request('GET /one')),
    sendAndEnd(gate.port, request('GET /closing', 'Connection: close')),
    sendAndEnd(gate.port, `${body}${request('GET /admin')}${body}`),
    sendAndEnd(gate.port, request('PUT /cut', 'Content-Length: 100', 'abc')),
    sendAndEnd(toWrongFrames.port, request('GET /huge')),
    sendAndEnd(toWrongFrames.port, request('GET /silent-events')),
    sendAndEnd(gate.port, ''),
  ])
  t.same([one, closing, many].map(statuses), [[200], [200], [200, 403, 200]])
  t.match(one, /"url":"\/one"[\s\S]*\}$/)
  t.same(statuses(cut), [400], 'half a body is none')
  t.ok(huge.length > HUGE_BYTES, `${huge.length} bytes`)
  t.match(events, /data: 2\n\n\r\n0\r\n\r\n$/, 'an answer in chunks has its end')
  t.equal(silent, '')
  const began = performance.now()
  const never = await sendAndEnd(gate.port, request('GET /never'))
  t.match(never, /^HTTP\/1\.1 400 [\s\S]*after the client ended its side/)
  t.ok(performance.now() - began < 15_000)
  while (!world.service.aborted.includes('/never')) await wait(50)
  t.pass('and what may be for nobody is given up at the service')
})

t.test('a client that does not read for a while gets all of its answer', async t => {
  const socket = connect({ port: toHostile.port, host: '127.0.0.1' })
  socket.write(request('GET /huge', 'Connection: close'))
  await new Promise(resolve => socket.once('readable', resolve))
  await wait(LONG_MS)
  let bytes = 0
  for await (const chunk of socket) bytes += (chunk as Buffer).length
  t.ok(bytes > HUGE_BYTES, `${bytes} bytes`)
})

t.test('WebSockets: decided, recorded and masked message by message', async t => {
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/echo-socket`, ['chat'])
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  t.equal(socket.protocol, 'chat')
  const echoed = new Promise(resolve => socket.once('message', data => resolve(String(data))))
  socket.send('hello over there')
  t.equal(await echoed, 'hello over there')
  const closed = new Promise<number>(resolve => socket.once('close', resolve))
  socket.send('forbidden')
  t.equal(await closed, 1008)
  const greeted = new WebSocket(`ws://127.0.0.1:${masked.port}/greeting`)
  t.equal(
    await new Promise(resolve => greeted.once('message', data => resolve(String(data)))),
    '{"email":"****","n":1}',
  )
  greeted.close()
  const refused = new WebSocket(`ws://127.0.0.1:${gate.port}/no-socket`)
  t.match(await new Promise<Error>(resolve => refused.once('error', resolve)), /403/)
  t.equal(await outcomeOf('/no-socket'), '403')
  const admin = new WebSocket(`ws://127.0.0.1:${gate.port}/admin`)
  t.match(await new Promise<Error>(resolve => admin.once('error', resolve)), /403/)
  t.ok((await recorded()).some(({ action, text }) => action === 'message' && String(text).includes('‹redacted:')))
  t.equal(await outcomeOf('/echo-socket'), '101 ERR_GATE_REFUSED')
})

t.test('why a service closes is not told where something is masked', async t => {
  for (const [{ port }, expected] of [
    [gate, 'ann@secret.example'],
    [masked, ''],
  ] as const) {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/bye`)
    const closed = new Promise(resolve => socket.once('close', (code, reason) => resolve([code, String(reason)])))
    t.same(await closed, [4000, expected])
  }
})

t.test('each side is told how the other closed', async t => {
  const { closed } = world.service
  const seen = async (): Promise<string | undefined> => {
    while (closed.length === 0) await wait(10)
    return closed.shift()
  }
  closed.length = 0
  const ways: readonly [string, (socket: WebSocket) => void][] = [
    ['1000 bye', socket => socket.close(1000, 'bye')],
    ['4001 é', socket => socket.close(4001, 'é')],
    ['1005 ', socket => socket.close()],
    ['1006 ', socket => socket.terminate()],
  ]
  for (const path of ['/echo-socket', '/stream'])
    for (const [expected, leave] of ways) {
      const socket = new WebSocket(`ws://127.0.0.1:${gate.port}${path}`)
      await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
      if (path === '/stream') await new Promise(resolve => socket.once('message', resolve))
      leave(socket)
      t.equal(await seen(), expected, path)
    }
  const broken = new WebSocket(`ws://127.0.0.1:${gate.port}/break`)
  t.equal(await new Promise(resolve => broken.once('close', resolve)), 1006, 'a connection that breaks is no farewell')
})

t.test('who closes withdraws a message about which people are asked, and not what was sent before', async t => {
  const { closed } = world.service
  const waiting = async (): Promise<unknown[]> => {
    const { stdout } = await alice.runInProcess('requests', '--mine', '--json')
    return (JSON.parse(stdout) as Body[]).filter(({ state }) => state === 'waiting')
  }
  for (const [expected, leave] of [
    ['4002 ', socket => socket.close(4002)],
    ['1006 ', socket => socket.terminate()],
  ] as readonly (readonly [string, (socket: WebSocket) => void])[]) {
    const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/echo-socket`)
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    for (const message of ['first', 'ask first', 'behind it']) socket.send(message)
    t.equal(await new Promise(resolve => socket.once('message', data => resolve(String(data)))), 'first')
    while ((await waiting()).length === 0) await wait(50)
    closed.length = 0
    leave(socket)
    while (closed.length === 0) await wait(10)
    t.same(closed, [expected])
    t.same(await waiting(), [])
  }
})

t.test('many small messages behind one about which people are asked wait, in their order', async t => {
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/echo-socket`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const seen: string[] = []
  socket.on('message', data => seen.push(String(data)))
  const sent = ['ask first', ...Array.from({ length: 70_000 }, (_, at) => String(at % 10))]
  for (const message of sent) socket.send(message)
  const isOpen = (): boolean => socket.readyState === socket.OPEN
  for (const direction of ['sent', 'received']) {
    let waiting: Body | undefined
    while (waiting === undefined && isOpen()) {
      const { stdout } = await alice.runInProcess('requests', '--mine', '--json')
      waiting = (JSON.parse(stdout) as Body[]).find(({ state }) => state === 'waiting')
    }
    await wait(500)
    t.ok(isOpen(), `what is behind it may be much: ${direction}`)
    t.same(seen, [])
    t.equal((await bob.runInProcess('approve', String(waiting?.['id']))).code, 0)
  }
  while (seen.length < sent.length && isOpen()) await wait(20)
  t.ok(isDeepStrictEqual(seen, sent), 'all of them come')
  socket.close()
})

/** Opens a WebSocket, sends a message, and gives the answer, or the code with which it was closed. */
async function say(port: number, path: string, message: string | Buffer): Promise<string | number> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const answer = new Promise<string | number>(resolve => {
    socket.once('message', data => resolve(String(data)))
    socket.once('close', resolve)
  })
  socket.send(message)
  const said = await answer
  socket.terminate()
  return said
}

t.test('what a message says is known to rules, as text and as bytes', async t => {
  const graphql = (query: string): string => JSON.stringify({ type: 'subscribe', payload: { query } })
  const query = graphql('{email}')
  for (const [port, path, message, expected] of [
    [gate.port, '/a', query, query],
    [gate.port, '/a', graphql('mutation {pay}'), 1008],
    [gate.port, '/a', Buffer.from(graphql('mutation {pay}')), 1008],
    [gate.port, '/a', graphql('mutation {pay}').replace('{', '{/**/'), 1008],
    [gate.port, '/a', `42["ask",${graphql('mutation {pay}')}]`, 1008],
    [gate.port, '/a', Buffer.from('forbidden'), 1008],
    [gate.port, '/a', Buffer.from([0, 255]), 1008],
    [gate.port, '/roles', '{"role":"user"}', '{"role":"user"}'],
    [gate.port, '/roles', '{"role":"admin"}', 1008],
    [gate.port, '/roles', '{"role":"user","role":"admin"}', 1008],
    [masked.port, '/a', query, query],
    [masked.port, '/a', graphql('subscription {x:email}'), 1008],
    [masked.port, '/a', graphql('{x:email'), 1008],
    // What keeps a connection going.
    ...['', 'ping', 'PONG', '\n'].map(each => [masked.port, '/a', each, each] as const),
    [masked.port, '/a', '{"email":"x\x1ey"}', 1008],
    [masked.port, '/a', 'ping x', 1008],
    [masked.port, '/a', Buffer.from('{"email":"x"}'), 1008],
  ] as const)
    t.equal(await say(port, path, message), expected, `${path} ${String(message)}`)
})

t.test('handshakes: what the service says of them', async t => {
  const offer = 'Sec-WebSocket-Protocol: one, two'
  const agreed = await openRaw(toWrongFrames.port, '/agreed', offer)
  t.match(agreed.head, /^HTTP\/1\.1 101 /, 'a service may choose none of the subprotocols')
  t.notMatch(agreed.head, /sec-websocket-protocol|x-hop/i)
  t.match(agreed.head, /Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n/)
  t.match(agreed.head, /X-Owner: ann\r\n/, 'written as the service writes it')
  t.notMatch(agreed.head, /x-odd/, 'what is no UTF-8 cannot be written')
  agreed.socket.destroy()
  t.match((await openRaw(toWrongFrames.port, '/chosen', offer)).head, /Sec-WebSocket-Protocol: two\r\n/)
  for (const [path, more] of [
    ['/other-choice', offer],
    ['/chosen', ''],
  ] as const)
    t.match((await openRaw(toWrongFrames.port, path, more)).head, /^HTTP\/1\.1 502 /, 'what nobody offered')
  const guess = 'If-None-Match: "v1"\r\nRange: bytes=0-5'
  ;(await openRaw(toWrongFrames.port, '/agreed', guess)).socket.destroy()
  t.match(hostile.got.at(-1), /"v1"[\s\S]*bytes=0-5/i)
  ;(await openRaw(maskedFrames.port, '/agreed', guess)).socket.destroy()
  t.notMatch(hostile.got.at(-1), /"v1"|bytes=0-5/i, 'no guesses about what is masked')
  const owner = await openRaw(maskedFrames.port, '/agreed')
  t.match(owner.head, /^HTTP\/1\.1 101 [\s\S]*X-Owner: \*\*\*\*\r\n/)

  const refusal = async (port: number, path: string): Promise<string> =>
    sendRaw(port, request(`GET ${path}`, `Connection: upgrade\r\n${handshake}`))
  const login = await refusal(toWrongFrames.port, '/login')
  t.match(login, /^HTTP\/1\.1 401 Who goes there\r\n[\s\S]*X-Owner: ann\r\n[\s\S]*\r\n\r\nann@example$/)
  t.match(login, /X-Odd: \xe9\r\n[\s\S]*Set-Cookie: a=b\r\n[\s\S]*content-length: 11\r\nconnection: close\r\n/)
  const hidden = await refusal(maskedFrames.port, '/login')
  t.match(
    hidden,
    /^HTTP\/1\.1 401 Unauthorized\r\n[\s\S]*X-Owner: \*\*\*\*\r\n[\s\S]*content-length: 0\r\n[\s\S]*\r\n\r\n$/,
  )
  t.match(await refusal(toWrongFrames.port, '/moved'), /^HTTP\/1\.1 302 Found\r\n[\s\S]*Location: \/agreed\r\n/)
  t.match(await refusal(toWrongFrames.port, '/later'), /^HTTP\/1\.1 429 [\s\S]*Retry-After: 7\r\n[\s\S]*\r\n\r\nabc$/)
  t.match(
    await refusal(toWrongFrames.port, '/long-refusal'),
    /^HTTP\/1\.1 404 [\s\S]*content-length: 0\r\n[\s\S]*\r\n\r\n$/,
  )
  t.equal(await outcomeOf('/later'), '429')
  const required =
    /^HTTP\/1\.1 426 Upgrade Required\r\n(?=[\s\S]*Upgrade: websocket\r\n)(?=[\s\S]*Connection: upgrade, close\r\n)/i
  for (const port of [toWrongFrames.port, maskedFrames.port]) {
    const version = await refusal(port, '/version')
    t.match(version, required, 'to what a service wants to change')
    t.match(version, /Sec-WebSocket-Version: 8, 7\r\nX-Own: 1\r\n/)
  }
  for (const other of ['8', '14', '013']) {
    const asked = handshake.replace('Version: 13', `Version: ${other}`)
    const version = await sendRaw(toWrongFrames.port, request('GET /agreed', `Connection: upgrade\r\n${asked}`))
    t.match(version, required, 'gate’s own answer says the same')
    t.match(version, /\r\nsec-websocket-version: 13\r\n/)
  }
  const none = handshake.replace(/\r\nSec-WebSocket-Version: 13/, '')
  t.match(await sendRaw(toWrongFrames.port, request('GET /agreed', `Connection: upgrade\r\n${none}`)), / 400 /)
})

t.test('messages in fragments, with control frames between them, are one message', async t => {
  const socket = await openRaw(
    gate.port,
    '/fragments',
    'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
    frame(text, 'one ', { isLast: false }),
  )
  t.notMatch(socket.head, /sec-websocket-extensions/i, 'what would make frames unreadable is not agreed to')
  t.notOk(world.service.asked.at(-1)?.headers['sec-websocket-extensions'])
  socket.socket.write(
    Buffer.concat([frame(ping, 'p'), frame(continuation, '', { isLast: false }), frame(pong, 'unasked')]),
  )
  socket.socket.write(frame(continuation, 'message', { isLast: true }))
  const [answered, echoed] = await socket.until(2)
  t.match(answered, { opcode: pong, payload: Buffer.from('p') })
  t.match(echoed, { opcode: text, payload: Buffer.from('one message'), isLast: true })
  socket.socket.write(frame(close, Buffer.from([0x0f, 0xa1, 0x62, 0x79, 0x65])))
  t.equal(closeCode(await socket.closed()), 4001, 'the service’s own answer to the code')
  const { status, firstByteMs, durationMs } = await endOf('/fragments')
  t.equal(status, '101')
  t.ok(Number(firstByteMs) <= Number(durationMs))
  const all = await recorded()
  const { session } = all.find(({ type, text: said }) => type === 'command' && said === 'GET /fragments') ?? {}
  const messages = all.filter(each => each['session'] === session && each['action'] === 'message')
  t.same(
    messages.map(({ facts }) => [(facts as Body)['direction'], (facts as Body)['bodyBytes']]),
    [
      ['sent', 11],
      ['received', 11],
    ],
  )
})

t.test('a burst of the smallest messages', async t => {
  const socket = await openRaw(gate.port, '/burst')
  const count = 2_000
  socket.socket.write(Buffer.concat(Array.from({ length: count }, (_, at) => frame(binary, String(at)))))
  const frames = await socket.until(count)
  t.same(
    frames.map(({ payload }) => Number(payload)),
    Array.from({ length: count }, (_, at) => at),
  )
  socket.socket.destroy()
})

const wrong: Readonly<Record<string, readonly [bytes: Buffer, code: number, status: string]>> = {
  '/unmasked': [frame(text, 'x', { isMasked: false }), 1002, 'ERR_GATE_PROTOCOL'],
  '/reserved-1': [frame(text, 'x', { reserved: 4 }), 1002, 'ERR_GATE_PROTOCOL'],
  '/reserved-2': [frame(text, 'x', { reserved: 2 }), 1002, 'ERR_GATE_PROTOCOL'],
  '/opcode': [frame(3, 'x'), 1002, 'ERR_GATE_PROTOCOL'],
  '/control-opcode': [frame(11, 'x'), 1002, 'ERR_GATE_PROTOCOL'],
  '/long-ping': [frame(ping, 'x'.repeat(126)), 1002, 'ERR_GATE_PROTOCOL'],
  '/fragmented-ping': [frame(ping, 'x', { isLast: false }), 1002, 'ERR_GATE_PROTOCOL'],
  '/no-beginning': [frame(continuation, 'x'), 1002, 'ERR_GATE_PROTOCOL'],
  '/two-beginnings': [
    Buffer.concat([frame(text, 'x', { isLast: false }), frame(text, 'y')]),
    1002,
    'ERR_GATE_PROTOCOL',
  ],
  '/close-code': [frame(close, Buffer.from([0x03, 0xed])), 1002, 'ERR_GATE_PROTOCOL'],
  '/half-close-code': [frame(close, 'x'), 1002, 'ERR_GATE_PROTOCOL'],
  '/utf-8': [frame(text, Buffer.from([0xc3, 0x28])), 1007, 'ERR_GATE_PROTOCOL'],
  '/surrogate': [frame(text, Buffer.from([0xed, 0xa0, 0x80])), 1007, 'ERR_GATE_PROTOCOL'],
  '/reason': [frame(close, Buffer.from([0x03, 0xe8, 0xff])), 1007, 'ERR_GATE_PROTOCOL'],
  '/declared': [frame(text, '', { length: 2 ** 40 }), 1009, 'ERR_GATE_LIMIT'],
  '/sum': [
    Buffer.concat([frame(text, 'x'.repeat(600_000), { isLast: false }), frame(continuation, 'x'.repeat(600_000))]),
    1009,
    'ERR_GATE_LIMIT',
  ],
  '/fragments-without-end': [
    Buffer.concat([
      frame(text, '', { isLast: false }),
      ...Array.from({ length: 20_000 }, () => frame(continuation, '', { isLast: false })),
    ]),
    1008,
    'ERR_GATE_LIMIT',
  ],
}

t.test('frames that break the rules end the WebSocket with the code for it', async t => {
  await Promise.all(
    Object.entries(wrong).map(async ([path, [bytes, code, status]]) => {
      const socket = await openRaw(gate.port, path)
      socket.socket.write(Buffer.concat([frame(text, 'before'), bytes]))
      socket.socket.write(frame(text, `after ${path}`))
      const frames = await socket.closed()
      t.equal(closeCode(frames), code, path)
      t.equal(await outcomeOf(path), `101 ${status}`, path)
    }),
  )
  const messages = (await recorded()).filter(({ action }) => action === 'message').map(({ text }) => String(text))
  t.notOk(
    messages.some(each => each.startsWith('after /')),
    'nothing behind them is read',
  )
})

t.test('frames of a service that break the rules', async t => {
  for (const path of Object.keys(wrongFrames)) {
    const frames: readonly Frame[] = await (await openRaw(toWrongFrames.port, path)).closed()
    const isLong = path === '/long-message'
    t.equal(closeCode(frames), isLong ? 1009 : 1011, path)
    t.equal(await outcomeOf(path), `101 ${isLong ? 'ERR_GATE_LIMIT' : 'ERR_GATE_TARGET_PROTOCOL'}`, path)
  }
})

t.test('pings whose answers nobody reads', async t => {
  const { socket } = await openRaw(gate.port, '/pings')
  socket.pause()
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => frame(ping, 'x'.repeat(125))))
  const closed = new Promise<void>(resolve => socket.once('close', () => resolve()).on('error', () => {}))
  const send = (): void => {
    while (!socket.destroyed && socket.write(pings)) {}
  }
  socket.on('drain', send)
  send()
  t.equal(await outcomeOf('/pings'), '101 ERR_GATE_LIMIT')
  socket.destroy()
  await closed
})

t.test('encoded slashes reach a service whose policy says that it keeps them', async t => {
  t.equal((await fetch(`http://127.0.0.1:${gate.port}/@scope%2fname`)).status, 200)
  t.equal(world.service.asked.at(-1)?.url, '/@scope%2Fname')
  t.equal((await fetch(`http://127.0.0.1:${gate.port}/a%2f..%2fb`)).status, 400)
})

t.test('an open WebSocket masks by the policy of the moment', async t => {
  const message = '{"email":"ann@secret.example"}'
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/old`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echo = async (): Promise<string> => {
    const answer = new Promise<string>(resolve => socket.once('message', data => resolve(String(data))))
    socket.send(message)
    return answer
  }
  t.equal(await echo(), message)
  await world.relay.writePolicy(policy.replace('groups: [support]', 'groups: [support, engineers]'))
  while ((await say(gate.port, '/new', message)) === message) await wait(50)
  t.equal(await echo(), '{"email":"****"}')
  socket.terminate()
})
