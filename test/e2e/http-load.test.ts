// The HTTP room under load and under loss: idle streams, clients that vanish, programs that are killed. Real processes.
import { readFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { WebSocket } from 'ws'
import type { Cli } from '../support/gate.ts'
import { startHttpWorld } from '../support/http-world.ts'
import { sendRaw, statuses } from '../support/raw-http.ts'
import { until } from '../support/until.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: http } }
    allow: { groups: [engineers, dba] }
    viewers: [dba]
    operators: [dba]
    rules:
      - { name: everything, allow: [engineers, dba] }
      - { name: held, when: 'op.path == "/held"', hold: { approvers: "1 of dba", expires: 300s } }
`

/** Each takes tens of milliseconds to open on a small machine: more of them, 5,000 for example, when somebody asks for it. */
const IDLE_STREAMS = Number(process.env['GATE_TEST_IDLE_STREAMS'] ?? 200)
/** What one more connection may cost each program. */
const BYTES_PER_STREAM = 256 * 1024
/** What a program that has just started takes and gives back by itself. */
const COLLECTED_BYTES = 64 * 1024 * 1024

let endless = 0
const listening = new Set<ServerResponse>()
const world = await startHttpWorld({
  policy,
  relay: {
    more: 'limits: { connections: 10000, connections_per_subject: 10000, agent_streams: 10000, waiting_requests_per_subject: 1000 }',
  },
  target: '    connections: 400\nlimits: { streams: 10000 }',
  answers: {
    '/news': (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      listening.add(response)
      response.once('close', () => listening.delete(response))
    },
    '/endless': (_request, response) => {
      endless += 1
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write('data: 1\n\n')
      response.once('close', () => {
        endless -= 1
      })
    },
  },
})
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const bob = await world.person('bob')
const gate = await alice.connect('billing-api')
t.teardown(() => gate[Symbol.asyncDispose]())

const request = (line: string, fields = ''): string => `${line} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`
const closing = (path: string): string => request(`GET ${path}`, 'Connection: close\r\n')
const works = async (): Promise<number | undefined> => statuses(await sendRaw(gate.port, closing('/fine')))[0]

/** Opens a connection, sends, and resolves with what came as soon as it matches, or when the other side closed. */
function open(bytes: string | Buffer, until: RegExp | undefined): Promise<{ socket: Socket; seen: () => string }> {
  return new Promise(resolve => {
    const socket = connect({ port: gate.port, host: '127.0.0.1' })
    let text = ''
    const done = (): void => resolve({ socket, seen: () => text })
    socket.on('error', done).once('close', done)
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      if (until?.test(text)) done()
    })
    socket.write(bytes)
    if (until === undefined) socket.once('connect', done)
  })
}

const closed = (socket: Socket): Promise<unknown> =>
  socket.closed ? Promise.resolve() : new Promise(resolve => socket.once('close', resolve))

const waiting = async (person: Cli): Promise<{ id: string }[]> =>
  JSON.parse((await person.runInProcess('requests', '--json')).stdout) as { id: string }[]

/** Sessions that began and have no end in the record. */
async function running(): Promise<string[]> {
  const events = (await world.relay.events()).map(({ body }) => body as { type: string; session: string })
  const ended = new Set(events.filter(({ type }) => type === 'session.end').map(({ session }) => session))
  return events.filter(({ type, session }) => type === 'session.start' && !ended.has(session)).map(each => each.session)
}

const residentBytes = ({ pid }: { readonly pid: number }): number =>
  Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024

t.test(`${IDLE_STREAMS} idle streams`, async t => {
  t.equal(await works(), 200)
  const programs = { relay: world.relay.process(), agent: world.agent.process(), connect: gate.process }
  const before = Object.values(programs).map(residentBytes)
  const sockets: Socket[] = []
  while (sockets.length < IDLE_STREAMS) {
    const some = Array.from({ length: 100 }, () => open(request('GET /idle'), /"url":"\/idle"|problem\+json/))
    for (const { socket, seen } of await Promise.all(some)) {
      if (statuses(seen())[0] !== 200) t.fail(seen() || 'closed without a word')
      sockets.push(socket)
    }
  }
  t.equal(sockets.filter(socket => !socket.closed).length, IDLE_STREAMS)
  for (const [index, [name, program]] of Object.entries(programs).entries()) {
    const grown = residentBytes(program) - (before[index] ?? 0)
    const each = `${name}: ${Math.round(grown / IDLE_STREAMS / 1024)} kB each`
    t.ok(grown < IDLE_STREAMS * BYTES_PER_STREAM + COLLECTED_BYTES, each)
  }
  t.equal(await works(), 200, 'one more is served')
  for (const socket of sockets) socket.destroy()
  await until('the end of all sessions', async () => (await running()).length === 0)
  t.equal(await works(), 200)
})

/** More than a target takes where its configuration says nothing. */
const LISTENERS = 300

t.test('many that listen to events, while policy changes', async t => {
  const readers: Awaited<ReturnType<typeof open>>[] = []
  while (readers.length < LISTENERS)
    readers.push(...(await Promise.all(Array.from({ length: 50 }, () => open(request('GET /news'), /data: 1/)))))
  t.equal(listening.size, LISTENERS)
  const { stdout, stderr } = world.relay.process()
  const loaded = (): number => `${stdout()}${stderr()}`.split('"event":"policy.loaded"').length
  const never = (path: string): string => `      - { name: never, when: 'op.path == "${path}"', deny: "no" }\n`
  for (const path of ['/one', '/other']) {
    const before = loaded()
    await world.relay.writePolicy(policy + never(path))
    await until('the new policy', () => loaded() > before)
  }
  for (const response of listening) response.write('data: 2\n\n')
  await until('the next event', () => readers.every(({ seen }) => seen().includes('data: 2')))
  t.ok(readers.every(({ socket }) => !socket.closed))
  await world.relay.writePolicy(policy + never('/news'))
  await Promise.all(readers.map(({ socket }) => closed(socket)))
  t.notOk(
    readers.some(({ seen }) => seen().endsWith('0\r\n\r\n')),
    'none of them looks whole',
  )
  await until('the end of the streams', () => listening.size === 0)
  await world.relay.writePolicy(policy)
  await until('the end of all sessions', async () => (await running()).length === 0)
  t.equal(await works(), 200)
})

t.test('clients that vanish leave nothing behind', async t => {
  const upload = await open(request('PUT /up', 'Content-Length: 100000000\r\n'), undefined)
  upload.socket.write(Buffer.alloc(1_000_000))
  const form = await open(
    request('POST /up', 'Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n'),
    undefined,
  )
  const download = await open(request('GET /big'), /xxxx/)
  download.socket.pause()
  const events = await open(request('GET /endless'), /data: 1/)
  const held = await open(request('POST /held', 'Content-Length: 0\r\n'), undefined)
  const socket = await open(
    request(
      'GET /socket',
      'Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n',
    ),
    /101 /,
  )
  await until('a request', async () => (await waiting(bob)).length === 1)
  const all = [upload, form, download, events, held, socket]
  t.ok(all.every(each => !each.socket.closed))
  t.equal(endless, 1)
  for (const each of all) each.socket.destroy()
  await until('the end of the request', async () => (await waiting(bob)).length === 0)
  await until('the end of all sessions', async () => (await running()).length === 0)
  await until('the end of the streams', () => endless === 0)
  t.equal(world.service.asked.filter(({ url }) => url === '/up' || url === '/held').length, 0)
  t.equal(await works(), 200)
})

t.test('sessions that are killed', async t => {
  const streaming = await open(request('GET /endless'), /data: 1/)
  const held = await open(request('POST /held', 'Content-Length: 0\r\n'), undefined)
  const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/socket`)
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  const ended = new Promise<string>(resolve => socket.once('close', (code, reason) => resolve(`${code} ${reason}`)))
  await until('a request', async () => (await waiting(bob)).length === 1)
  for (const session of new Set(await running())) {
    const done = await bob.runInProcess('sessions', 'kill', session, '--reason', 'enough')
    t.equal(done.code, 0, done.stderr)
  }
  await Promise.all([closed(streaming.socket), closed(held.socket)])
  t.notMatch(streaming.seen(), /\r\n0\r\n\r\n$/, 'a stream that was cut does not look whole')
  t.match(held.seen(), /^HTTP\/1\.1 4\d\d [\s\S]*application\/problem\+json/, held.seen())
  t.match(await ended, /^1008 bob@.* ended this session: enough/, 'a WebSocket is told')
  await until('the end of the request', async () => (await waiting(bob)).length === 0)
  await until('the end of the streams', () => endless === 0)
  t.equal(world.service.asked.filter(({ url }) => url === '/held').length, 0)
  t.equal(await works(), 200)
})

