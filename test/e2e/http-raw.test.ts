// The HTTP room against bytes that no honest client sends, and against a service that is hostile itself: raw sockets both ways.
import { randomBytes } from 'node:crypto'
import { type IncomingHttpHeaders, METHODS } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { answerHead, cut, hostileAnswers, wholeAnswer, zipped } from '../support/raw-answers.ts'
import { sendRaw, startRawService, statuses } from '../support/raw-http.ts'
import { chunked, host, malformedRequests, multipart, request, sized, upgrade } from '../support/raw-requests.ts'
import { until } from '../support/until.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support, dba] }
    viewers: [dba]
    routes: ["/refunds/{id}", "/graphql"]
    headers: [x-tenant]
    rules:
      - { name: everything, allow: [engineers, support, dba] }
      - { name: never, when: 'op.path.startsWith("/admin")', deny: "no" }
      - { name: tenants, when: '"x-tenant: 7" in op.headers', deny: "Tenant 7 is closed." }
      - { name: one-tenant, when: 'op.parameters.exists(p, p.startsWith("tenant=") && p != "tenant=7")', deny: "One." }
      - { name: no-deletes, when: 'op.action == "delete"', deny: "Not deleted." }
      - { name: large, when: 'op.route == "/refunds/{id}" && op.body.amount > 100', deny: "Too much." }
      - { name: no-mutations, when: 'op.route == "/graphql" && op.graphqlType == "mutation"', deny: "Only queries." }
      - { name: no-roles, when: 'op.path == "/users" && "role" in op.bodyFields', deny: "No roles." }
      - { name: silence, when: 'op.action == "message" && op.text == "forbidden"', deny: "Not that word." }
    mask:
      - { fields: ["**.email"], headers: [x-owner], for: { groups: [support] }, with: redact }
`

const hostile = await startRawService((path, socket) => {
  if (path === '/reset') {
    socket.write(`${answerHead('Content-Length: 1000')}beginning`)
    return void setImmediate(() => socket.resetAndDestroy())
  }
  if (path === '/early') return void socket.write(wholeAnswer(['Connection: close'], 'enough'))
  socket.end(hostileAnswers[path] ?? wholeAnswer([], 'ok'))
})
const world = await startHttpWorld({
  policy,
  target: `  - name: hostile-api
    protocol: http
    labels: { env: prod }
    url: http://127.0.0.1:${hostile.port}
