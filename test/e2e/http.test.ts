// The HTTP room through real processes: unchanged curl and undici, a real service, the whole way.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import t from 'tap'
import { Agent, fetch } from 'undici'
import type { Cli, Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { sendAndEnd, sendRaw, statuses } from '../support/raw-http.ts'

const CURL = '/usr/bin/curl'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support, dba] }
    viewers: [dba]
    routes: ["/users/{id}", "/refunds/{id}", "/graphql"]
    headers: [x-tenant]
    rules:
      - { name: everything, allow: [engineers, support, dba] }
      - { name: never, when: 'op.path.startsWith("/admin")', deny: "The admin pages are not for people." }
      - { name: no-deletes, when: 'op.action == "delete" && op.route == "/users/{id}"', deny: "Users are not deleted." }
      - { name: large-refunds, when: 'op.route == "/refunds/{id}" && op.body.amount > 100', deny: "Too much." }
      - { name: no-mutations, when: 'op.route == "/graphql" && op.graphqlType != "query"', deny: "Only queries." }
      - { name: tenants, when: '"x-tenant: 7" in op.headers', deny: "Tenant 7 is closed." }
      - name: refunds
        when: op.action == "post" && op.route == "/refunds/{id}"
        hold: { approvers: "1 of dba", expires: 60s }
      - name: payouts
        when: op.action == "post" && op.path == "/payouts"
        hold: { approvers: "1 of dba", expires: 60s, mode: retry }
      - { name: brief, when: op.path == "/brief", hold: { approvers: "1 of dba", expires: 10s } }
      - { name: brief-retry, when: op.path == "/brief/retry", hold: { approvers: "1 of dba", expires: 10s, mode: retry } }
    mask:
      - { fields: ["**.email", "customers.cards.pan"], headers: [x-owner], for: { groups: [support] }, with: redact }
`

const world = await startHttpWorld({ policy })
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const carol = await world.person('carol')
const bob = await world.person('bob')
const open = await alice.connect('billing-api')
const masked = await carol.connect('billing-api')
t.teardown(() => open[Symbol.asyncDispose]())
t.teardown(() => masked[Symbol.asyncDispose]())

const base = ({ port }: Connection): string => `http://127.0.0.1:${port}`
const agent = new Agent()
t.teardown(() => agent.close())
const get = (connection: Connection, path: string, init: Parameters<typeof fetch>[1] = {}): ReturnType<typeof fetch> =>
  fetch(`${base(connection)}${path}`, { dispatcher: agent, redirect: 'manual', ...init })
const last = (): (typeof world.service.asked)[number] | undefined => world.service.asked.at(-1)
const waitingRequests = async (person: Cli): Promise<string[]> =>
  (JSON.parse((await person.runInProcess('requests', '--json')).stdout) as { id: string }[]).map(({ id }) => id)

/** The one request that waits, as soon as there is one. */
async function waitingRequest(person: Cli): Promise<string> {
  for (;;) {
    const [id] = await waitingRequests(person)
    if (id !== undefined) return id
    await wait(50)
  }
}

const post = (body: unknown): Parameters<typeof fetch>[1] => ({
  method: 'POST',
  body: JSON.stringify(body),
  headers: { 'content-type': 'application/json' },
})

t.test('requests reach the service with its credential, and nothing of the client’s', async t => {
  const answer = await get(open, '/a/../things?x=1&y=%20', {
    headers: { authorization: 'Bearer mine', cookie: 'a=b', 'x-forwarded-for': '6.6.6.6', 'x-own': 'kept' },
  })
  t.equal(answer.status, 200)
  t.match(last(), {
    method: 'GET',
    url: '/things?x=1&y=%20',
    headers: { authorization: 'Bearer service-token', 'x-own': 'kept', 'x-forwarded-proto': 'http' },
  })
  t.equal(last()?.headers['x-forwarded-for'], undefined)
  t.equal(last()?.headers.cookie, undefined)
  t.match(last()?.headers['forwarded'], /^for=_s_/)
})

t.test('methods, bodies and answers come through as they are', async t => {
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'PROPFIND']) {
    const answer = await get(open, '/echo', { method, body: `body of ${method}` })
    t.match(await answer.json(), { method, body: `body of ${method}` })
  }
  const head = await get(open, '/customers', { method: 'HEAD' })
  t.equal(head.status, 200)
  t.ok(Number(head.headers.get('content-length')) > 0)
  t.equal(await head.text(), '')
  const big = await get(open, '/big')
  t.equal((await big.arrayBuffer()).byteLength, 64 * 1024 * 1024)
  const sent = Buffer.alloc(8 * 1024 * 1024, 'u')
  const uploaded = await get(open, '/echo', { method: 'PUT', body: sent })
  await uploaded.arrayBuffer()
  t.equal(last()?.body.length, sent.length)
})

