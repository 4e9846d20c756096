// What gate says a statement does: PostgreSQL's own parser in its worker, and the facts read from its tree.

import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import type { StatementFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import { kindOf, knownStatements } from '@gate/relay/protocols/postgres/analysis/kinds'
import type { Analysis } from '@gate/relay/protocols/postgres/analysis/read'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { start } from '../../../support/process.ts'

const analyser = new Analyser(1024 * 1024, silentLog)
t.teardown(() => analyser[Symbol.asyncDispose]())

async function facts(sql: string): Promise<readonly StatementFacts[]> {
  const analysis = await analyser.analyse(sql)
  if ('syntaxError' in analysis) throw new Error(analysis.syntaxError)
  return analysis.statements
}

const names = (list: readonly { schema: string | undefined; name: string }[]): string[] =>
  list.map(({ schema, name }) => (schema === undefined ? name : `${schema}.${name}`))

/** `action reads>tables writes>tables` of each thing a statement does. */
async function does(sql: string): Promise<string[]> {
  return (await facts(sql)).flatMap(({ parts }) =>
    parts.map(({ action, reads, written }) =>
      [action, ...names(reads), ...(written.length === 0 ? [] : ['→', ...names(written)])].join(' '),
    ),
  )
}

t.test('what statements do, and to which tables', async t => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'select 1': ['select'],
    'select a from t, s.u x join v on true': ['select t s.u v'],
    'select a from t x for update of x': ['select t'],
    "create aggregate a(text, bool) (sfunc = set_config, stype = text, initcond = 'role')": ['create', 'set_role'],
    'alter default privileges revoke select on tables from r': ['revoke'],
    'table t': ['select t'],
    'values (1)': ['select'],
    'insert into t select * from u': ['insert u → t'],
    'update t set a = (select b from u) from v': ['update u v → t'],
    'delete from only s.t using u': ['delete u → s.t'],
    'merge into t using u on t.a = u.a when matched then delete': ['merge u → t', 'delete → t'],
    'merge into t using u on t.a = u.a when matched and u.b then update set c = 1 when matched then do nothing when not matched then insert values (1)':
      ['merge u → t', 'insert → t', 'update → t'],
    'insert into t values (1) on conflict do nothing': ['insert → t'],
    'insert into t values (1) on conflict (a) do update set b = 1': ['insert → t', 'update → t'],
    'with x as (insert into t select * from u on conflict (a) do update set b = 1 returning *) select * from x': [
      'select u',
      'insert → t',
      'update → t',
    ],
    'explain analyze insert into t values (1) on conflict (a) do update set b = 1': [
      'explain t',
      'insert → t',
      'update → t',
    ],
    'truncate t, s.u': ['truncate → t s.u'],
    'with x as (delete from t returning *) select * from x, u': ['select u', 'delete → t'],
    'with x as (select * from t), y as (insert into u select * from x) update v set a = 1': [
      'update t → v',
      'insert → u',
    ],
    'with recursive t as (select * from t union all select 1) select * from t': ['select'],
    'with t as (select * from t) select * from t': ['select t'],
    'with t as (select 1) select * from public.t': ['select public.t'],
    'select * into x from t': ['create t → x'],
    'create table x as select * from t': ['create t → x'],
    'create view v as select * from t': ['create t → v'],
    'create table t (a int references u)': ['create → t u'],
    'create table t (like u)': ['create → t u'],
    'create index on t (a)': ['create → t'],
    'create schema s': ['create'],
    'create schema s create table x (a int) create view v as select * from t grant select on x to a': [
      'create',
      'create → x',
      'create t → v',
      'grant → x',
    ],
    'alter table t drop column a': ['alter → t'],
    'alter table t rename to u': ['alter → t'],
    'drop table t, s.u': ['drop → t s.u'],
    'drop view v': ['drop → v'],
    'drop schema s': ['drop'],
    'drop database d': ['drop'],
    'grant select on t to r': ['grant → t'],
    'revoke all on t from r': ['revoke → t'],
    'grant admin to r': ['grant'],
    'copy t from stdin': ['copy → t'],
    'copy t to stdout': ['copy t'],
    'copy (select * from t) to stdout': ['copy t'],
    'explain select * from t': ['explain t'],
    'explain delete from t': ['explain t'],
    'explain analyze delete from t': ['explain t', 'delete → t'],
    'explain (analyze false) delete from t': ['explain t'],
    'explain (analyze) with x as (insert into u values (1)) select 1': ['explain u', 'select', 'insert → u'],
    'prepare p as delete from t': ['delete → t'],
    'execute p': [],
    'explain execute p': ['explain'],
    'explain analyze execute p': ['explain'],
    'create table x as execute p': ['create → x'],
    'declare c cursor for select * from t': ['select t'],
    'fetch all from c': [],
    'do $$ begin end $$': ['do'],
    'call p(1)': ['call'],
    'lock table t': ['lock → t'],
    begin: ['transaction'],
    "prepare transaction 'x'": ['prepare_transaction'],
    'set search_path = x': ['set'],
    'set role x': ['set_role'],
    'set session authorization x': ['set_role'],
    'reset role': ['set_role'],
    'set "ROLE" to x': ['set_role'],
    'set local "Session_Authorization" to x': ['set_role'],
    'reset "Role"': ['set_role'],
    "create function f() returns int language sql set role = x as 'select 1'": ['create', 'set_role'],
    'alter function f() set "ROLE" = x': ['alter', 'set_role'],
    'alter role r set role = x': ['alter', 'set_role'],
    'alter database d set session_preload_libraries = x': ['alter', 'set_role'],
    'alter system set local_preload_libraries = x': ['alter', 'set_role'],
    'alter function f() reset role': ['alter'],
    'alter role r set work_mem = 4': ['alter'],
    "select set_config('role', 'x', false)": ['select', 'set_role'],
    "select pg_catalog.set_config(n, 'x', false) from t": ['select t', 'set_role'],
    "select set_config('role_x'::varchar(4), 'x', false)": ['select', 'set_role'],
    "select set_config('role_x'::char(4), 'x', false)": ['select', 'set_role'],
    "select set_config(n, 'x', false) from t where n = 'work_mem'": ['select t', 'set_role'],
    "select set_config(n, 'view, foreign-table', false) from t where n = 'restrict_nonsystem_relation_kind'": [
      'select t',
    ],
    "select set_config(n, 'admin', false) from t where n = 'restrict_nonsystem_relation_kind'": [
      'select t',
      'set_role',
    ],
    "select set_config(n, $1, false) from t where n = 'restrict_nonsystem_relation_kind'": ['select t', 'set_role'],
    "select set_config(n, 'x', false) from t where n = 'role'": ['select t', 'set_role'],
    "select set_config(n, 'x', false) from t where n = 'work_mem' or true": ['select t', 'set_role'],
    "select set_config(n, 'x', false) from t where n <> 'work_mem'": ['select t', 'set_role'],
    "select set_config(n, 'x', false) from t where n = 'role_x'::varchar(4)": ['select t', 'set_role'],
    "select (select set_config(n, 'x', false) from u) from t where n = 'work_mem'": ['select u t', 'set_role'],
    "select 1 from t where n = 'work_mem' and set_config(n, 'x', false) = 'x'": ['select t', 'set_role'],
    "select set_config('search_path', '', false)": ['select'],
    "update pg_settings set setting = 'x'": ['update → pg_settings', 'set_role'],
    'listen x': ['listen'],
    "notify x, 'y'": ['notify'],
    'vacuum t': ['vacuum → t'],
    'refresh materialized view m': ['refresh → m'],
    "create function f() returns int language sql as 'select 1'": ['create'],
    'create trigger g after insert on t execute function f()': ['create → t'],
    'create rule r as on insert to t do also delete from u': ['create → t', 'delete → u'],
    'create role r': ['create'],
    'alter role r superuser': ['alter'],
    'alter system set x = 1': ['alter'],
    'create extension dblink': ['create'],
    "comment on table t is 'x'": ['comment → t'],
    'select * from t; delete from u; ': ['select t', 'delete → u'],
    '': [],
    ' -- nothing': [],
  }
  for (const [sql, expected] of Object.entries(cases)) t.same(await does(sql), expected, sql)
})

