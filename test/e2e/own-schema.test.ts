// Schema commands one by one, of people who see everything: quick, and never at the price of what rules say of tables.
import pg from 'pg'
import t from 'tap'
import { until } from '../support/until.ts'
import { hasPsql, openPolicy, psql, startWorld } from '../support/world.ts'

const setup = `
create schema audit;
create table audit.secret (id int, note text);
create table public.plain (id int);
create function public.peek(int) returns int language plpgsql as $$ begin return 1; end $$;
create table public.child () inherits (public.plain);
create table public.rowed (id int);
create table public.holder (id int, held public.rowed);
create table public.under (id int);
create view audit.over as select id from under;
create view public.over as select 1 as id;
create table public.named (id int);
create function public.on_write() returns trigger language plpgsql as $$ begin return new; end $$;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, support] }
    rules:
      - { name: everything, allow: [engineers, support] }
      - name: audit
        when: (op.read + op.written).exists(name, name.startsWith("audit.")) && op.action != "create" && op.action != "alter"
        deny: "Not the audit tables."
      - { name: calls, when: op.action == "call", deny: "No calls." }
    mask: [{ columns: [public.mixed.token, "*.email"], for: { groups: [support] }, with: redact }]
`

const world = await startWorld({ sql: setup, policy, relay: { log: 'debug' } })
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await world.person('alice')
const connection = await alice.connect('prod-db')
t.teardown(() => connection[Symbol.asyncDispose]())

const open = (): Promise<pg.Client> => openAs('alice', connection.port)

async function openAs(user: string, port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database: 'app' })
  client.on('error', () => {})
  await client.connect()
  return client
}

const failureOf = (client: pg.Client, sql: string): Promise<string> =>
  client.query(sql).then(
    () => '',
    (error: Error) => error.message,
  )

t.test('what was made, altered or dropped a moment ago is what rules say it is', async t => {
  const denied = /Not the audit tables/
  const cases: readonly (readonly [before: readonly string[], sql: string, said: RegExp])[] = [
    [['create table audit.a1 (id int)', 'set search_path = audit'], 'select * from a1', denied],
    [['create table audit.a2 (id int)', 'set search_path = audit'], 'drop table a2', denied],
    [['create table audit.a3 (id int)'], 'drop table audit.a3', denied],
    [
      ['create table a4 (id int)', 'alter table audit.secret add column more int', 'set search_path = audit'],
      'select more from secret',
      denied,
    ],
    [
      ['create table a5 (id int)', 'alter table audit.secret rename to a5', 'set search_path = audit'],
      'table a5',
      denied,
    ],
    [['alter table audit.a5 rename to secret'], 'select 1', /^$/],
    [['create table a6 (id int)', 'create view a7 as select * from a6'], 'select * from a7', /^$/],
    [
      ['create table a8 (id int)'],
      'create trigger x before insert on a8 for each row execute function on_write()',
      /No calls/,
    ],
    [['create table a9 (id int)'], 'create table b0 (id int default peek(1))', /No calls/],
    [['create table b1 (id int)'], 'alter table b1 alter id set default peek(1)', /No calls/],
    [['create table b2 (id int)'], 'insert into b2 values (1)', /^$/],
    [
      ['create table public.b3 (id int)', 'alter table public.b3 add column n text', 'create index on public.b3 (n)'],
      'insert into b3 values (1, null)',
      /^$/,
    ],
    // What else comes and goes with a table.
    [['create table audit.b4 (id serial)', 'set search_path = audit'], 'select last_value from b4_id_seq', denied],
    [
      ['create table audit.b5 (id serial)', 'alter table audit.b5 alter id drop default', 'set search_path = audit'],
      'drop sequence b5_id_seq',
      denied,
    ],
    [
      [
        'create table audit.b6 (id int generated always as identity (sequence name audit.named))',
        'set search_path = audit',
      ],
      'select last_value from named',
      denied,
    ],
    [['alter table under drop column id cascade'], 'select * from over', /^$/],
  ]
  for (const [before, sql, said] of cases) {
    const client = await open()
    await refreshed(client)
    for (const text of before) t.equal(await failureOf(client, text), '', text)
    t.match(await failureOf(client, sql), said, sql)
    await client.end()
  }
})

/** What the next statement is judged by shows everything. */
async function refreshed(client: pg.Client): Promise<void> {
  await client.query('create schema if not exists another')
  await client.query('select * from plain')
}

