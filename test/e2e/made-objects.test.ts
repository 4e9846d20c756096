// What people make and call from whom columns are masked: what runs nothing but PostgreSQL's own code works, and nothing else does.
import t from 'tap'
import { ask, tryAll } from '../support/asking.ts'
import { shown, Talk } from '../support/talk.ts'
import { client } from '../support/wire.ts'
import { samplePolicy, startWorld } from '../support/world.ts'

const policy = samplePolicy
  .replace('allow: [engineers, dba]\n      - name: reads', 'allow: [engineers, dba, support]\n      - name: reads')
  .replace('["drop", "truncate", "grant"]', '["truncate", "grant"]')

const setup = `
create table customers (id int primary key, name text, email text not null);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
create table notes (id int primary key, note text, amount int);
insert into notes select i, 'note ' || i, i from generate_series(1, 9) i;
create function checks() returns trigger language plpgsql as $$ begin perform new.email::later; return new; end $$;
create trigger checks before update of name on customers for each row when (false) execute function checks();
create function twice(int) returns int language sql immutable as 'select $1 * 2';
create function full_name(first text, last text) returns text language sql stable as $$ select first || ' ' || last $$;
create function four_times(int) returns int language sql immutable as 'select twice(twice($1))';
create function plus_one(int) returns int language sql immutable return $1 + 1;
create function of_notes() returns bigint language sql stable begin atomic select count(*) from notes; end;
create function note_of(int) returns text language sql stable as 'select note from notes where id = $1';
create function mail_of(int) returns text language sql stable as 'select email from customers where id = $1';
create function through(int) returns text language sql stable as 'select mail_of($1)';
create function card(customers) returns text language sql stable as 'select $1.email';
create function said(text) returns text language sql immutable as $$ select set_config('a.b', $1, false) $$;
create function kept(text default mail_of(7)) returns text language sql stable as 'select $1';
create function digest(text) returns text language sql immutable as 'select left($1, 5)';
create function digits(text) returns text language sql immutable as $$ select regexp_replace($1, '\\D', '', 'g') $$;
create function ended(text) returns text language sql stable as $$ select $1 || '\\' || ' from customers' $$;
create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
create domain folded_text as text collate folded;
create domain whole as customers;
create type folded_pair as (a int, x text collate folded);
create type folded_rows as (pair folded_pair);
create schema apart;
create type apart.num_nulls as enum ('user7@secret.example');
create function by_path(int) returns text language sql stable set search_path = public as 'select $1::text';
create view doubled as select id, twice(amount) as amount from notes;
create view named as select id, full_name(name, 'x') as name, full_name(email, 'x') as mail from customers;
create view seen_locks as select locktype, mode, page from pg_locks;
create view seen_queries as select pid, usename, query, left(query, 10) as beginning from pg_stat_activity;
create view seen_sessions as select pid, usename, backend_start from pg_stat_activity where pid = pg_backend_pid();
create view seen_attributes as select attname from pg_attribute where attrelid = 'notes'::regclass and attnum > 0;
`

