// Ways around masks of fields that services themselves offer, and what stays of masked values in the record, through real processes.
import { get } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { constants, createGunzip, createGzip } from 'node:zlib'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Connection } from '../support/gate.ts'
import { type Answer, answerWith } from '../support/http-target.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { sendRaw } from '../support/raw-http.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, support] }
    routes: ["/cars/{vin}", "/cars/{vin}/log"]
    rules:
      - { name: everything, allow: [engineers, support] }
      - { name: no-admins, when: '"role=admin" in op.parameters', deny: "No." }
      - { name: held, when: 'op.path.startsWith("/held/")', hold: { approvers: "1 of dba", expires: 60s } }
    mask:
      - { fields: ["data.users.email", "**.vin", "**.etag", "**.plate_number", "**.2fa_code"], for: { groups: [support] }, with: redact }
      - { fields: ["**.total"], routes: ["/reports/{id}", "/cars/{car}/log"], for: { groups: [support] }, with: redact }
`

const SECRET = 'zebra'
const VIN = 'WVWZZZ1JZ3W386752'
const user = { EMail: SECRET, n: 1 }

/** Answers what is asked of /late/1. */
let late = (): void => {}
/** Ends the answer of /ends/1, of which there is a part by then. */
let end: (() => void) | undefined

const answers: Readonly<Record<string, Answer>> = {
  '/case': answerWith('application/json', JSON.stringify({ Data: { users: [user] } })),
  '/flat': answerWith(
    'application/json',
    JSON.stringify({ 'data.users': { email: SECRET }, 'car[vin]': SECRET, n: 1 }),
  ),
  '/tags': answerWith('application/json', JSON.stringify({ '@odata.etag': SECRET, n: 1 })),
  '/text': answerWith(
    'application/json',
    JSON.stringify({
      data: JSON.stringify({ users: [user] }),
      log: `{"vin":"${SECRET}`,
      records: `\u001e{"vin":"${SECRET}"}`,
      lines: `1\n{"vin":"${SECRET}"}`,
      words: `put {"vin":"${SECRET}"} there`,
    }),
  ),
  '/lines': answerWith('application/x-ndjson', `${JSON.stringify({ type: 'ADDED', object: user })}\n`),
  '/events': answerWith(
    'text/event-stream',
    `data: ${JSON.stringify({ id: 1, payload: { data: { users: [user] } } })}\n\n`,
  ),
  '/rows': answerWith('text/csv', `n,E-Mail,payload\n1,${SECRET},"{""vin"":""${SECRET}""}"\n`),
  '/zipped/1': (request, response) => {
    response.writeHead(200, { 'content-type': String(request.headers['x-type']), 'content-encoding': 'gzip' })
    const zip = createGzip({ flush: constants.Z_SYNC_FLUSH })
    zip.pipe(response)
    zip.write(String(request.headers['x-first']).replace('RS', '\u001e').replaceAll('LF', '\n'))
  },
  '/hollow/1': (request, response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-encoding': String(request.headers['x-coding']),
    })
    response.flushHeaders()
    setTimeout(() => response.end(), 10)
  },
  '/streams/1': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const timer = setInterval(() => response.write(`data: ${JSON.stringify({ total: SECRET, n: 1 })}\n\n`), 50)
    response.on('close', () => clearInterval(timer))
  },
  '/silent/1': (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/x-ndjson' })
    response.write('{"n":1}\n')
  },
  '/ends/1': (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain', trailer: 'x-total' })
    response.write('begun')
    end = () => {
      response.addTrailers({ 'x-total': SECRET })
      response.end()
    }
  },
  '/late/1': (_request, response) => {
    late = () => total(_request, response, Buffer.alloc(0))
  },
  '/hollow-page': (_request, response) => {
    response.writeHead(200, {
      'content-type': 'text/html',
      etag: '"v1"',
      'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT',
    })
    response.flushHeaders()
    setTimeout(() => response.end(), 10)
  },
  '/sized': (_request, response) => {
    const body = JSON.stringify({ vin: SECRET })
    const length = String(body.length)
    response.writeHead(200, {
      ...{ 'content-type': 'application/json', 'x-page-size': '20', 'x-file-size': length, 'x-original-size': length },
      ...{ 'x-uncompressed-length': length, 'x-object-size': length, 'x-goog-stored-content-length': length },
    })
    response.end(body)
  },
  '/pages': (_request, response) => {
    response.writeHead(200, {
      'content-type': 'application/json',
      link: `<http://${_request.headers.host}/pages?page=2>; rel="next"`,
    })
    response.end('[]')
  },
}

