// Heads and bodies of requests: what is refused, and what rules see.
import { createHash } from 'node:crypto'
import { admit } from '@gate/relay/protocols/http/admission'
import { readBody, unreadBody } from '@gate/relay/protocols/http/body'
import { answeredFields, Fields, forwardedFields, prefersAsync } from '@gate/relay/protocols/http/fields'
import { operationOf } from '@gate/relay/protocols/http/operation'
import { overrideScan } from '@gate/relay/protocols/http/overrides'
import { maskedRequestFields } from '@gate/relay/protocols/http/plan'
import { askedOf, commandOf, readHead } from '@gate/relay/protocols/http/request'
import { clearConditions, clearTags, maskedTag, tagSeal } from '@gate/relay/protocols/http/tags'
import type { Gate } from '@gate/relay/protocols/protocol'
import { GateError } from '@gate/shared/errors'
import fc from 'fast-check'
import t from 'tap'
import { detect, masksOf } from '../../../support/masking.ts'

const fields = (given: Readonly<Record<string, string | string[]>>): Fields =>
  new Fields(Object.entries(given).flatMap(([name, values]) => [values].flat().flatMap(value => [name, value])))
const local = { host: 'localhost:1234' }

t.test('who may send requests', async t => {
  const ok = (given: Record<string, string>, method = 'GET', authority?: string): void =>
    void t.doesNotThrow(() => admit(method, authority, fields(given), 'billing-api'), JSON.stringify(given))
  const no = (given: Record<string, string>, code: string, method = 'GET', authority?: string): void =>
    void t.throws(() => admit(method, authority, fields(given), 'billing-api'), { code }, JSON.stringify(given))
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1:80', '[::1]:80', 'billing-api.localhost:9']) ok({ host })
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.nip.io',
    '10.0.0.1',
    'localhost:1:2',
    '[::2]',
    'a@localhost',
    '0.0.0.0:80',
    '127.1',
  ])
    no({ host }, 'ERR_GATE_FORBIDDEN')
  no({}, 'ERR_GATE_PROTOCOL')
  no({ host: '' }, 'ERR_GATE_PROTOCOL')
  ok(local, 'GET', 'localhost:1234')
  no(local, 'ERR_GATE_PROTOCOL', 'GET', 'elsewhere.example')
  ok({ ...local, origin: 'http://localhost:1234' }, 'POST')
  for (const origin of ['http://localhost:9', 'https://localhost:1234', 'https://evil.example', 'null'])
    no({ ...local, origin }, 'ERR_GATE_FORBIDDEN', 'POST')
  ok({ ...local, 'sec-fetch-site': 'same-origin' }, 'POST')
  ok({ ...local, 'sec-fetch-site': 'none' })
  no({ ...local, 'sec-fetch-site': 'same-site' }, 'ERR_GATE_FORBIDDEN')
  no({ ...local, 'sec-fetch-site': 'cross-site' }, 'ERR_GATE_FORBIDDEN')
  const visit = { ...local, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }
  ok(visit)
  no(visit, 'ERR_GATE_FORBIDDEN', 'POST')
  no({ ...visit, 'sec-fetch-dest': 'iframe' }, 'ERR_GATE_FORBIDDEN')
  ok({ ...local, origin: 'null', 'sec-fetch-site': 'same-origin' }, 'POST')
  for (const site of ['none', 'same-site', 'cross-site'])
    no({ ...local, origin: 'null', 'sec-fetch-site': site }, 'ERR_GATE_FORBIDDEN', 'POST')
  no({ ...local, 'x-http-method-override': 'DELETE' }, 'ERR_GATE_PROTOCOL', 'POST')
})

