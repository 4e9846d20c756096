// Starts everything a run needs: PostgreSQL with data, the forwarder, gate with two people logged in.
import { fileURLToPath } from 'node:url'
import { Cleanup } from '@gate/shared/cleanup'
import { createCli, startAgent, startRelay, unbundledRelay } from '#support/gate'
import { startOidc } from '#support/oidc'
import { type PostgresServer, startPostgres } from '#support/postgres'
import { type Running, run, start } from '#support/process'
import type { Endpoint } from './client.ts'

export const routeNames = ['direct', 'forwarder', 'gate'] as const
export type RouteName = (typeof routeNames)[number]
/** Bob sees everything; Alice sees one column of `people` and one of `wide` masked. */
export type Person = 'bob' | 'alice'
export const roles = ['relay', 'agent', 'cli'] as const
export type Role = (typeof roles)[number]

/** One way from a client to the server. */
export interface Route {
  readonly name: RouteName
  endpoint(person: Person): Endpoint
  /** Process ids of the hops; empty for the direct way. */
  processes(person: Person): Readonly<Partial<Record<Role, number>>>
}

export interface Setup extends AsyncDisposable {
  readonly routes: readonly Route[]
  readonly postgres: PostgresServer
  readonly pgbench: boolean
  /** Bytes that PostgreSQL sends for one COPY of `documents`. */
  readonly rows: number
}

export interface SetupOptions {
  readonly rows: number
  /** Where all hops write a CPU profile when they end. */
  readonly profile: string | undefined
  readonly signal: AbortSignal
  say(text: string): void
}

const PGBENCH_SCALE = 5
/** 200 idle connections, on three routes, each of the agent's as well. */
const SERVER_CONNECTIONS = '800'
const USER = 'bench'

const policy = `
targets:
  - match: { name: bench }
    allow: { groups: [dba, engineers] }
    rules:
      - name: everything
        allow: [dba, engineers]
    mask:
      - columns: [public.people.email, public.wide.c50]
        for: { except: [dba] }
        with: redact
`

export const limits = 'limits: { connections_per_subject: 1000 }'