const ofRoutes = ['/reports/7', '/Reports/7.json', '/cars/7/log', '/cars/7/LOG/']
const total = answerWith('application/json', JSON.stringify({ total: SECRET, n: 1 }))
const world = await startHttpWorld({
  policy,
  answers: {
    ...answers,
    '/cut': answerWith('application/json', '{"n":1,"m":{"k":2}'),
    '/reports': total,
    '/held/1': total,
    '/held/2': total,
    ...Object.fromEntries(ofRoutes.map(path => [path, total])),
  },
})
t.teardown(() => world[Symbol.asyncDispose]())
const [alice, carol] = [await world.person('alice'), await world.person('carol')]
const [open, masked] = [await alice.connect('billing-api'), await carol.connect('billing-api')]
t.teardown(() => Promise.all([open, masked].map(each => each[Symbol.asyncDispose]())))

const ask = (at: Connection, path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${at.port}${path}`, init)
const sent = (method: string, body: unknown, type = 'application/json'): RequestInit => ({
  method,
  headers: { 'content-type': type },
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

t.test('a field is masked however the service writes its name, and wherever its document stands', async t => {
  for (const path of Object.keys(answers).filter(each => !/page|sized|[/]1$/.test(each))) {
    t.match(await (await ask(open, path)).text(), SECRET, path)
    const answer = await ask(masked, path)
    const text = await answer.text()
    t.equal(answer.status, 200, `${path} ${text}`)
    t.notMatch(text, SECRET, path)
    t.match(text, /\bn\b|log/, path)
  }
  for (const [message, shown] of [
    [
      JSON.stringify({ type: 'next', payload: { data: { users: [user] } } }),
      '{"type":"next","payload":{"data":{"users":[{"EMail":"****","n":1}]}}}',
    ],
    // Several documents: as SignalR and as Centrifugo send them.
    ['{"type":6}\x1e{"vin":"x"}\x1e', '{"type":6}\x1e{"vin":"****"}\x1e'],
    ['{"id":1}\n{"vin":"x"}\n', '{"id":1}\n{"vin":"****"}\n'],
    ['{"id":1}\x1evin=x', '1008'],
    ['{"id":1}{"vin":"x"}', '1008'],
  ] as const)
    t.equal(await echoOf(masked.port, message), shown)
})

/** What comes back of a message, or the code with which the WebSocket is closed. */
async function echoOf(port: number, message: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/socket`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echoed = new Promise<string>(resolve => {
    socket.once('message', data => resolve(String(data))).once('close', code => resolve(String(code)))
  })
  socket.send(message)
  const said = await echoed
  socket.terminate()
  return said
}

t.test('a mask is about its routes, whatever other routes the policy has', async t => {
  for (const path of ofRoutes) {
    t.match(await (await ask(open, path)).text(), SECRET, path)
    t.notMatch(await (await ask(masked, path)).text(), SECRET, path)
  }
  t.match(await (await ask(masked, '/reports')).text(), SECRET, 'and about no other')
})

t.test('a patch does not carry a masked field to another name, nor ask for its value', async t => {
  const type = 'application/json-patch+json'
  for (const operation of [
    { op: 'copy', from: '/email', path: '/nickname' },
    { op: 'move', from: '/users/0/EMAIL', path: '/nickname' },
    { OP: 'Copy', From: 'email', Path: 'nickname' },
    { op: 'copy', from: '#/%65mail', path: '/nickname' },
    { op: 'move', from: '/data', path: '/other' },
    { op: 'copy', from: '/Users/0', path: '/others/0' },
    { op: 'test', path: '/vin', value: SECRET },
    { op: 'test', path: '/cars/0', value: { vin: SECRET } },
  ]) {
    const before = world.service.asked.length
    const patch = [{ op: 'add', path: '/a', value: 1 }, operation]
    for (const body of [patch, { comment: 'x', changes: { patch } }, { patch: JSON.stringify({ patch }) }]) {
      const answer = await ask(masked, '/users/1', sent('PATCH', body, type))
      t.equal(answer.status, 403, JSON.stringify(operation))
      t.match(await answer.json(), { rule: 'http', detail: /copies, moves or tests/ })
    }
    t.equal(world.service.asked.length, before)
    t.equal((await ask(open, '/users/1', sent('PATCH', [operation], type))).status, 200)
  }
  const utf16 = Buffer.from('[{"op":"copy","from":"/email","path":"/a"}]', 'utf16le')
  for (const [body, its] of [
    [`[{'op':'copy','from':'/email','path':'/a'}]`, type],
    ['[{"op":/**/"move","from":"/email","path":"/a"}]', type],
    ['[{"\\u006fp":"c\\x6fpy",from:"/email","path":"/a"}]', 'application/json'],
    ['{"op":"copy","from":"/email","path":"/a"}', type],
    ['{"1":{"op":"copy","from":"/email","path":"/a"}}', type],
    [utf16, `${type}; charset=utf-16`],
    [utf16, type],
  ] as const) {
    const before = world.service.asked.length
    const init = { method: 'PATCH', headers: { 'content-type': its }, body }
    t.equal((await ask(masked, '/users/1', init)).status, 403, body.toString())
    t.equal(world.service.asked.length, before)
    t.equal((await ask(open, '/users/1', init)).status, 200)
  }
  t.equal(await echoOf(masked.port, '{"op":"copy","from":"/email","path":"/a"}'), '1008', 'nor does a message')
  t.equal((await ask(masked, '/users/1', sent('PATCH', 'copy {a} to b', 'text/plain'))).status, 200)
  const plain = [
    { op: 'move', from: '/items/2', path: '/items/0' },
    { op: 'move', from: '/data/users/2', path: '/data/users/0' },
    { op: 'copy', from: '/users/0/position', path: '/users/1/position' },
    { op: 'test', path: '/version', value: 3 },
    { op: 'replace', path: '/email', value: 'x' },
  ]
  t.equal((await ask(masked, '/users/1', sent('PATCH', plain, type))).status, 200)
})

