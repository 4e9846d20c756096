// Ways around what is followed: names, places, casts, counts, errors and definitions that a statement does not seem to use.
import pg from 'pg'
import t from 'tap'
import { ask, SECRET, tryAll } from '../support/asking.ts'
import { startTwins } from '../support/twins.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create schema billing;
create schema staging;
create table customers (id int primary key, name text, email text not null, tags text[],
  label text generated always as (name || ' <' || email || '>') stored,
  initial text generated always as (nullif(left(email, 1), 'u')) stored);
insert into customers (id, name, email) select i, 'name ' || i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
create view initials as select id, initial from customers;
create table billing.cards (id int, number text);
insert into billing.cards values (7, '${SECRET}');
create table staging.cards (id int, number text);
create table orders (id int primary key, note text, places text[]);
insert into orders select i, 'order ' || i from generate_series(1, 9) i;
create table wages (id int primary key, rate int, since date);
insert into wages select i, 700 + i, date '2020-01-01' + i from generate_series(1, 9) i;
create table rates (n numeric);
insert into rates values (707);
create view rated as select w.id, w.rate from wages w join rates r on r.n = w.rate;
create view written as select id, name, email from customers where trim(email) <> '' and coalesce(btrim(email), '') <> '';
create table tickets (id int);
insert into tickets values (1);
create table ruled (id int);
create rule also as on insert to ruled do also select upper(email) from customers where id = 7;
create view ruled_view as select id from ruled;
create view over_ruled_view as select id from ruled_view;
create function leak() returns text language sql stable as 'select email from public.customers where id = 7';
create function of_ticket(tickets) returns text language sql stable as 'select email from public.customers where id = 7';
create function of_anything(anyelement) returns text language sql stable as 'select email from public.customers where id = 7';
create function checks(text) returns bool language plpgsql immutable as $$ begin
  if $1 = 'loud' then raise exception '%', (select email from public.customers where id = 7); end if;
  raise notice '%', (select email from public.customers where id = 7); return true; end $$;
create domain checked as text check (checks(value));
create type wrapped as (v text);
create function to_wrapped(int) returns wrapped language sql stable as 'select row(email)::wrapped from public.customers where id = $1';
create cast (int as wrapped) with function to_wrapped(int);
create function ticket_text(tickets) returns text language sql stable as 'select email from public.customers where id = 7';
create cast (tickets as text) with function ticket_text(tickets);
create table boxes (w wrapped);
create table full_boxes (id int, email text, held tickets);
insert into full_boxes values (7, '${SECRET}');
create view box_emails as select id, email from full_boxes;
create view leaking as select id, leak() as f from tickets;
create view over_leaking as select id, f, upper(f) as u from leaking;
create view twice_over as select * from over_leaking;
create materialized view kept_over as select * from over_leaking;
create function of_ints(int, int) returns text language sql stable as 'select email from public.customers where id = $1';
create operator ### (leftarg = int, rightarg = int, function = of_ints);
create type mood as enum ('a', 'b');
create function mood_text(mood) returns text language sql stable as 'select email from public.customers where id = 7';
create cast (mood as text) with function mood_text(mood) as implicit;
create domain feeling as mood;
create domain deeper as feeling;
create type pair as (n int, felt deeper);
create type moods as range (subtype = mood);
create table felt (id int, deep deeper, several feeling[], held pair, span moods);
insert into felt values (1, 'a', array['a'::feeling], row(1, 'a')::pair, '[a,b]');
create table felt_rows (kept felt);
insert into felt_rows select felt from felt;
create type plain as (n int, word text);
create table plains (held plain);
insert into plains values (row(1, 'plain')::plain);
analyze;
`

/** Only superusers read pg_toast; whoever may read their views reads it through them. */
const toastSetup = `
alter table full_boxes alter email set storage external;
insert into full_boxes (id, email) values (8, repeat('${SECRET}', 500));
do $$ declare held regclass = (select reltoastrelid from pg_class where oid = 'full_boxes'::regclass); begin
  execute format('create view pieces as select chunk_data from %s', held);
  execute format('create materialized view kept_pieces as select chunk_data from %s', held);
  grant select on pieces, kept_pieces to public;
