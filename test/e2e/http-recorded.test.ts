// What stays of HTTP requests in the record and in the store: nothing that is masked for anybody, through real processes.
import t from 'tap'
import { WebSocket } from 'ws'
import { callAs } from '../support/approver.ts'
import type { Cli, Connection } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { run } from '../support/process.ts'
import { sendRaw } from '../support/raw-http.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, dba] }
    headers: [x-tenant, x-owner]
    rules:
      - { name: everything, allow: [engineers] }
      - { name: payouts, when: 'op.path.startsWith("/payouts")', hold: { approvers: "1 of dba", expires: 60s } }
      - name: words
        when: op.action == "message" && op.direction == "sent"
        hold: { approvers: "1 of dba", expires: 60s }
    mask:
      - { fields: ["**.vin"], headers: [x-owner], for: { groups: [support] }, with: redact }
`

const VIN = 'WVWZZZ1JZ3W386752'
const MAIL = 'ann@secret.example'

const world = await startHttpWorld({ policy })
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const bob = await world.person('bob')
const open = await alice.connect('billing-api')
t.teardown(() => open[Symbol.asyncDispose]())

const curl = async ({ port }: Connection, path: string, ...args: string[]): Promise<string> =>
  (await run('curl', ['-s', '--path-as-is', ...args, `http://127.0.0.1:${port}${path}`])).stdout
const json = ['-H', 'content-type: application/json', '-d']

/** Asks for something that is held; gives the id of the request for approval. */
async function askLater(path: string, ...args: string[]): Promise<string> {
  const answer = await curl(open, path, '-H', 'prefer: respond-async', ...args)
  return /"request":"([^"]+)"/.exec(answer)?.[1] ?? answer
}

const shown = async (person: Cli, id: string): Promise<string> =>
  JSON.stringify((await callAs(person, world.relay.url, 'GET', `/v1/requests/${id}`)).body)

t.test('people see the whole body, and when the request is over nothing of it is left', async t => {
  const path = `/payouts/${MAIL}`
  const held = [path, ...json, JSON.stringify({ vin: VIN, amount: 5 })] as const
  const id = await askLater(...held)
  t.match(await shown(bob, id), VIN)
  t.equal((await bob.runInProcess('approve', id)).code, 0)
  t.match(await curl(open, path, '-H', 'prefer: respond-async', ...held.slice(1)), VIN, 'the service has answered')
  const after = await shown(bob, id)
  t.match(after, '"amount')
  t.notMatch(after, VIN)
  t.notMatch(after, MAIL, 'nor in facts and resources')
})

t.test('headers that rules see are recorded, and signed, without what is masked for anybody', async t => {
  const owner = ['-H', 'x-owner: zebra-one', '-H', 'x-tenant: 7']
  await curl(open, '/cars', ...owner)
  await curl(
    open,
    '/cars',
    '-H',
    'x-owner: zebra-three',
    '-H',
    'x-tenant: 8',
    '-H',
    'referer: http://localhost/?Vin_=zebra-four',
  )
  const id = await askLater('/payouts/2', ...owner)
  t.match(await shown(bob, id), /"header x-owner":"‹redacted:[0-9a-f]{16}›","header x-tenant":"7"/)
  t.equal((await bob.runInProcess('approve', id)).code, 0)
  const other = await askLater('/payouts/2', '-H', 'x-owner: zebra-two', '-H', 'x-tenant: 7')
  t.match(other, /^r_/, 'what is approved goes with no other header')
  t.equal((await bob.runInProcess('deny', other, '--reason', 'no')).code, 0)
  t.match(await askLater('/payouts/2', ...owner), 'zebra-one', 'the service has answered')
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /"headers":\["x-owner: ‹redacted:[0-9a-f]{16}›","x-tenant: 7"\]/)
  t.notMatch(recorded, /zebra-/)
})

t.test('a request that is refused for its form is recorded without what is masked as well', async t => {
  const host = 'Host: localhost\r\nConnection: close\r\n\r\n'
  for (const target of [
    `//cars?of=zebra&vin=${VIN}`,
    `/a\\b?vin=${VIN}`,
    `/cars/9;vin=${VIN}`,
    `/cars#vin=${VIN}`,
    `/cars?vin=${VIN}#x`,
    `/cars?_method=DELETE&vin=${VIN}`,
    `http://me:${VIN}@localhost/cars`,
  ])
    t.match(await sendRaw(open.port, `GET ${target} HTTP/1.1\r\n${host}`), /^HTTP\/1\.1 400 /, target)
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /"GET \/\/cars\?of=zebra&vin=‹redacted:/)
  t.match(recorded, /"GET \/cars#vin=‹redacted:/)
  t.notMatch(recorded, VIN)
})

t.test('of a long body the beginning is recorded, and how long all of it was', async t => {
  const members = Array.from({ length: 20_000 }, (_, at) => `vin=${VIN}&n=${at}`).join('&')
  const answer = await fetch(`http://127.0.0.1:${open.port}/long`, {
    method: 'POST',
    body: new URLSearchParams(members),
  })
  t.equal((await answer.text()).length > members.length, true, 'the service has had all of it')
  const events = (await world.relay.events()).map(({ body }) => body as Record<string, unknown>)
  const recorded = events.find(({ text }) => String(text).startsWith('POST /long'))
  t.match(recorded, { keyedSha256: /^[0-9a-f]{64}$/, text: /vin=‹redacted:[0-9a-f]{16}›&n=3&/ })
  t.ok(Number(recorded?.['cutFrom']) > members.length)
  t.ok(String(recorded?.['text']).length > 8_000)
  t.notMatch(JSON.stringify(recorded), VIN)
})

t.test('what is signed of a message on a WebSocket holds no more of its path than the record', async t => {
  const socket = new WebSocket(`ws://127.0.0.1:${open.port}/chat/${MAIL}`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const echoed = new Promise(resolve => socket.once('message', data => resolve(String(data))))
  socket.send('hello')
  let waiting: { id: string }[] = []
  while (waiting.length === 0) waiting = JSON.parse((await bob.runInProcess('requests', '--json')).stdout)
  t.equal((await bob.runInProcess('approve', waiting[0]?.id ?? '')).code, 0)
  t.equal(await echoed, 'hello')
  socket.terminate()
  const recorded = JSON.stringify(await world.relay.events())
  t.match(recorded, /"context":\{"path":"\/chat\/‹redacted:/)
  t.notMatch(recorded, MAIL)
})