/** It runs, and the last answer holds this. */
const works: readonly (readonly [string, string])[] = [
  ['create domain positive as int check (value > 0);; select 3::positive + 1', '[[4]]'],
  [
    "create domain mail as text check (value ~ '@' and twice(length(value)) < 100);; create table m (a mail);; insert into m values ('a@b') returning a",
    '[["a@b"]]',
  ],
  [
    'create domain price as numeric(12,2) not null default 0;; drop domain price;; select upper(name) from customers where id = 1',
    'NAME 1',
  ],
  [
    "create type mood as enum ('a');; alter type mood add value 'b';; drop type mood;; select upper(name) from customers where id = 1",
    'NAME 1',
  ],
  // What is dropped may take anything along, and leaves no type that could be taken for text.
  [
    'drop schema if exists spare cascade;; create schema spare;; create table spare.t (id int, note text, word varchar(9));; insert into spare.t values (1) returning id',
    '[[1]]',
  ],
  ['drop type if exists pair cascade;; create type pair as (a text, b varchar);; select 1', '[[1]]'],
  ["create collation german (locale = 'C');; select max(note collate german) from notes", 'note 9'],
  ['create collation if not exists other from "C";; select 1', '[[1]]'],
  ["create collation icus (provider = icu, locale = 'de-DE');; select max(note collate icus) from notes", 'note 9'],
  ['create extension if not exists plpgsql', '[[],[]]'],
  ['select twice(amount) from notes where twice(id) = 4', '[[4]]'],
  ["select full_name(name, 'x'), email from customers where id = 2", '[["name 2 x","****"]]'],
  ['select four_times(2)', '[[8]]'],
  ['select plus_one(amount) from notes where id = 3', '[[4]]'],
  ["select digits('a1b2')", '[["12"]]'],
  ['select amount from doubled where id = 3', '[[6]]'],
  ['select name from named where id = 3', '[["name 3 x"]]'],
  ['select locktype from seen_locks limit 1', '[["'],
  ['select count(*) > 0 from seen_queries', '[[true]]'],
  ['select usename from seen_sessions', '[["gate_service"]]'],
  ['select query from seen_queries where pid = pg_backend_pid()', '[[null]]'],
  ["select note from notes where note = 'NOTE 3' collate folded", '[["note 3"]]'],
  ["select note from notes where note = 'NOTE 3'::folded_text", '[["note 3"]]'],
  ["select name, email from customers where name = 'NAME 3' collate folded", '[["name 3","****"]]'],
  [`select id from customers where email = 'user7@secret.example' collate "C"`, '[[7]]'],
  ['select attname from seen_attributes order by 1 limit 1', '[["amount"]]'],
]

/** It is refused. */
const refused: readonly string[] = [
  // A value that is cast would be told.
  "create domain told as text check (pg_notify('x', value) is null)",
  "create domain told as text check (set_config('a.b', value, false) = value)",
  'create domain told as text check (mail_of(length(value)) is null)',
  // Triggers and policies would take them for others.
  'create domain later as text',
  'create domain pg_temp.other as text',
  'create domain pg_temp.text as pg_catalog.text',
  'create domain public.uuid as text',
  'create domain notes as text',
  'create domain "Other" as text',
  // A call would be a cast to them.
  'create domain count as text',
  'create domain apart.lower as varchar(5)',
  "create type count as enum ('a')",
  'create type pg_temp.upper as (a int)',
  'create table pg_temp.text (a int);; create table spare_mails as select email::text as mail from customers',
  'drop schema if exists spare cascade;; select id from customers where email::text = $$a$$',
  'select apart.num_nulls(email) from customers where id = 7',
  'select num_nulls(email) from customers where id = 7',
  // It would be a type of whole rows.
  'create domain rows as customers',
  'create domain rows as customers[]',
  'create domain rows as public._customers',
  'create collation loose (provider = icu, locale = $$und-u-ks-level1$$, deterministic = false)',
  'create collation folded_as_well from folded',
  'create collation folded_too (from = folded)',
  'create collation folded_too (from = public.folded)',
  "create collation folded_too (from = 'folded')",
  'create domain other_text as text collate folded',
  "select id from customers where email = 'USER7@SECRET.EXAMPLE' collate folded",
  "select id from customers where email in ('a', 'USER7@SECRET.EXAMPLE' collate folded)",
  "select id from customers where email collate public.folded = 'USER7@SECRET.EXAMPLE'",
  "select id from customers where email = 'USER7@SECRET.EXAMPLE'::folded_text",
  "select id from (select id, email collate folded as e from customers) x where e = 'USER7@SECRET.EXAMPLE'",
  "with x as (select id, email collate folded as e from customers) select case e when 'USER7@SECRET.EXAMPLE' then id end from x",
  'select a.id from customers a join (select email collate folded as email from customers) b using (email)',
  "select id from customers where email = any ('{USER7@SECRET.EXAMPLE}'::folded_text[])",
  // A field of a row has a collation of its own.
  "select id from customers where email = (row(1, 'USER7@SECRET.EXAMPLE')::folded_pair).x",
  'select id from customers where email = (\'{"(1,USER7@SECRET.EXAMPLE)"}\'::folded_pair[])[1].x',
  "create type fresh as (x text collate folded);; select id from customers where email = ('(USER7@SECRET.EXAMPLE)'::fresh).x",
  "select id from customers where email = ((row(row(1, 'USER7@SECRET.EXAMPLE'))::folded_rows).pair).x",
  'create extension if not exists no_such_extension',
  'create extension plpgsql',
  'select note_of(1)',
  'select of_notes()',
  'select mail_of(7)',
  'select through(7)',
  'select card(c) from customers c',
  'select c.card from customers c',
  'select said(name) from customers',
  'select kept()',
  "select id from customers where digest('user7@x') = 'user7'",
  'select by_path(1)',
  "select ended('x')",
  'select twice(length(email)) from customers',
  "select id from customers where full_name(email, '') = 'user7@secret.example '",
  'select mail from named',
  'select beginning from seen_queries',
  'select count(*) from seen_locks where page = 1',
  'select pg_cancel_backend(length(email)) from customers',
  // All share the service's role: PostgreSQL would let one end what others do.
  'select pg_terminate_backend(1)',
]