`,
})
t.teardown(() => hostile[Symbol.asyncDispose]())
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const carol = await world.person('carol')
const connections = [
  await alice.connect('billing-api'),
  await carol.connect('billing-api'),
  await alice.connect('hostile-api'),
  await carol.connect('hostile-api'),
] as const
const [open, masked, open2, masked2] = connections
t.teardown(() => Promise.all(connections.map(each => each[Symbol.asyncDispose]())))

const probe = request('GET /probe', 'Connection: close')
/** What the service was asked by it, the probe left out. */
async function attack(connection: Connection, bytes: string): Promise<{ answer: string; asked: string[] }> {
  const before = world.service.asked.length
  const answer = await sendRaw(connection.port, bytes, probe)
  const asked = world.service.asked.slice(before).map(({ method, url, body }) => `${method} ${url} ${body}`.trim())
  return { answer, asked: asked.filter(each => each !== 'GET /probe') }
}

t.test('what is malformed is refused, and nothing of it reaches the service', async t => {
  for (const [name, bytes] of Object.entries(malformedRequests)) {
    const { answer, asked } = await attack(open, bytes)
    t.same(asked, [], `${name}: nothing reached the service`)
    const [status = 0] = statuses(answer)
    t.ok(status >= 400 && status < 500, `${name}: ${status}`)
    t.match(answer, 'application/problem+json', name)
    t.equal(statuses(await sendRaw(open.port, probe))[0], 200, `${name}: the next connection works`)
  }
})

t.test('what a service may read in another way than rules do', async t => {
  for (const [target, status] of [
    ['/a?tenant=7', 200],
    ['/a?tenant=7&tenant=8', 403],
    ['/a?tenant=7&%74enant=8', 403],
    ['/(S(abc))/admin', 400],
    ['/x/(s(abc)f(d))admin', 400],
    ['/%28S%28abc%29%29/admin', 400],
  ] as const) {
    const { answer, asked } = await attack(open, request(`GET ${target}`))
    t.equal(statuses(answer)[0], status, target)
    t.equal(asked.length, status === 200 ? 1 : 0)
  }
  const twice = await attack(open, request('GET /a', 'X-Tenant: 8\r\nx-tenant: 9'))
  t.match(twice, { asked: [], answer: /^HTTP\/1\.1 400 [\s\S]*two x-tenant fields/ })
})

t.test('every method that the parser knows passes or is refused, and others are not implemented', async t => {
  const refusing: Readonly<Record<string, number>> = { CONNECT: 400, TRACE: 400, DELETE: 403 }
  for (const method of METHODS) {
    const target = method === 'CONNECT' ? 'localhost:80' : '/a'
    const { answer, asked } = await attack(open, request(`${method} ${target}`, 'Content-Length: 0'))
    const status = refusing[method]
    t.same(asked, status === undefined ? [`${method} /a`] : [], method)
    t.equal(statuses(answer)[0], status ?? 200, method)
    if (status !== undefined) t.match(answer, 'application/problem+json', method)
  }
  const others = ['LIST', 'BAN', 'get', 'Get', 'BASELINE-CONTROL', 'CHECKIN', 'LABEL', 'MKREDIRECTREF', 'MKWORKSPACE']
  const more = ['ORDERPATCH', 'UNCHECKOUT', 'UPDATE', 'UPDATEREDIRECTREF', 'VERSION-CONTROL', 'G.T']
  for (const method of [...others, ...more]) {
    const { answer, asked } = await attack(open, request(`${method} /a`))
    t.match(
      answer,
      /^HTTP\/1\.1 501 Not Implemented\r\n[\s\S]*problem\+json[\s\S]*"detail":"the method is none/,
      method,
    )
    t.match(answer, '?list=true', method)
    t.same(asked, [], method)
  }
  const behind = await attack(open, `${request('GET /a')}${request('LIST /b')}`)
  t.same([behind.asked, statuses(behind.answer)], [['GET /a'], [200, 501]], 'behind another request')
})

t.test('what is no request of HTTP is refused with a hint', async t => {
  const refused = /^HTTP\/1\.1 400 Bad Request\r\n[\s\S]*"hint":/
  const odd = await sendRaw(open.port, request('GET /caf\xe9\x01'))
  t.match(odd, refused)
  t.match(odd, 'Percent-encode')
})

t.test('addresses as people type them', async t => {
  const typed = (target: string): string => request(`GET ${Buffer.from(target).toString('latin1')}`)
  const one = await attack(open, typed('/café/{a}?q=ü&r=100%&p=C:\\x'))
  t.same(one.asked, ['GET /caf%C3%A9/%7Ba%7D?q=%C3%BC&r=100%25&p=C:%5Cx'])
  t.match((await attack(open, typed('/admin/é'))).answer, /^HTTP\/1\.1 403 /, 'rules decide as ever')
  t.match((await attack(open, typed('/a/../admin/é'))).answer, /^HTTP\/1\.1 403 /)
  t.match((await attack(open, request('GET /caf\xe9'))).answer, /^HTTP\/1\.1 400 /, 'what is no UTF-8')
  t.match((await attack(open, typed('/a\\é'))).answer, /^HTTP\/1\.1 400 /)
  const body = 'GET /é HTTP/1.1\r\n'
  const sent = sized('POST /a', 'text/plain', body)
  const [head = '', ...rest] = sent.split('\r\n\r\n')
  const socket = connect({ port: open.port, host: '127.0.0.1' })
  let answers = ''
  socket.on('data', chunk => {
    answers += chunk.toString('utf8')
  })
  socket.write(`${head}\r\n\r\n`)
  await wait(100)
  socket.write(rest.join('\r\n\r\n'), 'latin1')
  await until('the answer', () => answers.includes('GET /é HTTP/1.1'))
  t.equal(world.service.asked.at(-1)?.body, body, 'a body is a body')
  socket.write(typed('/ö'), 'latin1')
  await until('the next answer', () => answers.includes('/%C3%B6'))
  socket.destroy()
})

t.test('a body that is cut off within its coding', async t => {
  for (const coding of Object.keys(cut)) {
    const asked = request(`GET /cut/${coding}`, `Accept-Encoding: ${coding}\r\nConnection: close`)
    const clear = await sendRaw(open2.port, asked)
    const passed = Buffer.from(clear, 'latin1').subarray(clear.indexOf('\r\n\r\n') + 4)
    t.ok(passed.equals(cut[coding] ?? Buffer.alloc(0)), `${coding}: as it came, which its reader finds`)
    const answer = await sendRaw(masked2.port, asked)
    const isBroken = statuses(answer)[0] === 200 && !answer.endsWith('\r\n0\r\n\r\n')
    t.ok(isBroken || statuses(answer)[0] === 502, `${coding}: what is made anew of it is no whole one`)
  }
})

t.test('100 MB of headers', async t => {
  const answer = await sendRaw(
    open.port,
    `GET /a HTTP/1.1\r\n${host}`,
    ...Array.from({ length: 100 }, () => Buffer.alloc(1_048_576, 'x: y\r\n')),
  )
  // The client may still be writing when the answer comes, and lose it.
  t.ok(answer === '' || statuses(answer)[0] === 413)
  t.equal(statuses(await sendRaw(open.port, probe))[0], 200)
})

t.test('what is odd and clear passes as it was decided', async t => {
  const cases: Readonly<Record<string, readonly [bytes: string, asked: string]>> = {
    'leading zeros': [request('POST /a', 'Content-Length: 0004', 'abcd'), 'POST /a abcd'],
    'coding in odd case': [request('POST /a', 'tRANSFER-eNCODING:\tChUnKeD', '3\r\nabc\r\n0\r\n\r\n'), 'POST /a abc'],
    extensions: [chunked('3;a=b\r\nabc\r\n0;x\r\n\r\n'), 'POST /a abc'],
    trailers: [chunked('3\r\nabc\r\n0\r\nx-tenant: 7\r\n\r\n'), 'POST /a abc'],
    'coding that Connection names': [
      chunked('3\r\nabc\r\n0\r\n\r\n', 'Connection: Transfer-Encoding\r\n'),
      'POST /a abc',
    ],
    'body of GET': [sized('GET /a', '', 'abc'), 'GET /a abc'],
    'body of OPTIONS': [sized('OPTIONS /a', '', 'abc'), 'OPTIONS /a abc'],
    'empty lines before': [`\r\n\r\n${request('GET /a')}`, 'GET /a'],
    'HTTP/1.0 that stays': [`GET /a HTTP/1.0\r\n${host}Connection: keep-alive\r\n\r\n`, 'GET /a'],
    'absolute form': [request('GET http://localhost/a'), 'GET /a'],
    'other case': [request('GET /Admin'), 'GET /Admin'],
    'forwarded paths': [request('GET /a', 'X-Forwarded-Uri: /admin\r\nX-Original-URL: /admin'), 'GET /a'],
    'upgrade without Connection': [request('GET /a', 'Upgrade: h2c'), 'GET /a'],
    expectation: [sized('POST /a', '', 'abc', 'Expect: 100-continue\r\n'), 'POST /a abc'],
  }
  for (const [name, [bytes, asked]] of Object.entries(cases)) {
    const found = await attack(open, bytes)
    t.same(found.asked, [asked], name)
    t.same(statuses(found.answer), [200, 200], name)
    const headers: IncomingHttpHeaders = world.service.asked.at(-2)?.headers ?? {}
    for (const gone of ['x-forwarded-uri', 'x-original-url', 'upgrade', 'x-tenant']) t.notOk(headers[gone], name)
  }
})

t.test('offers of another protocol are left aside', async t => {
  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'
  const offer = (line: string, fields = '', body = ''): string => request(line, `${h2c}${fields}`, body)
  const cases: Readonly<Record<string, readonly [bytes: string, asked: string]>> = {
    GET: [offer('GET /a'), 'GET /a'],
    TLS: [upgrade('Upgrade: TLS/1.2'), 'GET /a'],
    'something unknown': [upgrade('Upgrade: foo/2, bar'), 'GET /a'],
    'body with a length': [offer('POST /a', '\r\nContent-Length: 3', 'abc'), 'POST /a abc'],
    'body in chunks': [offer('PUT /a', '\r\nTransfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'), 'PUT /a abc'],
    'body that is a request': [
      offer('POST /a', `\r\nContent-Length: ${request('GET /b').length}`, request('GET /b')),
      `POST /a ${request('GET /b')}`.trim(),
    ],
    expectation: [offer('POST /a', '\r\nExpect: 100-continue\r\nContent-Length: 3', 'abc'), 'POST /a abc'],
    'bytes beyond ASCII': [offer('GET /a', '\r\nX-Odd: \xe9\xff'), 'GET /a'],
  }
  for (const [name, [bytes, asked]] of Object.entries(cases)) {
    const found = await attack(open, bytes)
    t.same([found.asked, statuses(found.answer)], [[asked], [200, 200]], name)
    const headers: IncomingHttpHeaders = world.service.asked.at(-2)?.headers ?? {}
    for (const gone of ['upgrade', 'http2-settings']) t.notOk(headers[gone], name)
    if (name === 'bytes beyond ASCII') t.equal(headers['x-odd'], '\xe9\xff')
  }
  const denied = await attack(open, offer('GET /admin'))
  t.same([denied.asked, statuses(denied.answer)], [[], [403, 200]], 'rules decide as ever')
  const ahead = await attack(
    open,
    request('POST /p1', 'Content-Length: 0') + offer('POST /p2', '\r\nContent-Length: 0'),
  )
  t.notOk(ahead.asked.includes('POST /p2'), 'nothing is asked ahead')
  t.match(ahead.answer, 'while another request is open')
})

t.test('a connection whose every request offers another protocol', async t => {
  const before = world.service.asked.length
  const socket = connect({ port: open.port, host: '127.0.0.1' })
  t.teardown(() => socket.destroy())
  let seen = ''
  const answers = (count: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const read = (chunk: Buffer): void => {
        seen += chunk.toString('latin1')
        if (seen.split('"body":"').length > count) done(resolve)
      }
      const gone = (): void => done(() => reject(new Error(seen)))
      const done = (then: () => void): void => {
        socket.off('data', read).off('close', gone)
        then()
      }
      socket.on('data', read).on('close', gone)
    })
  for (let count = 1; count <= 40; count += 1) {
    const body = 'x'.repeat(count * 1_000)
    socket.write(upgrade(`Upgrade: h2c\r\nContent-Length: ${body.length}`, `POST /again/${count}`, body))
    await answers(count)
  }
  t.same(statuses(seen), Array(40).fill(200))
  t.equal(world.service.asked.length - before, 40)
  t.notMatch(world.relay.process().stderr(), 'MaxListeners')
})

t.test('forms that are too long to be kept are looked through on their way', async t => {
  const type = 'Content-Type: multipart/form-data; boundary=x\r\n'
  const page = '<input type="hidden" name="_method" value="delete">'
  const file = `--x\r\nContent-Disposition: form-data; name="f"; filename="shipping_method.html"\r\n\r\n${page.repeat(40_000)}\r\n`
  const inChunks = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`
  const whole = sized('POST /a', 'multipart/form-data; boundary=x', `${file}${multipart('name="a"')}`)
  const passed = await attack(open, whole)
  t.same([statuses(passed.answer), passed.asked.length], [[200, 200], 1], 'a page with such a form in it is a file')
  t.equal(passed.asked[0], `POST /a ${file}${multipart('name="a"')}`.trim())
  const plain = await attack(open, chunked(inChunks('x'.repeat(2_000_000))))
  t.same([statuses(plain.answer), plain.asked.length], [[200, 200], 1], 'no type, and no form')
  const hidden = `${file}${multipart('name="_method"')}`
  for (const [name, bytes] of [
    ['sized', sized('POST /a', 'multipart/form-data; boundary=x', hidden)],
    ['in chunks', chunked(inChunks(hidden), type)],
    ['no type', chunked(inChunks(`a=${'x'.repeat(2_000_000)}&_method=DELETE`))],
    ['JSON', sized('POST /a', 'application/json', `{"a":"${'x'.repeat(2_000_000)}","_method":"DELETE"}`)],
  ] as const) {
    const { answer, asked } = await attack(open, bytes)
    t.same([statuses(answer), asked], [[400, 200], []], `${name}: the service never sees its end`)
    t.match(answer, '_method', name)
  }
  const events = (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
  t.equal(events.filter(({ type, status }) => type === 'outcome' && status === 'ERR_GATE_PROTOCOL').length, 4)
})