t.test('the facts that rules use', async t => {
  const cases: readonly (readonly [string, Record<string, unknown>])[] = [
    ['drop table t cascade', { objectType: 'table', cascade: true }],
    ['drop materialized view m', { objectType: 'materialized_view' }],
    ['drop database d', { objectType: 'database' }],
    ['create role r', { objectType: 'role' }],
    ['alter system set x = 1', { objectType: 'system' }],
    ['alter table t drop column a, add b int', { objectType: 'table', alterations: ['drop_column', 'add_column'] }],
    ['alter index i rename to j', { objectType: 'index' }],
    ["create procedure p() language sql as ''", { objectType: 'procedure' }],
    [
      'update t set a = 1, b = 2 where id = 3 returning c',
      { hasWhere: true, returning: true, columnsWritten: ['a', 'b'] },
    ],
    ['insert into t (x, y) values (1, 2) on conflict (x) do update set z = 1', { columnsWritten: ['x', 'y', 'z'] }],
    ['select a, t.b from t where c = 1 limit 5', { hasWhere: true, hasLimit: true, columns: ['a', 't.b', 'c'] }],
    ['select * from t limit all', { hasLimit: false }],
    ['select * from t limit null::bigint', { hasLimit: false }],
    ['select * from t fetch first (null::int::bigint) rows only', { hasLimit: false }],
    ['select * from t limit $1', { hasLimit: true }],
    ['select * from t join u on t.a = u.a where t.id = 1', { hasWhere: true }],
    ['select * from t left join (u join v on true) on true where v.id = 1', { hasWhere: true }],
    ['select * from (select * from t) x where x.id = 1', { hasWhere: true }],
    ['select * from t join u on t.a = u.a where u.id = u.id', { hasWhere: false }],
    ['select * from t, u where u.id = 1', { hasWhere: false }],
    ['select * from t for update', { locking: true }],
    ['select * from (select * from t for update) x', { locking: true }],
    ['with x as (select * from t for share) select * from x', { locking: true }],
    ['call s.p(f(1))', { functions: ['s.p', 'f'] }],
    ['select lower(a), count(*), s.f(1) from t', { functions: ['lower', 'count', 's.f'] }],
    ["create operator ## (procedure = 'f', leftarg = int)", { functions: ['f'] }],
    ["create aggregate a(int) (sfunc1 = s.f, stype1 = int, finalfunc = 'g')", { functions: ['s.f', 'g'] }],
    ["create type r as range (subtype = int, canonical = 'f')", { functions: ['f'] }],
    ["copy t to program 'sh'", { copyProgram: true, copyFile: false, copyDirection: 'to' }],
    ["copy t from '/etc/passwd'", { copyProgram: false, copyFile: true, copyDirection: 'from' }],
    ['copy t from stdin', { copyProgram: false, copyFile: false }],
    ['explain analyze select 1', { analyze: true }],
    ['do $$ begin end $$', { language: 'plpgsql' }],
    ['do language plv8 $$ x $$', { language: 'plv8' }],
    ['set work_mem = 1', { setting: 'work_mem' }],
    ['prepare p as select 1', { prepared: true }],
    ['declare c cursor for select 1', { cursor: true }],
  ]
  for (const [sql, expected] of cases) {
    const [first] = await facts(sql)
    t.match(first?.parts[0]?.facts, expected, sql)
  }
})