t.test('a person from whom columns are masked', async t => {
  await using world = await startWorld({ policy, sql: setup })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')

  await t.test('makes and calls what only computes', async t => {
    for (const [statements, answer] of works)
      for (const extended of [false, true]) {
        const { text, refused } = await ask(
          gate.port,
          ['begin', ...statements.split(';;'), 'rollback'],
          extended,
          false,
        )
        t.notOk(refused, `${statements} is allowed`)
        t.ok(text.includes(answer), `${statements}: ${text}`)
      }
  })

  await t.test('makes and calls nothing else', async t => {
    for (const statement of refused) {
      const { text, refused } = await ask(gate.port, ['begin', ...statement.split(';;'), 'rollback'], false, false)
      t.ok(refused, `${statement}: ${text}`)
    }
  })

  await t.test('learns nothing by them', async t => {
    await tryAll(t, gate.port, {
      domains: [
        "begin;; create domain low as text check (value < 'm');; select email::low from customers where id = 7;; rollback",
        "begin;; create domain low as text check (value < 'm');; select c.low from customers c;; rollback",
        "begin;; create domain low as text check (value < 'm');; select low(email) from customers;; rollback",
        'begin;; create domain whole as text;; create table w as select email::whole from customers;; select * from w;; rollback',
      ],
      calls: [
        'begin;; create domain count as text;; select public.count(email) from customers;; rollback',
        'create domain count as text; select public.count(email) from customers',
        "begin;; create type count as enum ('user7@secret.example');; select public.count(email) from customers where id = 7;; rollback",
        'select apart.num_nulls(email) from customers where id = 7',
      ],
      views: ['select * from named', 'select * from seen_queries'],
      functions: [...refused.filter(statement => statement.startsWith('select'))],
      // A table with a column that is called as a function of rows is, beside one that has no such column.
      rows: [
        'create schema if not exists beside;;create table if not exists beside.customers (to_jsonb text, record text, whole text);;select c.to_jsonb from customers c',
        'select s.record from (select * from customers) s',
        'select c.whole from customers c',
        'select customers.to_jsonb::text from customers',
        'copy (select customers.to_jsonb from customers) to stdout',
        'update customers set name = customers.to_jsonb::text where id = 7 returning name',
      ],
    })
  })

  await t.test('learns nothing by a parameter whose type only its number names', async t => {
    const talk = await Talk.start(gate.port, { user: 'carol' })
    for (const before of ['begin', 'select 1']) {
      for (const sql of [before, 'create type loose_row as (x text collate folded)']) await talk.ask(sql)
      const oid = Number(/\d+/.exec(await talk.ask("select 'loose_row'::regtype::oid"))?.[0])
      t.ok(oid > 16_384, `${oid}`)
      const sent = [
        client.parse('', 'select id from customers where email = ($1).x', [oid]),
        client.bind('', '', [Buffer.from('(USER7@SECRET.EXAMPLE)')]),
        ...[client.execute(''), client.sync],
      ]
      t.match(shown(await talk.say(sent)), /gate/)
      for (const sql of ['rollback', 'drop type if exists loose_row']) await talk.ask(sql)
    }
    talk.close()
  })

  await t.test('is refused what is replaced', async t => {
    t.notOk((await ask(gate.port, ['select twice(2)'], false, false)).refused)
    await world.postgres.query(
      "set role gate_service; create or replace function twice(int) returns int language sql stable as 'select length(mail_of($1))'",
      'app',
    )
    await ask(gate.port, ['create table anew (id int)', 'drop table anew'], false, false)
    for (const call of ['select twice(2)', 'select four_times(2)', 'select amount from doubled'])
      t.ok((await ask(gate.port, [call], false, false)).refused, call)
  })
})