t.test('a method that hides in encoded JSON, or in what is JSON to somebody', async t => {
  const json = (fields: string, body: Buffer): string => sized('POST /a', `application/json${fields}`, body)
  const gzip = '\r\nContent-Encoding: gzip'
  const long = JSON.stringify({ a: randomBytes(2_000_000).toString('hex') })
  for (const [name, bytes] of [
    ['gzip', json(gzip, gzipSync('{"a":1,"_method":"DELETE"}'))],
    ['utf-16', json('; charset=utf-16', Buffer.from('\ufeff{"_method":"DELETE"}', 'utf16le'))],
    ['another coding', json('\r\nContent-Encoding: zstd', Buffer.from('x'))],
    ['no gzip', json(gzip, Buffer.from('{}'))],
    ['too long when undone', json(gzip, gzipSync('x'.repeat(5_000_000)))],
    ['too long', json(gzip, gzipSync(long))],
    ['behind a comment', json('', Buffer.from('{/*"*/"_method":"DELETE"}'))],
    ['in single quotes', json('', Buffer.from("{'_method':'DELETE'}"))],
    ['UTF-16 that does not say so', json('', Buffer.from('{"_method":"DELETE"}', 'utf16le'))],
    ['JSON by a parameter', sized('POST /a', 'application/x-www-form-urlencoded; a="/json"', '{/**/"_method":"PUT"}')],
  ] as const) {
    const { answer, asked } = await attack(open, bytes)
    t.same([statuses(answer)[0], asked], [400, []], name)
  }
  const plain = await attack(open, json(gzip, gzipSync('{"a":{"_method":1}}')))
  t.same([statuses(plain.answer), plain.asked.length], [[200, 200], 1])
})