t.test('heads that servers read in different ways', async t => {
  const fault = (raw: string[], method = 'POST', target = '/a'): unknown =>
    readHead({ method, target, raw: ['Host', 'localhost', ...raw], isUpgrade: false }, 'x').fault?.code
  t.equal(fault([]), undefined)
  for (const raw of [
    ['Host', 'localhost'],
    ['Content-Length', '1', 'Content-Length', '1'],
    ['Content-Length', '+1'],
    ['Content-Length', '0x1'],
    ['Content-Length', '1, 1'],
    ['Transfer-Encoding', 'gzip, chunked'],
    ['Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked'],
    ['Transfer-Encoding', 'chunked', 'Content-Length', '1'],
    ['Content-Type', 'a/b', 'content-type', 'c/d'],
    ['X-HTTP-Method', 'PUT'],
  ])
    t.equal(fault(raw), 'ERR_GATE_PROTOCOL', raw.join(' '))
  t.equal(fault([], 'TRACE'), 'ERR_GATE_PROTOCOL')
  t.equal(fault([], 'POST', '/a?_method=DELETE'), 'ERR_GATE_PROTOCOL')
  t.equal(fault(Array.from({ length: 402 }, (_, index) => `x${index}`)), 'ERR_GATE_LIMIT')
})

t.test('fields of one hop and those of the gate stay behind', async t => {
  const given = fields({
    ...local,
    connection: ['keep-alive, X-Hop'],
    'x-hop': 'gone',
    'x-kept': ['1', '2'],
    te: 'trailers',
    'transfer-encoding': 'chunked',
    upgrade: 'h2c',
    'proxy-authorization': 'gone',
    'x-forwarded-for': '6.6.6.6',
    forwarded: 'for=6.6.6.6',
    'x-original-url': '/admin',
    prefer: 'respond-async, return=minimal',
  })
  t.same(forwardedFields(given, 's_1', new Set()), [
    ['x-kept', '1'],
    ['x-kept', '2'],
    ['prefer', ' return=minimal'],
    ['te', 'trailers'],
    ['host', 'localhost:1234'],
    ['forwarded', 'for=_s_1;host="localhost:1234";proto=http'],
    ['x-forwarded-host', 'localhost:1234'],
    ['x-forwarded-proto', 'http'],
    ['via', '1.1 gate'],
  ])
  t.ok(prefersAsync(given))
  t.notOk(prefersAsync(fields({ prefer: 'wait=10' })))
  const answered = answeredFields(
    [
      ['Connection', 'x-hop'],
      ['x-hop', '1'],
      ['gate-error', 'x'],
      ['access-control-allow-origin', '*'],
      ['etag', '"a"'],
    ].map(([name = '', value = '']): [string, string] => [name.toLowerCase(), value]),
  )
  t.same(answered, [['etag', '"a"']])
})

t.test('bodies', async t => {
  const body = (text: string, type = 'application/json', query = ''): ReturnType<typeof readBody> =>
    readBody(type, Buffer.from(text), query)
  t.match(body('{"a":{"b":[{"c":1}]},"d":2}'), {
    facts: { bodyKind: 'json', bodyFields: ['a', 'a.b', 'a.b.c', 'd'], bodyBytes: 27, graphqlType: '' },
    document: { d: 2 },
  })
  t.match(body('a=1&b=2&a=3', 'application/x-www-form-urlencoded'), {
    facts: { bodyKind: 'form', bodyFields: ['a', 'b'] },
    document: { a: ['1', '3'], b: '2' },
  })
  t.match(body('{"a":1}', 'text/plain'), { facts: { bodyKind: 'json' } }, 'by what it holds, not by its name')
  t.match(body('plain', 'text/plain'), { facts: { bodyKind: 'other', graphqlType: 'unknown' }, document: null })
  t.match(body('', ''), { facts: { bodyKind: 'none', graphqlType: '' } })
  t.match(unreadBody('a/B; c=d', undefined), { facts: { bodyKind: 'unread', bodyBytes: -1, contentType: 'a/b' } })
  for (const twice of ['{"a":1,"a":2}', '{"x":[{"a":1,"\\u0061":2}]}', '{"a":{"b":1},"a":{}}'])
    t.throws(() => body(twice), { code: 'ERR_GATE_PROTOCOL' }, twice)
  t.doesNotThrow(() => body('{"a":{"a":{"a":1}},"b":"\\"a\\":","c":["a","a"]}'))
  t.throws(() => body(`${'['.repeat(100)}${']'.repeat(100)}`), { code: 'ERR_GATE_PROTOCOL' })
})

