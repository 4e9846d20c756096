// How columns of a result are masked: computed ones, those of a star, and those that only their place tells.
import { resolveMasks } from '@gate/relay/protocols/postgres/masked-columns'
import { computedColumns, maskingRefusal, systemMasks } from '@gate/relay/protocols/postgres/masking-rules'
import type { MaskObligation } from '@gate/shared/model'
import t from 'tap'
import { analyser, mask, moved, type Said, said, snapshot, statements, used } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

t.test('computed columns can be masked instead of refused', async t => {
  const how = { computed: 'mask' } as const
  t.same(await said('select id, upper(email), name, email from customers', how), {
    refusal: undefined,
    computed: [undefined, 'redact', undefined, 'redact'],
  })
  t.same((await said('select * , to_jsonb(c) from customers c', how)).computed, [
    undefined,
    undefined,
    'redact',
    undefined,
    'redact',
  ])
  t.same(
    (await said('select id from customers union select length(email) from users', { ...how, predicates: 'allow' }))
      .computed,
    ['redact'],
  )
  t.equal((await said('select t.*, upper(c.email) from twice t, customers c', how)).computed, 'masked')
  t.same((await said('select count(*) from customers', how)).computed, 'clear')
  t.match((await said('create table t as select upper(email) from customers', how)).refusal, moved)
  t.match((await said("select set_config('a', upper(email), true) from customers", how)).refusal, moved)
})

t.test('a star of unknown length hides only what the server does not name as a masked column', async t => {
  const how = { computed: 'mask' } as const
  const ways: Readonly<Record<string, Said['computed']>> = {
    'select * from customers, generate_series(1, 2) g': 'clear',
    'select c.email, g.*, 1 + 1 from customers c, generate_series(1, 2) g': 'clear',
    'select * from (select * from customers) c, generate_series(1, 2) g': 'clear',
    'with c as (select * from customers) select * from c, generate_series(1, 2) g': 'clear',
    'select id, (x).* from customers c, lateral (select c.name) x': 'clear',
    'select * from customers c join unnest($1::text[]) u(id) using (id)': 'clear',
    // Where it is not certain which column the join takes from the others, their order is not.
    'select * from (select upper(name), email || name as e, id as upper from customers) c join made_a_moment_ago m using (upper)':
      'masked',
    // The server does not say where these come from.
    'select *, upper(email) from customers, generate_series(1, 2) g': 'masked',
    'select *, email::text from customers, generate_series(1, 2) g': 'masked',
    'select *, (select email from users limit 1) from customers, generate_series(1, 2) g': 'masked',
    'select * from (select id, email from customers union all select id, email from users) c, generate_series(1, 2) g':
      'masked',
    'select * from (customers c join notes n using (id)) j, generate_series(1, 2) g': 'masked',
    'select * from customers full join users using (email), generate_series(1, 2) g': 'masked',
    'select * from twice, generate_series(1, 2) g': 'clear',
    'declare c cursor with hold for select * from customers, generate_series(1, 2) g': 'masked',
  }
  for (const [sql, expected] of Object.entries(ways)) {
    const { refusal, computed } = await said(sql, how)
    t.same({ refusal, computed }, { refusal: undefined, computed: expected }, sql)
  }
})

t.test('what only the place in the result tells shows the mask of the columns it comes from', async t => {
  const columns = ['public.customers.email']
  const masks: readonly MaskObligation[] = [
    { ...mask, columns, with: 'partial' },
    { ...mask, columns: ['users.email', 'users.login'], with: 'hash' },
  ]
  const ways = async (sql: string): Promise<unknown> => {
    const [facts] = await statements(sql)
    const resolved = resolveMasks(masks, await snapshot, systemMasks)
    if (facts === undefined) throw new Error('no statement')
    return (
      maskingRefusal(facts, resolved) ??
      [...computedColumns(facts, resolved)].map(each => (typeof each === 'string' ? each : each?.mask.with))
    )
  }
  t.same(await ways('select id, email from customers union all select id, note from notes'), [undefined, 'partial'])
  t.same(await ways('select email, login from users union all select email, null from users'), ['hash', 'hash'])
  t.same(await ways('select email from customers union all select email from users'), ['redact'])
  t.same(await ways('select id, (select email from customers limit 1) from notes'), [undefined, 'partial'])
  t.same(await ways('select email::text, (select email::text from users limit 1) from customers'), ['redact', 'redact'])
})

t.test('a masked value does not decide whether something runs that would be felt', async t => {
  const how = { computed: 'mask' } as const
  const letter = 'left(c.email, 1)'
  const hit = "set_config('my.c', 'u', false)"
  const refused = [
    `(${letter} = 'u' and ${hit} is not null)`,
    `(${letter} <> 'u' or (c.name = 'x' and nextval('s') > 0))`,
    `(c.name = 'x' and (${letter} = 'u' or c.id = 1) and pg_sleep(1) is not null)`,
    `coalesce(nullif(${letter}, 'u'), setval('s', 5)::text)`,
    `coalesce(c.name, nullif(${letter}, 'u'), ${hit})`,
    `(${letter} = 'u' and (select ${hit}) is not null)`,
    `(${letter} = 'u' and (select x from m) is not null)`,
    `(${letter} in ('u', c.id::text, ${hit}))`,
    `(${letter} between 'u' and ${hit})`,
    `(${hit} not between ${letter} and 'z')`,
    `((${letter}, ${hit}) = ('u', 'x'))`,
    `((${letter}, 1) is distinct from ('u', setval('s', 5)))`,
    `(${letter} = any (select ${hit} from notes))`,
    `((${letter}, 'x') in (select ${hit}, 'x'))`,
    `(array[nullif(${letter}, 'u')])[setval('s', 5)]`,
    `(nullif(array[${letter}], array['u']))[random() * 2]`,
    `lag(1, ascii(${letter}) - 117, setval('s', 5)::int) over (order by c.id)`,
    `json_value(to_jsonb(c), '$.email ? (@ starts with "u")' default ${hit} on empty)`,
  ]
  for (const value of refused) {
    const sql = `with m as (select ${hit} as x) select ${value} from customers c where c.id = 7`
    t.match((await said(sql, how)).refusal ?? 'may run', used('what decides whether'), sql)
  }
  const allowed = [
    `(${letter} = 'u' and c.name = 'x')`,
    `(${hit} is not null and ${letter} = 'u')`,
    `(c.name = 'x' and ${hit} is not null)`,
    // It tells no more than the comparison does by itself.
    `(c.email = 'x' and ${hit} is not null)`,
    `(c.email is null or ${hit} is not null)`,
    `coalesce(${letter}, 'x')`,
    `coalesce((select max(email) from users), c.name)`,
    `(${letter} in ('u', 'v'))`,
    `(c.email in (select email from users))`,
    `(array[${letter}])[1]`,
    `lag(${letter}) over (order by c.id)`,
    `greatest(${letter}, random()::text)`,
  ]
  for (const value of allowed)
    t.equal((await said(`select ${value} from customers c where c.id = 7`, how)).refusal, undefined, value)
  const nested = (depth: number): string => (depth === 0 ? letter : `coalesce(${nested(depth - 1)},(select 1))`)
  t.match((await said(`select ${nested(60)} from customers c`, how)).refusal, used('what decides whether'))
})
