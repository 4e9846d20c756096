// Which commands change what names mean, for whom and how long; and when the machine says that a transaction is over.
import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import { OwnChanges } from '@gate/relay/protocols/postgres/own-changes'
import { changeOf, isPrivate, SchemaChanges } from '@gate/relay/protocols/postgres/schema-changes'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { analyser as catalogAnalyser, statements, withType } from '../../../support/lineage.ts'
import { allowAll, clearPlan, Harness } from '../../../support/machine.ts'
import { client, server } from '../../../support/wire.ts'

const analyser = new Analyser(1024 * 1024, silentLog)
t.teardown(() => Promise.all([analyser, catalogAnalyser].map(each => each[Symbol.asyncDispose]())))

async function said(sql: string): Promise<unknown> {
  const analysis = await analyser.analyse(sql)
  if ('syntaxError' in analysis) throw new Error(`${sql}: ${analysis.syntaxError}`)
  const change = analysis.statements.map(changeOf)[0]
  return change instanceof Set ? [...change].sort() : change
}

t.test('each command says what it changes', async t => {
  for (const [sql, change] of [
    ['select * from t', undefined],
    ['insert into t values (1)', undefined],
    ['begin', undefined],
    ['create table t (id int)', ['t']],
    ['create temp table t as select 1', ['t']],
    ['select 1 as id into temp t', ['t']],
    ['create view v as select 1', ['v']],
    ['create sequence s', ['s']],
    ['create table c () inherits (p)', ['c', 'p']],
    ['alter table t rename a to b', ['t']],
    ['alter table t drop column a, add constraint x check (b > 1)', ['t']],
    ['alter table t alter a type text', ['t']],
    ['alter table t set schema s', ['t']],
    ['alter table p attach partition c default', ['c', 'p']],
    ['alter table t alter a set default 1, alter b set not null, enable row level security', undefined],
    ['create index on t (a)', undefined],
    ["comment on table t is 'x'", undefined],
    ['create schema s', undefined],
    ['drop table t, u', ['t', 'u']],
    ['drop index i', undefined],
    ['create type y as (a int)', ['y']],
    ["create type y as enum ('a')", []],
    ['alter table t rename to u', ['t', 'u']],
    ['alter table "T" rename to "U x"', ['T', 'U x']],
    ['alter index t rename to u', ['t', 'u']],
    ['alter sequence s rename to u', ['s', 'u']],
    ['alter view v rename to w', ['v', 'w']],
    ['alter materialized view a.v rename to w', ['v', 'w']],
    ['alter foreign table t rename to u', ['t', 'u']],
    ['alter schema a rename to b', 'all'],
    ['alter type y rename to z', 'all'],
    ['drop schema s cascade', 'all'],
    ['drop type y cascade', 'all'],
    ['drop type y', undefined],
    ['drop domain if exists d, e restrict', undefined],
    ['drop domain d cascade', 'all'],
    ['drop operator ===(int, int)', undefined],
    ['drop cast (text as int)', undefined],
    ['drop collation german', undefined],
    ["alter type y add value 'b'", undefined],
    ['alter type y owner to somebody', undefined],
    ['alter schema s owner to somebody', undefined],
    ['alter type y drop attribute a', ['y']],
    ['alter type y drop attribute a, add attribute b int cascade', 'all'],
    ['alter type y rename attribute a to b', ['y']],
    ['alter type y rename attribute a to b cascade', 'all'],
    ['drop owned by somebody', 'all'],
    ['drop extension e', 'all'],
    ["commit prepared 'x'", 'all'],
    ["prepare transaction 'x'", undefined],
  ] as const)
    t.same(await said(sql), change, sql)
})

t.test('changes are known while they are open, and to others for as long as they matter', t => {
  const changes = new SchemaChanges()
  const [one, two] = [Symbol('one'), Symbol('two')]
  const named = (name: string): { schema: undefined; name: string }[] => [{ schema: undefined, name }]
  const before = changes.count
  const end = changes.begin(new Set(['t']), one)
  t.same(changes.openTo(two), new Set(['t']))
  t.ok(changes.concernedSince(before, named('t'), two))
  t.notOk(changes.concernedSince(before, named('t'), one), 'one’s own commands come in order')
  t.notOk(changes.concernedSince(before, named('u'), two))
  t.notOk(changes.concernedSince(changes.count, named('t'), two))
  end()
  t.equal(changes.openTo(two), undefined)
  t.ok(changes.concernedSince(before, named('t'), two), 'what was decided before it does not hold after it')
  for (let index = 0; index < 2_000; index += 1) changes.begin(new Set(['other']), one)()
  t.ok(changes.concernedSince(before, named('u'), two), 'of what is forgotten anything may be')
  changes.begin('all', one)
  t.equal(changes.openTo(two), 'all')
  t.end()
})