t.test('GraphQL', async t => {
  const graphql = (value: unknown, query = ''): unknown =>
    readBody('application/json', Buffer.from(value === undefined ? '' : JSON.stringify(value)), query).facts
  t.match(graphql({ query: 'query Q { user { name } ...F } fragment F on Query { cards { pan } }' }), {
    graphqlType: 'query',
    graphqlNames: ['Q'],
    graphqlFields: ['user', 'cards'],
  })
  t.match(graphql({ query: '{ a: user { x } ... on Query { b } }' }), { graphqlFields: ['user', 'b'] })
  t.match(graphql({ query: 'query A { a } mutation B { pay }', operationName: 'A' }), { graphqlType: 'mutation' })
  t.match(graphql([{ query: '{ a }' }, { query: 'mutation { pay }' }]), {
    graphqlType: 'mutation',
    graphqlFields: ['a', 'pay'],
  })
  t.match(graphql({ query: 'not graphql {' }), { graphqlType: 'unknown' })
  t.match(graphql({ extensions: { persistedQuery: { sha256Hash: 'x' } } }), { graphqlType: 'unknown' })
  t.match(graphql({ query: 'subscription { news }' }), { graphqlType: 'subscription' })
  t.match(graphql({ Query: 'mutation { pay }' }), { graphqlType: 'mutation' }, 'some services take names in any case')
  t.match(graphql(undefined, 'query=mutation+%7B+pay+%7D'), { graphqlType: 'mutation' })
  t.match(graphql(undefined, 'query=shoes'), { graphqlType: '' })
  const batch = (count: number): unknown => Array(count).fill({ query: '{ a }' })
  t.match(graphql(batch(1_000)), { graphqlType: 'query' })
  t.match(graphql(batch(1_001)), { graphqlType: 'unknown' }, 'of a batch so many are read')
  t.notOk(readBody('application/json', Buffer.from(JSON.stringify(batch(1_001))), '').isKnown)
  t.match(graphql({ query: '{ ...A } fragment A on Q { ...B } fragment B on Q { ...A x }' }), { graphqlFields: ['x'] })
})

t.test('members of a query as PHP names them', async t => {
  const given = (query: string): Record<string, unknown> => {
    const raw = ['Host', 'localhost']
    const head = readHead({ method: 'GET', target: `/?${query}`, raw, isUpgrade: false }, 'billing-api')
    const { facts } = operationOf(
      { ...head, body: readBody(undefined, Buffer.alloc(0), query), content: undefined },
      () => '',
      [],
    )
    return facts
  }
  for (const query of [
    'user.role=admin',
    'user+role=admin',
    'user%20role=admin',
    'user[role=admin',
    '+user%2Erole=admin',
  ])
    t.ok((given(query)['parameters'] as string[]).includes('user_role=admin'), query)
  t.ok((given('user.role=admin')['query'] as string[]).includes('user_role'))
  t.same(given('user_role=admin'), {
    ...given('user_role=admin'),
    query: ['user_role'],
    parameters: ['user_role=admin'],
  })
  t.same(given('a[b]=1')['parameters'], ['a[b]=1', 'a=1'])
})

t.test('a header that rules go by stands once', async t => {
  const gate = { routes: [], headers: ['x-tenant', 'prefer'], recordFields: [] } as unknown as Gate
  const refusalOf = (...raw: string[]): unknown => {
    const given = { method: 'GET', target: '/', raw: ['Host', 'localhost', ...raw], isUpgrade: false }
    const content = { start: undefined, isWhole: true, length: 0 }
    return commandOf(readHead(given, 'billing-api'), content, gate, Buffer.alloc(32)).command.refusal
  }
  t.match(refusalOf('X-Tenant', '7', 'x-tenant', '8'), { reason: /two x-tenant/ })
  t.equal(refusalOf('X-Tenant', '7', 'X-Other', '1', 'X-Other', '2', 'Prefer', 'a', 'Prefer', 'b'), undefined)
})