t.test('pipelines', async t => {
  const middle = await attack(open, request('GET /p1') + request('GET /admin') + sized('POST /p3', '', 'abc'))
  t.same(statuses(middle.answer), [200, 403, 200, 200])
  t.same(middle.asked, ['GET /p1', 'POST /p3 abc'])
  const inner = await attack(open, sized('DELETE /p1', '', request('GET /smuggled')))
  t.same([statuses(inner.answer), inner.asked], [[403, 200], []])
  const many = await attack(open, request('POST /many', 'Content-Length: 0').repeat(20))
  t.equal(many.asked.length, 16)
  t.same(statuses(many.answer), [...Array.from({ length: 16 }, () => 200), 413])
  const broken = await attack(open, `${request('GET /p1')}rubbish\r\n\r\n`)
  t.same([statuses(broken.answer), broken.asked], [[200, 400], ['GET /p1']], 'what came before is answered first')
  const closing = await attack(
    open,
    request('POST /p2', 'Content-Length: 0\r\nConnection: close') + request('POST /p3', 'Content-Length: 0'),
  )
  t.same(closing.asked, ['POST /p2'], 'nothing is asked whose answer cannot come')
})

t.test('rules about bodies cannot be passed by writing them otherwise', async t => {
  const bodies: readonly [string, string, string | Buffer, string?][] = [
    ['/refunds/1', 'application/json', '{"amount":500}'],
    ['/refunds/1', 'text/plain', '{"amount":500}'],
    ['/refunds/1', 'application/json', '{"amount":500,"amount":1}'],
    ['/refunds/1', 'application/json', `{"amount":500,"amount"${' '.repeat(100)}:1}`],
    ['/refunds/1', 'application/json', '{"amount":500,"\\u0061mount":1}'],
    ['/refunds/1', 'application/json', '{"amount":1,"AMOUNT":500}'],
    ['/refunds/1', 'application/json', '{"amount":1}{"amount":500}'],
    ['/refunds/1', 'application/json', '{"amount":"500"}'],
    ['/refunds/1', 'application/json; charset=utf-16le', Buffer.from('{"amount":500}', 'utf16le')],
    ['/refunds/1', 'application/json; charset=ibm037', '{"amount":1}'],
    ['/refunds/1', 'application/json, text/plain', '{"amount":1}'],
    ['/refunds/1', 'application/json', '{"amount":1}', 'Content-Encoding: gzip\r\n'],
    ['/refunds/1', 'application/x-www-form-urlencoded', '{"amount":500,"x":"&amount=1&"}'],
    [
      '/refunds/1',
      'application/json',
      Buffer.concat([Buffer.from('{"amount":1,"x":"'), Buffer.from([0xff]), Buffer.from('"}')]),
    ],
    [
      '/refunds/1',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="amount"\r\n\r\n500\r\n--x--\r\n',
    ],
    ['/graphql', 'application/json', '{"query":"mutation { pay }"}'],
    ['/graphql?query={a}&query=mutation{pay}', 'application/json', '{}'],
    ['/graphql', 'application/x-www-form-urlencoded', 'query={a}&query=mutation{pay}'],
    [
      '/graphql',
      'multipart/form-data; boundary=x',
      '--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n{"query":"mutation { pay }"}\r\n--x--\r\n',
    ],
    ['/graphql', 'application/json; charset=utf-16le', Buffer.from('{"query":"mutation { pay }"}', 'utf16le')],
    [
      '/users',
      'application/json',
      JSON.stringify({ ...Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`f${at}`, at])), role: 'admin' }),
    ],
    ['/users', 'application/xml', '<role>admin</role>'],
  ]
  for (const [path, type, body, more] of bodies) {
    const name = `${path} ${type} ${String(body).slice(0, 60)}`
    const { answer, asked } = await attack(open, sized(`POST ${path}`, type, body, more))
    t.same(asked, [], name)
    t.match(String(statuses(answer)[0]), /^40[03]$/, name)
  }
  const beyond = `{"pad":"${'x'.repeat(1_100_000)}","amount":500}`
  const cut = await attack(
    open,
    request('POST /refunds/1', 'Transfer-Encoding: chunked', `${beyond.length.toString(16)}\r\n${beyond}\r\n0\r\n\r\n`),
  )
  t.same([statuses(cut.answer)[0], cut.asked], [403, []])
  for (const [path, body] of [
    ['/refunds/1', '{"amount":50}'],
    ['/graphql', '{"query":"{ a }"}'],
    ['/users', '{"name":"x"}'],
  ] as const)
    t.equal((await attack(open, sized(`POST ${path}`, 'application/json', body))).asked.length, 1, path)
})