t.test('what is said of a part of a table is said of the table', async t => {
  const written: Readonly<Record<string, string>> = {
    'drop trigger x on t': 't',
    'drop policy x on s.t': 't',
    'drop rule x on t': 't',
    "comment on table t is 'x'": 't',
    "comment on column s.t.a is 'x'": 't',
    "comment on trigger x on t is 'x'": 't',
    "security label on table t is 'x'": 't',
  }
  for (const [sql, name] of Object.entries(written)) t.match((await facts(sql))[0]?.parts[0]?.written, [{ name }], sql)
  t.match((await facts('drop type s.x'))[0]?.parts[0]?.others, [{ kind: 'type', name: 's.x' }])
})

t.test('a WHERE that chooses nothing is no WHERE', async t => {
  const chooses: Readonly<Record<string, boolean>> = {
    'delete from t': false,
    'delete from t where true': false,
    'delete from t where 1 = 1': false,
    "delete from t where 'a' < 'b'": false,
    "delete from t where now() > '2020-01-01'": false,
    'delete from t where id = id': false,
    'delete from t where (id) = (id)': false,
    'delete from t where t.id = id': false,
    'delete from t x where x.id = id': false,
    'delete from s.t where s.t.id = t.id': false,
    'delete from t where id in (1, id)': false,
    'delete from t where id = any (array[id])': false,
    'delete from t where id between id and id': false,
    'delete from t where (id = id) is true': false,
    'delete from t where true = (id = t.id)': false,
    'delete from t where id - id = 0': false,
    'delete from t where id = 1 or id <> 1': false,
    'delete from t where id < 5 or t.id >= 5': false,
    "delete from t where name like 'x%' or name not like 'x%'": false,
    'delete from t where id = 1 or not id = 1': false,
    'delete from t where id in (select id from t)': false,
    'merge into t using u on t.id = u.id when not matched by source then delete': false,
    'merge into t using u on t.id = u.id when not matched by source and t.old then delete': true,
    'delete from t where coalesce(true, id = 1)': false,
    'delete from t where coalesce(id = 1, true)': true,
    'delete from t where case when true then true else id = 1 end': false,
    'delete from t where case 1 when 1 then true else id = 1 end': false,
    'delete from t where case when id = 1 then true else true end': false,
    'delete from t where case when id = 1 then true end': true,
    'delete from t where case when id = 1 then true else false end': true,
    'delete from t where case id when 1 then true else false end': true,
    'delete from t where case when true then id = 1 else true end': true,
    'delete from t where id in (values (id))': false,
    'delete from t where id in (values (1), (t.id))': false,
    'delete from t where id in (select id)': false,
    'delete from t where (id, a) in (values (id, a))': false,
    'delete from t where (id, 1) = (id, 2 - 1)': false,
    'delete from t where row(id, a) >= row(id, a)': false,
    'delete from t where (id, 1) in ((id, 1), (2, 2))': false,
    'delete from t where id = id + 0': false,
    'delete from t where 0 + id >= +id': false,
    'delete from t where id * 1 = id - 0': false,
    "delete from t where name || '' = name": false,
    'delete from t where name = name collate "C"': false,
    "delete from t where name like '%'": false,
    "delete from t where name ilike '%%'": false,
    "delete from t where name ~ ''": false,
    "delete from t where name ~* '^.*$'": false,
    'delete from t where id <> all (array[]::int[])': false,
    "delete from t where id <> all ('{}'::int[])": false,
    'delete from t where id = any (array[id]::int[])': false,
    'delete from t where id in (values (1), (2))': true,
    'delete from t where id in (select id where a = 1)': true,
    'delete from t where (id, a) = (id, 5)': true,
    'delete from t where (id, a) in ((1, 2))': true,
    'delete from t where id = id + 1': true,
    'delete from t where id = a + 0': true,
    "delete from t where name ~ '^$'": true,
    "delete from t where name like 'a%'": true,
    "delete from t where name like ''": true,
    'delete from t where id <> all (array[1])': true,
    'delete from t where id = any ($1)': true,
    'delete from t where id in (select id from t where old)': true,
    'delete from t where id in (select id from t limit 5)': true,
    'delete from t where id in (select parent from t)': true,
    'delete from t where id + id = 4': true,
    'delete from t where id < 5 or id > 5': true,
    'delete from t where u.id = id': true,
    'delete from t where id = 1 or true': false,
    'delete from t where id = 1 or 1 = 1': false,
    'delete from t where not false': false,
    'delete from t where id is null or id is not null': false,
    'delete from t where exists (select 1)': false,
    'delete from t where exists (select 1 from u where u.x = 1)': false,
    'delete from t where 1 in (select x from u)': false,
    'delete from t using u where u.x = 1': false,
    'delete from t using (select 1 as one) x where one = 1': false,
    "delete from t using pg_class where relname = 'pg_class'": false,
    'update t set a = 1 from (values (1)) x(one) where one = 1': false,
    'update t set a = 1 from u where t.id = uid': true,
    'merge into t using (select 1 as one) x on one = 1 when matched then delete': false,
    'delete from t where random() < 2': false,
    'delete from t where id = 1': true,
    'delete from t where id = 1 and true': true,
    'delete from t where t.id = 1': true,
    'delete from t x where x.id = 1': true,
    'delete from t where id in (1, 2)': true,
    'delete from t where id in (select x from u)': true,
    'delete from t where exists (select 1 from u where u.x = t.id)': true,
    'delete from t using u where u.x = t.id': true,
    'delete from t where not deleted': true,
    'delete from t where deleted is not null': true,
    'delete from t where id * 0 = 0': true,
    'delete from t where greatest(true, id = 1)': true,
    'delete from t where exists (select 1 from t x where x.id = t.id)': true,
    "delete from t where name like 'x%' or id = 3": true,
    'delete from t where current of c': true,
    'delete from t where (id = 1 or true) is true': false,
    'delete from t where (id = 1 or true) = true': false,
    'delete from t where false <> (id = 1 or true)': false,
    'delete from t where (id is null) is not null': false,
    'delete from t where (id = 1) is not null': false,
    'delete from t where (id = 1) is not unknown': false,
    'delete from t where not (id = 1 and false)': false,
    'delete from t where not (id = 1 and id <> 1)': false,
    'delete from t where id in (select id from t where true)': false,
    'delete from t where ctid is not null': false,
    'delete from t where (id = 1) is true': true,
    'delete from t where (id = 1) = true': true,
    'delete from t where deleted is true': true,
    'delete from t where deleted is not true': true,
    'delete from t where deleted = true': true,
    'delete from t where not (id = 1 and name is null)': true,
    'delete from t where not (id = 1 or id = 2)': true,
    'delete from t where lower(name) is not null': true,
    'delete from t where (select max(x) from u where u.id = t.id) is null': true,
    'delete from t where (exists (select 1 from u where u.id = t.id)) is not null': false,
    'delete from t where exists (select t.id)': false,
    'delete from t where exists (select t.id from u)': false,
    'delete from t where exists (select 1 from u where u.x = t.id or true)': false,
    'delete from t where exists (select 1 where t.id = t.id)': false,
    'delete from t where (select true or t.id = 1)': false,
    'delete from t where id = (select id)': false,
    'delete from t where id = coalesce(id)': false,
    'delete from t where least(t.id) = id': false,
    'delete from t where id in (select id from t order by a)': false,
    'delete from t where id in (select distinct id from t)': false,
    'delete from t where id in (1) or id not in (1)': false,
    'delete from t where array[id] = array[id]': false,
    'delete from t where exists (select where id = 1)': true,
    'delete from t where (select t.id = 1)': true,
    'delete from t where (select u.old from u where u.id = t.id)': true,
    'delete from t where exists (select 1 from u, lateral (select where t.id = u.x) v)': true,
    'delete from t where exists (select 1 from u group by u.x having u.x = t.id)': true,
    'delete from t where not exists (select 1 from u where u.x = t.id)': true,
    'delete from t where id in (select distinct on (a) id from t)': true,
    'delete from t where id = coalesce(a, id)': true,
    'delete from t where array[id] = array[a]': true,
    'update t set a = 1': false,
    'update t set a = 1 where b = 2': true,
    'merge into t using u on true when matched then delete': false,
    'merge into t using u on t.id = u.id when matched then delete': true,
  }
  for (const [sql, expected] of Object.entries(chooses))
    t.equal((await facts(sql))[0]?.parts[0]?.facts['hasWhere'], expected, sql)
})