t.test('what is masked by its route is not copied to where it is not', async t => {
  const to = (destination: string, method = 'COPY'): RequestInit => ({ method, headers: { destination } })
  const from = (source: string, field = 'x-amz-copy-source'): RequestInit => ({
    method: 'PUT',
    headers: { [field]: source },
  })
  const left: readonly (readonly [string, RequestInit])[] = [
    ['/reports/7', to('/drafts/7')],
    ['/reports/7.json', to('/drafts/7', 'MOVE')],
    ['/Reports/7', to('/reports')],
    ['/reports', to('/drafts', 'MOVE')],
    ['/', to('/drafts')],
    ['/cars', to('/vans')],
    ['/cars/7', to('/reports/7')],
    ['/drafts/7', from('/reports/7')],
    ['/drafts/7', from('bucket%2Freports/7')],
    ['/drafts/7', from('arn:aws:s3:eu:1:accesspoint/a/object/reports/7')],
    ['/drafts/7', from('https://account.blob.example/reports/7?sig=1', 'x-ms-copy-source')],
    ['/drafts', from('/reports', 'x-ms-rename-source')],
    ['/drafts/7', from('bucket/reports/7', 'x-symlink-target')],
    ['/drafts/7', from('bucket/rep', 'x-object-manifest')],
    ['/reports/7?op=RENAME&destination=/drafts/7', { method: 'PUT' }],
    ['/reports?to=/drafts', { method: 'POST' }],
    ['/reports/7?to=/drafts//7', { method: 'POST' }],
    ['/drafts', { method: 'BIND', body: '<bind><segment>x</segment><href>/reports/7</href></bind>' }],
  ]
  for (const [path, init] of left) {
    const before = world.service.asked.length
    const answer = await ask(masked, path, init)
    t.equal(answer.status, 403, `${path} ${JSON.stringify(init)}`)
    t.match(await answer.json(), { rule: 'http', detail: /would not be there/ })
    t.equal(world.service.asked.length, before)
    t.equal((await ask(open, path, init)).status, 200, 'who sees it may copy it')
  }
  for (const [path, init] of [
    ['/reports/7', to('/reports/8')],
    ['/reports/7', to('/cars/7/log')],
    ['/cars/7', to('/cars/8')],
    ['/drafts/7', to('/reports/7', 'MOVE')],
    ['/drafts/7', to('/other/7')],
    ['/reports/7', from('bucket/reports/8')],
    ['/drafts/7', from('bucket/other/7')],
    ['/reports/7?op=RENAME&destination=/reports/8', { method: 'PUT' }],
    ['/drafts/7?to=/other/7', { method: 'POST' }],
    ['/reports/7?to=ann', { method: 'POST' }],
  ] as const)
    t.equal((await ask(masked, path, init)).status, 200, `${path} ${JSON.stringify(init)}`)
})

t.test('other names asked for in a text that is a document', async t => {
  const start = (query: string): unknown => ({ id: '1', type: 'start', payload: { data: JSON.stringify({ query }) } })
  t.equal((await ask(masked, '/graphql', sent('POST', start('subscription { e: email }')))).status, 403)
  t.equal((await ask(masked, '/graphql', sent('POST', start('subscription { email }')))).status, 200)
})

