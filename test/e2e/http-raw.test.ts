// The HTTP room against bytes that no honest client sends, and against a service that is hostile itself: raw sockets both ways.
import type { IncomingHttpHeaders } from 'node:http'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { sendRaw, startRawService, statuses } from '../support/raw-http.ts'

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
      - { name: no-deletes, when: 'op.action == "delete"', deny: "Not deleted." }
      - { name: large, when: 'op.route == "/refunds/{id}" && op.body.amount > 100', deny: "Too much." }
      - { name: no-mutations, when: 'op.route == "/graphql" && op.graphqlType == "mutation"', deny: "Only queries." }
      - { name: no-roles, when: 'op.path == "/users" && "role" in op.bodyFields', deny: "No roles." }
      - { name: silence, when: 'op.action == "message" && op.text == "forbidden"', deny: "Not that word." }
    mask:
      - { fields: ["**.email"], headers: [x-owner], for: { groups: [support] }, with: redact }
`

const clear = '{"email":"ann@secret.example"}'
const head = (...fields: string[]): string => `HTTP/1.1 200 OK\r\n${fields.map(each => `${each}\r\n`).join('')}\r\n`
const json = 'Content-Type: application/json'
const zipped = gzipSync(clear)
const whole = (fields: readonly string[], body: Buffer | string): Buffer =>
  Buffer.concat([Buffer.from(head(`Content-Length: ${Buffer.from(body).length}`, ...fields)), Buffer.from(body)])

/** What the hostile service says by path; it closes then. */
const said: Readonly<Record<string, string | Buffer>> = {
  '/garbage': 'this is no HTTP\r\n\r\n',
  '/long-head': head(json, `X-Long: ${'a'.repeat(200_000)}`),
  '/short': `${head('Content-Length: 1000')}beginning`,
  '/more': `${head('Content-Length: 2')}okHTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsecond!`,
  '/both': `${head('Content-Length: 3', 'Transfer-Encoding: chunked')}0\r\n\r\n`,
  '/twice': `${head('Content-Length: 3', 'Content-Length: 5')}abcde`,
  '/bad-chunk': `${head('Transfer-Encoding: chunked')}3\r\nabc\r\nzz\r\n`,
  '/half-chunk': `${head('Transfer-Encoding: chunked')}5\r\nab`,
  '/until-close': `${head('Content-Type: text/plain')}until the end`,
  '/split': `${head('X-Evil: a\rSet-Cookie: b=c', 'Content-Length: 2')}ok`,
  '/folded': `${head('X-Evil: a\r\n Gate-Error: ERR_GATE_TIMEOUT', 'Content-Length: 2')}ok`,
  '/gate-error': `${head('Gate-Error: ERR_GATE_TIMEOUT', 'Gate_Error: x', 'Content-Length: 2')}ok`,
  '/hints': `${'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(2_000)}${whole([], 'ok').toString()}`,
  '/switch': 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  '/masked/plain': whole([json], clear),
  '/masked/no-type': whole([], clear),
  '/masked/html': whole(['Content-Type: text/html'], clear),
  '/masked/jsonp': whole(['Content-Type: application/javascript'], `callback(${clear})`),
  '/masked/utf16': whole(['Content-Type: application/json; charset=utf-16le'], Buffer.from(clear, 'utf16le')),
  '/masked/utf16-silent': whole([json], Buffer.from(clear, 'utf16le')),
  '/masked/bom': whole([json], `\ufeff${clear}`),
  '/masked/ibm': whole(['Content-Type: application/json; charset=ibm037'], clear),
  '/masked/two-types': whole([json, 'Content-Type: image/png'], clear),
  '/masked/multipart': whole(['Content-Type: multipart/mixed; boundary=x'], `--x\r\n${json}\r\n\r\n${clear}\r\n--x--`),
  '/masked/twins': whole([json], '{"email":"x","email":"ann@secret.example"}'),
  '/masked/escaped': whole([json], '{"\\u0065mail":"ann@secret.example"}'),
  '/masked/lie': whole([json, 'Content-Encoding: gzip'], clear),
  '/masked/hidden': whole([json], zipped),
  '/masked/double': whole([json, 'Content-Encoding: gzip'], gzipSync(zipped)),
  '/masked/members': whole([json, 'Content-Encoding: gzip'], Buffer.concat([gzipSync('{"a":1}'), zipped])),
  '/masked/trailing': whole([json, 'Content-Encoding: gzip'], Buffer.concat([gzipSync('{"a":1}'), Buffer.from(clear)])),
  '/masked/two-documents': whole([json], `{"a":1}${clear}`),
  '/masked/cut': Buffer.from(`${head(json, 'Content-Length: 1000')}${clear}`),
  '/masked/range': whole([json, 'Content-Range: bytes 0-9/100'], clear),
  '/masked/error': Buffer.from(`HTTP/1.1 500 Oops\r\n${json}\r\nContent-Length: ${clear.length}\r\n\r\n${clear}`),
  '/masked/reason': `HTTP/1.1 200 ann@secret.example\r\n${json}\r\nContent-Length: 2\r\n\r\n{}`,
  '/masked/not-modified': `HTTP/1.1 304 Not Modified\r\nX-Owner: ann@secret.example\r\n\r\n`,
  '/masked/trailer': `${head(json, 'Transfer-Encoding: chunked', 'Trailer: X-Owner')}2\r\n{}\r\n0\r\nX-Owner: ann@secret.example\r\n\r\n`,
  '/masked/hint': `HTTP/1.1 103 Early Hints\r\nX-Owner: ann@secret.example\r\n\r\n${whole([json], '{}').toString()}`,
  '/masked/owner': whole([json, 'X-Owner: ann@secret.example'], '{}'),
}