t.test('no constant is recorded that meets what was masked for somebody a moment ago', async t => {
  const cases: readonly (readonly [before: readonly string[], sql: string])[] = [
    [['alter table plain add column email text'], "insert into child (id, email) values (5, 'sk_1')"],
    [['alter table plain drop column id'], "insert into child values ('sk_2')"],
    [['alter table rowed add column email text'], "insert into holder values (1, row(1, 'sk_3'))"],
    [[], "select * from holder where held = row(1, 'sk_4')::rowed"],
    [['create table lit (id int, email text)'], "select '(1,sk_5)'::lit"],
    [['create table lits (id int, email text)'], `select '{"(1,sk_10)"}'::_lits`],
    [['create domain public.lone as lits'], "select '(1,sk_11)'::lone"],
    [['create type public.pack as (one lits)'], `select '{"(\\"(1,sk_12)\\")"}'::pack[]`],
    [
      ['create table stem (id int)', 'create domain public.stems as stem', 'alter table stem add column email text'],
      "select '(1,sk_13)'::stems",
    ],
    [['alter table public.named add column email text'], "alter table public.named alter email set default 'sk_6'"],
    [['create index on public.named (id)'], "alter table public.named add check (email <> 'sk_7')"],
    [['create index on public.named (id)'], "create index on public.named (id) where email = 'sk_8'"],
    [
      ['drop table public.lit', 'create index on public.named (id)'],
      "create table public.lit (email text default 'sk_9')",
    ],
  ]
  for (const [before, sql] of cases) {
    const client = await open()
    await refreshed(client)
    for (const text of [...before, sql]) t.equal(await failureOf(client, text), '', text)
    await client.end()
  }
  const texts = (await world.relay.events()).map(({ body }) => JSON.stringify(body))
  t.equal(texts.filter(text => text.includes('select * from plain')).length >= cases.length, true)
  t.same(
    texts.filter(text => text.includes('sk_')),
    [],
  )
})

t.test('what is prepared after a change is judged no more often than before it', async t => {
  const client = await open()
  const recorded = async (text: string): Promise<number> => {
    await client.query({ text, values: [1] })
    return (await world.relay.events()).filter(({ body }) => JSON.stringify(body).includes(text)).length
  }
  await refreshed(client)
  const before = await recorded('select count(*) as before from plain where $1::int is null')
  await client.query('create table public.f1 (id int)')
  t.equal(before, 2)
  t.equal(await recorded('select count(*) as after from plain where $1::int is null'), before)
  await client.end()
})

t.test('event triggers may do anything', async t => {
  await world.postgres.query(
    `create function public.on_ddl() returns event_trigger language plpgsql as
      'begin if tg_tag = ''CREATE TABLE'' then create or replace view audit.made as select 1 as one; end if; end';
    create event trigger made on ddl_command_end execute function public.on_ddl()`,
    'app',
  )
  const client = await open()
  await refreshed(client)
  await client.query('drop view if exists audit.made').catch(() => {})
  await client.query('create table public.e1 (id int)')
  await client.query('set search_path = audit')
  t.match(await failureOf(client, 'select * from made'), /Not the audit tables/)
  await client.end()
  await world.postgres.query('drop event trigger made', 'app')
})

t.test('what one session makes is known to others', async t => {
  const [one, two] = [await open(), await open()]
  await one.query('select * from plain')
  await two.query('set search_path = audit')
  for (let number = 0; number < 5; number += 1) {
    await one.query(`create table audit.c${number} (id int)`)
    t.match(await failureOf(two, `select * from c${number}`), /Not the audit tables/)
    await two.query(`create table public.d${number} (id int)`)
    t.equal(await failureOf(one, `select * from d${number}`), '')
  }
  for (const client of [one, two]) await client.end()
})

t.test('masks hold for others at once', async t => {
  const carol = await world.person('carol')
  await using seen = await carol.connect('prod-db')
  const masked = new pg.Client({ host: '127.0.0.1', port: seen.port, user: 'carol', database: 'app' })
  await masked.connect()
  const client = await open()
  for (let turn = 0; turn < 3; turn += 1) {
    await client.query('create table public.mixed (id int, token text)')
    await client.query('create index on public.mixed (id)')
    await world.postgres.query("insert into public.mixed values (1, 'clear')", 'app')
    const { rows } = await masked.query('select id, token from mixed')
    t.same(rows, [{ id: 1, token: '****' }])
    await client.query('alter table public.mixed drop column token')
    await client.query('alter table public.mixed add column plain text')
    t.same((await masked.query('select * from mixed')).rows, [{ id: 1, plain: null }])
    await client.query('drop table public.mixed')
  }
  await Promise.all([client.end(), masked.end()])
})