t.test('other names asked for in a query, whatever its parameter is called', async t => {
  const inQuery = (name: string, value: string): string => `/graphql?n=1&${new URLSearchParams({ [name]: value })}`
  const request = (query: string): string => JSON.stringify({ requests: [{ query }] })
  for (const [name, value] of [
    ['q', '{e:email}'],
    ['payload', request('{ e: email }')],
    ['operations', request('{ e: email ')],
  ] as const) {
    t.equal((await ask(masked, inQuery(name, value))).status, 403, value)
    t.equal((await ask(open, inQuery(name, value))).status, 200)
  }
  for (const value of ['{email}', request('{ email }'), '{"a":{"b":"c: {d}"}}', '{__name__=~"a:b"}'])
    t.equal((await ask(masked, inQuery('q', value))).status, 200, value)
})

t.test('fields that a query asks for under other names', async t => {
  for (const query of [
    ...[
      'select=v:vin',
      'select=id,car:cars( v : Vin )',
      'select=d:data(*)',
      'fl=v:vin',
      '$compute=vin as v',
      '$select=n,vin%20as%20v',
    ],
    ...['select=vin.max()', 'select=v:payload->>vin', 'alias[v]=vin', 'aggregate[max]=vin', 'a=1;select=v:vin'],
    ...['$apply=aggregate(vin+with+max+as+m)', 'fields={"v":"$vin"}', 'select="v":"vin"', 'columns=vin AS v'],
    ...[
      'select=n,vin->>region',
      'select=vin->0->>region',
      'select=data->>n',
      'select="vin"->"region"',
      'select=...users(n)',
    ],
    ...[
      'select=v         :vin',
      'select=v\t:\tvin',
      'select=v%C2%A0:vin',
      'select=...          users(n)',
      'select=v$:vin',
    ],
    ...['select=v:"v\\in"', 'select="a;b":vin', 'columns=n-vin as v', 'select=s:2fa_code', 'select=v:Plate Number'],
    ...['$expand=cars($compute=vin as v;$select=v)', '$expand=cars($apply=aggregate(vin with max as m))'],
    ...[
      'json.fields=v:vin',
      'json.params.fl=v:vin',
      'cars.fl=v:vin',
      'json={fields:"v:vin"}',
      'json={"fields":"v:vin"}',
    ],
    ...['fl=%24{x}&x=v:vin', 'fl=n,field(vin)', 'fl=concat(n,vin)', 'fields=year(vin)', 'fields=n,upper( vin )'],
    ...['deep[cars][_alias][v]=vin', 'deep={"cars":{"_alias":{"v":"vin"}}}', 'query[alias][v]=vin'],
    ...[
      'include_fields=$users(*) as p',
      '_fields=v:vin',
      'group_by=vin as v',
      'outFields=vin as v',
      'attributes=vin as v',
    ],
  ]) {
    const before = world.service.asked.length
    const path = `/cars?${query.replaceAll(/[ "{}<>]/g, encodeURIComponent)}`
    const answer = await ask(masked, path)
    t.equal(answer.status, 403, query)
    t.match(await answer.json(), { detail: /under another name/ })
    t.equal(world.service.asked.length, before)
    t.equal((await ask(open, path)).status, 200)
  }
  for (const query of [
    ...[
      'select=id,vin',
      'select=vin::text',
      'select=c:cars(name)',
      'select=n.sum()',
      'q=in:vin',
      'fields={"vin":1,"n":true}',
    ],
    ...[
      'fields=items(vin,n)',
      '$expand=cars($select=vin;$orderby=n desc)',
      'fields=cars(vin,day(n))',
      'expand[]=data.users',
    ],
    ...[
      'fl=*,[docid],vin',
      'fields=n:1,vin:-1.5',
      'hl.fl=vin',
      'filter={"vin":"x","n":"y"}',
      'fl=%24{x}&x=n:m',
      'a;b=vin',
      'alias=vin',
      `deep=${'['.repeat(8_000)}${']'.repeat(8_000)}`,
    ],
    ...['select=cars!inner(vin,n)', 'fields[cars]=vin,n', 'aggregate[count]=n', 'sort=vin:desc', 'select=vin->0'],
    ...['select=n->>vin', 'select=n->vin->0', 'select=...owner(n)', 'select=n->>data::text', 'order=vin->>region'],
  ])
    t.equal((await ask(masked, `/cars?${query.replaceAll(/[ "{}<>]/g, encodeURIComponent)}`)).status, 200, query)
  for (const body of [
    { $rename: { vin: 'v' } },
    { updates: [{ u: { $rename: { 'car.vin': 'v' } } }] },
    { $rename: { data: 'd' } },
    { pipeline: [{ $project: { v: '$vin' } }] },
    { pipeline: [{ $group: { _id: '$$ROOT.car.vin' } }] },
    { pipeline: [{ $project: { v: { $getField: 'vin' } } }] },
    { pipeline: [{ $project: { v: { $getField: { field: 'vin', input: '$$ROOT' } } } }] },
  ])
    t.equal((await ask(masked, '/action', sent('POST', body))).status, 403, JSON.stringify(body))
  for (const [name, value] of [
    ['keys', { v: '$vin' }],
    ['aggregate', [{ $project: { v: '$$ROOT.vin' } }]],
    ['projection', { v: { $getField: 'vin' } }],
  ] as const) {
    const path = `/cars?${new URLSearchParams({ [name]: JSON.stringify(value) })}`
    t.equal((await ask(masked, path)).status, 403, path)
    t.equal((await ask(open, path)).status, 200)
  }
  for (const body of [
    { $rename: { n: 'm' } },
    { pipeline: [{ $project: { vin: 1, v: '$n' } }] },
    { note: '$vin is it' },
  ])
    t.equal((await ask(masked, '/action', sent('POST', body))).status, 200, JSON.stringify(body))
})