t.test('which rows an UPDATE of ON CONFLICT or MERGE is about', async t => {
  const cases: Readonly<Record<string, Record<string, boolean>>> = {
    'insert into t values (1), ($1) on conflict (a) do update set b = 1': { update: true },
    'insert into t values ((select max(a) from u)) on conflict (a) do update set b = 1': { update: true },
    'insert into t select $1, $2 on conflict (a) do update set b = excluded.b': { update: true },
    'insert into t select * from unnest($1::int[]) on conflict (a) do update set b = 1': { update: true },
    'with x as (values (1)) insert into t select * from x on conflict (a) do update set b = 1': { update: true },
    'insert into t default values on conflict (a) do update set b = 1': { update: true },
    'insert into t select g from generate_series(1, 9) g on conflict (a) do update set b = 1': { update: false },
    'insert into t select generate_series(1, 9) on conflict (a) do update set b = 1': { update: false },
    'insert into t with recursive n(i) as (select 1 union all select i + 1 from n) select i from n on conflict (a) do update set b = 1':
      { update: false },
    'with recursive n(i) as (select 1 union all select i + 1 from n) insert into t select i from n on conflict (a) do update set b = 1':
      { update: false },
    'insert into t values ((select max(g) from generate_series(1, 9) g)) on conflict (a) do update set b = 1': {
      update: true,
    },
    'insert into t select u.a from u join v on u.b = v.b where u.c = 1 on conflict (a) do update set b = 1': {
      update: true,
    },
    'insert into t select x.a from (select * from u) x where x.c = 1 on conflict (a) do update set b = 1': {
      update: true,
    },
    'insert into t select * from u where c = 1 on conflict (a) do update set b = 1': { update: true },
    'insert into t select * from u on conflict (a) do update set b = 1 where t.c = 1': { update: true },
    'insert into t select * from u on conflict (a) do update set b = 1': { update: false },
    'insert into t select * from t where true on conflict (a) do update set b = 1': { update: false },
    'with x as (select * from t) insert into t select * from x on conflict (a) do update set b = 1': { update: false },
    'insert into t select * from t union select 1 on conflict (a) do update set b = 1': { update: false },
    'insert into t select * from u on conflict (a) do update set b = 1 where true': { update: false },
    'merge into t using u on t.a = u.a when matched then update set b = 1 when not matched by source then delete': {
      merge: false,
      update: true,
      delete: false,
    },
    'merge into t using u on true when matched then update set b = 1': { merge: false, update: false },
  }
  for (const [sql, expected] of Object.entries(cases)) {
    const parts = (await facts(sql))[0]?.parts.filter(({ action }) => action in expected) ?? []
    t.same(Object.fromEntries(parts.map(({ action, facts: said }) => [action, said['hasWhere']])), expected, sql)
  }
})