t.test('masks cannot be passed by asking under other names', async t => {
  const aliased = '{"query":"{ users { e: email } }"}'
  const big = JSON.stringify({ query: '{ users { e: email } }', pad: 'x'.repeat(1_100_000) })
  const bodies = [
    sized('POST /graphql', 'application/json', aliased),
    sized('POST /a', 'application/json', `[${aliased}]`),
    sized('POST /a', 'application/json', '{"query":"{ users { ...f } } fragment f on User { e: email }"}'),
    request(
      'POST /a',
      'Content-Type: application/json\r\nTransfer-Encoding: chunked',
      `${aliased.length.toString(16)}\r\n${aliased}\r\n0\r\n\r\n`,
    ),
    sized('POST /a', 'application/graphql', '{ users { e: email } }'),
    sized('POST /a', 'application/json', gzipSync(aliased), 'Content-Encoding: gzip\r\n'),
    sized('POST /a', 'application/json', big),
    sized('QUERY /a', 'text/plain', gzipSync(aliased), 'Content-Encoding: gzip\r\n'),
    request('GET /a?query={users{e:email}}'),
  ]
  for (const bytes of bodies) {
    const { answer, asked } = await attack(masked, bytes)
    t.same([statuses(answer)[0], asked], [403, []], bytes.slice(0, 200))
  }
  const plain = await attack(masked, sized('POST /a', 'application/json', '{"query":"{ users { email } }"}'))
  t.equal(plain.asked.length, 1)
  for (const line of ['POST /a', 'PUT /a', 'PATCH /a']) {
    const empty = await attack(masked, request(line, 'Transfer-Encoding: chunked', '0\r\n\r\n'))
    t.same([statuses(empty.answer), empty.asked], [[200, 200], [line]], `${line} with no chunk at all`)
  }
  t.equal(
    (await attack(open, sized('POST /graphql', 'application/json', aliased))).asked.length,
    1,
    'nothing is masked',
  )
})