t.test('fields that a body asks for under other names', async t => {
  const form = (body: string, type = 'application/x-www-form-urlencoded'): RequestInit => ({
    method: 'POST',
    headers: { 'content-type': type },
    body,
  })
  for (const [init, name] of [
    [form('q=*:*&fl=v:vin'), 'Solr'],
    [form('q=a;fl=v:vin'), 'Solr, cut otherwise'],
    [sent('POST', { query: '*:*', fields: 'v:vin' }), 'Solr'],
    [sent('POST', { query: '*:*', fields: ['n', 'v:vin'] }), 'Solr'],
    [sent('POST', { params: { fl: 'v:vin' } }), 'Solr'],
    [sent('POST', { query: { alias: { v: 'vin' }, fields: ['v'] } }), 'Directus'],
    [sent('POST', { query: { aggregate: { max: ['vin'] } } }), 'Directus'],
    [form('$compute=vin as v&$select=n,v', 'text/plain'), 'OData'],
    [sent('POST', { params: { 'json.fields': 'v:vin' } }), 'Solr, by a path'],
    [sent('POST', { query: { deep: { cars: { _alias: { v: 'vin' } } } } }), 'Directus, of what is joined'],
    [sent('POST', { payload: JSON.stringify({ fields: 'v:vin' }) }), 'in a text'],
    [sent('POST', { select: { v: 'vin' } }), 'a pair'],
    [sent('POST', { columns: [{ name: 'vin', as: 'v' }] }), 'an object with another name'],
    [sent('POST', { aggs: { v: { terms: { field: 'vin' } } } }), 'Elasticsearch'],
    [
      form(
        '--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n*:*\r\n--b\r\ncontent-disposition: form-data; name=fl\r\nContent-Type: text/plain\r\n\r\nn,v:vin\r\n--b--\r\n',
        'multipart/form-data; boundary=b',
      ),
      'Solr, of parts',
    ],
    [form(`json=${encodeURIComponent('{"fields":"v:vin"}')}`), 'Solr, in a form'],
  ] as const) {
    const answer = await ask(masked, '/cars', init)
    t.equal(answer.status, 403, name)
    t.match(await answer.json(), { detail: /the body asks for one of them under another name/ })
    t.equal((await ask(open, '/cars', init)).status, 200)
  }
  for (const init of [
    form('q=in:vin&fl=id,vin'),
    form('vin=a:b&note=vin as it is'),
    sent('POST', { fields: ['n', 'vin'], sort: 'vin:desc', note: 'vin as it is' }),
    sent('POST', { fields: { vin: 'text', n: 'v:n' }, aggregate: 'users', select: { vin: true } }),
    sent('POST', { columns: [{ name: 'vin', label: 'v' }] }),
    form('vin = a, b as c', 'text/plain'),
    form(
      '--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n*:*\r\n--b\r\ncontent-disposition: form-data; name=fl\r\nContent-Type: text/plain\r\n\r\nn,vin\r\n--b--\r\n',
      'multipart/form-data; boundary=b',
    ),
    sent('POST', { aliases: { vin: { is_write_index: true } } }),
    sent('POST', { project: 'Inbox: vin', attributes: ['vin as it is'], properties: '{"a":"vin"}' }),
  ])
    t.equal((await ask(masked, '/cars', init)).status, 200, String(init.body))
})

