// What is measured: each workload runs against an endpoint and says how much it did in how much time.
import { start } from '#support/process'
import { type Answered, type Endpoint, RawClient } from './client.ts'
import { type Person, type Setup, schemaTables, wideRows } from './setup.ts'
import { client } from './wire.ts'

export interface Done {
  /** Transactions, rows, megabytes or connections. */
  readonly units: number
  readonly seconds: number
}

export interface Workload {
  readonly name: string
  readonly what: string
  readonly unit: string
  /** Whom gate serves it to. */
  readonly person: Person
  /** The smallest share of the forwarder's rate that gate may reach. */
  readonly target?: number
  /** How CPU time is shown: microseconds for this many units. */
  readonly per: number
  warmUp(endpoint: Endpoint, signal: AbortSignal): Promise<unknown>
  run(endpoint: Endpoint, signal: AbortSignal): Promise<Done>
}

export interface Scale {
  readonly pgbenchSeconds: number
  readonly connections: number
  readonly statements: number
  readonly migrations: number
}

const PROGRAM_TIMEOUT_MS = 300_000
const MEGABYTE = 1_000_000

/** Runs a client program to its end, or until the signal. */
async function program(name: string, args: readonly string[], signal: AbortSignal): Promise<string> {
  signal.throwIfAborted()
  await using running = start(name, args, { input: '' })
  const abort = (): void => running.kill()
  signal.addEventListener('abort', abort, { once: true })
  const done = await running.finished(PROGRAM_TIMEOUT_MS)
  signal.removeEventListener('abort', abort)
  signal.throwIfAborted()
  if (done.code !== 0) throw new Error(`${name}: ${done.stderr}`)
  return done.stdout
}

const where = ({ port, user }: Endpoint): string[] => ['-h', '127.0.0.1', '-p', String(port), '-U', user]

async function pgbench(
  endpoint: Endpoint,
  mode: 'simple' | 'prepared',
  clients: number,
  seconds: number,
  signal: AbortSignal,
): Promise<Done> {
  const options = ['-S', '-n', '-M', mode, '-c', String(clients), '-j', '1', '-T', String(seconds)]
  const out = await program('pgbench', [...where(endpoint), ...options, endpoint.database], signal)
  const units = Number(/actually processed: (\d+)/.exec(out)?.[1])
  const rate = Number(/^tps = ([\d.]+) \(without/m.exec(out)?.[1])
  if (!(units > 0) || !(rate > 0)) throw new Error(`pgbench says nothing of its rate: ${out}`)
  return { units, seconds: units / rate }
}

function pgbenchWorkload(mode: 'simple' | 'prepared', clients: number, { pgbenchSeconds }: Scale): Workload {
  return {
    name: `pgbench-${mode}-${clients}`,
    what: `pgbench -S -M ${mode} -c ${clients}`,
    unit: 'transactions',
    person: 'bob',
    ...(mode === 'prepared' && clients === 8 ? { target: 0.9 } : {}),
    per: 1,
    warmUp: (endpoint, signal) => pgbench(endpoint, mode, clients, Math.ceil(pgbenchSeconds / 2), signal),
    run: (endpoint, signal) => pgbench(endpoint, mode, clients, pgbenchSeconds, signal),
  }
}

/** Reads one answer whole. The rate counts `units`, so that all routes are measured in the same thing. */
async function read(endpoint: Endpoint, sql: string, units: number): Promise<Done> {
  await using connection = await RawClient.open(endpoint)
  const { seconds } = await connection.query(sql)
  return { units, seconds }
}

async function copyThroughPsql(endpoint: Endpoint, units: number, signal: AbortSignal): Promise<Done> {
  const began = performance.now()
  const options = ['-X', '-q', '-o', '/dev/null', '-c', 'COPY documents TO STDOUT']
  await program('psql', [...where(endpoint), '-d', endpoint.database, ...options], signal)
  return { units, seconds: (performance.now() - began) / 1000 }
}

/** One after the other: connect, log in, `select 1`, close. */
async function connections(endpoint: Endpoint, count: number, signal: AbortSignal): Promise<Done> {
  const began = performance.now()
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted()
    await using connection = await RawClient.open(endpoint)
    await connection.query('select 1')
  }
  return { units: count, seconds: (performance.now() - began) / 1000 }
}

/** Makes texts longer than relays read on their main thread, and all of them more than the facts that a relay keeps. */
const MANY_CONSTANTS = 2_000