t.test('policy decides on what the service gets', async t => {
  const before = world.service.asked.length
  const refusals: readonly [string, Parameters<typeof fetch>[1], string][] = [
    ['/admin', {}, 'never'],
    ['/users/7', { method: 'DELETE' }, 'no-deletes'],
    ['/refunds/1', post({ amount: 500 }), 'large-refunds'],
    ['/refunds/1', { ...post({ amount: 500 }), headers: { 'content-type': 'text/plain' } }, 'large-refunds'],
    ['/refunds/1', post({}), 'large-refunds'],
    ['/graphql', post({ query: 'mutation { pay }' }), 'no-mutations'],
    ['/graphql', post([{ query: '{ a }' }, { query: 'mutation { pay }' }]), 'no-mutations'],
    ['/refunds/1', { method: 'POST', body: Buffer.alloc(2 * 1024 * 1024, 'x') }, 'large-refunds'],
    ['/refunds/1', { ...post({ amount: 1 }), headers: { 'content-encoding': 'gzip' } }, 'large-refunds'],
    ['/things', { headers: { 'x-tenant': '7' } }, 'tenants'],
  ]
  for (const [path, init, rule] of refusals) {
    const answer = await get(open, path, init)
    t.equal(answer.status, 403, path)
    t.equal(answer.headers.get('content-type'), 'application/problem+json')
    t.match(await answer.json(), { rule, code: 'ERR_GATE_REFUSED', session: /^s_/ }, `${path} ${rule}`)
  }
  t.equal(world.service.asked.length, before, 'nothing reached the service')
  for (const [path, init] of [
    ['/users/7', {}],
    ['/graphql', post({ query: 'query Q { a { b } }' })],
    ['/things', { headers: { 'x-tenant': '8' } }],
  ] as const)
    t.equal((await get(open, path, init)).status, 200, path)
})

t.test('masked fields and headers', async t => {
  const clear = await get(open, '/customers')
  t.match(await clear.text(), 'ann@secret.example')
  const answer = await get(masked, '/customers')
  t.same(await answer.json(), {
    customers: [
      { id: 1, name: 'Ann', email: '****', cards: [{ pan: '****', holder: 'Ann' }] },
      { id: 2, name: 'Bob', email: '****', cards: [] },
    ],
  })
  t.equal(answer.headers.get('accept-ranges'), null)
  const tag = answer.headers.get('etag') ?? ''
  t.match(tag, /^"[\w-]{100,}"$/)
  const same = await get(masked, '/customers', { headers: { 'if-none-match': tag } })
  t.equal(same.status, 304)
  t.equal((await get(masked, '/customers', { headers: { 'if-none-match': '"v1"' } })).status, 200, 'another mask’s tag')
  t.equal((await get(open, '/customers', { headers: { 'if-none-match': '"v1"' } })).status, 304)
  t.notMatch(await (await get(masked, '/csv')).text(), 'secret')
  const owner = await get(masked, '/secrets')
  t.equal(owner.status, 403, 'text in which fields cannot be found')
  const head = await get(masked, '/customers', { method: 'HEAD' })
  t.equal(head.headers.get('content-length'), null, 'the length of the clear body is not told')
})