t.test('what a service says of the length of a body stays behind, and of pages not', async t => {
  const body = JSON.stringify({ vin: SECRET })
  const named = [
    'x-file-size',
    'x-original-size',
    'x-uncompressed-length',
    'x-object-size',
    'x-goog-stored-content-length',
  ]
  const answer = await ask(masked, '/sized')
  t.equal(await answer.text(), '{"vin":"****"}')
  for (const name of named) t.equal(answer.headers.get(name), null, name)
  t.equal(answer.headers.get('x-page-size'), '20')
  const clear = await ask(open, '/sized')
  t.equal(await clear.text(), body)
  for (const name of named) t.equal(clear.headers.get(name), String(body.length), name)
})

t.test('an empty answer keeps what is said of it, whatever its type', async t => {
  const answer = await ask(masked, '/hollow-page')
  t.equal(answer.status, 200)
  t.equal(await answer.text(), '')
  t.equal(answer.headers.get('content-type'), 'text/html')
  t.equal(answer.headers.get('last-modified'), 'Mon, 01 Jan 2024 00:00:00 GMT')
  t.match(answer.headers.get('etag'), /^"[^"]{20,}"$/)
})

t.test('tags of bodies open nothing where something is masked', async t => {
  await ask(masked, '/users/1', { method: 'PUT', headers: { 'if-match': 'W/"of-a-body"' }, body: '{}' })
  t.equal(world.service.asked.at(-1)?.headers['if-match'], '"gate-none"')
  await ask(open, '/users/1', { method: 'PUT', headers: { 'if-match': 'W/"of-a-body"' }, body: '{}' })
  t.equal(world.service.asked.at(-1)?.headers['if-match'], 'W/"of-a-body"')
})

t.test('what is masked for anybody is in no record, however a request says it', async t => {
  const text = `mutation { put(car: {Vin: "${VIN}"}) { id } }`
  for (const [path, init] of [
    [`/cars/${VIN}`],
    [`/Cars/${VIN}.json`],
    [`/cars/${VIN}/log?n=1`],
    ['/cars', sent('POST', { VIN })],
    ['/cars', sent('POST', { 'car.vin': VIN })],
    ['/cars', sent('POST', { payload: JSON.stringify({ vin: VIN }) })],
    [
      '/cars',
      sent(
        'POST',
        new URLSearchParams({ payload: JSON.stringify({ vin: VIN }) }).toString(),
        'application/x-www-form-urlencoded',
      ),
    ],
    ['/graphql', sent('POST', { query: text })],
    [`/graphql?${new URLSearchParams({ query: text })}`],
    [`/graphql?${new URLSearchParams({ query: '{ a }', variables: JSON.stringify({ vin: VIN }) })}`],
  ] as const)
    t.equal((await ask(open, path, init)).status, 200, path)
  const socket = new WebSocket(`ws://127.0.0.1:${open.port}/cars/${VIN}`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echoed = new Promise(resolve => socket.once('message', resolve))
  socket.send(JSON.stringify({ vin: VIN }))
  await echoed
  socket.terminate()
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /GET \/cars\/‹redacted:/)
  for (const [line] of recorded.matchAll(new RegExp(`.{80}${VIN}.{20}`, 'g'))) t.fail(line)
})

t.test('a body that came at once and is broken is a problem, and no connection that breaks', async t => {
  const answer = await ask(masked, '/cut')
  t.equal(answer.status, 502)
  t.match(await answer.json(), { code: 'ERR_GATE_TARGET_PROTOCOL', detail: /it ends too early/ })
  t.equal(await (await ask(open, '/cut')).text(), '{"n":1,"m":{"k":2}', 'where nothing is masked it is what it is')
})

t.test('values of parameters wherever a service cuts them', async t => {
  for (const query of ['role=admin', 'a=1;role=admin', 'role[]=admin', 'role%5Bx%5D=admin'])
    t.equal((await ask(open, `/users?${query}`)).status, 403, query)
  t.equal((await ask(open, '/users?role=user;a=admin')).status, 200)
})