/** A list of constants, as programs write them. */
const constants = (count: number): string => (count === 0 ? '' : ` OR n IN (0${',0'.repeat(count - 1)})`)

const distinct = (index: number): string => `SELECT n + ${index} FROM times WHERE n = ${(index % 10_000) + 1}`

/** One different text after the other; the same ones in every run. */
async function distinctTexts(endpoint: Endpoint, count: number, more: string, signal: AbortSignal): Promise<Done> {
  await using connection = await RawClient.open(endpoint)
  const began = performance.now()
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted()
    await connection.query(distinct(index) + more)
  }
  return { units: count, seconds: (performance.now() - began) / 1000 }
}

/** Prepares every statement under a name of its own, then runs each once, in one session. */
async function distinctPrepared(endpoint: Endpoint, count: number, signal: AbortSignal): Promise<Done> {
  await using connection = await RawClient.open(endpoint)
  const began = performance.now()
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted()
    await connection.send(Buffer.concat([client.parse(`s${index}`, `${distinct(index)} OR n = $1`), client.sync]))
  }
  for (let index = 0; index < count; index += 1) {
    signal.throwIfAborted()
    await connection.send(Buffer.concat([client.bind(`s${index}`, '0'), client.describe, client.execute, client.sync]))
  }
  return { units: count, seconds: (performance.now() - began) / 1000 }
}

/** Statements of migrations that run one by one, each of which changes the catalog. */
const migration = [
  'CREATE TABLE migrated (id int PRIMARY KEY, name text)',
  'ALTER TABLE migrated ADD COLUMN note text',
  'CREATE INDEX ON migrated (name)',
  'CREATE VIEW seen AS SELECT id, name FROM migrated',
  'DROP TABLE migrated CASCADE',
]

async function migrate(endpoint: Endpoint, rounds: number, signal: AbortSignal): Promise<Done> {
  await using connection = await RawClient.open(endpoint)
  const began = performance.now()
  for (let round = 0; round < rounds; round += 1) {
    signal.throwIfAborted()
    for (const sql of migration) await connection.query(sql)
  }
  return { units: rounds * migration.length, seconds: (performance.now() - began) / 1000 }
}

/** Reads one answer whole, in binary. */
async function readBinary(endpoint: Endpoint, sql: string, units: number): Promise<Done> {
  await using connection = await RawClient.open(endpoint)
  const { seconds } = await connection.send(binary(sql))
  return { units, seconds }
}

const binary = (sql: string): Buffer =>
  Buffer.concat([client.parse('', sql), client.bindBinary(''), client.describe, client.execute, client.sync])

const SELECT = 'SELECT id, email, note FROM people'
const SELECT_WIDE = 'SELECT * FROM wide'

/** Bytes on the wire of one COPY of `documents`, asked of the server itself. */
async function copyMegabytes({ routes }: Setup): Promise<number> {
  const [direct] = routes
  if (direct === undefined) throw new Error('no direct route')
  await using connection = await RawClient.open(direct.endpoint('bob'))
  return (await connection.query('COPY documents TO STDOUT')).bytes / MEGABYTE
}