end $$;
create view over_pieces as select encode(chunk_data, 'escape') as piece from pieces;
grant select on over_pieces to public;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask: [{ columns: [public.customers.email, billing.cards.*, full_boxes.email, wages.rate, wages.since], with: redact }]
`

const attempts: Readonly<Record<string, readonly string[]>> = {
  'a name that WITH gives, for a table that is written': [
    "with customers as (select 1 as id, 'x' as name, 'y' as email) update customers set name = email where id = 7 returning name",
    "with customers as (select 1 as id, 'y' as email) update customers set name = 'x' where id = 7 returning upper(email)",
    "with customers as (select 1 as id, 'y' as email) delete from customers where id = 7 returning upper(email)",
    "with customers as (select 1 as id) insert into customers as c (id, name, email) values (7, 'x', 'y') on conflict (id) do update set name = c.email returning name",
  ],
  'what EXECUTE computes': [
    'prepare p(text) as select $1;; execute p(leak())',
    "prepare p(text) as select $1;; execute p(query_to_xml('select email from customers', true, false, '')::text)",
    'prepare p(text) as select $1;; explain execute p(leak())',
    'prepare p(text) as select $1;; create temp table stolen as execute p(leak());; select * from stolen',
    'prepare p(text) as select $1;; execute p(7 ### 7)',
    'prepare p(wrapped) as select $1;; execute p(7)',
    "prepare p(checked) as select $1::text;; execute p('loud')",
  ],
  'functions without parentheses': [
    'select o.of_anything from orders o',
    'select (o).of_anything from orders o',
    'select t.of_ticket from tickets t',
    'select x.of_anything from (select id from orders) x',
    'select t.text from tickets t',
    'select t::text from tickets t',
    'select 7 ### 7',
    'select 7 operator(public.###) 7',
    'select (7::wrapped).v',
    // Of what a type is made, nothing in the statement says.
    ...['deep', 'several[1]', '(held).felt', 'lower(span)'].map(value => `select upper(${value}) from felt`),
    "select array_to_string(several::text[], '') from felt",
    'select upper((kept).deep) from felt_rows',
    "select upper('a'::deeper)",
    "select upper(('{a}'::deeper[])[1])",
    "select upper(('(1,a)'::pair).felt)",
    "select upper(lower('[a,b]'::moods))",
    'select cast(7 as wrapped)',
    "select '{}'::wrapped[]",
    'insert into boxes values (7) returning w',
    'select * from boxes',
    'insert into ruled values (1)',
    'insert into ruled_view values (1)',
    'insert into over_ruled_view values (1)',
    'create view own as select id from ruled;; insert into own values (1)',
  ],
  'views over what cannot be followed': [
    'select * from leaking',
    'select * from over_leaking',
    'select u from over_leaking',
    'select v from over_leaking v',
    'select * from twice_over',
    'select * from kept_over',
    'copy (select f from twice_over) to stdout',
    'create view own as select f from over_leaking;; select * from own',
    'select * from full_boxes',
    'select email, upper(email) from box_emails',
    'select b from box_emails b',
  ],
  'views over long values': [
    "select encode(chunk_data, 'escape') from pieces",
    "select encode(chunk_data, 'escape') from kept_pieces",
    'select * from over_pieces',
    'copy over_pieces to stdout',
  ],
  'errors and notices of what is no function': [
    "select 'x'::checked",
    "select 'loud'::checked",
    "select '{loud}'::checked[]",
    "select checked 'loud'",
    "select cast('loud' as checked) from orders",
  ],
  'generated columns': [
    'select label from customers',
    'select * from customers',
    'select upper(label) from customers',
    "select split_part(label, '<', 2) from customers",
    'copy customers (id, label) to stdout',
    'copy (select label from customers) to stdout',
    'select max(label) from customers',
    'create table stolen as select label from customers;; select * from stolen',
  ],
  'other names in an open transaction': [
    'begin;; alter schema billing rename to b2;; select upper(number) from b2.cards;; rollback',
    'begin;; alter schema staging rename to s2;; alter schema billing rename to staging;; select upper(number) from staging.cards;; rollback',
    'begin;; alter function leak() rename to pg_client_encoding;; set search_path = public, pg_catalog;; select pg_client_encoding();; rollback',
    'begin;; alter function leak() set schema staging;; select staging.leak();; rollback',
    'begin;; alter operator ### (int, int) set schema staging;; select 7 operator(staging.###) 7;; rollback',
    'begin;; alter table billing.cards rename to c2;; select upper(number) from billing.c2;; rollback',
    'begin;; alter table billing.cards set schema staging;; rollback',
    'create schema more create view more.stolen as select email from public.customers;; select * from more.stolen',
    'begin;; alter role gate_service set search_path = staging;; rollback',
  ],
  'columns by their place alone': [
    'select email from customers union all select note from orders',
    'select note, id::text from orders union all select email, name from customers',
    'select o.id, (select email from customers c where c.id = o.id) from orders o',
    'values ((select email from customers where id = 7))',
    'with recursive r(n, e) as (select id, email from customers where id = 7 union all select n + 1, e from r where n < 9) select * from r',
    'select email::text, email::varchar from customers',
    'select x.e from (select email::text as e from customers union all select label from customers) x',
    'copy (select email from customers union all select note from orders) to stdout',
    'copy (select (select email::text from customers where id = 7)) to stdout',
    'declare c binary cursor with hold for select email from customers union all select note from orders;; fetch all from c',
    'select upper(x.e) from (select email as e from customers union all select note from orders) x',
  ],
}

t.test('a person from whom columns are masked', async t => {
  await using world = await startWorld({ policy, sql: setup })
  await world.postgres.query(toastSetup, 'app')
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  await tryAll(t, gate.port, attempts)

  await t.test('a generated column shows as little of itself where it is NULL', async t => {
    const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'carol', database: 'app' })
    await client.connect()
    t.teardown(() => client.end())
    for (const sql of [
      'select initial from customers where id = 7',
      'select x.initial from (select initial from customers where id = 7 union all select null where false) x',
      'select initial from initials where id = 7',
    ])
      t.same((await client.query(sql)).rows, [{ initial: '****' }], sql)
    for (const sql of [
      'select id from customers where initial is null',
      'select initial is null from customers',
      'select count(initial) from customers',
      'select num_nonnulls(initial) from customers',
      'select id from initials where initial is not null',
    ])
      await t.rejects(client.query(sql), { code: '42501' }, sql)
    t.same((await client.query('select count(email) from customers')).rows, [{ count: '9' }])
  })

  await t.test('a whole value may be compared as another type that holds all of it', async t => {
    for (const [sql, rows] of [
      ['select id, rate from rated', '[[7,0]]'],
      ['select id from wages where rate::numeric = 707 and rate::bigint = 707', '[[7]]'],
      ["select id from wages where since::timestamp = '2020-01-08'", '[[7]]'],
      ['select count(*), min(id) from written', '[["9",1]]'],
    ] as const)
      t.match((await ask(gate.port, [sql], false, false)).text, rows, sql)
    for (const cast of ['rate::numeric(2,-1) = 710', 'rate::smallint = 707', "since::timestamptz = '2020-01-08'"])
      t.ok((await ask(gate.port, [`select id from wages where ${cast}`], false, false)).refused, cast)
  })

  await t.test(
    'what the server logs of its own doing does not come, since its number tells how long values are',
    async t => {
      const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'carol', database: 'app' })
      const notices: string[] = []
      client.on('notice', ({ message }) => notices.push(message ?? ''))
      await client.connect()
      t.teardown(() => client.end())
      await client.query("set work_mem = '64kB'; set client_min_messages = log; set trace_sort = on")
      await client.query('select email from customers, orders a, orders b, orders c order by a.note')
      t.same(notices, [])
      await client.query('select d.note from orders d, orders a, orders b, orders c order by a.note')
      t.match(notices.join('\n'), 'external sort', 'over clear columns it does')
    },
  )

  await t.test('a composite of what nothing converts is read as ever', async t => {
    const { text } = await ask(gate.port, ['select upper((held).word) from plains'], false, false)
    t.match(text, '[["PLAIN"]]')
  })

  await t.test('nothing was carried to where it could be read', async t => {
    const found = await world.postgres.query(
      "select 1 from orders o full join customers c on false where o::text like '%secret%' or c.name like '%secret%'",
      'app',
    )
    t.same(found, [])
  })
})

/** Each tells two databases apart that differ in masked values alone, where it is not refused. */
const oracles: readonly string[] = [
  'select o.id from notes o tablesample bernoulli ((select 100 * (ascii(email) % 2) from customers where id = 7)) repeatable (1)',
  'select o.id from notes o tablesample bernoulli (30) repeatable ((select ascii(email) from customers where id = 7))',
  'insert into kept (id, places[(select length(email) from customers where id = 7)]) values (9, 1) returning places',
  'update kept set places[(select length(email) from customers where id = 7)] = 1 returning places',
  'with x as materialized (select 1 / (length(email) - 12) from customers) select count(*) from x',
  'select count(*) from (select 1 / (length(email) - 12) from customers offset 0) x',
  'select count(*) from (select distinct on (id) id, 1 / (length(email) - 12) from customers) x',
  "select count(*) from customers c, regexp_split_to_table(c.email, 'a')",
  'select count(*) from customers c, generate_series(1, length(c.email))',
  'select count(*) from (select generate_series(1, length(email)) from customers) x',
  "select count(*) from customers c, xmltable('//a' passing xmlelement(name a, c.email) columns x text path '.') x where x.x > 'm'",
  "select id from customers where label like '%a%'",
  "select id from customers where label = 'name 1 3'",
  'select count(*) from customers group by label',
  'select label from customers',
  'select id from customers where salary = any (array(select generate_series(1, 30000)))',
  "select distinct id, email is null as missing, email = 'no such value' as same from customers order by 1",
  'select id, email, count(*) from customers group by id, email order by id',
  'select c.id, c.email, count(*) from customers c join notes n on n.customer_id = c.id group by 1, 2 order by 1',
  'select email, count(*) from customers group by email',
  'select * from customers union all select * from customers',
  'select length((select email from customers where id = 7)) = 16',
  'select id from notes n where ascii((select email from customers c where c.id = n.id)) % 2 = 0',
  "select case left((select email from customers where id = 7), 1) when '4' then 1 when '8' then 2 end",
  'select count(id order by 1 / (length(email) - 16)) from customers where id = 7',
  'select id, salary = generate_series(1, 70000) from customers where id = 1',
  'select n from (select row_number() over () n, salary = row_number() over () same from customers, generate_series(1, 70000) where id = 1) x where same',
  "select id from customers, generate_series(1, 70000) g where id = 1 and salary::text = set_config('x.y', g::text, true)",
  "select id from customers, generate_series(1, 70000) g where id = 1 and set_config('x.y', g::text, true) = g::text and salary::text = current_setting('x.y')",
  'set enable_seqscan = off',
  "select set_config('random_page_cost', '1', true)",
]

t.test('two databases that differ in masked values alone', async t => {
  await using twins = await startTwins()
  for (const sql of oracles) {
    for (const how of ['simple', 'extended', 'binary'] as const) {
      const [one, two] = await twins.ask(sql, how)
      t.same(one, two, sql)
      t.not(one.outcome, 'failed', `the server takes: ${sql}`)
    }
  }
})
