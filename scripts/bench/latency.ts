// Measures how much of a command's time the record takes, with real processes: client, gate connect, relay, agent, database. See README.md beside this file.
import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { Cleanup } from '@gate/shared/cleanup'
import { createCli, type RelayProcess, startAgent, startRelay, unbundledRelay } from '#support/gate'
import { startOidc } from '#support/oidc'
import { startPostgres } from '#support/postgres'
import { temporaryDirectory } from '#support/tmp'
import { type Endpoint, RawClient } from './client.ts'
import { quantile } from './statistics.ts'

const USER = 'bench'
/** The first ones warm caches up, as those of a relay that has run for a day are. */
const WARM_UP = 500
const policy = `
targets:
  - match: { name: bench }
    allow: { groups: [engineers] }
    rules: [{ name: everything, allow: [engineers] }]
`

const { values } = parseArgs({
  options: {
    commands: { type: 'string', default: '3000' },
    clients: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  },
})
const count = Number(values.commands)
const clients = Number(values.clients)
if (!(Number.isInteger(count) && count > 0 && Number.isInteger(clients) && clients > 0))
  throw new Error('--commands and --clients: expected whole numbers')

interface Place {
  readonly relay: RelayProcess
  readonly direct: Endpoint
  readonly gate: Endpoint
  readonly file: string
}

async function setUp(cleanup: Cleanup): Promise<Place> {
  const postgres = cleanup.use(await startPostgres({ authentication: 'trust' }))
  await postgres.query(`create role ${USER} login`)
  await postgres.query(`create database ${USER} owner ${USER}`)
  await postgres.query(
    `set role ${USER}; create table counted (id int primary key, n int); insert into counted select i, 0 from generate_series(0, 99) i`,
    USER,
  )
  const file = `${cleanup.use(await temporaryDirectory('latency')).path}/taken.json`
  const oidc = cleanup.use(await startOidc())
  // The support code starts gate's programs with our own environment.
  Object.assign(process.env, {
    NODE_OPTIONS: `--import=${new URL('./latency-preload.js', import.meta.url).href}`,
    BENCH_LATENCY: file,
  })
  const relay = cleanup.use(await startRelay({ oidc, policy, optimised: true, program: unbundledRelay }))
  delete process.env['NODE_OPTIONS']
  delete process.env['BENCH_LATENCY']
  const database = { user: USER, database: USER }
  const targets = `  - { name: bench, protocol: postgres, host: 127.0.0.1, port: ${postgres.port}, database: ${USER}, user: ${USER} }`
  cleanup.use(await startAgent({ relay, targets }))
  const alice = cleanup.use(await createCli())
  const login = await alice.login(relay, oidc, 'alice')
  if (login.code !== 0) throw new Error(`alice cannot log in: ${login.stderr}`)
  const { port } = cleanup.use(await alice.connect('bench'))
  return { relay, direct: { ...database, port: postgres.port }, gate: { ...database, port }, file }
}

/** How long each command took, in ms, after as many others; each client sends the next when it has the answer to the last. */
async function latencies(endpoint: Endpoint, statement: (index: number) => string): Promise<number[]> {
  const times: number[] = []
  const one = async (client: number): Promise<void> => {
    await using connection = await RawClient.open(endpoint)
    for (let index = -WARM_UP; index < count / clients; index += 1) {
      const from = performance.now()
      await connection.query(statement((client * 17 + Math.abs(index)) % 100))
      if (index >= 0) times.push(performance.now() - from)
    }
  }
  await Promise.all(Array.from({ length: clients }, (_, client) => one(client)))
  return times
}

const kinds = {
  read: (id: number): string => `select n from counted where id = ${id}`,
  write: (id: number): string => `update counted set n = n + 1 where id = ${id}`,
}

const mean = (times: readonly number[]): number => times.reduce((sum, each) => sum + each, 0) / times.length
const ms = (value: number): string => value.toFixed(value < 1 ? 3 : 2)

/** The record's own times for the newest commands; what came before them warmed up. */
async function takenBy(place: Place, commands: number): Promise<Record<'append' | 'later' | 'sync', number[]>> {
  await place.relay.kill('SIGTERM')
  const taken = JSON.parse(await readFile(place.file, 'utf8')) as Record<'append' | 'later' | 'sync', number[]>
  return {
    append: taken.append.slice(-commands),
    later: taken.later.slice(-commands),
    sync: taken.sync.slice(-commands),
  }
}

const report: Record<string, object> = {}
for (const [kind, statement] of Object.entries(kinds)) {
  await using cleanup = new Cleanup()
  const place = await setUp(cleanup)
  const direct = await latencies(place.direct, statement)
  const through = await latencies(place.gate, statement)
  const taken = await takenBy(place, through.length)
  const waits = kind === 'write' ? mean(taken.sync) : 0
  const share = (mean(taken.append) + waits) / mean(through)
  const quantiles = (times: readonly number[]): object => ({ p50: quantile(times, 0.5), p95: quantile(times, 0.95) })
  report[kind] = {
    direct: quantiles(direct),
    gate: quantiles(through),
    append: quantiles(taken.append),
    outcome: quantiles(taken.later),
    sync: kind === 'write' ? quantiles(taken.sync) : undefined,
    share,
  }
  if (values.json) continue
  process.stdout.write(`${kind}, ${clients} at once (${through.length} commands)\n`)
  for (const [name, times] of Object.entries({ direct, gate: through, ...taken }))
    if (times.length > 0 && (name !== 'sync' || kind === 'write'))
      process.stdout.write(`  ${name.padEnd(8)} p50 ${ms(quantile(times, 0.5))}  p95 ${ms(quantile(times, 0.95))} ms\n`)
  process.stdout.write(`  the record's share of the time through gate: ${(share * 100).toFixed(1)} %\n`)
}
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`)
