// Measures HTTP through gate against a bare forwarder and against no gateway at all. See README.md beside this file.

import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Cleanup } from '@gate/shared/cleanup'
import { Pool } from 'undici'
import { createCli, startAgent, startRelay } from '#support/gate'
import { startOidc } from '#support/oidc'
import { start } from '#support/process'
import type { Endpoint } from './client.ts'
import { runBenchmark, say } from './harness.ts'
import { formatMemory, httpMemory } from './http-memory.ts'
import { format } from './report.ts'
import { measure, type Result, type Window } from './rounds.ts'
import { limits, type Person, profiling, type Route, relayProgram, startForwarder } from './setup.ts'
import type { Done, Workload } from './workloads.ts'

const CONNECTIONS = 8

const policy = `
targets:
  - match: { name: bench }
    allow: { groups: [dba, engineers] }
    rules:
      - name: everything
        allow: [dba, engineers]
    mask:
      - fields: ["customers.email", "email"]
        for: { except: [dba] }
        with: redact
`

/** Gets a path over and over on connections that stay, and counts answers. */
async function gets({ port }: Endpoint, path: string, seconds: number, signal: AbortSignal): Promise<Done> {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: CONNECTIONS, pipelining: 1 })
  const until = performance.now() + seconds * 1000
  let units = 0
  const client = async (): Promise<void> => {
    while (performance.now() < until) {
      signal.throwIfAborted()
      const { statusCode, body } = await pool.request({ method: 'GET', path })
      await body.dump({ limit: Number.MAX_SAFE_INTEGER })
      if (statusCode !== 200) throw new Error(`${path}: ${statusCode}`)
      units += 1
    }
  }
  const from = performance.now()
  await Promise.all(Array.from({ length: CONNECTIONS }, client))
  const done = { units, seconds: (performance.now() - from) / 1000 }
  await pool.close()
  return done
}

function workload(name: string, what: string, person: Person, path: string, target: number, seconds: number): Workload {
  return {
    name,
    what,
    unit: 'answers',
    person,
    target,
    per: 1,
    warmUp: (endpoint, signal) => gets(endpoint, path, seconds / 2, signal),
    run: (endpoint, signal) => gets(endpoint, path, seconds, signal),
  }
}

async function setUp(cleanup: Cleanup, profile: string | undefined, isShape = false): Promise<Route[]> {
  say('starting the service …')
  const main = fileURLToPath(new URL('./http-service.js', import.meta.url))
  const service = cleanup.use(start(process.execPath, [main]))
  const [, port = ''] = await service.waitFor(/^ready (\d+)$/m)
  const target: Endpoint = { port: Number(port), user: '', database: '' }
  say('starting the forwarder …')
  const forwarder = await startForwarder(cleanup, target, profile)
  const direct: Route = { name: 'direct', endpoint: () => target, processes: () => ({}) }
  if (isShape) {
    const shape = await startForwarder(cleanup, target, profile, ['http'])
    return [direct, forwarder, { ...shape, name: 'gate' }]
  }
  say('starting gate …')
  const oidc = cleanup.use(await startOidc())
  Object.assign(process.env, profiling(profile))
  const relay = cleanup.use(await startRelay({ oidc, policy, more: limits, ...relayProgram(profile) }))
  const targets = `  - { name: bench, protocol: http, url: "http://127.0.0.1:${port}" }`
  const agent = cleanup.use(await startAgent({ relay, targets }))
  const connect = async (person: Person): Promise<{ port: number; pid: number }> => {
    const cli = cleanup.use(await createCli())
    const login = await cli.login(relay, oidc, person)
    if (login.code !== 0) throw new Error(`${person} cannot log in: ${login.stderr}`)
    const connection = cleanup.use(await cli.connect('bench'))
    return { port: connection.port, pid: connection.process.pid }
  }
  const people = { bob: await connect('bob'), alice: await connect('alice') }
  const gate: Route = {
    name: 'gate',
    endpoint: person => ({ ...target, port: people[person].port }),
    processes: person => ({ relay: relay.process().pid, agent: agent.process().pid, cli: people[person].pid }),
  }
  return [direct, forwarder, gate]
}

interface Options {
  readonly json: boolean
  readonly rounds: number
  readonly seconds: number
  readonly profile: string | undefined
  readonly shape: boolean
}

async function bench(options: Options, chosen: readonly string[], signal: AbortSignal): Promise<string> {
  const { rounds, seconds, profile, shape } = options
  const workloads = [
    workload('get-small', '1 kB of JSON, nothing masked', 'bob', '/small', 0.6, seconds),
    workload('get-small-masked', '1 kB of JSON, one field masked', 'alice', '/small', 0.35, seconds),
    workload('get-large', '1 MB of JSON, nothing masked', 'bob', '/large', 0.6, seconds),
    workload('get-large-masked', '1 MB of JSON, one field masked', 'alice', '/large', 0.35, seconds),
  ].filter(({ name }) => chosen.length === 0 || chosen.includes(name))
  if (profile !== undefined) await mkdir(profile, { recursive: true })
  await using cleanup = new Cleanup()
  const loadBefore = loadavg()[0] ?? Number.NaN
  const routes = await setUp(cleanup, profile, shape)
  const windows: Window[] = []
  const results: Result[] = []
  for (const each of workloads) {
    say(`${each.name} …`)
    results.push(await measure(each, routes, rounds, signal, windows))
  }
  if (profile !== undefined) await writeFile(join(profile, 'windows.json'), JSON.stringify(windows))
  const machine = {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    node: process.versions.node,
    postgres: `${CONNECTIONS} connections`,
    loadBefore,
    loadAfter: loadavg()[0] ?? Number.NaN,
  }
  const report = { machine, rounds, results, idle: [], stream: [] }
  return options.json ? JSON.stringify(report, undefined, 2) : format(report)
}

async function memory(json: boolean, signal: AbortSignal): Promise<string> {
  await using cleanup = new Cleanup()
  const gate = (await setUp(cleanup, undefined)).find(({ name }) => name === 'gate')
  if (gate === undefined) throw new Error('there is no route through gate')
  const measured = await httpMemory(gate, signal)
  return json ? JSON.stringify(measured, undefined, 2) : formatMemory(measured)
}

const usage = `node scripts/dist/bench/http.js [options] [workload …]

Workloads: get-small, get-small-masked, get-large, get-large-masked. All of them when none is given.

  --rounds <n>     rounds of each workload (5; at least 3 say anything)
  --seconds <n>    seconds of each run (3)
  --memory         instead: the relay's memory while gigabytes go through
  --shape          in gate's place: the same hops with node's HTTP server and undici, and nothing else
  --json           one JSON object on stdout instead of the table
  --profile <dir>  all hops write CPU profiles there; node scripts/dist/bench/profile.js <dir> shows them
  --help           this
`

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    profile: { type: 'string' },
    memory: { type: 'boolean', default: false },
    shape: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const { profile } = values
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
if (!(Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seconds) && seconds > 0))
  throw new Error('--rounds and --seconds: expected whole numbers')
const options = {
  json: values.json,
  shape: values.shape,
  rounds,
  seconds,
  profile: profile === undefined ? undefined : resolve(profile),
}
if (values.help) process.stdout.write(usage)
else await runBenchmark(signal => (values.memory ? memory(values.json, signal) : bench(options, positionals, signal)))