t.test('a lock', async t => {
  const streaming = await open(request('GET /endless'), /data: 1/)
  const locked = await bob.runInProcess('lock', 'target', 'billing-api', '--reason', 'incident')
  t.equal(locked.code, 0, locked.stderr)
  await closed(streaming.socket)
  t.notMatch(streaming.seen(), /\r\n0\r\n\r\n$/)
  const refused = await sendRaw(gate.port, closing('/fine'))
  t.match(refused, /^HTTP\/1\.1 4\d\d [\s\S]*application\/problem\+json[\s\S]*incident/, refused)
  const [lock] = JSON.parse((await bob.runInProcess('locks', '--json')).stdout) as { id: string }[]
  const unlocked = await bob.runInProcess('unlock', lock?.id ?? '')
  t.equal(unlocked.code, 0, unlocked.stderr)
  t.equal(await works(), 200)
})

t.test('an agent that is killed in the middle of an answer', async t => {
  const streaming = await open(request('GET /endless'), /data: 1/)
  const asked = world.service.asked.length
  const never = open(request('POST /never', 'Content-Length: 0\r\n'), /\}\n$/)
  await until('the request at the service', () => world.service.asked.length > asked)
  await world.agent.kill('SIGKILL')
  await closed(streaming.socket)
  t.notMatch(streaming.seen(), /\r\n0\r\n\r\n$/)
  const { seen, socket } = await never
  t.match(seen(), /^HTTP\/1\.1 502 [\s\S]*application\/problem\+json[\s\S]*look before you send that again/)
  socket.destroy()
  const without = await sendRaw(gate.port, closing('/fine'))
  t.match(without, /^HTTP\/1\.1 50[23] [\s\S]*application\/problem\+json/, without)
  await world.agent.restart()
  t.equal(await works(), 200)
  t.equal(world.service.asked.filter(({ url }) => url === '/never').length, 1, 'nothing is asked twice')
})

t.test('a relay that is killed in the middle of an answer', async t => {
  const streaming = await open(request('GET /endless'), /data: 1/)
  await world.relay.kill('SIGKILL')
  await closed(streaming.socket)
  t.notMatch(streaming.seen(), /\r\n0\r\n\r\n$/)
  const without = await sendRaw(gate.port, closing('/fine'))
  t.match(without, /^HTTP\/1\.1 503 [\s\S]*application\/problem\+json/, without)
  await until('the end of the streams', () => endless === 0)
  await world.relay.restart()
  await until('an answer', async () => (await works()) === 200)
  t.pass('works again')
})