export async function workloads(setup: Setup, scale: Scale): Promise<Workload[]> {
  const { rows } = setup
  const megabytes = await copyMegabytes(setup)
  /** The first run of a size warms caches and compilers of every hop; it is not counted. */
  const whole = (run: Workload['run']): Pick<Workload, 'run' | 'warmUp'> => ({ run, warmUp: run })
  const size = `${megabytes.toFixed(0)} MB`
  const benched = (['simple', 'prepared'] as const).flatMap(mode =>
    [1, 8].map(clients => pgbenchWorkload(mode, clients, scale)),
  )
  return [
    ...(setup.pgbench ? benched : []),
    {
      name: 'copy-psql',
      what: `COPY TO STDOUT, ${size}, psql`,
      unit: 'MB',
      person: 'bob',
      target: 0.85,
      per: 1,
      ...whole((endpoint, signal) => copyThroughPsql(endpoint, megabytes, signal)),
    },
    {
      name: 'copy',
      what: `COPY TO STDOUT, ${size}, raw client`,
      unit: 'MB',
      person: 'bob',
      target: 0.85,
      per: 1,
      ...whole(endpoint => read(endpoint, 'COPY documents TO STDOUT', megabytes)),
    },
    {
      name: 'select',
      what: `SELECT of ${rows} rows, nothing masked`,
      unit: 'rows',
      person: 'bob',
      target: 0.85,
      per: 1000,
      ...whole(endpoint => read(endpoint, SELECT, rows)),
    },
    {
      name: 'select-masked',
      what: `SELECT of ${rows} rows, 1 of 3 columns masked`,
      unit: 'rows',
      person: 'alice',
      target: 0.5,
      per: 1000,
      ...whole(endpoint => read(endpoint, SELECT, rows)),
    },
    {
      name: 'select-masked-binary',
      what: `the same in the binary format`,
      unit: 'rows',
      person: 'alice',
      target: 0.5,
      per: 1000,
      ...whole(endpoint => readBinary(endpoint, SELECT, rows)),
    },
    {
      name: 'copy-masked',
      what: `COPY TO STDOUT of ${rows} rows, 1 of 3 columns masked`,
      unit: 'rows',
      person: 'alice',
      target: 0.5,
      per: 1000,
      ...whole(endpoint => read(endpoint, 'COPY people TO STDOUT', rows)),
    },
    {
      name: 'select-wide',
      what: `SELECT of ${wideRows(rows)} rows of 100 columns, nothing masked`,
      unit: 'rows',
      person: 'bob',
      target: 0.85,
      per: 1000,
      ...whole(endpoint => read(endpoint, SELECT_WIDE, wideRows(rows))),
    },
    {
      name: 'select-wide-masked',
      what: `the same with 1 of 100 columns masked`,
      unit: 'rows',
      person: 'alice',
      per: 1000,
      ...whole(endpoint => read(endpoint, SELECT_WIDE, wideRows(rows))),
    },
    {
      name: 'distinct-simple',
      what: `${scale.statements} different short texts, one connection`,
      unit: 'statements',
      person: 'bob',
      per: 1,
      ...whole((endpoint, signal) => distinctTexts(endpoint, scale.statements, '', signal)),
    },
    {
      name: 'distinct-long',
      what: `${scale.statements} different texts with ${MANY_CONSTANTS} constants each, one connection`,
      unit: 'statements',
      person: 'bob',
      per: 1,
      ...whole((endpoint, signal) => distinctTexts(endpoint, scale.statements, constants(MANY_CONSTANTS), signal)),
    },
    {
      name: 'distinct-prepared',
      what: `${scale.statements} different prepared statements, one connection`,
      unit: 'statements',
      person: 'bob',
      per: 1,
      ...whole((endpoint, signal) => distinctPrepared(endpoint, scale.statements, signal)),
    },
    {
      name: 'migration',
      what: `commands that change the schema, ${schemaTables} other tables`,
      unit: 'statements',
      person: 'bob',
      per: 1,
      ...whole((endpoint, signal) => migrate(endpoint, scale.migrations, signal)),
    },
    {
      name: 'connect',
      what: 'connect, select 1, close',
      unit: 'connections',
      person: 'bob',
      per: 1,
      ...whole((endpoint, signal) => connections(endpoint, scale.connections, signal)),
    },
  ]
}

/** What shows a masked value, if anything does; the end of each answer holds one. */
const showing: Readonly<Record<string, (connection: RawClient) => Promise<Answered>>> = {
  text: connection => connection.query('SELECT email FROM people WHERE id = 7'),
  binary: connection => connection.send(binary('SELECT email FROM people WHERE id = 7')),
  copy: connection => connection.query('COPY people TO STDOUT'),
}

/** gate must do what it is measured for: every route gives the same bytes, and Alice sees no address. */
export async function checkRoutes({ routes }: Setup): Promise<void> {
  for (const [format, show] of Object.entries(showing)) {
    const sizes = new Map<string, number>()
    for (const route of routes) {
      for (const person of ['bob', 'alice'] as const) {
        await using connection = await RawClient.open(route.endpoint(person))
        const { bytes, tail } = await show(connection)
        const masked = !tail.includes('@example.com')
        if (masked !== (route.name === 'gate' && person === 'alice'))
          throw new Error(`${route.name} shows ${person} the wrong thing as ${format}: ${tail}`)
        if (!masked) sizes.set(`${route.name} ${person}`, bytes)
      }
    }
    if (new Set(sizes.values()).size !== 1) throw new Error(`routes differ in ${format}: ${JSON.stringify([...sizes])}`)
  }
}
