// Answers and requests of forms that gate cannot read, where parts of them are masked for somebody, through real processes.
import { createHash } from 'node:crypto'
import { request as send } from 'node:http'
import { text as textOf } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import t from 'tap'
import type { Answer } from '../support/http-target.ts'
import { startHttpWorld } from '../support/http-world.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support] }
    rules:
      - { name: everything, allow: [engineers, support] }
      - { name: no-salaries, when: 'op.path == "/graphql" && "salary" in op.graphqlFields', deny: "No." }
    mask:
      - { fields: ["**.email"], for: { groups: [support] }, with: redact }
`
const SECRET = 'zebra'

/** Says what it is asked to say. */
const typed: Answer = (request, response) => {
  const { 'x-type': type, 'x-status': status = '200', 'x-coding': coding } = request.headers
  response.writeHead(Number(status), {
    ...(type === undefined ? {} : { 'content-type': String(type) }),
    ...(coding === undefined ? {} : { 'content-encoding': String(coding) }),
    'x-content-digest': SECRET,
  })
  response.end(JSON.stringify({ email: SECRET, n: 1 }))
}

const world = await startHttpWorld({ policy, answers: { '/typed': typed } })
t.teardown(() => world[Symbol.asyncDispose]())
const [alice, carol] = [await world.person('alice'), await world.person('carol')]
const [open, masked] = [await alice.connect('billing-api'), await carol.connect('billing-api')]
t.teardown(() => Promise.all([open, masked].map(each => each[Symbol.asyncDispose]())))

interface Said {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly head: string
}

/** fetch knows some codings and statuses itself. */
const ask = (
  { port }: { readonly port: number },
  headers: Record<string, string>,
  method = 'GET',
  path = '/typed',
  body?: string | Buffer,
): Promise<Said> =>
  new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port, path, method, headers }, response => {
      const { statusCode = 0, headers: got, rawHeaders } = response
      void textOf(response).then(
        text => resolve({ status: statusCode, type: got['content-type'] ?? '', body: text, head: rawHeaders.join() }),
        reject,
      )
    })
    request.on('error', reject).end(body)
  })

t.test('types that gate cannot read are refused, whatever the status is', async t => {
  const types = [
    ...['application/grpc', 'application/grpc-web+proto', 'application/grpc-web-text', 'application/x-protobuf'],
    ...['application/msgpack', 'application/vnd.msgpack', 'application/cbor'],
    ...['application/bson', 'application/avro', 'avro/binary', 'application/vnd.apache.parquet', 'application/zip'],
    ...['application/vnd.apache.arrow.stream', 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'],
    ...['application/pdf', 'image/png', 'application/octet-stream', 'multipart/mixed; boundary=x', 'application/yaml'],
    ...['multipart/byteranges; boundary=x', 'application/fhir+turtle', 'application/json+protobuf', 'text/xml'],
    ...['text/tab-separated-values', 'text/x-component', 'application/jose', 'application/jwt', 'application/smile'],
    ...['application/json, text/html', 'application/json; charset=utf-7', 'application/ion', 'application/ubjson'],
    ...['application/vnd.amundsen-uber+json', 'application/prs.hal-forms+json', 'application/vnd.siren+json'],
    ...['application/vnd.collection+json; charset=utf-8', 'application/rdap+json', 'application/sparql-results+json'],
    ...['json', 'application/json5', 'application/x-json-stream', 'application/vnd.amazon.eventstream', undefined],
  ]
  for (const type of types) {
    const headers = type === undefined ? {} : { 'x-type': type }
    t.match((await ask(open, headers)).body, SECRET)
    const said = await ask(masked, headers)
    t.match(said, { status: 403, type: 'application/problem+json' }, type ?? 'none')
    t.match(JSON.parse(said.body), { code: 'ERR_GATE_REFUSED' })
    t.notMatch(said.body + said.head, SECRET)
    const missing = await ask(masked, { ...headers, 'x-status': '404' })
    t.match(missing, { status: 404, type: 'application/problem+json' })
    t.notMatch(missing.body + missing.head, SECRET)
  }
  for (const status of ['201', '203', '206', '207', '226', '299', '300', '302', '418', '500', '599']) {
    const said = await ask(masked, { 'x-type': 'application/json', 'x-status': status })
    t.equal(said.status, status === '206' ? 403 : Number(status))
    t.notMatch(said.body + said.head, SECRET, status)
  }
  for (const coding of ['compress', 'exi', 'aes128gcm', 'gzip, gzip, gzip', 'dcb', 'x-unknown', ''])
    t.notMatch((await ask(masked, { 'x-type': 'application/json', 'x-coding': coding })).body, SECRET, coding)
})

t.test('methods of which a parser knows little', async t => {
  for (const method of ['PROPFIND', 'REPORT', 'SEARCH', 'M-SEARCH', 'NOTIFY', 'OPTIONS', 'DELETE', 'PATCH', 'LINK']) {
    const said = await ask(masked, { 'x-type': 'application/json' }, method)
    t.match(said, { status: 200, body: '{"email":"****","n":1}' }, method)
    t.equal((await ask(masked, { 'x-type': 'text/xml' }, method)).status, 403)
  }
})

t.test('bodies that nobody can read, whatever the method', async t => {
  const body = gzipSync('{"query":"{ e: email }"}')
  for (const method of ['POST', 'GET', 'SEARCH', 'REPORT', 'PROPFIND', 'DELETE', 'LOCK']) {
    const headers = { 'content-encoding': 'gzip', 'content-type': 'text/plain', 'content-length': String(body.length) }
    t.equal((await ask(masked, headers, method, '/search', body)).status, 403, method)
    t.equal((await ask(open, headers, method, '/search', body)).status, 200, method)
  }
  const headers = { 'content-encoding': 'gzip', 'content-type': 'text/plain', 'content-length': String(body.length) }
  t.equal((await ask(masked, headers, 'PUT', '/notes/1', body)).status, 200, 'an upload')
})

t.test('persisted queries hold what nobody here knows', async t => {
  const query = '{ salary }'
  const sha256Hash = createHash('sha256').update(query).digest('hex')
  const extensions = { persistedQuery: { version: 1, sha256Hash } }
  const json = { 'content-type': 'application/json' }
  const post = (at: typeof open, body: unknown): Promise<Said> =>
    ask(at, json, 'POST', '/graphql', Buffer.from(JSON.stringify(body)))
  for (const body of [
    { query },
    { extensions },
    [{ query: '{ me }' }, { extensions }],
    { query: '{ me }', extensions },
  ])
    t.equal((await post(open, body)).status, 403, 'a rule that denies a field denies what may hold it')
  const inQuery = `/graphql?${new URLSearchParams({ extensions: JSON.stringify(extensions) })}`
  t.equal((await ask(open, {}, 'GET', inQuery)).status, 403)
  const known = { query: '{ me }', extensions: { persistedQuery: { sha256Hash: hashOf('{ me }') } } }
  for (const at of [open, masked]) t.equal((await post(at, known)).status, 200, 'a hash that is that of its text')
  t.equal((await post(masked, { documentId: sha256Hash })).status, 403, 'nor may it ask for aliases')
  t.equal((await post(masked, { documentId: 'invoice-7' })).status, 200)
  const byId = new URLSearchParams({ id: sha256Hash, variables: '{}' })
  for (const at of [open, masked]) t.equal((await ask(at, {}, 'GET', `/graphql?${byId}`)).status, 403, 'or by any name')
  t.equal(
    (await ask(masked, {}, 'GET', `/blobs?id=${sha256Hash}`)).status,
    200,
    'what has nothing of GraphQL beside it',
  )
})

t.test('a patch in one of several parts copies nothing that is masked', async t => {
  const headers = { 'content-type': 'multipart/mixed; boundary=x' }
  const parts = (operation: string): Buffer =>
    Buffer.from(`--x\r\nContent-Type: application/json-patch+json\r\n\r\n[${operation}]\r\n--x--\r\n`)
  const patch = (at: typeof open, operation: string): Promise<Said> =>
    ask(at, headers, 'PATCH', '/notes/1', parts(operation))
  const copy = '{"op":"copy","from":"/email","path":"/nickname"}'
  t.equal((await patch(masked, copy)).status, 403)
  t.equal((await patch(open, copy)).status, 200)
  t.equal((await patch(masked, '{"op":"replace","path":"/email","value":"x"}')).status, 200)
})

const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')