t.test('what may be a patch to some reader', async t => {
  const mayPatch = (text: string): boolean | undefined => readBody('text/plain', Buffer.from(text), '').mayPatch?.()
  for (const text of [
    `[{op:'copy',from:'/email',path:'/a'}]`,
    `{"path":"/email", op: /**/ "TEST", value: 1,}`,
    '%7B"op":"move","from":"/email","path":"/a"',
  ])
    t.ok(mayPatch(text.replace('%7B', '{')), text)
  for (const text of [
    `test('copies', () => { const op = copy(a); expect(op).toBe(1) })`,
    `function move(path) { return { op: path } }`,
    'if (op == "test") { run() }',
  ])
    t.notOk(mayPatch(text), text)
})

t.test('a patch may be one of several parts', async t => {
  const part = (text: string | Buffer, type: string): Buffer =>
    Buffer.concat([
      Buffer.from(`--x\r\nContent-Type: ${type}\r\n\r\n`),
      Buffer.from(text),
      Buffer.from('\r\n--x--\r\n'),
    ])
  const mayPatch = (content: string | Buffer, type = 'application/json-patch+json'): boolean | undefined =>
    readBody('multipart/related; boundary=x', part(content, type), '').mayPatch?.()
  const copies = '[{"op":"copy","from":"/email","path":"/a"}]'
  for (const content of [
    copies,
    Buffer.from(copies, 'utf16le'),
    '[{"path":"/email","value":1,\n  "op" :\n\n      "test"}]',
    '[{"\\u006fp":"m\\u006fve","from":"/email","path":"/a"}]',
    `{op: 'copy', from: '/email', path: '/a'}`,
    '{"op" /* what: "x" */ : // it does\n "copy", "from": "/email", "path": "/a"}',
    JSON.stringify({ patch: copies }),
  ])
    t.equal(mayPatch(content), true, String(content))
  for (const content of [
    '[{"op":"replace","path":"/name","value":"a test"}]',
    `test('copies', () => { const op = path.join(a); expect({ op }).toBe(1) })`,
    `function move(path) { return { op: path } }`,
    '{"top":"copy","path":"a"}',
  ])
    t.equal(mayPatch(content), false, content)
  const start = process.hrtime.bigint()
  t.equal(mayPatch(`{path${'op//'.repeat(250_000)}`), false)
  t.ok(process.hrtime.bigint() - start < 2_000_000_000n, 'and nothing keeps it long')
})