const hostile = await startRawService((path, socket) => {
  if (path === '/reset') {
    socket.write(`${head('Content-Length: 1000')}beginning`)
    return void setImmediate(() => socket.resetAndDestroy())
  }
  if (path === '/early') return void socket.write(whole(['Connection: close'], 'enough'))
  socket.end(said[path] ?? whole([], 'ok'))
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

const host = 'Host: localhost\r\n'
const request = (line: string, fields = '', body = ''): string =>
  `${line} HTTP/1.1\r\n${host}${fields === '' ? '' : `${fields}\r\n`}\r\n${body}`
const probe = request('GET /probe', 'Connection: close')
const sized = (line: string, type: string, body: string | Buffer, more = ''): string => {
  const bytes = Buffer.from(body)
  const fields = `${type === '' ? '' : `Content-Type: ${type}\r\n`}${more}Content-Length: ${bytes.length}`
  return request(line, fields, bytes.toString('latin1'))
}
const chunked = (body: string, fields = ''): string => request('POST /a', `${fields}Transfer-Encoding: chunked`, body)
const upgrade = (fields: string, line = 'GET /a', body = ''): string =>
  request(line, `Connection: upgrade\r\n${fields}`, body)
const handshake = 'Upgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13'

/** What the service was asked by it, the probe left out. */
async function attack(connection: Connection, bytes: string): Promise<{ answer: string; asked: string[] }> {
  const before = world.service.asked.length
  const answer = await sendRaw(connection.port, bytes, probe)
  const asked = world.service.asked.slice(before).map(({ method, url, body }) => `${method} ${url} ${body}`.trim())
  return { answer, asked: asked.filter(each => each !== 'GET /probe') }
}

const refusals: Readonly<Record<string, string>> = {
  'both lengths': request(
    'POST /a',
    'Content-Length: 4\r\nTransfer-Encoding: chunked',
    `0\r\n\r\n${request('GET /b')}`,
  ),
  'both, the other way': request('POST /a', 'Transfer-Encoding: chunked\r\nContent-Length: 4', '0\r\n\r\n'),
  'two lengths': request('POST /a', 'Content-Length: 4\r\nContent-Length: 0', 'abcd'),
  'the same length twice': request('POST /a', 'Content-Length: 4\r\nContent-Length: 4', 'abcd'),
  ...Object.fromEntries(
    ['4, 4', '+4', '-4', '0x4', '4 4', '', '\x0b4', '99999999999999999999999', '4;a', '"4"', '4.0', '4e0'].map(
      value => [`Content-Length: ${value}`, request('POST /a', `Content-Length: ${value}`, 'abcd')],
    ),
  ),
  ...Object.fromEntries(
    [
      'xchunked',
      'chunked, identity',
      'identity',
      'gzip, chunked',
      '"chunked"',
      'chunked\x0b',
      ',chunked',
      'chunked\0',
      'x',
    ].map(value => [`Transfer-Encoding: ${value}`, request('POST /a', `Transfer-Encoding: ${value}`, '0\r\n\r\n')]),
  ),
  'coding twice': request('POST /a', 'Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked', '0\r\n\r\n'),
  'coding of HTTP/1.0': `POST /a HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
  'space before the colon': request('POST /a', 'Content-Length : 4', 'abcd'),
  'space before the other colon': request('POST /a', 'Transfer-Encoding : chunked', '0\r\n\r\n'),
  'folded line': request('POST /a', 'Content-Length:\r\n 4', 'abcd'),
  'hidden length': request('POST /a', 'Connection: Content-Length\r\nContent-Length: 3', 'abc'),
  'hidden header': request('GET /a', 'Connection: X-Tenant\r\nX-Tenant: 8'),
  'hidden host': request('GET /a', 'Connection: Host'),
  'disguised coding': request('POST /a', 'Transfer_Encoding: chunked\r\nContent-Length: 3', 'abc'),
  'disguised tenant': request('GET /a', 'X_Tenant: 7'),
  'other disguise': request('GET /a', 'X.Tenant: 7'),
  'disguised override': request('POST /a', 'X_HTTP_Method_Override: DELETE\r\nContent-Length: 0'),
  override: request('POST /a', 'X-HTTP-Method-Override: DELETE\r\nContent-Length: 0'),
  'name with a space': request('GET /a', 'X Tenant: 7'),
  'override in a form': sized('POST /a', 'application/x-www-form-urlencoded', '_method=DELETE'),
  'override in a chunked form': chunked(
    'e\r\n_method=DELETE\r\n0\r\n\r\n',
    'Content-Type: application/x-www-form-urlencoded\r\n',
  ),
  'override in JSON': sized('POST /a', 'application/json', '{"_method":"DELETE"}'),
  'override in the query': request('GET /a?_method=DELETE'),
  'chunk with LF': chunked('3\nabc\n0\n\n'),
  'chunk with CR': chunked('3\rabc\r0\r\r'),
  'extension with LF': chunked('3;a\nabc\r\n0\r\n\r\n'),
  'open quote in an extension': chunked('3;a="b\r\nabc\r\n0\r\n\r\n'),
  ...Object.fromEntries(
    ['-3', '0x3', '3 ', ' 3', '0_3', 'FFFFFFFFFFFFFFFFF', '+3', ''].map(size => [
      `chunk of ${size}`,
      chunked(`${size}\r\nabc\r\n0\r\n\r\n`),
    ]),
  ),
  'chunk without its end': chunked('3\r\nabcXX0\r\n\r\n'),
  'chunk that is too long': chunked('3\r\nabcd\r\n0\r\n\r\n'),
  'length among the trailers': chunked('3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n'),
  'trailer with LF': chunked('3\r\nabc\r\n0\r\nx: 1\n\r\n'),
  'lines with LF': `GET /a HTTP/1.1\n${host.replace('\r', '')}\n`,
  'one line with LF': request('GET /a', 'x: 1\ny: 2'),
  'CR in a header': request('GET /a', 'x: 1\ry: 2'),
  'NUL in a header': request('GET /a', 'x: 1\0'),
  'space before the method': ` ${request('GET /a')}`,
  'space before a header': `GET /a HTTP/1.1\r\n Host: localhost\r\n\r\n`,
  'HTTP/0.9': 'GET /a\r\n\r\n',
  'HTTP/1.0 without Host': 'GET /a HTTP/1.0\r\n\r\n',
  'HTTP/1.2': `GET /a HTTP/1.2\r\n${host}\r\n`,
  'HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'two targets': `GET /a /admin HTTP/1.1\r\n${host}\r\n`,
  'method in lower case': request('get /a'),
  'unknown method': request('FOO /a'),
  TRACE: request('TRACE /a'),
  CONNECT: request('CONNECT localhost:80'),
  'no Host': 'GET /a HTTP/1.1\r\n\r\n',
  'two Hosts': request('GET /a', 'Host: localhost'),
  ...Object.fromEntries(
    ['evil.example', 'localhost@evil.example', 'localhost, evil', 'localhost.', 'localhost:x', ''].map(name => [
      `Host: ${name}`,
      `GET /a HTTP/1.1\r\nHost: ${name}\r\n\r\n`,
    ]),
  ),
  ...Object.fromEntries(
    [
      ...[
        'http://evil.example/a',
        'http://localhost@evil.example/a',
        'http://me@localhost/a',
        'ftp://localhost/a',
        '*',
      ],
      ...['/admin', '/%61dmin', '//admin', '/./admin', '/x/../admin', '/x/%2e%2e/admin', '/admin;x', '/x/..;/admin'],
      ...['/x\\..\\admin', '/%2561dmin', '/%00admin', '/%c0%af/admin', '/a#/admin', '/%3f/../admin', '/a%2f..%2fadmin'],
    ].map(target => [`GET ${target}`, request(`GET ${target}`)]),
  ),
  'another expectation': sized('POST /a', '', 'abc', 'Expect: something\r\n'),
  'two expectations': sized('POST /a', '', 'abc', 'Expect: 100-continue\r\nExpect: 100-continue\r\n'),
  'list of expectations': sized('POST /a', '', 'abc', 'Expect: 100-continue, x\r\n'),
  h2c: upgrade('Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'),
  'unknown upgrade': upgrade('Upgrade: foo/2'),
  'two upgrades': upgrade('Upgrade: websocket, h2c'),
  'WebSocket by POST': upgrade(handshake, 'POST /a'),
  'WebSocket without a key': upgrade('Upgrade: websocket'),
  'WebSocket with a body': upgrade(`${handshake}\r\nContent-Length: 3`, 'GET /a', 'abc'),
  'WebSocket with chunks': upgrade(`${handshake}\r\nTransfer-Encoding: chunked`, 'GET /a', '3\r\nabc\r\n0\r\n\r\n'),
  'WebSocket with odd subprotocols': upgrade(`${handshake}\r\nSec-WebSocket-Protocol: a, a, (`),
  'too many headers': request('GET /a', 'x: 1\r\n'.repeat(1_500).trimEnd()),
  'long header': request('GET /a', `x: ${'a'.repeat(100_000)}`),
  'long path': request(`GET /${'a'.repeat(40_000)}`),
}

t.test('what is malformed is refused, and nothing of it reaches the service', async t => {
  for (const [name, bytes] of Object.entries(refusals)) {
    const { answer, asked } = await attack(open, bytes)
    t.same(asked, [], `${name}: nothing reached the service`)
    const [status = 0] = statuses(answer)
    t.ok(status >= 400 && status < 500, `${name}: ${status}`)
    t.match(answer, 'application/problem+json', name)
    t.equal(statuses(await sendRaw(open.port, probe))[0], 200, `${name}: the next connection works`)
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
    'authority as a path': [request('GET //evil.example/a'), 'GET /evil.example/a'],
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
    request('GET /a?query={users{e:email}}'),
  ]
  for (const bytes of bodies) {
    const { answer, asked } = await attack(masked, bytes)
    t.same([statuses(answer)[0], asked], [403, []], bytes.slice(0, 200))
  }
  const plain = await attack(masked, sized('POST /a', 'application/json', '{"query":"{ users { email } }"}'))
  t.equal(plain.asked.length, 1)
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

t.test('no way around the masks', async t => {
  for (const path of Object.keys(said).filter(each => each.startsWith('/masked/'))) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await ask(masked2, path, method)
      const plain = answer.replaceAll('\0', '')
      t.notMatch(plain, 'secret', `${method} ${path}`)
      t.notOk(Buffer.from(answer, 'latin1').includes(zipped), `${method} ${path}: nor encoded`)
      t.ok(statuses(answer).length === 1, `${method} ${path}`)
    }
  }
  t.match(await ask(masked2, '/masked/plain'), '"****"')
  t.match(await ask(open2, '/masked/plain'), 'ann@secret.example')
})
