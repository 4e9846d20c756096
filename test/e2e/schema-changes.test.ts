// Masks while names change their meaning: in an open transaction, in one message, in a pipeline, in another session.
import { setTimeout as wait } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { SECRET, tryAll } from '../support/asking.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create schema billing;
create schema own;
create table customers (id int primary key, name text, email text not null, salary int);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example', 73000 + i from generate_series(1, 9) i;
create table billing.customers (id int, name text, email text, salary int, memo text);
create table mirror (id int, email text);
create table own.clear (id int, word text);
create table own.later (id int);
insert into own.later values (1);
create view own.over_later as select id from own.later;
create table own.logged (id int primary key, note text, token text);
insert into own.logged values (7, 'a', '${SECRET}');
create view own.over_logged as select id, note from own.logged;
create table own.leading (id int primary key);
insert into own.leading values (7);
create table own.following (id int references own.leading on delete cascade, token text);
insert into own.following values (7, '${SECRET}');
create function own.keep(id int, value text) returns void language plpgsql as $$ begin
  execute 'create table if not exists own.kept_2026 (id int, value text)';
  execute 'insert into own.kept_2026 values ($1, $2)' using id, value;
end $$;
create function own.on_change() returns trigger language plpgsql as $$ begin
  perform own.Keep(old.id, old.token);
  return coalesce(new, old);
