// Measures what a hold adds after the decision: from the approver's word to the first byte at the target. See README.md beside this file.
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { DecidedRequest } from '@gate/shared/approval'
import { Cleanup } from '@gate/shared/cleanup'
import { callAs, keptSigner, type Signer, signedWord } from '#support/approver'
import { type Cli, createCli, startAgent, startRelay } from '#support/gate'
import { freePort } from '#support/net'
import { startOidc } from '#support/oidc'
import { startPostgres } from '#support/postgres'
import { RawClient } from './client.ts'
import { quantile } from './statistics.ts'

const USER = 'bench'
const LOOK_MS = 2
/** A held command must be in the list of who may decide by then. */
const ASKED_MS = 10_000

const policy = `
targets:
  - match: { name: bench }
    allow: { groups: [dba, engineers] }
    rules:
      - { name: reads, when: op.action == "select", allow: [dba, engineers] }
      - { name: writes, when: op.action == "delete", hold: { approvers: "1 of dba", expires: 60s } }
`

interface Tap extends AsyncDisposable {
  readonly port: number
  /** When bytes next go to the server, on performance.now()'s clock. */
  next(): Promise<number>
}

/** Stands before the server and sees its bytes come, on the same clock as who decides. */
async function startTap(serverPort: number): Promise<Tap> {
  const sockets = new Set<Socket>()
  let seen: ((at: number) => void) | undefined
  const server: Server = createServer({ noDelay: true }, inward => {
    const outward = connect({ host: '127.0.0.1', port: serverPort, noDelay: true })
    for (const socket of [inward, outward]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => socket.destroy())
    }
    inward.on('data', () => {
      seen?.(performance.now())
      seen = undefined
    })
    inward.pipe(outward)
    outward.pipe(inward)
  })
  const port = await freePort()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    next: () => new Promise(resolve => (seen = resolve)),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

interface Sample {
  /** From sending the word to the first byte at the target. */
  readonly targetMs: number
  /** From sending the word to the relay's answer to it. */
  readonly answerMs: number
  /** From sending a command of the same kind that nobody has to approve to the first byte at the target. */
  readonly plainMs: number
}

interface Place {
  readonly tap: Tap
  readonly client: RawClient
  readonly bob: Cli
  readonly relay: string
  readonly signer: Signer
}

async function asked({ bob, relay }: Place): Promise<string> {
  for (const until = performance.now() + ASKED_MS; performance.now() < until; await wait(LOOK_MS)) {
    const { body } = await callAs(bob, relay, 'GET', '/v1/requests')
    const [request] = (body['requests'] ?? []) as { id: string }[]
    if (request !== undefined) return request.id
  }
  throw new Error('nothing waits for bob')
}

async function once(place: Place, index: number): Promise<Sample> {
  const { tap, client, bob, relay, signer } = place
  let sent = performance.now()
  let arrival = tap.next()
  await client.query(`select ${index}`)
  const plainMs = (await arrival) - sent
  const deleted = client.query(`delete from held where id = ${index}`)
  const id = await asked(place)
  const { body } = await callAs(bob, relay, 'GET', `/v1/requests/${id}`)
  const word = { verdict: 'approve', reason: undefined, grantMs: undefined } as const
  const decision = signedWord(body as unknown as DecidedRequest, word, signer)
  arrival = tap.next()
  sent = performance.now()
  const answer = await callAs(bob, relay, 'POST', `/v1/requests/${id}/decision`, decision)
  const answerMs = performance.now() - sent
  if (answer.status !== 200) throw new Error(`the decision: ${JSON.stringify(answer.body)}`)
  const targetMs = (await arrival) - sent
  await deleted
  return { targetMs, answerMs, plainMs }
}

async function setUp(cleanup: Cleanup): Promise<Place> {
  const postgres = cleanup.use(await startPostgres({ authentication: 'trust' }))
  await postgres.query(`create role ${USER} login`)
  await postgres.query(`create database ${USER} owner ${USER}`)
  await postgres.query(`set role ${USER}; create table held (id int primary key)`, USER)
  const oidc = cleanup.use(await startOidc())
  const relay = cleanup.use(await startRelay({ oidc, policy, optimised: true }))
  const tap = cleanup.use(await startTap(postgres.port))
  const targets = `  - { name: bench, protocol: postgres, host: 127.0.0.1, port: ${tap.port}, database: ${USER}, user: ${USER} }`
  cleanup.use(await startAgent({ relay, targets }))
  const person = async (name: string): Promise<Cli> => {
    const cli = cleanup.use(await createCli())
    const login = await cli.login(relay, oidc, name)
    if (login.code !== 0) throw new Error(`${name} cannot log in: ${login.stderr}`)
    return cli
  }
  const alice = await person('alice')
  const bob = await person('bob')
  await bob.run('keys', 'new')
  const gate = cleanup.use(await alice.connect('bench'))
  const client = cleanup.use(await RawClient.open({ port: gate.port, user: USER, database: USER }))
  return { tap, client, bob, relay: relay.url, signer: await keptSigner(bob) }
}

const { values } = parseArgs({
  options: { holds: { type: 'string', default: '300' }, json: { type: 'boolean', default: false } },
})
const holds = Number(values.holds)
if (!Number.isInteger(holds) || holds < 1) throw new Error(`--holds: expected a whole number, got "${values.holds}"`)

const cleanup = new Cleanup()
try {
  const place = await setUp(cleanup)
  const samples: Sample[] = []
  // The first ones warm caches up, as those of a relay that has run for a day are.
  for (let index = -20; index < holds; index += 1) {
    const sample = await once(place, index)
    if (index >= 0) samples.push(sample)
  }
  const report = Object.fromEntries(
    (['targetMs', 'answerMs', 'plainMs'] as const).map(name => {
      const all = samples.map(sample => sample[name])
      return [name, { p50: quantile(all, 0.5), p99: quantile(all, 0.99) }]
    }),
  )
  if (values.json) process.stdout.write(`${JSON.stringify({ holds, ...report })}\n`)
  else
    for (const [name, { p50, p99 }] of Object.entries(report))
      process.stdout.write(`${name.padEnd(10)} p50 ${p50.toFixed(2)}  p99 ${p99.toFixed(2)}  (${holds} holds)\n`)
} finally {
  await cleanup[Symbol.asyncDispose]()
}