export async function setUp(options: SetupOptions): Promise<Setup> {
  const cleanup = new Cleanup()
  const step = (text: string): void => {
    options.signal.throwIfAborted()
    options.say(text)
  }
  try {
    step('starting PostgreSQL …')
    const postgres = cleanup.use(await startServer())
    const pgbench = await fill(postgres, options)
    const target = { port: postgres.port, user: USER, database: USER }
    step('starting the forwarder …')
    const forwarder = await startForwarder(cleanup, target, options.profile)
    step('starting gate …')
    const gate = await startGate(cleanup, target, options.profile)
    const direct: Route = { name: 'direct', endpoint: () => target, processes: () => ({}) }
    return {
      routes: [direct, forwarder, gate],
      postgres,
      pgbench,
      rows: options.rows,
      [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
    }
  } catch (thrown) {
    await cleanup[Symbol.asyncDispose]()
    throw thrown
  }
}

/** Rows of a hundred columns: as many bytes as the other tables, roughly. */
export const wideRows = (rows: number): number => Math.ceil(rows / 20)
const wideColumns = Array.from(
  { length: 100 },
  (_, column) => `left(md5((id * ${column + 1})::text), 8) AS c${column + 1}`,
)

/** Of a schema that somebody works with: what commands change is read anew with all of them. */
export const schemaTables = 300
const manyTables = `BEGIN FOR n IN 1..${schemaTables} LOOP
  EXECUTE format('CREATE TABLE schema_%s (id int PRIMARY KEY, a text, b text, c text, d int, e int, f date, g jsonb)', n);
  EXECUTE format('CREATE VIEW schema_view_%s AS SELECT id, a, b FROM schema_%s', n, n); END LOOP; END`

/** No passwords: SCRAM would cost the same milliseconds on every route, and hide what the routes differ in. */
function startServer(): Promise<PostgresServer> {
  return startPostgres({
    authentication: 'trust',
    settings: { max_connections: SERVER_CONNECTIONS, shared_buffers: '512MB', max_wal_size: '4GB', autovacuum: 'off' },
  })
}

/** Makes the tables. Hexadecimal digits in lower case: see READY in client.ts. False when there is no pgbench. */
async function fill(postgres: PostgresServer, { rows, say }: SetupOptions): Promise<boolean> {
  await postgres.query(`CREATE ROLE ${USER} LOGIN`)
  await postgres.query(`CREATE DATABASE ${USER} OWNER ${USER}`)
  say(`filling two tables with ${rows} rows …`)
  for (const sql of [
    `CREATE UNLOGGED TABLE people AS SELECT id, left(md5(id::text), 12) || '@example.com' AS email,
       left(md5((-id)::text), 28) AS note FROM generate_series(1, ${rows}) AS id`,
    `CREATE UNLOGGED TABLE documents AS SELECT id, md5(id::text) || md5((-id)::text) || left(md5((id + 1)::text), 28) AS body
       FROM generate_series(1, ${rows}) AS id`,
    `CREATE UNLOGGED TABLE wide AS SELECT ${wideColumns} FROM generate_series(1, ${wideRows(rows)}) AS id`,
    'CREATE UNLOGGED TABLE times AS SELECT generate_series(1, 10000) AS n',
    'ALTER TABLE times ADD PRIMARY KEY (n)',
    `DO $$ ${manyTables} $$`,
    `GRANT CREATE ON SCHEMA public TO ${USER}`,
    `ALTER TABLE times OWNER TO ${USER}`,
    `ALTER TABLE wide OWNER TO ${USER}`,
    `ALTER TABLE people OWNER TO ${USER}`,
    `ALTER TABLE documents OWNER TO ${USER}`,
    'VACUUM (FREEZE, ANALYZE) people',
    'VACUUM (FREEZE, ANALYZE) documents',
    'VACUUM (FREEZE, ANALYZE) wide',
    'VACUUM (FREEZE, ANALYZE) times',
  ])
    await postgres.query(sql, USER)
  return initPgbench(postgres, say)
}

async function initPgbench(postgres: PostgresServer, say: (text: string) => void): Promise<boolean> {
  const found = await run('pgbench', ['--version']).catch(() => undefined)
  if (found?.code !== 0) {
    say('pgbench is not installed: its workloads are skipped')
    return false
  }
  const where = ['-h', '127.0.0.1', '-p', String(postgres.port), '-U', USER]
  const made = await run('pgbench', [...where, '-i', '-q', '-s', String(PGBENCH_SCALE), USER])
  if (made.code !== 0) throw new Error(`pgbench -i: ${made.stderr}`)
  await postgres.query('CHECKPOINT')
  return true
}

const preload = new URL('./preload.js', import.meta.url)

/** Both routes are profiled: the question is where gate loses against the bare forwarder. */
export const profiling = (directory: string | undefined): Record<string, string> =>
  directory === undefined ? {} : { NODE_OPTIONS: `--import=${preload.href}`, BENCH_PROFILE: directory }

/** The relay as users run it; a profile of the bundle would name none of our files. */
export const relayProgram = (profile: string | undefined): { optimised: true; program?: string } =>
  profile === undefined ? { optimised: true } : { optimised: true, program: unbundledRelay }

export async function startForwarder(
  cleanup: Cleanup,
  target: Endpoint,
  profile: string | undefined,
  flavour: readonly 'http'[] = [],
): Promise<Route> {
  const main = fileURLToPath(new URL('./forwarder.js', import.meta.url))
  const hop = async (...args: (string | number)[]): Promise<[Running, number]> => {
    const running = cleanup.use(start(process.execPath, [main, ...args.map(String)], { env: profiling(profile) }))
    const [, port = ''] = await running.waitFor(/^ready (\d+)$/m)
    return [running, Number(port)]
  }
  const [relay, relayPort] = await hop('relay', ...flavour)
  const [agent] = await hop('agent', relayPort, target.port, ...flavour)
  const [cli, port] = await hop('cli', relayPort)
  return {
    name: 'forwarder',
    endpoint: () => ({ ...target, port }),
    processes: () => ({ relay: relay.pid, agent: agent.pid, cli: cli.pid }),
  }
}

async function startGate(cleanup: Cleanup, target: Endpoint, profile: string | undefined): Promise<Route> {
  const oidc = cleanup.use(await startOidc())
  // The support code starts gate's programs with our own environment.
  Object.assign(process.env, profiling(profile))
  const relay = cleanup.use(await startRelay({ oidc, policy, more: limits, ...relayProgram(profile) }))
  const targets = `  - { name: bench, protocol: postgres, host: 127.0.0.1, port: ${target.port}, database: ${target.database}, user: ${target.user} }`
  const agent = cleanup.use(await startAgent({ relay, targets }))
  const connect = async (person: Person): Promise<{ endpoint: Endpoint; pid: number }> => {
    const cli = cleanup.use(await createCli())
    const login = await cli.login(relay, oidc, person)
    if (login.code !== 0) throw new Error(`${person} cannot log in: ${login.stderr}`)
    const connection = cleanup.use(await cli.connect('bench'))
    return { endpoint: { ...target, port: connection.port }, pid: connection.process.pid }
  }
  const people = { bob: await connect('bob'), alice: await connect('alice') }
  return {
    name: 'gate',
    endpoint: person => people[person].endpoint,
    processes: person => ({ relay: relay.process().pid, agent: agent.process().pid, cli: people[person].pid }),
  }
}