end $$;
create trigger log before update or delete on own.logged for each row execute function own.on_change();
create trigger log before delete on own.following for each row execute function own.on_change();
grant all on schema public, own to public;
analyze;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask: [{ columns: [public.customers.email, public.customers.salary, "*.token"], with: redact }]
`

const table = "create temp table mine as select 'x'::text as email"
const inner = 'select (select reverse(email) from mine limit 1) from public.customers where id = 7'

const attempts: Readonly<Record<string, readonly string[]>> = {
  'a name that stands for tables with different columns': [
    'select (select reverse(memo) from customers limit 1) from (select email as memo from public.customers where id = 7) y',
    'select (select reverse(memo) from (select * from customers) s limit 1) from (select email as memo from public.customers where id = 7) y',
    'with q as (select * from customers) select (select reverse(memo) from q limit 1) from (select email as memo from public.customers where id = 7) y',
    'insert into mirror select y.id, (select memo from customers limit 1) from (select id, email as memo from public.customers) y;; select reverse(email) from mirror',
  ],
  'in an open transaction': [
    `${table};; begin;; alter table mine rename email to f;; ${inner}`,
    'begin;; create temp table mirror as select 7 as id;; select (select reverse(email) from mirror m where m.id = c.id) from public.customers c where id = 7',
    'begin;; create temp table mirror as select 7 as id;; select reverse(b) from (select m.*, c.email, c.name from mirror m, public.customers c where c.id = 7) x(a, b)',
    `${table};; begin;; alter table mine drop column email;; ${inner}`,
    `${table};; begin;; drop table mine;; create temp table mine as select 1 as f;; ${inner}`,
    `${table};; begin;; alter table mine rename to theirs;; create temp table mine as select 1 as f;; ${inner}`,
    `create temp table theirs as select 1 as f;; begin;; alter table theirs rename to mine;; ${inner}`,
    `${table};; create temp table other as select 1 as f;; begin;; alter table mine rename to third;; alter table other rename to mine;; ${inner}`,
    `create temp view theirs as select 1 as f;; begin;; alter view theirs rename to mine;; ${inner}`,
    'create temp table other (a int);; begin;; alter table other rename to text;; select email::text from public.customers where id = 7',
    'create temp table loot (id int, email text);; begin;; alter table loot rename to mirror;; insert into mirror select id, email from public.customers;; select reverse(email) from mirror',
    'begin;; alter table public.customers rename to clear;; select reverse(email) from public.clear where id = 7',
    'begin;; alter index public.customers rename to clear;; select reverse(c::text) from public.clear c where id = 7',
    `${table};; begin;; savepoint s;; alter table mine rename email to f;; release s;; ${inner}`,
    `${table};; begin;; alter table mine rename email to f;; create temp table loot as ${inner.replace('reverse(email)', 'email')};; select reverse(email) from loot;; commit;; select * from loot`,
    `create temp table p (id int, email text);; create temp table c () inherits (p);; insert into c values (1, 'x');; begin;; alter table p rename email to f;; ${inner.replace('mine', 'c')}`,
    `create temp table t1 as select 1 a, 2 b, 3 c;; create temp table t2 as select 1 z;; begin;; alter table t1 drop column b, drop column c;; alter table t2 add column y int default 5, add column x int default 6;; copy (select t1.*, c.email, t2.* from t1, public.customers c, t2 where c.id in (7, 8)) to stdout`,
    "begin;; create type pg_temp.text as enum ('a', 'user7@secret.example');; select reverse(email::text::varchar) from public.customers where id = 7",
    "create type pg_temp.text as enum ('a');; select email::text from public.customers where id = 7",
    'create temp table text (a int);; select email::text from public.customers where id = 7',
  ],
  'through what the open transaction makes': [
    'begin;; create table part (like public.customers);; select 1 from part;; insert into part select * from public.customers;; select * from part',
    'begin;; create temp table loot (id int, email text);; select * from loot;; insert into loot select id, email from public.customers;; select * from loot',
    'begin;; create temp table loot as select id, email from public.customers;; select * from loot',
    'begin;; create temp table loot (id int);; savepoint s;; create temp view seen as select id, email from public.customers;; select * from seen',
    'begin;; create temp table loot (id int);; select * from loot;; alter table public.customers add column again text generated always as (email) stored;; select * from public.customers where id = 7',
    'begin;; create temp table loot (id int);; select * from loot;; select c, c.* from public.customers c where id = 7',
    'begin;; create table loot () inherits (public.customers);; update public.customers set name = name where id = 7;; select * from loot',
    "begin;; create temp table loot (id int, e text);; select * from loot;; with w as (update public.customers set name = 'x' where id = 7 returning email) insert into loot select 1, email from w;; select * from loot",
  ],
  'through what triggers make in the open transaction': [
    "begin;; update own.logged set note = 'b';; select * from own.kept_2026",
    "begin;; update own.logged set note = 'b';; create temp table mine (id int);; select * from own.kept_2026",
    "begin;; create temp table mine (id int);; update own.logged set note = 'b';; select reverse(value) from own.kept_2026",
    "begin; update own.logged set note = 'b'; select value from own.kept_2026; rollback",
    "begin;; create table own.kept_2026 (id int, token text);; select * from own.kept_2026;; update own.logged set note = 'b';; select * from own.kept_2026",
    "begin;; update own.over_logged set note = 'b';; create temp table mine as select * from own.kept_2026;; select * from mine",
    "begin;; explain analyze update own.logged set note = 'b';; copy own.kept_2026 to stdout",
    'begin;; delete from own.leading;; select value from own.kept_2026',
    "prepare p as update own.logged set note = 'b';; begin;; execute p;; declare c cursor for select value from own.kept_2026;; fetch c",
  ],
  'in one message': [
    `${table};; alter table mine rename email to f; ${inner}`,
    `${table};; begin; alter table mine rename email to f; ${inner}; rollback`,
    `create temp table mirror as select 7 as id; select (select reverse(email) from mirror m where m.id = c.id) from public.customers c where id = 7`,
  ],
}

const world = await startWorld({ sql: setup, policy })
t.teardown(() => world[Symbol.asyncDispose]())
const carol = await world.person('carol')
const connection = await carol.connect('prod-db')
t.teardown(() => connection[Symbol.asyncDispose]())

t.test('no value comes, whatever a name means meanwhile', t => tryAll(t, connection.port, attempts))

async function open(): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port: connection.port, user: 'carol', database: 'app' })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Everything that comes of a statement, in one text. */
async function saidOf(client: pg.Client, sql: string): Promise<string> {
  try {
    const results = [await client.query({ text: sql, rowMode: 'array' })].flat() as pg.QueryArrayResult[]
    return JSON.stringify(results.map(({ rows }) => rows))
  } catch (thrown) {
    return String(thrown)
  }
}

const backwards = [...SECRET].reverse().join('')
const changed =
  'select (select reverse(word) from own.clear limit 1) from (select email as word from public.customers where id = 7) y'

t.test('what another session changes meanwhile is not taken for what it was', async t => {
  const [one, two] = [await open(), await open()]
  await one.query("insert into own.clear values (1, 'clear')")
  t.match(await saidOf(one, changed), 'raelc')

  await two.query('begin')
  await two.query('alter table own.clear rename word to other')
  const during = saidOf(one, changed)
  await wait(300)
  await two.query('commit')
  t.match(await during, /gate: /, 'while a change is not committed')
  t.match(await saidOf(one, changed), /gate: /, 'when it is')
  await two.query('alter table own.clear rename other to word')
  t.match(await saidOf(one, changed), 'raelc', 'and when it is undone')

  await two.query('begin')
  await two.query('alter table own.later rename to newer')
  const described = 'select true from pg_class c join pg_attribute a on a.attrelid = c.oid where a.attnum > 0 limit 1'
  t.equal(await saidOf(one, described), '[[[true]]]', 'a new name of one relation makes no secret of the others')
  t.match(await saidOf(two, 'select * from own.newer'), '[[1]]')
  await two.query('rollback')

  // Decided, and then kept at the server by what comes before it in the message.
  const slow = saidOf(one, `select pg_sleep(1); ${changed}`)
  await wait(300)
  await two.query('alter table own.clear rename word to other')
  const said = await slow
  t.notMatch(said, backwards)
  t.match(said, /was changed while it waited|gate: /)
  await two.query('alter table own.clear rename other to word')
  await Promise.all([one.end().catch(() => {}), two.end()])
})

t.test('a column that was added outside gate is not shown before the catalog says what it is', async t => {
  const client = await open()
  t.same(await saidOf(client, 'select * from own.later, own.over_later'), '[[[1,1]]]')
  await world.postgres.query(
    `alter table own.later add column token text default '${SECRET}', add column word text default 'clear';
    create or replace view own.over_later as select id, token as word from own.later`,
    'app',
  )
  const said = await saidOf(client, 'select * from own.later, own.over_later')
  t.notMatch(said, SECRET)
  t.match(said, '"clear"')
  t.notMatch(await saidOf(client, 'select word from own.over_later'), SECRET)
  await client.end()
})

t.test('what others made and is gone by now is not taken for what the transaction made', async t => {
  const masked = '[[null]]'
  const tries: readonly (readonly [readonly string[], string, string])[] = [
    [
      [],
      'begin; create temp table mine (id int); select pg_sleep(1); select token from own.staging; drop table own.staging; commit',
      masked,
    ],
    [
      [],
      'create temp table mine (id int); select pg_sleep(1); select token from own.staging; drop table own.staging',
      masked,
    ],
    [
      ['begin', 'create temp table mine (id int)'],
      'select pg_sleep(1); select token from own.staging; drop table own.staging; commit',
      masked,
    ],
    // The server lets go of what it read, and others drop it.
    [
      ['begin', 'create temp table mine (id int)'],
      'select pg_sleep(1); savepoint s; select token from own.staging; rollback to s; select pg_sleep(1)',
      masked,
    ],
    [
      ['begin', 'create temp table staging (id int)'],
      'select pg_sleep(1); savepoint s; select token from own.staging; rollback to s; select pg_sleep(1)',
      masked,
    ],
    // What was rolled back is not what there is by now.
    [
      ['begin', 'savepoint z', 'create table own.staging (id int)', 'rollback to z', 'create temp table mine (id int)'],
      'select pg_sleep(1); savepoint s; select token from own.staging; rollback to s; select pg_sleep(1)',
      masked,
    ],
    [
      [
        ...[
          'begin',
          'create temp table mine (id int)',
          'savepoint z',
          'create table own.staging (id int)',
          'savepoint y',
        ],
        ...['release y', 'rollback to z'],
      ],
      'select pg_sleep(1); copy own.staging to stdout; drop table own.staging; commit',
      'relation "own.staging" does not exist',
    ],
    [
      ['begin', 'create temp table mine (id int)'],
      'savepoint z; create table own.staging (id int); rollback to z; select pg_sleep(1); savepoint s; select upper(token) from own.staging; rollback to s; select pg_sleep(1)',
      '****',
    ],
    // One of that name in another schema is not what the name stands for by itself.
    [
      ['begin', 'create schema apart', 'create table apart.unsaid (id int)'],
      'select pg_sleep(1); copy unsaid to stdout; rollback',
      'relation "unsaid" does not exist',
    ],
    // Nothing says of what it is made.
    [
      ['begin', 'create temp table mine (id int)'],
      'select pg_sleep(1); select upper(token) from own.staging; drop table own.staging; commit',
      '****',
    ],
    [
      ['begin'],
      'select pg_sleep(1); create table own.kept as select token as x from own.staging; commit',
      'relation "own.staging" does not exist',
    ],
    [
      ['begin'],
      'select pg_sleep(1); copy own.staging to stdout; drop table own.staging; commit',
      'relation "own.staging" does not exist',
    ],
  ]
  for (const [before, message, expected] of tries) {
    const client = await open()
    for (const text of before) await client.query(text)
    const said = saidOf(client, message)
    await wait(500)
    await world.postgres.query(
      `set role gate_service; create table own.staging as select '${SECRET}'::text as token`,
      'app',
    )
    await wait(1000)
    const dropped = world.postgres.query('drop table if exists own.staging', 'app')
    const answer = await said
    t.ok(answer.includes(expected) && !answer.includes(SECRET), `${message}: ${answer}`)
    await client.end().catch(() => {})
    await dropped
  }
})

t.test('what a transaction made and did not roll back is its own', async t => {
  const client = await open()
  const steps = [
    ...[
      'begin',
      'create table own.stays as select 1 as a',
      'savepoint s',
      'create table own.goes (a int)',
      'rollback to s',
    ],
    ...['create table own.copied as select a + 1 as a from own.stays', 'alter table own.copied rename to renamed'],
    ...[
      'savepoint s',
      'create table own.goes (a int)',
      'drop table own.goes',
      'create table own.goes as select 5 as a',
    ],
    ...['release s', 'insert into own.goes select a from own.renamed'],
  ]
  for (const step of steps) t.notMatch(await saidOf(client, step), /gate|does not exist/, step)
  t.equal(await saidOf(client, 'select sum(a) + 1 from own.goes'), '[[["8"]]]')
  await client.query('rollback')
  await client.end()
})

t.test('temporary tables of one name in several sessions are their own', async t => {
  const [one, two] = [await open(), await open()]
  await one.query('create temp table foo (id int)')
  await one.query('insert into foo values (1)')
  const said = saidOf(one, 'select pg_sleep(1); select id, id + 1 from foo')
  await wait(300)
  await two.query('begin')
  await two.query('create temp table foo (id int, more text)')
  t.equal(await said, '[[[""]],[[1,2]]]')
  t.equal(await saidOf(two, 'select count(*) from foo'), '[[["0"]]]')
  for (const client of [one, two]) await client.end()
})

t.test('sequences of the open transaction show where they are', async t => {
  const client = await open()
  await client.query('begin')
  await client.query('create temp table counted (id serial)')
  await client.query('insert into counted default values')
  t.equal(await saidOf(client, 'select last_value from counted_id_seq'), '[[["1"]]]')
  await client.query('create sequence numbers')
  t.equal(await saidOf(client, 'select last_value, is_called from numbers'), '[[["1",false]]]')
  await client.end()
})

t.test('what EXECUTE gives to a new table is as what a query gives', async t => {
  const client = await open()
  await client.query('prepare ids as select id from public.customers where id = 7')
  t.match(await saidOf(client, 'create temp table mirror as execute ids'), 'in the place of another one')
  await client.query('begin')
  await client.query('create temp table listed as execute ids')
  t.equal(await saidOf(client, 'select * from listed'), '[[[7]]]')
  await client.end()
})

t.test('work goes on: migrations, temporary tables, and what no change concerns', async t => {
  const client = await open()
  for (const sql of [
    'begin',
    'create temp table picked (id int, note text)',
    "insert into picked values (7, 'a')",
    'select id, email from public.customers where id = 7',
    'select p.note, c.email from picked p, public.customers c where c.id = 7',
    'alter table own.clear add column size int default 1',
    'update own.clear set size = 2',
    'select count(*), max(name) from public.customers',
    'alter table own.clear alter column size set default 3',
    'create index on own.clear (size)',
    'commit',
    'select c.email, upper(k.word), k.size from own.clear k, public.customers c where c.id = 7',
    'begin',
    'alter table own.clear drop column size',
    'select id, upper(name), email from public.customers where id = 7',
    'rollback',
    'select c.email, upper(k.word), k.size from own.clear k, public.customers c where c.id = 7',
    "update own.logged set note = 'b'",
    'drop table own.kept_2026',
    'begin',
    "update own.logged set note = 'c'",
    'drop table own.kept_2026',
    'select note from own.logged',
    'rollback',
    'begin',
    'create temp table picked_2 as select 1 as id',
    'select * from picked_2',
    'rollback',
  ])
    t.notMatch(await saidOf(client, sql), /gate:|rror/, sql)
  await client.end()
})