t.test('of forms that are known from before, it counts which numbers are the same', async t => {
  for (const [sql, expected] of [
    ['delete from t where amount=3 or amount<>4', true],
    ['delete from t where amount=5 or amount<>5', false],
    ['delete from t where amount=6 or amount<>7', true],
    ['delete from t where amount=8 or amount<>08', false],
  ] as const)
    t.equal((await facts(sql))[0]?.parts[0]?.facts['hasWhere'], expected, sql)
})

t.test('what a statement changes of how texts are read', async t => {
  const changes = {
    "set client_encoding = 'SJIS'": 'encoding',
    "set names 'LATIN1'": 'encoding',
    'set standard_conforming_strings = off': 'literals',
    'set local standard_conforming_strings to false': 'literals',
    "select set_config('client_encoding', 'GBK', false)": 'encoding',
    "select set_config('standard_conforming_strings', 'off', true)": 'literals',
    "select set_config('STANDARD_CONFORMING_STRINGS', 'off', true)": 'literals',
    "select set_config('standard' || '_conforming_strings', 'off', true)": 'encoding',
    "select set_config('standard_conforming_strings', $1, true)": 'literals',
    "update pg_settings set setting = 'off' where name = 'standard_conforming_strings'": 'encoding',
    "with u as (update pg_settings set setting = 'off' returning 1) select 1": 'encoding',
    "prepare p as select set_config('client_encoding', 'GBK', false)": 'encoding',
    "set client_encoding = 'UTF8'": undefined,
    "set names 'utf-8'": undefined,
    'set standard_conforming_strings = on': undefined,
    'reset client_encoding': undefined,
    'set search_path = x': undefined,
    "select set_config('search_path', '', false)": undefined,
  } as const
  for (const [sql, change] of Object.entries(changes)) {
    const [read] = await facts(sql)
    t.equal(read?.changesReading, change, sql)
    t.equal(read?.fault, undefined, sql)
  }
  const [bound] = await facts("select set_config('client_encoding', $2::text, $1)")
  t.equal(bound?.otherEncoding, false)
  t.same(bound?.boundSettings, [{ name: 'client_encoding', parameter: 2 }])
  for (const sql of ["set client_encoding = 'SJIS'", 'set client_encoding = sql_ascii'])
    t.equal((await facts(sql))[0]?.otherEncoding, true, sql)
})