t.test('names of fields stay as they are written: scripts look for them', async t => {
  const { port } = open
  const said = await sendRaw(
    port,
    'GET /names HTTP/1.1\r\nHost: localhost\r\nX-ABCTest: 1\r\nSOAPAction: 2\r\nConnection: close\r\n\r\n',
  )
  t.match(said, /\r\nX-CamelCase: 1\r\nWWW-Thing: 2\r\n/)
  t.match(said, /\r\n\r\n(?:[\s\S]*\s)?X-ABCTest SOAPAction /)
  t.match(
    await sendRaw(masked.port, 'GET /missing-page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
    /\r\nX-Owner: \*\*\*\*\r\n/,
  )
})

t.test('of errors and redirects that cannot be masked all but the body goes on', async t => {
  const missing = await get(masked, '/missing-page')
  t.equal(missing.status, 404)
  t.equal(missing.headers.get('content-type'), 'application/problem+json')
  t.same([missing.headers.get('x-kept'), missing.headers.get('x-owner')], ['yes', '****'])
  t.match(await missing.json(), { status: 404, code: 'ERR_GATE_REFUSED', detail: /masked for you/ })
  const moved = await get(masked, '/moved-page')
  t.same([moved.status, moved.headers.get('location')], [302, '/elsewhere'])
  t.notMatch(await moved.text(), 'secret')
  const empty = await get(masked, '/empty-page')
  t.same([empty.status, empty.headers.get('x-kept'), await empty.text()], [200, 'yes', ''])
  const nothing = await get(masked, '/empty-error')
  t.same([nothing.status, nothing.headers.get('x-kept'), nothing.headers.get('content-type')], [404, 'yes', null])
  t.equal(await nothing.text(), '', 'an error without a page has none')
  t.equal((await get(masked, '/customers')).status, 200, 'the connection goes on')
})

t.test('encoded bodies are decoded, masked and encoded again', async t => {
  for (const name of ['gzip', 'br', 'deflate', 'raw-deflate']) {
    const coding = name.replace('raw-', '')
    const answer = await get(masked, '/encoded', { headers: { 'x-encoding': name, 'accept-encoding': coding } })
    t.equal(answer.headers.get('content-encoding'), coding)
    const text = await answer.text()
    t.match(text, '"name":"Ann"', name)
    t.notMatch(text, 'secret', name)
  }
  // What nobody asked the service for, and what is not made here: the client gets what it accepts instead.
  for (const accepted of ['zstd', 'zstd, gzip;q=0', 'zstd, gzip', 'gzip;q=0.5']) {
    const answer = await get(masked, '/encoded', { headers: { 'x-encoding': 'zstd', 'accept-encoding': accepted } })
    const isGzip = /gzip(?!;q=0$)/.test(accepted)
    t.equal(answer.headers.get('content-encoding'), isGzip ? 'gzip' : null, accepted)
    t.match(answer.headers.get('vary'), /accept-encoding/)
    const text = await answer.text()
    t.match(text, '"name":"Ann"', accepted)
    t.notMatch(text, 'secret', accepted)
  }
  const unknown = await get(masked, '/encoded', { headers: { 'x-encoding': 'compress' } })
  t.equal(unknown.status, 403)
  await get(masked, '/customers', { headers: { 'accept-encoding': 'zstd, gzip;q=0.5' } })
  t.equal(last()?.headers['accept-encoding'], 'gzip;q=0.5')
  t.rejects((await get(masked, '/bomb')).text(), 'a body that grows too much is cut off')
})

t.test('what cannot be masked is refused', async t => {
  for (const path of ['/image', '/part', '/broken-json']) {
    const answer = await get(masked, path).catch(() => undefined)
    const text = await answer?.text().catch(() => '')
    t.notMatch(text ?? '', 'secret', path)
    if (path !== '/broken-json') t.match(JSON.parse(text ?? ''), { status: 403, rule: 'everything' })
  }
  const ranged = await get(masked, '/customers', { headers: { range: 'bytes=0-5' } })
  t.equal(last()?.headers.range, undefined, 'a part is not asked for')
  t.equal(ranged.status, 200)
})

t.test('pages of a list are whole documents, and parts of bytes are not', async t => {
  const of = (kind: string, status: number): string => `/page?kind=${encodeURIComponent(kind)}&status=${status}`
  for (const kind of ['0-24/319', '0-0/*', '*/0', 'posts 0-24/319', 'items */0'])
    for (const status of kind.includes('*') ? [200] : [200, 206]) {
      const answer = await get(masked, of(kind, status))
      t.equal(answer.status, status, kind)
      t.equal(answer.headers.get('content-range'), kind)
      t.equal(await answer.text(), '[{"n":1,"email":"****"}]')
      t.equal((await get(masked, of(kind, status), { method: 'HEAD' })).headers.get('content-range'), kind)
    }
  for (const kind of ['bytes 0-9/100', 'Bytes 0-9/100', 'bytes=0-9/100', 'bytes */100', 'items 0-9/100, bytes 0-9/100'])
    t.equal((await get(masked, of(kind, 200))).status, 403, kind)
  for (const [range, sent] of [
    ['0-24', '0-24'],
    ['items=0-24', 'items=0-24'],
    ['bytes=0-24', undefined],
    ['BYTES = 0-24', undefined],
    ['items=0-24,bytes=0-5', undefined],
  ] as const) {
    await get(masked, '/echo', { headers: { range } })
    t.equal(last()?.headers['range'], sent, range)
  }
})

t.test('events and streams are not held back', async t => {
  for (const [connection, path, word] of [
    [open, '/events', 'ann@secret.example'],
    [masked, '/events', '****'],
    [open, '/watch', 'ann@secret.example'],
    [masked, '/watch', '****'],
  ] as const) {
    const answer = await get(connection, path)
    const seen: { readonly at: number; readonly text: string }[] = []
    const began = performance.now()
    for await (const chunk of answer.body ?? [])
      seen.push({ at: performance.now() - began, text: Buffer.from(chunk as Uint8Array).toString() })
    t.ok(seen.length >= 2, 'it came in pieces')
    const all = seen.map(({ text }) => text).join('')
    t.equal(all.split(word).length - 1, 3)
  }
})

t.test('a broken answer is not a whole one', async t => {
  const answer = await get(open, '/reset')
  t.equal(answer.status, 200)
  await t.rejects(answer.text())
  t.equal((await get(open, '/things')).status, 200, 'and the next connection works')
  // To a client of HTTP/1.0, to which nothing is sent in chunks, the end of the connection is the end of the answer.
  for (const [path, end] of [
    ['/cut-in-chunks', 'ECONNRESET'],
    ['/whole-in-chunks', 'end'],
  ] as const) {
    const socket = connect({ port: open.port, host: '127.0.0.1' })
    socket.write(`GET ${path} HTTP/1.0\r\nHost: localhost\r\n\r\n`)
    let said = ''
    socket.on('data', chunk => {
      said += String(chunk)
    })
    const ended = await new Promise(resolve => {
      socket.once('end', () => resolve('end'))
      socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code))
    })
    t.match(said, /^HTTP\/1\.1 200 [\s\S]*beginning$/)
    t.notMatch(said, /transfer-encoding|content-length/i)
    t.equal(ended, end)
  }
})

