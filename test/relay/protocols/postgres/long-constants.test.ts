// Long constants of simple queries, read as parameters.
import { loadGrammar, readText } from '@gate/relay/protocols/postgres/analysis/read'
import { holdsValues, shorten } from '@gate/relay/protocols/postgres/long-constants'
import t from 'tap'

await loadGrammar()

const MAXIMUM_BYTES = 10_000
const long = 'x'.repeat(2_000)

const shortened = (text: string): { text: string; values: (string | undefined)[] } | undefined => {
  const found = shorten(Buffer.from(text), MAXIMUM_BYTES)
  return found && { text: found.text, values: found.parameters.map(({ value }) => value?.toString('utf8')) }
}

t.test('constants of a kilobyte and more become parameters, with their values', async t => {
  t.same(shortened(`insert into t values ('a', '${long}''${long}', E'\\\\x${long}'::bytea, 5)`), {
    text: "insert into t values ('a',  $1 ,  $2 ::bytea, 5)",
    values: [`${long}'${long}`, `\\x${long}`],
  })
  t.same(shortened(`select 1 -- '${long}'`), { text: `select 1 -- '${long}'`, values: [] }, 'a comment is none')
  t.same(shortened(`select '${'é'.repeat(700)}'`), { text: 'select  $1 ', values: ['é'.repeat(700)] })
  t.same(shortened('select 1'), { text: 'select 1', values: [] })
})

t.test('what cannot be told is not shortened', async t => {
  for (const text of [
    `select '${long}', $1`,
    `select '${long}`,
    `select '${long}'\n'${long}'`,
    `select E'${long}\\n'`,
    `select E'${long}\\''`,
    `select U&'${long}'`,
    `do $$${long}$$`,
    `select X'${'0'.repeat(2_000)}', '${long}' ${'+ 1'.repeat(4_000)}`,
    `${'select 1; '.repeat(2_000)}`,
    `select "${'x'.repeat(MAXIMUM_BYTES)}"`,
    `select '${long}' /* ${'x'.repeat(MAXIMUM_BYTES)} */`,
  ])
    t.equal(shortened(text), undefined, text.slice(0, 60))
})

t.test('what is no UTF-8 is not shortened', async t => {
  t.equal(shorten(Buffer.from(`select '${long}\xff'`, 'latin1'), MAXIMUM_BYTES), undefined)
})

t.test('a text of millions of tokens is given up as soon as it is too long', async t => {
  const before = process.memoryUsage().heapUsed
  t.equal(shorten(Buffer.from('1,'.repeat(8_000_000)), MAXIMUM_BYTES), undefined)
  t.ok(process.memoryUsage().heapUsed - before < 200_000_000)
})

t.test('only in one statement that reads or writes rows do parameters stand for values', async t => {
  const holds = (text: string): boolean => holdsValues(readText(text, Buffer.alloc(32)))
  for (const text of [
    'select $1::bytea',
    'insert into t values ($1)',
    'update t set a = $1 where b = $2',
    'delete from t where a = $1',
    'merge into t using s on t.id = s.id when matched then update set a = $1',
  ])
    t.ok(holds(text), text)
  for (const text of [
    'select $1; select 2',
    'do $1',
    'prepare p as select $1',
    'declare c cursor for select $1',
    'execute p($1)',
    'copy t from $1',
    'explain select $1',
    'create table t as select $1',
    'create function f() returns text language sql as $1',
    'set x = $1',
  ])
    t.notOk(holds(text), text)
})
