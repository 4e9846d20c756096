// Everything at once: a database, a provider, a relay, an agent and logged-in people, all real processes.
import { existsSync } from 'node:fs'
import { Cleanup } from '@gate/shared/cleanup'
import {
  type AgentProcess,
  type Cli,
  peopleOf,
  type RelayProcess,
  type RelaySetup,
  startAgent,
  startRelay,
} from './gate.ts'
import { type OidcOptions, type OidcProvider, startOidc } from './oidc.ts'
import { type PostgresOptions, type PostgresServer, startPostgres } from './postgres.ts'
import { type Finished, type Running, run, start } from './process.ts'

/** What most tests use: engineers work, the rules of the design hold, one column is masked. */
export const samplePolicy = `
targets:
  - match: { labels: { env: prod, protocol: postgres } }
    allow: { groups: [engineers, dba, support] }
    viewers: [dba]
    rules:
      - name: everything
        allow: [engineers, dba]
      - name: reads
        when: op.action == "select"
        allow: [support]
      - name: wide-writes
        when: op.action in ["update", "delete"] && !op.hasWhere
        hold: { approvers: "1 of dba", expires: 60s }
      - name: never
        when: op.action in ["drop", "truncate", "grant"] || op.objectType == "database"
        deny: "Schema changes go through migrations."
    mask:
      - columns: ["public.customers.email", "*.password_hash"]
        for: { groups: [support] }
        with: redact
`

/** One rule: whoever may open it may do anything, and nothing is masked. */
export const openPolicy = `
targets:
  - match: { labels: { protocol: postgres } }
    allow: { groups: [engineers, dba, support] }
    rules: [{ name: everything, allow: [engineers, dba, support] }]
`

export const sampleSql = `
create table customers (id int primary key, name text, email text not null, balance numeric);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example', i * 1.5 from generate_series(1, 1000) i;
create table users (id int primary key, login text, password_hash text);
insert into users select i, 'login' || i, 'hash-of-secret-' || i from generate_series(1, 50) i;
create table orders (id int primary key, customer_id int references customers, total numeric);
insert into orders select i, 1 + i % 1000, i from generate_series(1, 1000) i;
`

export interface World extends AsyncDisposable {
  readonly postgres: PostgresServer
  readonly oidc: OidcProvider
  readonly relay: RelayProcess
  readonly agent: AgentProcess
  /** Logged in, with a home directory of their own; made at first use. */
  person(name: 'alice' | 'bob' | 'carol'): Promise<Cli>
}

export interface WorldOptions {
  readonly policy?: string
  readonly sql?: string
  readonly postgres?: PostgresOptions
  readonly oidc?: OidcOptions
  readonly relay?: Partial<RelaySetup>
  /** The relay keeps its store itself, as most users have it; otherwise in the database server, which starts sooner. */
  readonly embedded?: boolean
}

export const SERVICE_PASSWORD = 'service-secret'

/** The list under `targets:` of agent.yaml for one database. */
export function targetYaml(postgres: Pick<PostgresServer, 'host' | 'port'>, name = 'prod-db', more = ''): string {
  return `  - name: ${name}
    protocol: postgres
    labels: { env: prod }
    host: ${postgres.host}
    port: ${postgres.port}
    database: app
    user: gate_service
    password: { environment: TARGET_PASSWORD }
${more}`
}

export async function makeDatabase(postgres: PostgresServer, sql: string): Promise<void> {
  await postgres.query(`create role gate_service login password '${SERVICE_PASSWORD}'`)
  await postgres.query('create database app owner gate_service')
  await postgres.query(`set role gate_service; ${sql}`, 'app')
}

function startedOf<T>(settled: PromiseSettledResult<T>): T {
  if (settled.status === 'rejected') throw settled.reason
  return settled.value
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  await using starting = new Cleanup()
  const begun = await Promise.allSettled([startPostgres(options.postgres), startOidc(options.oidc)])
  // One that started is ended also where the other did not: it would keep the test's process for ever.
  for (const each of begun) if (each.status === 'fulfilled') starting.use(each.value)
  const [postgres, oidc] = [startedOf(begun[0]), startedOf(begun[1])]
  await makeDatabase(postgres, options.sql ?? sampleSql)
  if (options.embedded !== true) await postgres.query('create database gate_store')
  const store = options.embedded === true ? {} : { store: postgres.url('gate_store') }
  const setup = { oidc, policy: options.policy ?? samplePolicy, ...store, ...options.relay }
  const relay = starting.use(await startRelay(setup))
  const agent = starting.use(
    await startAgent({ relay, targets: targetYaml(postgres), env: { TARGET_PASSWORD: SERVICE_PASSWORD } }),
  )
  const started = starting.move()
  return {
    postgres,
    oidc,
    relay,
    agent,
    person: peopleOf(started, relay, oidc),
    [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
  }
}

const PSQL = '/usr/bin/psql'
export const hasPsql = existsSync(PSQL)

/** Environment in which psql says the same on every machine. */
const psqlEnvironment = {
  PSQLRC: '/dev/null',
  PSQL_HISTORY: '/dev/null',
  PAGER: 'cat',
  LC_ALL: 'C.UTF-8',
  PGCONNECT_TIMEOUT: '20',
  PGSSLMODE: 'prefer',
}

export interface PsqlTarget {
  readonly port: number
  readonly user?: string
  readonly password?: string
  readonly database?: string
}

function psqlArguments(target: PsqlTarget, args: readonly string[]): { args: string[]; env: Record<string, string> } {
  const connection = `host=127.0.0.1 port=${target.port} dbname=${target.database ?? 'app'} user=${target.user ?? 'alice'}`
  return {
    args: ['-X', '-d', connection, ...args],
    env: { ...psqlEnvironment, ...(target.password === undefined ? {} : { PGPASSWORD: target.password }) },
  }
}

/** Runs an unchanged psql to its end. */
export function psql(target: PsqlTarget, args: readonly string[], input = ''): Promise<Finished> {
  const { args: all, env } = psqlArguments(target, args)
  return run(PSQL, all, { env, input }, 120_000)
}

/** Starts an unchanged psql and leaves it running. */
export function startPsql(target: PsqlTarget, args: readonly string[]): Running {
  const { args: all, env } = psqlArguments(target, args)
  return start(PSQL, all, { env })
}

/** Straight to the server, as the service identity. */
export function direct(postgres: PostgresServer): PsqlTarget {
  return { port: postgres.port, user: 'gate_service', password: SERVICE_PASSWORD }
}