t.test('all that the service got was decided and recorded as such', async t => {
  const events = (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
  const allowed = events
    .filter(({ type, decision }) => type === 'command' && (decision as { effect: string }).effect === 'allow')
    .map(({ text }) => String(text).split('\n')[0])
  const left = [...allowed]
  for (const { method, url } of world.service.asked) {
    const at = left.indexOf(`${method} ${url}`)
    t.ok(at !== -1, `${method} ${url.slice(0, 100)} is recorded`)
    if (at !== -1) left.splice(at, 1)
  }
})

const ask = (connection: Connection, path: string, method = 'GET'): Promise<string> =>
  sendRaw(connection.port, request(`${method} ${path}`, 'Connection: close'))

t.test('a service that breaks the rules', async t => {
  for (const path of ['/garbage', '/long-head', '/both', '/twice', '/split', '/switch']) {
    const answer = await ask(open2, path)
    t.equal(statuses(answer)[0], 502, `${path} ${answer.slice(0, 200)}`)
    t.match(answer, 'application/problem+json')
    t.notMatch(answer, /set-cookie/i)
  }
  const unclear = Object.keys(hostileAnswers).filter(path => path.startsWith('/two/') || path === '/many-fields')
  for (const path of unclear) {
    const answer = await ask(open2, path)
    t.equal(statuses(answer)[0], 502, `${path} ${answer.slice(0, 200)}`)
    t.match(answer, "the target's answer has", path)
    t.match(answer, 'ERR_GATE_TARGET_PROTOCOL', path)
  }
  t.equal(unclear.length, 6)
  for (const path of Object.keys(hostileAnswers).filter(each => each.startsWith('/odd/'))) {
    const answer = await ask(open2, path)
    t.equal(statuses(answer)[0], 502, `${path} ${answer.slice(0, 200)}`)
    t.match(answer, /"code":"ERR_GATE_TARGET_/, path)
  }
  for (const path of ['/short', '/bad-chunk', '/half-chunk', '/reset']) {
    const answer = await ask(open2, path)
    const isWhole = /\r\n0\r\n\r\n$/.test(answer) && statuses(answer)[0] === 200
    t.notOk(isWhole, `${path} does not look whole`)
  }
  t.match(await ask(open2, '/until-close'), 'until the end')
  t.notMatch(await ask(open2, '/more'), 'second!')
  const own = await ask(open2, '/gate-error')
  t.equal(statuses(own)[0], 200)
  t.notMatch(own, /gate.error/i, 'no errors of the gate by others')
  t.notMatch(await ask(open2, '/folded'), /^gate-error/im)
  const hints = await ask(open2, '/hints')
  t.match(hints, /ok$/)
  t.notMatch(hints, '103')
  const early = await sendRaw(
    open2.port,
    request('PUT /early', 'Content-Length: 100000000\r\nConnection: close'),
    Buffer.alloc(1_000_000, 'u'),
  )
  t.ok(statuses(early)[0] === 200 || statuses(early)[0] === 502, 'an answer before the upload ended')
  t.equal(statuses(await ask(open2, '/fine'))[0], 200)
})

t.test('bytes of values reach the other side as they were', async t => {
  const odd = 'X-Odd: \xe9 \t\xff"\\%0d%0a'
  await sendRaw(open2.port, request('GET /latin', `${odd}\r\nX-Empty:\r\nX-Padded: \t a \t \r\nConnection: close`))
  const got = hostile.got.at(-1) ?? ''
  t.match(got.toLowerCase(), `${odd}\r\nx-empty: \r\nx-padded: a\r\n`.toLowerCase())
  t.equal(got.split('\r\n\r\n').length, 2, 'one head')
  const answer = await ask(open2, '/latin')
  t.match(answer, /x-odd: \xe9 \t\xff\r\n/i)
  const old = await sendRaw(open2.port, `GET /half-chunk HTTP/1.0\r\n${host}\r\n`)
  t.notMatch(old, /transfer-encoding/i, 'a client of HTTP/1.0 is told of no coding')
})

t.test('no way around the masks', async t => {
  for (const path of Object.keys(hostileAnswers).filter(each => each.startsWith('/masked/'))) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(masked2, path, method)
      const plain = answer.replaceAll('\0', '')
      t.notMatch(plain, 'secret', `${method} ${path}`)
      t.notOk(Buffer.from(answer, 'latin1').includes(zipped), `${method} ${path}: nor encoded`)
      t.ok(statuses(answer).length === 1, `${method} ${path}`)
    }
  }
  t.match(await ask(masked2, '/masked/reason'), /^HTTP\/1\.1 200 OK\r\n/)
  t.match(await ask(open2, '/masked/reason'), /^HTTP\/1\.1 200 ann@secret\.example\r\n/)
  t.match(await ask(open2, '/phrase'), /^HTTP\/1\.1 499 Client Closed Request\r\n/)
  t.match(await ask(masked2, '/masked/plain'), '"****"')
  t.match(await ask(open2, '/masked/plain'), 'ann@secret.example')
  t.match(
    await ask(masked2, '/masked/charset-as-coding'),
    /^HTTP\/1\.1 200 [\s\S]*Content-Encoding: UTF-8[\s\S]*"\*\*\*\*"/,
  )
  const inUtf8 = Buffer.from('{"name":"Müller","email":"****"}').toString('latin1')
  const latin = await ask(masked2, '/masked/latin')
  t.match(latin, /^HTTP\/1\.1 200 OK\r\n[\s\S]*Content-Type: application\/json; charset=utf-8\r\n/)
  t.ok(latin.includes(inUtf8), 'what is in ISO-8859-1 goes on in UTF-8')
  t.match(
    await ask(open2, '/masked/latin'),
    /charset=ISO-8859-1[\s\S]*M\xfcller/,
    'and as it is where nothing is masked',
  )
  t.match(await ask(masked2, '/masked/latin', 'HEAD'), 'charset=utf-8', 'as HEAD says')
  t.match(await ask(masked2, '/masked/latin-lie'), /^HTTP\/1\.1 502 /)
})