t.test('what is committed is known to others before the server says that it is', async t => {
  const carol = await world.person('carol')
  await using seen = await carol.connect('prod-db')
  const [reading, other] = [await openAs('carol', seen.port), await openAs('carol', seen.port)]
  await world.postgres.query(
    `create table public.people (id int, name text, email text); insert into public.people values (1, 'ann', 'secret');
    create view public.listed as select id, name as word from public.people; grant all on public.people, public.listed to public;
    alter table public.people owner to gate_service; alter view public.listed owner to gate_service`,
    'app',
  )
  const shown = 'create or replace view public.listed as select id, email as word from public.people'
  const clear = 'create or replace view public.listed as select id, name as word from public.people'
  const words = async (): Promise<unknown> => (await reading.query('select word from listed')).rows
  const counts = (what: string): string =>
    `create or replace function public.counted(int) returns int language sql stable as 'select ${what}'`
  const isCommitted = async (): Promise<boolean> =>
    String(await world.postgres.query("select pg_get_viewdef('public.listed'::regclass)", 'app')).includes('email')

  await t.test('since more comes behind it in the same message', async t => {
    const client = await open()
    t.same(await words(), [{ word: 'ann' }])
    await client.query(counts('1'))
    t.same((await reading.query('select counted(1)')).rows, [{ counted: 1 }])
    const told = counts('length(email) from public.people')
    const ended = client.query(`begin; ${shown}; ${told}; commit; select pg_sleep(2)`)
    await until('the view', isCommitted)
    t.same(await words(), [{ word: '****' }])
    t.match(await failureOf(reading, 'select counted(1)'), /gate does not know that counted\(\)/)
    await ended
    t.same(await words(), [{ word: '****' }])
    await client.query(clear)
    await client.end()
  })

  await t.test('since whoever asked for it has gone', async t => {
    await using gone = await alice.connect('prod-db', '--port', '0')
    const client = await openAs('alice', gone.port)
    t.same(await words(), [{ word: 'ann' }])
    await other.query('begin')
    await other.query('select from listed')
    client.query(shown).catch(() => {})
    const waiting = 'select count(*) from pg_locks where not granted'
    await until('its lock', async () => String(await world.postgres.query(waiting, 'app')) === '1')
    const ends = async (): Promise<number> =>
      (await world.relay.events()).filter(({ body }) => JSON.stringify(body).includes('"session.end"')).length
    const before = await ends()
    await gone[Symbol.asyncDispose]()
    await until('the end of its session', async () => (await ends()) > before)
    await other.query('commit')
    await until('the view', isCommitted)
    t.same(await words(), [{ word: '****' }])
  })
  await Promise.all([reading.end(), other.end()])
})

t.test(
  'a dump of a hundred tables is restored without reading the catalog for each',
  { skip: !hasPsql && 'no psql' },
  async t => {
    const tables = Array.from({ length: 100 }, (_, index) => `public.r${index}`)
    const dump = [
      ...tables.flatMap(name => [
        `create table ${name} (id integer not null, note text default 'x'::text);`,
        `alter table ${name} owner to gate_service;`,
        `create sequence ${name}_id_seq start with 1;`,
        `alter sequence ${name}_id_seq owned by ${name}.id;`,
        `alter table only ${name} alter column id set default nextval('${name}_id_seq'::regclass);`,
      ]),
      ...tables.map(name => `copy ${name} (id, note) from stdin;\n1\ta\n\\.\n`),
      ...tables.flatMap(name => [`alter table only ${name} add primary key (id);`, `create index on ${name} (note);`]),
    ].join('\n')
    const readings = (): number => world.relay.process().stderr().split('postgres.catalog-read').length
    const before = readings()
    const { code, stderr } = await psql({ port: connection.port }, ['-q', '-v', 'ON_ERROR_STOP=1', '-f', '-'], dump)
    t.equal(stderr, '')
    t.equal(code, 0)
    // One after each of three runs of schema commands, and one a second.
    t.ok(readings() - before < 50, `${readings() - before} readings for 700 commands`)
  },
)

t.test('where no rule and no mask asks for tables, a table that was just made is used at once', async t => {
  await using free = await startWorld({ sql: setup, policy: openPolicy, relay: { log: 'debug' } })
  const bob = await free.person('bob')
  await using local = await bob.connect('prod-db')
  const client = new pg.Client({ host: '127.0.0.1', port: local.port, user: 'bob', database: 'app' })
  await client.connect()
  const readings = (): number => free.relay.process().stderr().split('postgres.catalog-read').length
  const before = readings()
  for (let turn = 0; turn < 100; turn += 1) {
    const kind = turn % 2 === 0 ? 'temp ' : ''
    await client.query(`create ${kind}table made (id int primary key, note text)`)
    await client.query('alter table made add column more int default 7')
    await client.query('insert into made values ($1, $2)', [turn, 'x'])
    await client.query('create index on made (note)')
    t.same((await client.query('select * from made')).rows, [{ id: turn, note: 'x', more: 7 }])
    await client.query('drop table made')
  }
  t.ok(readings() - before < 50, `${readings() - before} readings for 600 commands`)
  await client.end()
})