t.test('persisted queries are unknown, wherever they are named', async t => {
  const text = '{ me { id } }'
  const sha256Hash = createHash('sha256').update(text).digest('hex')
  const persistedQuery = { version: 1, sha256Hash }
  const extensions = JSON.stringify({ persistedQuery })
  const form = (members: Record<string, string>): string => new URLSearchParams(members).toString()
  const read = (value: unknown, query = '', type = 'application/json'): ReturnType<typeof readBody> =>
    readBody(type, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)), query)
  for (const body of [
    read({ extensions: { persistedQuery } }),
    read({ extensions }),
    read({ Extensions: { persistedQuery } }),
    read({ query: '', extensions: { persistedQuery } }),
    read({ query: '{ other }', extensions: { persistedQuery } }),
    read([{ query: text }, { extensions: { persistedQuery } }]),
    read({ type: 'subscribe', payload: { extensions: { persistedQuery } } }),
    read({ documentId: `sha256:${sha256Hash}` }),
    read({ doc_id: '12345678', variables: {} }),
    read(form({ extensions }), '', 'application/x-www-form-urlencoded'),
    read('', form({ extensions })),
    read('', form({ documentId: sha256Hash })),
    read('', form({ id: sha256Hash, variables: '{}' })),
    read({ id: sha256Hash.slice(0, 32), variables: {} }),
    read({ hash: `sha256:${sha256Hash}`, operationName: 'Me' }),
    read({ variables: {} }, form({ id: sha256Hash })),
    read({ variables: {}, id: 'x' }, form({ id: sha256Hash })),
    read({ variables: {}, id: null }, form({ id: sha256Hash })),
    read({ documentId: 'me', variables: {} }, form({ query: text })),
    read('', `${form({ extensions })}&extensions=%7B%7D`),
    read('', `${form({ query: '{ other }' })}&${form({ query: text, extensions })}`),
  ]) {
    t.match(body, { isPersisted: true, facts: { graphqlType: 'unknown' } })
    const request = readHead(
      { method: 'POST', target: '/', raw: ['Host', 'localhost'], isUpgrade: false },
      'billing-api',
    )
    const { unknown } = operationOf({ ...request, body, content: undefined }, () => '', [])
    t.ok(unknown?.includes('graphqlFields'), 'a rule that asks for its fields is told that nobody knows')
  }
  for (const body of [
    read({ query: text, extensions: { persistedQuery } }),
    read({ query: text, extensions: { tracing: {} } }),
    read({ documentId: 'invoice-7', title: 'x' }),
    read({ variables: {} }),
    read('', form({ query: text, extensions })),
    read('', form({ id: sha256Hash })),
    read({ id: sha256Hash, name: 'x' }),
    read({ hash: sha256Hash, extensions: ['pdf'] }),
    read({ id: '5bb1f2a0-6a3c-4d0e-9d51-2f1f0a4c7b11', variables: {} }),
    read({ query: text, id: sha256Hash, variables: {} }),
    read({ query: text, variables: {} }, form({ id: sha256Hash })),
  ])
    t.equal(body.isPersisted, false)
  const batch = `[${'{},'.repeat(10_000)}{}]`
  const query = form(Object.fromEntries(Array.from({ length: 900 }, (_, at) => [`${at}id`, '1'])))
  t.equal(read(batch, query).isPersisted, false, 'a batch is not put together with the query, member by member')
})

t.test('what a target may read in another way is not known to rules', async t => {
  const isKnown = (text: string, type = 'application/x-www-form-urlencoded'): boolean =>
    readBody(type === '' ? undefined : type, Buffer.from(text), '').isKnown
  for (const text of ['role=user', 'a=1&b=', 'a_b=1&c-d=%2B', 'a=%26&b=%3B']) t.ok(isKnown(text), text)
  for (const text of [
    ...['role=user&role=admin', 'role=user;role=admin', 'role=user&role%00=admin', 'role=user&+role=admin'],
    ...['role=user&role[]=admin', 'role=user&Role=admin', 'admin.x=1', 'user[admin]=1', '{"role":"user"}'],
  ])
    t.notOk(isKnown(text), text)
  t.notOk(isKnown('{"role":"user","x":"&role=admin&"}', ''), 'JSON that may be a form')
  t.ok(isKnown('{"role":"user"}', ''))
  for (const number of ['9007199254740993', '1e400', '-1e17']) t.notOk(isKnown(`{"a":[${number}]}`, 'application/json'))
  t.ok(isKnown('{"a":9007199254740991.0,"b":0.1}', 'application/json'))
})