t.test('places of statements are in bytes, so that text in any script is cut where it should be', async t => {
  const sql = "select '☃ünï'; delete from t;  select 3"
  const bytes = Buffer.from(sql)
  const texts = (await facts(sql)).map(({ start, length }) => bytes.toString('utf8', start, start + length).trim())
  t.same(texts, ["select '☃ünï'", 'delete from t', 'select 3'])
})

t.test('a syntax error is told in the words and at the place that the server would use', async t => {
  t.match(await analyser.analyse('selct 1'), { syntaxError: 'syntax error at or near "selct"', position: 1 })
  t.match(await analyser.analyse("select 'ü', frm t x y"), { syntaxError: 'syntax error at or near "x"', position: 19 })
  t.match(await analyser.analyse('select (1'), { syntaxError: 'syntax error at end of input' })
})

t.test('statements that break the parser are refused, and the next one is analysed', async t => {
  await t.rejects(analyser.analyse(`select ${'1+'.repeat(500_000)}1`), { code: 'ERR_GATE_LIMIT' })
  t.same(await does('select 1'), ['select'])
  const nested = await analyser.analyse(`select ${'('.repeat(20_000)}1${')'.repeat(20_000)}`)
  t.match(nested, { syntaxError: /memory exhausted/ })
  await t.rejects(analyser.analyse('x'.repeat(1_100_000)), { code: 'ERR_GATE_LIMIT' })
  const all = await Promise.allSettled([
    analyser.analyse(`select ${'2+'.repeat(500_000)}1`),
    ...Array.from({ length: 20 }, (_, n) => analyser.analyse(`select ${n}`)),
  ])
  t.same(
    all.map(({ status }) => status),
    ['rejected', ...Array.from({ length: 20 }, () => 'fulfilled')],
    'only the culprit is refused',
  )
})