t.test('trailers and redirects', async t => {
  for (const [te, sent] of [
    ['trailers', 'trailers'],
    ['gzip, trailers;q=0.5', 'trailers'],
    ['gzip', undefined],
  ] as const) {
    const head = `Host: localhost\r\nTE: ${te}\r\nConnection: TE, close\r\n\r\n`
    await sendRaw(open.port, `GET /te HTTP/1.1\r\n${head}`)
    t.equal(last()?.headers['te'], sent, `whether the client takes trailers: ${te}`)
    await sendRaw(masked.port, `GET /te HTTP/1.1\r\n${head}`)
    t.equal(last()?.headers['te'], undefined, 'where something is masked they would not go on')
  }
  if (existsSync(CURL)) {
    const { stdout } = await promisify(execFile)(CURL, ['-s', '-i', '--raw', `${base(open)}/trailers`])
    t.match(stdout, /x-sum: 42/i)
  }
  const own = await get(open, '/redirect', { headers: { 'x-to': `http://127.0.0.1:${world.service.port}/next?a=1` } })
  t.equal(own.headers.get('location'), '/next?a=1')
  const other = await get(open, '/redirect', { headers: { 'x-to': 'http://elsewhere.example/' } })
  t.equal(other.status, 502)
})

t.test('nothing of the service’s cookies and origins', async t => {
  const answer = await get(open, '/secrets')
  t.equal(answer.headers.get('set-cookie'), null)
  t.equal(answer.headers.get('access-control-allow-origin'), null)
  t.equal(answer.headers.get('x-owner'), 'ann@secret.example')
})

t.test('held until somebody approves', async t => {
  const waiting = get(open, '/refunds/9', post({ amount: 50 }))
  const id = await waitingRequest(bob)
  const [listed] = JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as Record<string, unknown>[]
  t.match(listed, { action: 'post', text: /POST \/refunds\/9/ })
  t.notOk(world.service.asked.some(({ url }) => url === '/refunds/9'))
  const approved = await bob.runInProcess('approve', id)
  t.equal(approved.code, 0, approved.stderr)
  t.match(await (await waiting).json(), { url: '/refunds/9', body: '{"amount":50}' })
  const again = get(open, '/refunds/10', post({ amount: 60 }))
  const second = await waitingRequest(bob)
  await bob.runInProcess('deny', second, '--reason', 'no')
  const refused = await again
  t.equal(refused.status, 403)
  t.match(await refused.json(), { rule: 'refunds', request: second, detail: /denied it: no/ })
  const stop = new AbortController()
  const given = get(open, '/refunds/11', { ...post({ amount: 70 }), signal: stop.signal }).catch(() => 'gone')
  const third = await waitingRequest(bob)
  stop.abort()
  t.equal(await given, 'gone')
  while ((await waitingRequests(bob)).includes(third)) await wait(50)
})