t.test('headers that would speak for somebody else, and those of pages that say nothing of themselves', async t => {
  const said = {
    ...{ 'x-forwarded-preferred-username': 'root', 'x-auth-request-email': 'root', 'x-webauth-user': 'root' },
    ...{ 'remote-groups': 'root', 'client-cert': 'root', 'x-ssl-client-verify': 'root', proxy: 'http://root' },
  }
  await ask(open, '/plain', { headers: { ...said, 'x-user-agent': 'kept' } })
  const got = world.service.asked.at(-1)?.headers ?? {}
  t.same(
    Object.keys(said).filter(name => got[name] !== undefined),
    [],
  )
  t.equal(got['x-user-agent'], 'kept')
  const form = (site: string): Promise<Response> =>
    ask(open, '/form', {
      ...sent('POST', 'a=1', 'application/x-www-form-urlencoded'),
      headers: { origin: 'null', 'sec-fetch-site': site },
    })
  t.equal((await form('same-origin')).status, 200)
  t.equal((await form('cross-site')).status, 403)
})

t.test('the next page is one of the local port', async t => {
  t.equal((await ask(open, '/pages')).headers.get('link'), '</pages?page=2>; rel="next"')
})

t.test('policy that changes while a WebSocket is open, and while people are asked', async t => {
  const bob = await world.person('bob')
  const waiting = async (): Promise<{ id: string; text: string }[]> =>
    JSON.parse((await bob.runInProcess('requests', '--json')).stdout)
  const socket = new WebSocket(`ws://127.0.0.1:${open.port}/sockets/1`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echo = (): Promise<string> =>
    new Promise(resolve => {
      socket.once('message', data => resolve(String(data))).once('close', code => resolve(String(code)))
      socket.send(`{"total":"${SECRET}"}`)
    })
  t.match(await echo(), SECRET)
  const held = ['/held/1', '/held/2'].map(path => ask(open, path))
  while ((await waiting()).length < 2) await wait(50)
  const change = async (text: string, isThere: () => Promise<boolean>): Promise<void> => {
    await world.relay.writePolicy(text)
    while (!(await isThere())) await wait(50)
  }
  const approve = async (path: string): Promise<void> => {
    const id = (await waiting()).find(({ text }) => text.includes(path))?.id ?? ''
    t.equal((await bob.runInProcess('approve', id)).code, 0)
  }
  const newMask = '      - { fields: [total], routes: ["/held/{a}", "/sockets/{b}", "/reports/{id}"], with: redact }'
  await change(`${policy}${newMask}\n`, async () => (await (await ask(open, '/reports/7')).text()).includes('****'))
  t.equal(await echo(), '{"total":"****"}', 'a mask whose routes were not there when it began')
  await approve('/held/1')
  t.match(await (await held[0])?.text(), '****', 'nor when people were asked')
  const closed = '      - { name: closed, when: \'op.route == "/sockets/{b}"\', deny: "Closed." }'
  const stricter = policy
    .replace('"/cars/{vin}",', '"/cars/{vin}", "/sockets/{b}",')
    .replace('1 of dba', '2 of dba')
    .replace('      - { name: no-admins', `${closed}\n      - { name: no-admins`)
  await change(stricter, async () => (await ask(open, '/sockets/2')).status === 403)
  t.equal(await echo(), '1008', 'a rule about such a route')
  await approve('/held/2')
  const answer = await held[1]
  t.equal(answer?.status, 403)
  t.match(await answer?.json(), { rule: 'held', detail: /2 of dba now, who were not asked/ })
})

t.test('a body that says that it is encoded and is empty is no broken one', async t => {
  for (const coding of ['gzip', 'deflate', 'br', 'zstd', 'gzip, br'])
    for (const accepted of [coding, 'identity']) {
      const headers = { 'x-coding': coding, 'accept-encoding': accepted }
      const answer = await ask(masked, '/hollow/1', { headers })
      t.equal(answer.status, 200, coding)
      t.equal(await answer.text(), '', coding)
    }
})

t.test('parts of a stream that is encoded leave as they come', async t => {
  const first = `{"vin":"${SECRET}","n":1}`
  for (const [type, text] of [
    ['text/event-stream', `data: ${first}LFLF`],
    ['application/x-ndjson', `${first}LF`],
    ['application/ndjson; charset=utf-8', `${first}LF`],
    ['application/jsonl', `${first}LF`],
    ['application/stream+json', `${first}LF`],
    ['application/json-seq', `RS${first}LF`],
    ['application/json', `${first}LF`],
  ] as const) {
    const seen = await new Promise<string>((resolve, reject) => {
      const headers = { 'x-type': type, 'x-first': text, 'accept-encoding': 'gzip' }
      const asked = get({ port: masked.port, path: '/zipped/1', headers, agent: false, timeout: 20_000 }, answer => {
        const unzip = createGunzip({ flush: constants.Z_SYNC_FLUSH })
        answer.on('error', () => {}).pipe(unzip)
        unzip.once('data', (chunk: Buffer) => {
          asked.destroy()
          resolve(chunk.toString('utf8'))
        })
      })
      asked.on('timeout', () => asked.destroy(new Error(`${type}: nothing came`))).on('error', reject)
    })
    t.match(seen, '{"vin":"****","n":1}', type)
  }
})

t.test('what is under way follows policy', async t => {
  const change = async (text: string, isThere: () => Promise<boolean>): Promise<void> => {
    await world.relay.writePolicy(text)
    while (!(await isThere())) await wait(50)
  }
  const rule = (name: string, when: string): string => `      - { name: ${name}, when: '${when}', deny: "Closed." }\n`
  const withRule = (more: string): string =>
    policy.replace('      - { name: no-admins', `${more}      - { name: no-admins`)
  const isRefused = async (path: string): Promise<boolean> => (await ask(open, path)).status === 403
  await change(withRule(rule('start', 'op.path == "/start"')), () => isRefused('/start'))
  /** What has come of an answer, and how it ended. */
  const follow = async (path: string): Promise<{ text: string; over: Promise<string> }> => {
    const stream = { text: '', over: Promise.resolve('') }
    const answer = await ask(open, path)
    const decoder = new TextDecoder()
    const read = async (): Promise<string> => {
      for await (const chunk of answer.body ?? []) stream.text += decoder.decode(chunk)
      return 'ended'
    }
    stream.over = read().catch(() => 'broken')
    return stream
  }
  const [events, silent] = [await follow('/streams/1'), await follow('/silent/1')]
  const socket = new WebSocket(`ws://127.0.0.1:${open.port}/sockets/9`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const closed = new Promise<number>(resolve => socket.once('close', resolve))
  const unanswered = ask(open, '/late/1')
  const others = rule('others', 'op.path == "/others"')
  await change(withRule(others), () => isRefused('/others'))
  const had = events.text.length
  while (events.text.length < had + 100) await wait(50)
  const mask = '      - { fields: [total], routes: ["/streams/{a}", "/late/{b}", "/reports/{c}"], with: redact }\n'
  await change(`${withRule(others)}${mask}`, async () =>
    (await (await ask(open, '/reports/7')).text()).includes('****'),
  )
  t.equal(await events.over, 'broken', 'the masks of a running answer are others')
  t.notMatch(events.text, '****')
  const masked = await follow('/streams/1')
  while (masked.text === '') await wait(20)
  t.match(masked.text, /^data: \{"total":"\*{4}","n":1\}/)
  late()
  t.equal(await (await unanswered).text(), '{"total":"****","n":1}', 'one that had not begun has them')
  const closing = rule(
    'closed',
    'op.path in ["/streams/1", "/silent/1", "/sockets/9", "/ends/1", "/closed"] && op.action != "message"',
  )
  const ending = sendRaw(open.port, 'GET /ends/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
  while (end === undefined) await wait(10)
  await change(`${withRule(others + closing)}${mask}`, () => isRefused('/closed'))
  end()
  const ended = await ending
  t.match(ended, /begun/)
  t.notMatch(ended, /0\r\n|zebra/, 'nor does it end as if it were whole')
  t.same([await masked.over, await silent.over, await closed], ['broken', 'broken', 1008], 'and what is refused by now')
  t.equal(silent.text, '{"n":1}\n')
  const recorded = async (): Promise<Record<string, unknown>[]> =>
    (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
  let all = await recorded()
  const about = (path: string): string[] =>
    all.flatMap(body => {
      if (body['type'] === 'command' && String(body['text']).startsWith(`GET ${path}`)) {
        const { effect, rule } = body['decision'] as Record<string, unknown>
        return [`${String(effect)} ${String(rule)}`]
      }
      const of = all.find(
        ({ type, session, command }) =>
          type === 'command' && session === body['session'] && command === body['command'],
      )
      return body['type'] === 'outcome' && String(of?.['text']).startsWith(`GET ${path}`)
        ? [String(body['status'])]
        : []
    })
  while (about('/silent/1').length < 3 || !about('/sockets/9').some(each => each.startsWith('101 ERR_')))
    all = await recorded()
  t.same(about('/silent/1'), ['allow everything', 'deny closed', '200 ERR_GATE_REFUSED'])
  t.same(about('/sockets/9').slice(-3), ['allow everything', 'deny closed', '101 ERR_GATE_REFUSED'])
  t.match(about('/streams/1'), ['allow everything', 'deny http', '200 ERR_GATE_REFUSED', 'allow everything'])
})