t.test('temporary relations are changes for their own session alone', async t => {
  const changes = new SchemaChanges()
  const [one, two] = [Symbol('one'), Symbol('two')]
  const before = changes.count
  changes.begin(new Set(['t']), one, true)
  t.same(changes.openTo(one), new Set(['t']))
  t.equal(changes.openTo(two), undefined)
  t.notOk(changes.concernedSince(before, [{ schema: undefined, name: 't' }], two))
  for (const [sql, expected] of [
    ['create temp table t (id int)', true],
    ['create table pg_temp.t (id int)', true],
    ['create temp table t as select 1', true],
    ['select 1 as id into temp t', true],
    ['create temp view t as select 1', true],
    ['create table t (id int)', false],
    ['create temp table pg_temp_3.t (id int)', false],
    ['alter table t rename to u', false],
    ['drop table t', false],
  ] as const) {
    const analysis = await analyser.analyse(sql)
    t.equal('statements' in analysis && analysis.statements.every(isPrivate), expected, sql)
  }
})

t.test('the machine says when the transaction of such a command is over', t => {
  const changing = { kind: 'go', plans: [{ ...clearPlan, changesNames: true }] } as const
  const harness = new Harness(question =>
    question.kind === 'query' && question.text.toString().startsWith('alter') ? changing : allowAll(question),
  )
  const answer = (tag: string, status: 'I' | 'T'): void =>
    harness.target(Buffer.concat([server.complete(tag), server.ready(status)]))
  harness.client(client.query('select'))
  answer('SELECT 1', 'I')
  t.equal(harness.trace.overs, 0)
  harness.client(Buffer.concat([client.query('begin'), client.query('alter')]))
  answer('BEGIN', 'T')
  answer('ALTER TABLE', 'T')
  t.equal(harness.trace.overs, 0)
  harness.client(client.query('rollback'))
  answer('ROLLBACK', 'I')
  t.equal(harness.trace.overs, 1)
  harness.client(Buffer.concat([client.query('alter'), client.query('alter')]))
  answer('ALTER TABLE', 'I')
  answer('ALTER TABLE', 'I')
  t.equal(harness.trace.overs, 3, 'the second was on its way when the first was over')
  harness.client(client.query('select'))
  answer('SELECT 1', 'I')
  t.equal(harness.trace.overs, 3)
  t.end()
})

t.test('what a command commits may be otherwise for others before the server says that it is', async t => {
  const catalog = await withType('checked')
  const changes = new SchemaChanges()
  const other = Symbol('another session')
  const own = new OwnChanges({ catalogChanges: () => {}, changes })
  const mayBe = async (name: string, session = other): Promise<boolean> => {
    const read = await statements(/^\w+$/.test(name) ? `select * from ${name}` : `select ${name}`)
    return read.every(statement => changes.mayHaveCommitted(statement, session))
  }
  let command = 0
  const runs = async (sql: string): Promise<number> => {
    const [facts] = await statements(sql)
    command += 1
    if (facts !== undefined) own.runs(facts, [command], catalog, { masked: false })
    return command
  }
  const ended = (number: number, inTransaction: boolean, status = 'DONE'): void =>
    own.ended({ command: number, rows: undefined, bytes: 0, status, inTransaction })

  const first = await runs('alter table parent add column a int')
  t.equal(await mayBe('child'), true, 'a child has its columns')
  t.equal(await mayBe('notes'), false)
  t.equal(await mayBe('child', own.session), false, 'one reads what one did')
  ended(first, true)
  t.equal(await mayBe('child'), false, 'COMMIT is to come')
  const commit = await runs('commit')
  t.equal(await mayBe('notes'), true)
  ended(commit, true, 'COMMIT')
  t.equal(await mayBe('notes'), false)
  await runs('commit')
  t.equal(await mayBe('notes'), false, 'of nothing')
  own.over()
  ended(await runs('create or replace function peek(int) returns int language sql as $$ select 1 $$'), false)
  t.equal(await mayBe('peek(1)'), true)
  t.equal(await mayBe('notes'), true, 'a view over it may call it')
  own.over()
  const calling: Readonly<Record<string, string>> = {
    '7 === 7': 'create operator === (leftarg = int, rightarg = int, function = peek)',
    '7::checked_now': 'create domain checked_now as int check (peek(value) > 0)',
    "'(7)'::holds": 'create type holds as (one checked)',
    "'[1,2]'::spans": 'create type spans as range (subtype = int, subtype_diff = peek)',
    '7::checked': 'create cast (int as checked) with function peek(int)',
    '(row(7)::checked).peek': 'create or replace function peek(checked) returns int language sql as $$ select 1 $$',
  }
  for (const [value, sql] of Object.entries(calling)) {
    t.equal(await mayBe(value), false, value)
    ended(await runs(sql), false)
    t.equal(await mayBe(value), true, sql)
    own.over()
  }

  const alone = await runs('alter table parent add column a int')
  ended(alone, false)
  t.equal(await mayBe('parent'), true, 'before the Sync')
  own.over()
  t.equal(await mayBe('parent'), false)
  const unsent = await runs('drop table notes')
  own.unsent(unsent)
  t.equal(await mayBe('notes'), false)
  await runs('create index on notes (id)')
  own.close()
  t.equal(await mayBe('notes'), false)
  await runs('drop table notes')
  own.close()
  t.equal(await mayBe('notes'), true, 'it goes on at the server')
  t.equal(await mayBe('parent'), false)
  await runs('do $$ begin end $$')
  own.close()
  t.equal(await mayBe('parent'), true)
})