t.test('fields under other names, wherever a target may look for them', async t => {
  const renames = (text: string | Buffer, type = 'application/json', query = ''): boolean => {
    const body = readBody(type, Buffer.from(text), query)
    return body.renames?.() === true || body.mayRename?.() === true
  }
  const alias = '{x:email}'
  const long = `{me(ids:[${'1 '.repeat(20_001)}]){x:email}}`
  for (const [text, type, query] of [
    [JSON.stringify({ query: alias })],
    [JSON.stringify({ Query: alias })],
    [JSON.stringify({ query: null, QUERY: alias })],
    [JSON.stringify([{ query: '{email}' }, { query: alias }])],
    [JSON.stringify({ type: 'subscribe', payload: { query: `subscription${alias}` } })],
    [JSON.stringify({ query: long })],
    [JSON.stringify({ payload: { data: JSON.stringify({ query: alias }) } })],
    [JSON.stringify({ data: JSON.stringify([JSON.stringify({ query: alias })]) })],
    [`operations=${encodeURIComponent(JSON.stringify([{ query: alias }]))}`, 'application/x-www-form-urlencoded'],
    [JSON.stringify({ a: `{"b":${'['.repeat(300)}${']'.repeat(300)}}` })],
    [JSON.stringify({ query: '{x:email!}' })],
    [JSON.stringify({ query: 'fragment F($x:Int) on Q {x:email}' })],
    [JSON.stringify({ query: ' #{\n,{x:email(a:01)}' })],
    [JSON.stringify({ query: `${'{a'.repeat(6_000)}{x:email}${'}'.repeat(6_000)}` })],
    [`{"query":"${alias}"} ;`, 'text/plain'],
    [`{"qu\\u0065ry":"\\u007bx\\u003aemail}"} ;`, 'text/plain'],
    [Buffer.from(JSON.stringify({ query: alias }), 'utf16le'), 'application/json'],
    [`query=${encodeURIComponent(alias)}`, 'application/x-www-form-urlencoded'],
    [`a=1;query=${encodeURIComponent(alias)}`, 'application/x-www-form-urlencoded'],
    [alias, 'application/graphql'],
    [alias, 'text/plain'],
    [JSON.stringify({ query: '{me{emails @stream}}' })],
    [JSON.stringify({ payload: { query: '{me{emails @ #\n,stream(initialCount: 1)}}' } })],
    ['{me{emails @stream}}', 'application/graphql'],
    ['', '', `query=${encodeURIComponent('{me{emails @stream}}')}`],
    [`{ x: email ${'n '.repeat(25_000)}}`, 'text/plain'],
    ['+AHs-x:email+AH0-', 'application/graphql; charset=utf-7'],
    [Buffer.from([0xc0, 0xa7, 0x7a, 0xc0]), 'application/graphql; charset=ibm037'],
    [`fragment F on U ${alias}\nsubscription { ...F }`, 'text/plain'],
    [
      `--x\r\nContent-Disposition: form-data; name='operations'\r\n\r\n{"query":"${alias}"}\r\n--x--`,
      'multipart/mixed',
    ],
    [`--x\r\nContent-Disposition: form-data; name="oper\\ations"\r\n\r\n{"query":"${alias}"}`, 'multipart/form-data'],
    ['', '', 'query=%7Bx%3Aemail%7D'],
    ['', '', 'Query=%7Bx%3Aemail%7D'],
    ['', '', '%20query=%7Bx%3Aemail%7D'],
    ['', '', 'query[]=%7Bx%3Aemail%7D'],
    ['', '', 'a=1;query=%7Bx%3Aemail%7D'],
  ] as const)
    t.ok(renames(text, type, query), `${type ?? ''} ${String(text).slice(0, 80)} ${query ?? ''}`)
  for (const [text, type, query] of [
    [JSON.stringify({ query: '{email me(id: 1) { email: email }}', variables: { a: '{"b": 1}' } })],
    [JSON.stringify({ query: { match: { name: 'x: {y}' } } })],
    ...['{{name}}: your car', '{name}: hello', 'query the list: {x}', 'fragment: {a: b}', '{0}: {1}'].map(
      subject => [JSON.stringify({ subject })] as const,
    ),
    [JSON.stringify({ query: '{stream{email} ...F @defer} fragment F on Q @include(if: true) {upstream}' })],
    ['{"index":{"_id":1}}\n{"name":"query: x"}\n', 'application/x-ndjson'],
    ['email=a%40b&note=Hello%20{name}:', 'application/x-www-form-urlencoded'],
    ['Dear {name}: hello', 'text/plain'],
    ['Dear {name}: hello', 'text/plain; charset=windows-1252'],
    [`{ email ${'n '.repeat(9_000)}}`, 'text/plain'],
    [`{ a: b, ${'n, '.repeat(25_000)} "`.replace('a', '"a"'), 'text/plain'],
    ['', '', 'query=sum(rate(job:x%7Ba%3D%22b%22%7D[5m:1m]))'],
    ['', '', 'query=shoes'],
  ] as const)
    t.notOk(renames(text, type, query), `${type ?? ''} ${text} ${query ?? ''}`)
})