t.test('a statement is not refused for time in which the relay got no CPU', async () => {
  const module = import.meta.resolve('@gate/relay/protocols/postgres/analysis/analyser')
  const program = `import('${module}').then(async ({ Analyser }) => {
    const analyser = new Analyser(1024 * 1024, { warn: console.error })
    await analyser.analyse('select 1' + ' '.repeat(300))
    console.log('begins')
    const { statements } = await analyser.analyse("insert into ledger values ('a', 1);".repeat(1_500))
    console.log('statements: ' + statements.length)
    await analyser[Symbol.asyncDispose]()
  })`
  await using relay = start(process.execPath, ['-e', program])
  await relay.waitFor(/begins/)
  relay.kill('SIGSTOP')
  await systemClock.sleep(3_000, new AbortController().signal)
  relay.kill('SIGCONT')
  await relay.waitFor(/statements: 1500/)
  await relay.finished()
})

t.test('what was analysed is remembered', async t => {
  const long = `select ${'12345, '.repeat(50)}1`
  t.equal(analyser.known(long), undefined)
  const analysis = await analyser.analyse(long)
  t.equal(analyser.known(long), analysis)
})

/** The first text waits for the grammar, and any may come when reading has taken its share of the time. */
async function readAtOnce(by: Analyser, sql: string): Promise<Analysis | undefined> {
  const deadline = Date.now() + 30_000
  for (;;) {
    const analysis = by.known(sql)
    if (analysis !== undefined || Date.now() > deadline) return analysis
    await systemClock.sleep(5)
  }
}

t.test('a short text is read at once, and means what it means in the worker', async t => {
  await using other = new Analyser(1024 * 1024, silentLog, analyser.recordKey)
  for (const sql of [
    '',
    'select a, $1 from s.t where b = 1',
    'with a as (delete from t returning *) select * from a; set x = 1',
    'selct 1',
    "select 'ü', frm t x y",
    `select ${'('.repeat(100)}1${')'.repeat(100)}`,
  ]) {
    const here = await readAtOnce(other, sql)
    t.not(here, undefined, sql)
    t.same(here, await analyser.analyse(sql), sql)
    t.equal(other.known(sql), here, 'remembered')
  }
})

t.test('reading short texts does not take all of the main thread', async t => {
  await using other = new Analyser(1024 * 1024, silentLog)
  t.not(await readAtOnce(other, 'select 0'), undefined)
  const text = (n: number): string => `select ${n}${' + 1'.repeat(50)}`
  t.not(await readAtOnce(other, text(0)), undefined)
  let read = 0
  while (read < 1_000_000 && other.known(text(read)) !== undefined) read += 1
  t.ok(read > 0, 'what is known is not read again')
  t.ok(read < 1_000_000, 'the others are for the worker')
  t.match(await other.analyse(text(read)), { statements: [{ node: 'SelectStmt' }] })
})

t.test('every statement of the grammar has a kind', async t => {
  t.ok(knownStatements.length > 110)
  t.equal(kindOf('NoSuchStmt', {}), undefined)
  t.equal(kindOf('constructor', {}), undefined, 'names of Object.prototype are no statements')
})