t.test('held, and the client ends its side', async t => {
  const ask = (path: string, fields = ''): Promise<string> => {
    const head = `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${fields}`
    return sendAndEnd(open.port, `${head}Content-Length: 13\r\n\r\n{"amount":70}`)
  }
  t.match(await ask('/refunds/12'), /^HTTP\/1\.1 400 [\s\S]*while its request was held/)
  t.same(await waitingRequests(bob), [], 'nobody is asked for somebody who may be gone')
  for (const [answer, status] of [
    [await ask('/refunds/13', 'Prefer: respond-async\r\n'), 202],
    [await ask('/payouts'), 403],
  ] as const) {
    const [, id = ''] = /"request":"([^"]+)"/.exec(answer) ?? []
    t.same(statuses(answer), [status], 'who comes again is told when')
    t.equal((await bob.runInProcess('deny', id, '--reason', 'no')).code, 0, answer)
  }
})

t.test('held for clients that come again', async t => {
  const hurried = { ...post({ amount: 1 }), headers: { 'content-type': 'application/json', prefer: 'respond-async' } }
  const asked = await get(open, '/refunds/20', hurried)
  t.equal(asked.status, 202)
  t.equal(asked.headers.get('content-type'), 'application/json', 'what is accepted is no problem')
  t.equal(asked.headers.get('preference-applied'), 'respond-async')
  const said = (await asked.json()) as { request: string; title: string; detail: string; code?: string }
  t.match(said, { title: /accepted the request, which waits for approval/, detail: /waits for .* to approve it/ })
  t.notOk('code' in said, 'it is no error')
  const { request } = said
  t.equal((await get(open, '/refunds/20', hurried)).status, 202, 'asked once')
  t.same(await waitingRequests(bob), [request])
  t.equal((await bob.runInProcess('approve', request)).code, 0)
  const other = await get(open, '/refunds/20', { ...hurried, body: '{"amount":2}' })
  t.equal(other.status, 202, 'another body is another request')
  t.equal(
    (await bob.runInProcess('deny', ((await other.json()) as { request: string }).request, '--reason', 'no')).code,
    0,
  )
  t.equal((await get(open, '/refunds/20', hurried)).status, 200, 'passes')
  const last = await get(open, '/refunds/20', hurried)
  t.equal(last.status, 202, 'once')
  t.equal(
    (await bob.runInProcess('deny', ((await last.json()) as { request: string }).request, '--reason', 'no')).code,
    0,
  )
  const refused = await get(open, '/payouts', post({ to: 'x' }))
  t.equal(refused.status, 403)
  const again = (await refused.json()) as { request: string; hint: string }
  t.match(again.hint, again.request)
  t.equal((await bob.runInProcess('approve', again.request)).code, 0)
  const racing = await Promise.all(Array.from({ length: 8 }, () => get(open, '/payouts', post({ to: 'x' }))))
  t.same(racing.map(({ status }) => status).sort(), [200, ...Array(7).fill(403)], 'of several at once one passes')
  t.equal(world.service.asked.filter(({ url }) => url === '/payouts').length, 1)
  const late = racing.filter(({ status }) => status === 403)
  const held = (await Promise.all(late.map(each => each.json()))) as { request: string; rule: string }[]
  t.same(await waitingRequests(bob), [...new Set(held.map(each => each.request))], 'and the others are held, as one')
  t.not(held[0]?.request, again.request)
  await bob.runInProcess('deny', held[0]?.request ?? '', '--reason', 'no')
  const empty = 'POST /payouts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
  const chunks = await sendRaw(open.port, `${empty}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`)
  const [, id = ''] = /"request":"([^"]+)"/.exec(chunks) ?? []
  t.equal(
    (await bob.runInProcess('approve', id)).code,
    0,
    `a body of no chunk is nothing that people would have to see: ${chunks}`,
  )
  t.same(statuses(await sendRaw(open.port, `${empty}Content-Length: 0\r\n\r\n`)), [200], 'and the same as none')
})