t.test('what is long and odd is read in no more time than what is not', async t => {
  const mebibyte = 1024 * 1024
  const form = readBody('application/x-www-form-urlencoded', Buffer.from('a&'.repeat(mebibyte / 2)), '')
  t.match(form, { facts: { bodyKind: 'other' }, isKnown: false })
  const semicolons = readBody('application/x-www-form-urlencoded', Buffer.from('a;'.repeat(mebibyte / 2)), '')
  t.equal(semicolons.renames?.(), false)
  const scan = overrideScan('multipart')
  scan.push(Buffer.from(`\r\nContent-Disposition: x${'\n'.repeat(mebibyte)}`))
  scan.end()
  const pieces = overrideScan('multipart')
  pieces.push(Buffer.from('\r\nContent-Disposition: x'))
  for (let count = 0; count < 20_000; count += 1) pieces.push(Buffer.from('y'))
  pieces.end()
})

t.test('any body gives facts or a GateError', async () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc.uint8Array().map(bytes => Buffer.from(bytes).toString('latin1')),
      ),
      text => {
        try {
          const { facts, document } = readBody('application/json', Buffer.from(text), '')
          return facts.bodyKind === 'json'
            ? JSON.stringify(document) === JSON.stringify(JSON.parse(text.replace(/^\ufeff/, '')))
            : true
        } catch (thrown) {
          return thrown instanceof GateError
        }
      },
    ),
    { numRuns: 2_000 },
  )
})

t.test('the words that people are asked about tell requests apart', async t => {
  const gate = { routes: [], headers: ['x-tenant'], bodyNeed: 'people', recordFields: [] } as unknown as Gate
  const asked = (body: string | Buffer, ...raw: string[]): string => {
    const head = readHead({ method: 'COPY', target: '/a', raw: ['host', 'localhost', ...raw], isUpgrade: false }, 'x')
    const start = Buffer.from(body)
    const decidable = commandOf(head, { start, isWhole: true, length: start.length }, gate, new Uint8Array(32))
    const { command, context } = askedOf(decidable, false)
    return JSON.stringify([command, context, decidable.command.operation.resources, decidable.command.refusal])
  }
  const bytes = Buffer.from([0, 1, 255])
  const [, , shown = ''] =
    (JSON.parse(asked(bytes, 'content-type', 'a/b')) as string[])[0]?.split(/\n(?:content: )?/) ?? []
  const all = [
    asked('x', 'content-type', 'a/b'),
    asked('x', 'content-type', 'a/c'),
    asked('x', 'content-type', 'no content-type'),
    asked('x'),
    asked('x', 'content-type', 'a/b', 'content-encoding', 'gzip'),
    asked('x', 'content-type', 'a/b', 'x-tenant', '1'),
    asked('x', 'content-type', 'a/b', 'x-tenant', '2'),
    asked('x', 'content-type', 'a/b', 'destination', '/b'),
    asked('x', 'content-type', 'a/b', 'destination', 'http://localhost/%62%40'),
    asked(bytes, 'content-type', 'a/b'),
    asked(shown, 'content-type', 'a/b'),
    asked(`content: ${shown}`, 'content-type', 'a/b'),
    asked(''),
  ]
  t.equal(new Set(all).size, all.length)
  const longGate = { ...gate, headers: [`x-${'y'.repeat(100)}1`, `x-${'y'.repeat(100)}2`] }
  const raw = longGate.headers.flatMap((name, at) => [name, String(at)])
  const long = readHead({ method: 'GET', target: '/a', raw: ['host', 'localhost', ...raw], isUpgrade: false }, 'x')
  const { context } = askedOf(
    commandOf(long, { start: undefined, isWhole: true, length: 0 }, longGate, new Uint8Array(32)),
    false,
  )
  t.same(Object.values(context), ['0', '1'])
  t.ok(Object.keys(context).every(name => name.length === 64))
  t.match(all[8], '"/b@"', 'where a copy goes to is a path that rules see')
  t.match(asked('x', 'destination', '/a/..%2fb'), 'Servers read such a path in different ways')
  t.equal(asked('', 'destination', '/b'), asked('', 'destination', 'http://localhost/a/../%62'), 'as it goes on')
})

