// After which commands an older snapshot of the catalog still holds, for whom, and for which statements.
import { LightChanges, lightChangeOf } from '@gate/relay/protocols/postgres/light-changes'
import { Staleness } from '@gate/relay/protocols/postgres/staleness'
import t from 'tap'
import { analyser, statements, withType } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())
const catalog = await withType('checked')

async function light(sql: string): Promise<readonly string[] | undefined> {
  const [facts] = await statements(sql)
  if (facts === undefined) throw new Error('no statement')
  return lightChangeOf(facts, catalog)
}

t.test('commands are light that make, alter or drop what they name and bring no code', async t => {
  const cases: Readonly<Record<string, readonly string[] | undefined>> = {
    "create table public.t (id serial primary key, n text default lower('X') check (length(n) > 1))": ['t'],
    'create table t (a checked)': undefined,
    'create table t (a int default peek(1))': undefined,
    'create table t (a int check (peek(a) > 1))': undefined,
    'create table t (like customers including all)': undefined,
    'create table t partition of parent for values in (1)': undefined,
    'create table t () inherits (parent)': undefined,
    'create table t as select 1': undefined,
    'create view v as select 1': undefined,
    'create index i on public.customers (lower(name))': ['customers'],
    'create index i on customers (peek(id))': undefined,
    'create sequence s owned by t.a': ['s'],
    'alter sequence s owned by none': ['s'],
    'alter table t add column a int default 5, add constraint f foreign key (a) references customers (id)': [
      't',
      'customers',
    ],
    'alter table t add column a checked': undefined,
    'alter table t alter a type text using peek(a)': undefined,
    'alter table t alter a type text': undefined,
    'alter table t alter a set default 1, alter b set not null, owner to x': ['t'],
    'alter table t enable row level security': undefined,
    'alter table t enable trigger all': undefined,
    'alter table t attach partition c default': undefined,
    'alter table t inherit parent': undefined,
    'alter table t rename to u': undefined,
    'alter table t rename a to b': undefined,
    'alter table t set schema s': undefined,
    'drop table t, u': ['t', 'u'],
    'drop table t cascade': undefined,
    'drop index i': ['i'],
    'drop function f()': undefined,
    'drop type x': undefined,
    'create function f() returns int language sql as $$ select 1 $$': undefined,
    'create trigger x before insert on t for each row execute function peek()': undefined,
    'create schema s': undefined,
    'drop owned by x': undefined,
    'select 1': undefined,
    'do $$ begin end $$': undefined,
  }
  for (const [sql, names] of Object.entries(cases)) t.same(await light(sql), names, sql)
})

t.test('statements that name what was changed are for a new snapshot', async t => {
  const changes = new LightChanges()
  const leaves = async (sql: string): Promise<boolean> => {
    const read = (await statements(sql)).map(facts => ({
      ...{ facts, effective: facts, text: sql },
      ...{ defines: undefined, unknown: undefined },
    }))
    return changes.leave(read, catalog)
  }
  t.notOk(await leaves('select * from customers'), 'nothing was changed by it')
  changes.ended(['t', 'u'])
  t.ok(changes.areAll)
  const cases: Readonly<Record<string, boolean>> = {
    'select * from customers': true,
    'select * from t': false,
    'select * from s.t': false,
    'insert into customers select 1 from u': false,
    'with t as (select 1) select * from customers': true,
    'create index on s.t (a)': true,
    'create index on t (a)': false,
    'create index on customers (id)': true,
    'drop table s.u, s.other': true,
    'drop table u': false,
    'drop table s.t cascade': false,
    'truncate customers': false,
    'drop owned by x': false,
    'grant select on all tables in schema s to x': false,
    'call f()': false,
    'select 1; select * from t': false,
  }
  for (const [sql, expected] of Object.entries(cases)) t.equal(await leaves(sql), expected, sql)
  changes.shown()
  t.notOk(await leaves('select * from customers'))
  changes.ended(['t'])
  changes.ended(undefined)
  t.notOk(changes.areAll, 'a change that is not light makes the others so')
  changes.over()
  t.ok(changes.areAll)
  for (let table = 0; table <= 1_000; table += 1) changes.ended([`t${table}`])
  t.notOk(changes.areAll, 'so many are not told apart any more')
})

t.test('a snapshot lacks what came after it was begun, and it is known by whom', async t => {
  const [one, two] = [Symbol('one'), Symbol('two')]
  const staleness = new Staleness()
  t.ok(staleness.isFresh(0))
  staleness.changed(10, one)
  t.notOk(staleness.isFresh(10), 'what was begun in the same instant need not show it')
  t.ok(staleness.isFresh(11))
  t.ok(staleness.isOnlyBy(one, 5))
  t.notOk(staleness.isOnlyBy(two, 5))
  for (let atMs = 20; atMs < 30; atMs += 1) staleness.changed(atMs, one)
  t.ok(staleness.isOnlyBy(one, 5))
  staleness.changed(30, two)
  t.notOk(staleness.isOnlyBy(one, 5))
  t.ok(staleness.isOnlyBy(two, 30))
  staleness.read(29.5)
  t.ok(staleness.isOnlyBy(two, 5), 'what is in a snapshot is forgotten')
  staleness.changed(31)
  t.notOk(staleness.isOnlyBy(two, 29.5), 'what may matter to all is nobody’s')
  for (let atMs = 100; atMs < 2_200; atMs += 1) staleness.changed(atMs, atMs % 2 === 0 ? one : two)
  t.notOk(staleness.isOnlyBy(one, 2_199))
  t.notOk(staleness.isFresh(2_000))
  t.ok(staleness.isFresh(2_200))
})