t.test('an approval that is used when its time is over', async t => {
  const ways = [
    ['/brief', { headers: { prefer: 'respond-async' } }, 202],
    ['/brief/retry', {}, 403],
  ] as const
  const ask = async ([path, init, status]: (typeof ways)[number]): Promise<string> => {
    const answer = await get(open, path, init)
    t.equal(answer.status, status, path)
    return ((await answer.json()) as { request: string }).request
  }
  const first = await Promise.all(ways.map(ask))
  const beganMs = Date.now()
  for (const id of first) t.equal((await bob.runInProcess('approve', id)).code, 0)
  await wait(Math.max(0, beganMs + 10_500 - Date.now()))
  const second = await Promise.all(ways.map(ask))
  t.notOk(
    second.some(id => first.includes(id)),
    'people are asked anew',
  )
  t.notOk(
    world.service.asked.some(({ url }) => url.startsWith('/brief')),
    'and nothing has run',
  )
  await bob.runInProcess('approve', second[0] ?? '')
  t.equal((await get(open, '/brief', ways[0][1])).status, 200)
  await bob.runInProcess('deny', second[1] ?? '', '--reason', 'no')
})

t.test('one connection on standard input and output', async t => {
  await using running = alice.start(['connect', 'billing-api', '--stdio'])
  running.child.stdin?.write('GET /stdio HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const [answer] = await running.waitFor(/"body":""\}/)
  t.ok(answer)
  running.child.stdin?.write('GET /admin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  const done = await running.finished()
  t.equal(done.code, 0, done.stderr)
  t.match(done.stdout, /^HTTP\/1\.1 200 OK[\s\S]*"url":"\/stdio"[\s\S]*HTTP\/1\.1 403 Forbidden[\s\S]*"rule":"never"/)
  t.equal((await alice.run('connect', 'billing-api', '--stdio', '--port', '0')).code, 2)
  await using piped = alice.start(['connect', 'billing-api', '--stdio'])
  piped.child.stdin?.end('GET /piped HTTP/1.1\r\nHost: localhost\r\n\r\n')
  const all = await piped.finished()
  t.equal(all.code, 0, all.stderr)
  t.match(all.stdout, /^HTTP\/1\.1 200 OK[\s\S]*"url":"\/piped"[\s\S]*\}$/, 'its input ended before the answer came')
})

t.test('curl, unchanged', { skip: existsSync(CURL) ? false : 'there is no curl' }, async t => {
  const curl = async (...args: string[]): Promise<string> => (await promisify(execFile)(CURL, ['-sS', ...args])).stdout
  t.match(JSON.parse(await curl('-d', 'a=1', `${base(open)}/form`)), { body: 'a=1' })
  t.match(JSON.parse(await curl('-T', '/etc/passwd', `${base(open)}/up`)), { method: 'PUT', body: /root/ })
  t.match(await curl('--http1.0', `${base(open)}/old`), '"url":"/old"')
  t.match(await curl('-H', 'Expect: 100-continue', '-d', 'x', `${base(open)}/expect`), '"body":"x"')
  t.match(await curl('--path-as-is', `${base(open)}/x/%2e%2e/admin`), '"rule":"never"')
  t.match(await curl('--http2', `${base(open)}/upgrade`), '"url":"/upgrade"', 'it offers h2c, and goes on without')
  t.match(await curl('--http2-prior-knowledge', `${base(open)}/h2`).catch(String), /Command failed/)
  t.match(await curl('-x', base(open), 'http://elsewhere.example/'), 'ERR_GATE_REFUSED')
})

t.test('the record has it all, and shows it', async t => {
  const list = await bob.runInProcess('sessions', '--target', 'billing-api', '--json')
  const ids = JSON.parse(list.stdout) as { id: string }[]
  t.ok(ids.length > 0)
  const refused = await bob.runInProcess('sessions', '--rule', 'no-deletes', '--json')
  const [one] = JSON.parse(refused.stdout) as { id: string }[]
  const shown = await bob.runInProcess('sessions', 'show', one?.id ?? '')
  t.match(shown.stdout, 'DELETE /users/7', shown.stderr)
  const events = (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
  const answered = events.filter(event => event.type === 'outcome' && event.status === '200')
  t.ok(
    answered.length > 0 && answered.every(({ firstByteMs, durationMs }) => Number(firstByteMs) <= Number(durationMs)),
  )
  t.notOk(JSON.stringify(events).includes('service-token'))
})