t.test('bodies are recorded without what is masked, however they begin', async t => {
  const gate = { routes: [], headers: [], bodyNeed: 'rules', recordFields: [] } as unknown as Gate
  const recordedText = (body: Buffer): string => {
    const raw = ['host', 'localhost', 'content-type', 'text/plain']
    const head = readHead({ method: 'POST', target: '/a', raw, isUpgrade: false }, 'x')
    return commandOf(head, { start: body, isWhole: true, length: body.length }, gate, new Uint8Array(32)).command
      .recorded.text
  }
  for (const text of ['mail ann@secret.example', '(mail ann@secret.example)', '( ann@secret.example'])
    t.match(recordedText(Buffer.from(text)), /^POST \/a\n(?![\s\S]*secret)[\s\S]*‹redacted:/, text)
  t.match(recordedText(Buffer.from([0xff, 0x00])), /\ncontent: 2 bytes, SHA-256 [0-9a-f]{64}$/)
})

t.test('entity tags of masked answers', async t => {
  const [seal, other] = [tagSeal([], Buffer.alloc(32, 1)), tagSeal([detect(['email'])], Buffer.alloc(32, 1))]
  const stranger = tagSeal([], Buffer.alloc(32, 2))
  const [one, weak] = [maskedTag('"v1"', seal), maskedTag('W/"v2"', seal)]
  t.match(one, /^"[\w-]{100,}"$/)
  t.match(weak, /^W\/"[\w-]{100,}"$/)
  t.equal(maskedTag('"v1"', seal), one, 'the same each time')
  t.equal(maskedTag(`"${'x'.repeat(30)}"`, seal).length, one.length, 'and as long as others')
  t.equal(clearTags(`${one}, ${weak}`, seal, true), '"v1", W/"v2"')
  t.equal(clearTags(`"v1", ${maskedTag('"v1"', other)}, ${maskedTag('"v1"', stranger)}`, seal, true), undefined)
  t.equal(clearTags(`"v1", ${maskedTag('"v2"', other)}`, seal, false), '"v2"')
  t.equal(clearTags('"v1", "gate-abc", ""', seal, false), '"gate-none"', 'a condition stays one')
  t.equal(clearTags('*', seal, true), '*')
  t.equal(
    clearConditions(`</a> (<urn:x> [${one}]) (Not ["v1"] [${weak}] [*] ["v1"`, seal),
    '</a> (<urn:x> ["v1"]) (Not ["gate-none"] [W/"v2"] ["gate-none"] ["gate-none"]',
  )
  const masking = { body: masksOf(detect(['email'])), seal }
  for (const name of ['if-match', 'x-amz-copy-source-if-match', 'if-none-match', 'x-ms-source-if-none-match', 'if'])
    t.notMatch(JSON.stringify(maskedRequestFields([[name, name === 'if' ? '(["v1"])' : '"v1"']], masking)), 'v1', name)
})
