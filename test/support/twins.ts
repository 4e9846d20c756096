// Two databases that differ in their masked values alone: whatever a person from whom they are masked asks, both must answer the same.
import { Cleanup } from '@gate/shared/cleanup'
import pg from 'pg'
import { type Connection, createCli, startAgent, startRelay } from './gate.ts'
import { startOidc } from './oidc.ts'
import { startPostgres } from './postgres.ts'
import { SERVICE_PASSWORD } from './world.ts'

const policy = (predicates: string): string => `
targets:
  - match: { labels: { protocol: postgres } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: ["public.customers.email", "users.email", "events.email"], with: redact, predicates: ${predicates} }
      - { columns: ["customers.salary"], with: "null", predicates: ${predicates} }
`

/** Secret values of all shapes: other letters, other lengths, another order; the same ones are NULL and the same are equal. */
const setup = (salt: string): string => `
create table customers (id int primary key, name text, email text, salary int, balance numeric,
  label text generated always as (name || ' ' || coalesce(length(email), 0)) stored);
insert into customers select i, 'name ' || i, case when i % 9 > 0 then left(md5('${salt}' || i % 20), 3 + (i * length('${salt}')) % 9) || '@' || '${salt}' end,
  case when i % 7 > 0 then ('x' || left(md5(i || '${salt}'), 4))::bit(16)::int end, i * 1.5 from generate_series(1, 40) i;
create table users (id int primary key, login text, email text);
insert into users select i, 'login ' || i, case when i % 9 > 0 then left(md5('${salt}' || i % 20), 3 + (i * length('${salt}')) % 9) || '@' || '${salt}' end from generate_series(1, 40) i;
create table notes (id int primary key, customer_id int, note text, amount int);
insert into notes select i, 1 + i % 40, 'note ' || i, i from generate_series(1, 30) i;
create table kept (id int primary key, places int[]);
insert into kept values (1, '{1}');
create table events (id int, happened date, email text) partition by range (happened);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
insert into events select i, '2026-02-02', md5('${salt}' || i) from generate_series(1, 5) i;
create view customer_view as select id, email, name from customers where email is not null;
create view deep_view as select v.id, v.email as mail, n.amount from customer_view v join notes n on n.customer_id = v.id;
create view shout_view as select id, upper(email) as shout from customers;
`

/** What came of a statement: its rows in no order, or its SQLSTATE and whether it was gate that refused. */
export interface Said {
  readonly outcome: 'rows' | 'refused' | 'failed'
  readonly text: string
}

export interface Twins extends AsyncDisposable {
  /** Runs a statement in both, in a transaction that is rolled back. */
  ask(sql: string, how: 'simple' | 'extended' | 'binary'): Promise<readonly [Said, Said]>
}

async function run(client: pg.Client, sql: string, how: 'simple' | 'extended' | 'binary'): Promise<Said> {
  const query =
    how === 'simple' ? { text: sql } : { text: sql, values: [], queryMode: 'extended', binary: how === 'binary' }
  try {
    const result = await client.query({ ...query, rowMode: 'array', types: { getTypeParser: () => String } } as never)
    const rows = (result as unknown as { rows: unknown[] }).rows.map(row => JSON.stringify(row))
    // Plans are made from statistics, which the documents admit; whether one is shown must be the same.
    if (/^\s*explain\b/i.test(sql)) return { outcome: 'rows', text: '' }
    const names = (result as unknown as { fields: { name: string }[] }).fields.map(({ name }) => name)
    return { outcome: 'rows', text: [names.join(), ...rows.sort()].join('\n') }
  } catch (thrown) {
    const { code = '', message } = thrown as Error & { code?: string }
    if (code === '') throw thrown
    return message.startsWith('gate: ')
      ? { outcome: 'refused', text: message }
      : { outcome: 'failed', text: `${code} ${message}` }
  }
}

async function openClient({ port }: Connection, database: string): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'x', database, ssl: false })
  client.on('error', () => {})
  await client.connect()
  // A random join of everything with everything is no test of masking.
  await client.query("set statement_timeout = '1s'")
  return client
}

export async function startTwins({ predicates = 'equality' } = {}): Promise<Twins> {
  await using starting = new Cleanup()
  const oidc = starting.use(await startOidc())
  const postgres = starting.use(await startPostgres())
  await postgres.query(`create role gate_service login password '${SERVICE_PASSWORD}'`)
  for (const [name, salt] of [
    ['one', 'secret'],
    ['two', 'other word'],
  ] as const) {
    await postgres.query(`create database ${name} owner gate_service`)
    await postgres.query(`set role gate_service; ${setup(salt)}; analyze`, name)
  }
  const relay = starting.use(await startRelay({ oidc, policy: policy(predicates) }))
  const target = (name: string): string =>
    `  - { name: ${name}, protocol: postgres, host: ${postgres.host}, port: ${postgres.port}, database: ${name}, user: gate_service, password: { environment: TARGET_PASSWORD } }\n`
  starting.use(
    await startAgent({ relay, targets: target('one') + target('two'), env: { TARGET_PASSWORD: SERVICE_PASSWORD } }),
  )
  const carol = starting.use(await createCli())
  const done = await carol.login(relay, oidc, 'carol')
  if (done.code !== 0) throw new Error(done.stderr)
  const clients: pg.Client[] = []
  for (const name of ['one', 'two']) {
    const client = await openClient(starting.use(await carol.connect(name)), name)
    starting.adopt(client, opened => opened.end().catch(() => {}))
    clients.push(client)
  }
  const [one, two] = clients
  if (one === undefined || two === undefined) throw new Error('no clients')
  const ask = async (client: pg.Client, sql: string, how: 'simple' | 'extended' | 'binary'): Promise<Said> => {
    await client.query('begin')
    const said = await run(client, sql, how)
    await client.query('rollback')
    return said
  }
  const started = starting.move()
  return {
    ask: (sql, how) => Promise.all([ask(one, sql, how), ask(two, sql, how)]),
    [Symbol.asyncDispose]: () => started[Symbol.asyncDispose](),
  }
}
