// Which tables a command is about that it does not name: they are among those that rules and masks see as written.
import { Catalog } from '@gate/relay/protocols/postgres/catalog'
import { operationsOf } from '@gate/relay/protocols/postgres/operation'
import t from 'tap'
import { analyser, rows, said, statements } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

/** Tables of a schema of its own: `deals` refers to `people`, and `shares` to `deals`. */
const hr = ['people', 'deals', 'shares', 'alone']

const catalog = new Catalog({
  ...rows(),
  relations: hr.map((name, index) => [String(50_000 + index), 'hr', name, 'r', name === 'alone' ? 'boss' : 'clerk']),
  references: [
    ['50001', '50000'],
    ['50002', '50001'],
    ['50000', '50000'],
  ],
})

async function written(sql: string): Promise<readonly string[]> {
  const [facts] = await statements(sql)
  if (facts === undefined) throw new Error('no statement')
  return operationsOf(facts, sql, [], catalog)
    .flatMap(({ resources }) => resources)
    .filter(({ kind, mode }) => kind === 'table' && mode === 'write')
    .map(({ name }) => name)
}

t.test('what a command is about without naming it', async t => {
  const all = hr.map(name => `hr.${name}`)
  const cases: Readonly<Record<string, readonly string[]>> = {
    'grant select on all tables in schema hr to public': all,
    'revoke all on all tables in schema other, hr from bob': all,
    'grant usage on all sequences in schema hr to bob': all,
    'grant execute on all functions in schema hr to bob': [],
    'grant select on hr.people to bob': ['hr.people'],
    'drop schema hr cascade': all,
    'drop schema hr': [],
    'drop schema other cascade': [],
    'drop owned by boss': ['hr.alone'],
    'drop owned by clerk, boss cascade': all,
    'drop owned by current_user': all,
    'reassign owned by boss to clerk': ['hr.alone'],
    'truncate people': ['hr.people'],
    'truncate people cascade': ['hr.people', 'hr.deals', 'hr.shares'],
    'truncate hr.deals, hr.alone cascade': ['hr.deals', 'hr.alone', 'hr.shares'],
    'truncate hr.alone cascade': ['hr.alone'],
  }
  for (const [sql, expected] of Object.entries(cases)) t.same(await written(sql), expected, sql)
})

t.test('a GRANT of all tables is one of those that cannot be followed', async t => {
  t.match(
    (await said('grant select on all tables in schema public to bob')).refusal,
    /odd_table has columns of types whose casts run functions/,
  )
  t.equal((await said('grant select on all tables in schema other2 to bob')).refusal, undefined)
})
