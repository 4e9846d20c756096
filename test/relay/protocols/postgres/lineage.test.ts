// Which columns masked ones flow into, and what they may decide: PostgreSQL's own parser, a catalog written by hand.
import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import type { StatementFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import type { Query } from '@gate/relay/protocols/postgres/analysis/lineage'
import { Catalog, type CatalogRows } from '@gate/relay/protocols/postgres/catalog'
import { type MaskedColumns, resolveMasks } from '@gate/relay/protocols/postgres/masked-columns'
import { computedColumns, maskingRefusal, systemMasks } from '@gate/relay/protocols/postgres/masking-rules'
import { silentLog } from '@gate/shared/log'
import type { MaskObligation } from '@gate/shared/model'
import t from 'tap'

const analyser = new Analyser(1024 * 1024, silentLog)
t.teardown(() => analyser[Symbol.asyncDispose]())

const tables: Readonly<Record<string, readonly string[]>> = {
  'public.customers': ['id', 'name', 'email', 'balance'],
  'public.users': ['id', 'login', 'email'],
  'public.notes': ['id', 'customer_id', 'note'],
  'other.notes': ['id', 'customer_id', 'note'],
  'public.twice': ['id', 'secret'],
  'other.twice': ['id', 'plain', 'secret'],
  'public.parent': ['id', 'email'],
  'public.child': ['id', 'email', 'extra'],
  // Views, with their definitions below.
  'public.plain_view': ['id', 'mail'],
  'public.loud_view': ['id', 'shout'],
  'public.names': ['id', 'name'],
  'public.nested_view': ['id', 'mail'],
  'public.union_view': ['id', 'mail'],
  'public.calling_view': ['id'],
  'public.other_view': ['a', 'b'],
}

const views: Readonly<Record<string, string>> = {
  'public.plain_view': "SELECT c.id, c.email AS mail FROM public.customers c WHERE c.email ~~ '%@%'::text",
  'public.loud_view': 'SELECT c.id, upper(c.email) AS shout FROM public.customers c',
  'public.names': 'SELECT c.id, c.name FROM public.customers c',
  'public.nested_view': 'SELECT v.id, v.mail FROM public.plain_view v JOIN public.notes n ON n.id = v.id',
  'public.union_view': 'SELECT id, email AS mail FROM public.customers UNION ALL SELECT id, login FROM public.users',
  'public.calling_view': 'SELECT public.peek(c.id) AS id FROM public.customers c',
}

/** Which columns of what a view reads, by name; as pg_depend has it. */
const reads: readonly (readonly [string, string, number])[] = [
  ['public.plain_view', 'public.customers', 1],
  ['public.plain_view', 'public.customers', 3],
  ['public.loud_view', 'public.customers', 3],
  ['public.names', 'public.customers', 1],
  ['public.nested_view', 'public.plain_view', 2],
  ['public.union_view', 'public.customers', 3],
  ['public.calling_view', 'public.customers', 1],
]

const names = Object.keys(tables)
const oid = (name: string): string => String(20_000 + names.indexOf(name))

function rows(): CatalogRows {
  const builtIn = (volatility: string, list: string): string[][] =>
    list.split(' ').map((name, index) => [String(100 + index), 'pg_catalog', name, volatility])
  return {
    relations: names.map(name => {
      const [schema = '', relation = ''] = name.split('.')
      return [oid(name), schema, relation, views[name] === undefined ? 'r' : 'v']
    }),
    columns: names.flatMap(name => (tables[name] ?? []).map((column, index) => [oid(name), String(index + 1), column])),
    inherits: [[oid('public.child'), oid('public.parent')]],
    views: reads.map(([view, relation, column]) => [oid(view), oid(relation), String(column)]),
    callers: [[oid('public.calling_view')]],
    definitions: [],
    functions: [
      ...builtIn(
        'i',
        'lower upper length substr concat min max count sum string_agg array_agg row_to_json to_jsonb rank lag',
      ),
      ...builtIn('s', 'now unnest generate_series'),
      ...builtIn('v', 'set_config pg_sleep setval random'),
      ['30000', 'public', 'peek', 's', 'false'],
      ['30001', 'public', 'lower', 'i', 'true'],
      ['30002', 'public', 'substr_of', 'i', 'false'],
      ['30003', 'public', 'concat', 's', 'true'],
      ['30004', 'public', 'geometry_of', 'i', 'true'],
    ],
    operators: [],
    volatileViews: [],
  }
}

async function statements(sql: string): Promise<readonly StatementFacts[]> {
  const analysis = await analyser.analyse(sql)
  if ('syntaxError' in analysis) throw new Error(`${sql}: ${analysis.syntaxError}`)
  return analysis.statements
}

async function catalog(): Promise<Catalog> {
  const queries = new Map<number, Query>()
  for (const [name, definition] of Object.entries(views)) {
    const lineage = (await statements(definition))[0]?.lineage
    if (lineage?.kind === 'query') queries.set(Number(oid(name)), lineage.query)
  }
  return new Catalog(rows(), queries)
}

const snapshot = catalog()

async function masked(how: Partial<MaskObligation> = {}): Promise<MaskedColumns> {
  const columns = ['public.customers.email', 'users.email', '*.secret', 'public.parent.email']
  const mask: MaskObligation = {
    ...{ kind: 'mask', columns, detect: [], with: 'redact', fixed: undefined },
    ...{ computed: 'deny', predicates: 'equality' },
    ...how,
  }
  return resolveMasks([mask], await snapshot, systemMasks)
}

interface Said {
  readonly refusal: string | undefined
  readonly computed: ReturnType<typeof computedColumns>
}

async function said(sql: string, how: Partial<MaskObligation> = {}): Promise<Said> {
  const columns = await masked(how)
  const [facts] = await statements(sql)
  if (facts === undefined) throw new Error('no statement')
  return { refusal: maskingRefusal(facts, columns), computed: computedColumns(facts, columns) }
}

/** Statements side by side: those that may run, and those whose refusal says what is given. */
function both(name: string, clear: readonly string[], refused: Readonly<Record<string, RegExp>>): void {
  t.test(name, async t => {
    for (const sql of clear) t.equal((await said(sql)).refusal, undefined, sql)
    for (const [sql, reason] of Object.entries(refused)) t.match((await said(sql)).refusal ?? 'may run', reason, sql)
  })
}

const computed = /public\.customers\.email is masked for you, and (the column .*|a column) would be computed from it/
const moved = /is masked for you, so it cannot be copied to where it would be clear/
const used = (where: string): RegExp => new RegExp(`is masked for you, so it cannot be used in ${where}`)

both(
  'a masked column can be selected as it is, and not computed with',
  [
    'select email from customers',
    'select c.email e, name || email_count from (select email, name, 1 as email_count from customers c) c',
    'select id, upper(name), balance * 2, count(*) over () from customers',
    'select email, (select count(*) from notes n where n.customer_id = c.id) from customers c',
    'select count(*), count(email), sum(balance) from customers',
    'select to_jsonb(n) from notes n, customers c',
    'select ctid, xmin, c.tableoid from customers c',
    'select n from notes n join customers c on c.id = n.customer_id',
  ],
  {
    'select upper(email) from customers': computed,
    "select email || '' as x from customers": /the column "x"/,
    'select substr(c.email, 1, 1) from customers c': computed,
    'select email::varchar(3) from customers': computed,
    'select coalesce(name, email) from customers': computed,
    'select min(email) from customers': computed,
    'select count(distinct email) from customers': used('DISTINCT'),
    'select array[name, email] from customers': computed,
    "select name = email or email = 'x' from customers": computed,
    'select (select email from customers limit 1)': computed,
    'select array(select email from customers)': computed,
    "select 'x' in (select email from customers)": computed,
    'select lag(email) over (order by id) from customers': computed,
    'select xmlforest(email) from customers': computed,
    "select json_object('a': email) from customers": computed,
  },
)

both(
  'whole rows show all their columns',
  [
    'select n, n.*, row(n.*) from notes n, customers',
    'select row(id, name) from customers',
    'select (n).note from notes n, customers',
  ],
  {
    'select c from customers c': computed,
    'select customers from customers': computed,
    'select row(c.*) from customers c': computed,
    'select to_jsonb(c) from customers c': computed,
    'select (c).name from customers c': computed,
    'select c.card from customers c': /nothing says what c\.card stands for/,
    'select x from (select * from customers) x': computed,
    'select c from customers c, generate_series(1, 2) g': computed,
    'with x as (select * from customers) select x from x': computed,
  },
)

both(
  'through joins, subqueries, WITH and set operations',
  [
    'select * from customers c join notes n on n.customer_id = c.id left join lateral (select c.email) l on true',
    'with x as (select id, email from customers) select x.*, n.note from x join notes n using (id)',
    'with recursive r(n, e) as (select id, email from customers union all select n + 1, e from r) select n from r',
    'with x as (select email from customers), customers as (select 1 as email) select upper(email::text) from customers',
    'select id from customers union select id from notes',
    'select a.id, b.id, email from customers a join users b using (email)',
    'select * from customers natural join users',
    'select id, email from customers natural join (select id from notes) n',
    'select t.x, e from (values (1)) t(x), (select email from customers) s(e)',
    'select x.a from customers as x(a, b, c, d)',
    'select x.c from customers as x(a, b, c, d)',
    'select g, id from generate_series(1, 2) g, customers',
  ],
  {
    'select upper(e) from (select email e from customers) x': computed,
    'select upper(c) from customers as x(a, b, c, d)': computed,
    'select upper(x.e) from (select email from customers) x(e)': computed,
    'select email from customers union all select note from notes': computed,
    'select id, email from customers union select id, email from customers': used('a comparison of whole rows'),
    'select id from customers intersect select length(email) from customers': used('a comparison of whole rows'),
    'with recursive r(n, e) as (select id, email from customers union all select n + 1, e from r) select e from r':
      computed,
    "with recursive r(n, e) as (select 1, '' union all select id, email from customers, r) select upper(e) from r":
      computed,
    'with recursive a as (select e from b), b(e) as (select email from customers) select upper(e) from a':
      /columns of b cannot be followed/,
    'with x as (select * from customers) select upper(email) from x': computed,
    'select upper(email) from (select * from customers natural join notes) x': computed,
    'select * from customers c join (select note as email from notes) n using (email)': used('JOIN … USING'),
    'select l.x from customers c, lateral (select upper(c.email) x) l': computed,
    'select u from customers, unnest(array[email]) u': computed,
    'select * from customers, lateral (select email || name as x) l': computed,
    "select x.value from customers c, json_table(to_jsonb(c), '$' columns (value text path '$.email')) x": computed,
  },
)

both(
  'conditions may compare a masked column with given values, and nothing else',
  [
    "select id from customers where email = 'a' and (id > 3 or $1 = email)",
    "select id from customers where email in ('a', 'b') or email <> $1 or email = any($2)",
    "select id from customers where lower(email) = lower('A') and email is not null",
    "select id from customers where email::text = 'a' and not (email is distinct from $1)",
    'select c.id from customers c join users u on u.email = c.email',
    'select id from customers where email in (select email from users)',
    "select id from customers where id in (select id from customers where email = 'a')",
    "select case when email = 'a' then id end from customers",
    "select count(*) filter (where email = 'a') from customers",
    'select name, count(*) from customers group by name having count(*) > 1 order by 2, name',
    'select id from customers where exists (select 1 from notes n where n.id = customers.id)',
  ],
  {
    "select id from customers where email like 'a%'": used('WHERE'),
    "select id from customers where email > 'a'": used('WHERE'),
    "select id from customers where email ~ '^a'": used('WHERE'),
    "select id from customers where email between 'a' and 'b'": used('WHERE'),
    "select id from customers where substr(email, 1, 1) = 'a'": used('WHERE'),
    "select id from customers where email::varchar(1) = 'a'": used('WHERE'),
    'select id from customers where length(email) = 3': used('WHERE'),
    'select id from customers where email = name': used('WHERE'),
    'select g from customers join generate_series(1, 9) g on g::text = email': used('ON'),
    'select v.x from customers c join (values (1)) v(x) on v.x::text = c.email': used('ON'),
    "select id from (select id, substr(email, 1, 1) s from customers) x where s = 'u'": used('WHERE'),
    "select id from customers where (select substr(email, 1, 1)) = 'a'": used('WHERE'),
    "select 1 where exists (select 1 from customers where email like 'a%')": used('WHERE'),
    'select id from customers where email in (select note from notes)': used('WHERE'),
    'select id from customers order by email': used('ORDER BY'),
    'select id, email from customers order by 2': used('ORDER BY'),
    'select id, email as e from customers order by e': used('ORDER BY'),
    'select id from customers order by length(email)': used('ORDER BY'),
    'select count(*) from customers group by email': used('GROUP BY'),
    'select count(*) from customers group by grouping sets ((id), (email))': used('GROUP BY'),
    'select distinct email from customers': used('DISTINCT'),
    'select distinct on (email) id from customers': used('DISTINCT'),
    "select id from customers group by id having max(email) like 'a%'": used('HAVING'),
    'select id from customers limit (select length(email) from customers limit 1)': used('LIMIT'),
    'select rank() over (order by email) from customers': used('OVER'),
    'select rank() over w from customers window w as (partition by email)': used('OVER'),
    'select string_agg(name, $1 order by email) from customers': used('ORDER BY'),
    "select count(*) filter (where email like 'a%') from customers": used('FILTER'),
    "select case when email like 'a%' then 1 end from customers": used('CASE'),
    "select case email when 'a' then 1 end from customers": used('CASE'),
    [`select case ${Array.from({ length: 21 }, (_, n) => `when email = '${n}' then ${n}`).join(' ')} end from customers`]:
      /at most 20 comparisons/,
    [`select id from customers where email in (${Array.from({ length: 101 }, (_, n) => `'${n}'`).join()})`]:
      used('WHERE'),
  },
)

both(
  'masked values do not move to where they would be clear',
  [
    'insert into notes (id, note) select id, name from customers',
    "insert into customers values (1, 'n', 'e', 1) on conflict (id) do update set email = excluded.email returning id",
    'update notes set note = c.name from customers c where c.id = notes.customer_id returning notes.id, c.email',
    "update customers set email = 'new' where email = 'old'",
    "delete from customers where email = 'a' returning id, email",
    'merge into notes n using customers c on c.id = n.customer_id when matched then update set note = c.name',
    'create table t as select id, name from customers',
    'create view v as select id, name from customers',
    'copy (select id, name from customers) to stdout',
    'copy customers to stdout',
    'copy (select email from customers) to stdout',
    'copy (update customers set name = name returning email) to stdout',
    'copy customers (id, name) to stdout',
    'with d as (delete from notes returning *) select d.id, c.email from d join customers c using (id)',
    "select set_config('a.b', name, false) from customers",
  ],
  {
    'insert into notes (id, note) select id, email from customers': moved,
    'insert into notes (note) values ((select email from customers limit 1))': moved,
    'insert into customers as c values (1) on conflict (id) do update set name = c.email': moved,
    'update notes set note = c.email from customers c': moved,
    'update customers set name = email': moved,
    'update customers set (name, balance) = (select email, 1)': moved,
    'merge into notes n using customers c on c.id = n.id when not matched then insert values (1, 1, c.email)': moved,
    'create table t as select email from customers': moved,
    'select email into t from customers': moved,
    'create view v as select email from customers': moved,
    'create materialized view v as select * from customers': moved,
    "copy customers to '/tmp/customers'": moved,
    "copy (select email from customers) to program 'cat'": moved,
    'copy (select upper(email) from customers) to stdout': computed,
    'copy twice to stdout': /nothing says which of the columns that it copies are masked ones/,
    "copy customers to stdout (encoding 'latin1')": /cannot be copied: its rows are written in latin1/,
    "copy customers to stdout (format 'json')": /gate does not know the format json/,
    'with i as (insert into notes (note) select email from customers returning 1) select 1': moved,
    "select set_config('a.b', email, false) from customers": moved,
    'select pg_sleep(length(email)) from customers': moved,
    'insert into customers select * from notes where note = (select email from customers) on conflict do nothing':
      used('WHERE'),
    'delete from customers returning upper(email)': computed,
    'copy customers from stdin': /has masked columns/,
    'create index on customers (email)': /has masked columns/,
    'alter table customers add column x int': /has masked columns/,
  },
)

both(
  'views, families and names that can mean several tables',
  [
    'select * from plain_view',
    'select * from nested_view',
    'select upper(name) from names',
    'select id from loud_view',
    'select id from union_view',
    'select upper(a) from other_view, customers',
    "select id from nested_view where mail = 'a'",
    'select secret from twice',
    'select * from child',
    'select lower(note) from notes',
    'select pg_catalog.concat(note) from notes',
  ],
  {
    'select upper(mail) from plain_view': computed,
    'select upper(mail) from nested_view': computed,
    'select shout from loud_view': computed,
    'select * from union_view': computed,
    'select id from calling_view': /calling_view is made of masked columns in a way that cannot be followed/,
    "select id from loud_view where shout = 'A'": used('WHERE'),
    'select upper(secret) from twice': /twice\.secret is masked for you/,
    'select upper(email) from child': /public\.parent\.email is masked for you/,
    'explain analyze select id from customers': /EXPLAIN ANALYZE/,
    'explain verbose select id from customers': /EXPLAIN VERBOSE/,
    'select peek(id) from notes': /gate does not know that peek\(\)/,
    'select concat(note) from notes': /gate does not know that concat\(\)/,
    'select geometry_of(note) from notes': /gate does not know that geometry_of\(\)/,
    'select nothing_known(note) from notes': /gate does not know that nothing_known\(\)/,
    "select encode(chunk_data, 'hex') from pg_toast.pg_toast_16384": /pg_toast/,
  },
)

t.test('policy chooses what masked columns may decide', async t => {
  const cases: readonly (readonly [string, readonly MaskObligation['predicates'][]])[] = [
    ['select id from customers', ['allow', 'equality', 'deny']],
    ['select email from customers', ['allow', 'equality', 'deny']],
    ["select id from customers where email = 'a'", ['allow', 'equality']],
    ['select id from customers where email is null', ['allow', 'equality']],
    ['select count(email) from customers', ['allow', 'equality']],
    ['select id from customers order by email', ['allow']],
    ["select id from customers where email like 'a%'", ['allow']],
    ['select upper(email) from customers', []],
  ]
  for (const [sql, may] of cases) {
    for (const predicates of ['allow', 'equality', 'deny'] as const) {
      t.equal(
        (await said(sql, { predicates })).refusal === undefined,
        may.includes(predicates),
        `${predicates}: ${sql}`,
      )
    }
  }
})

t.test('computed columns can be masked instead of refused', async t => {
  const how = { computed: 'mask' } as const
  t.same(await said('select id, upper(email), name, email from customers', how), {
    refusal: undefined,
    computed: [false, true, false, true],
  })
  t.same((await said('select * , to_jsonb(c) from customers c', how)).computed, [false, false, true, false, true])
  t.same(
    (await said('select id from customers union select length(email) from users', { ...how, predicates: 'allow' }))
      .computed,
    [true],
  )
  t.equal((await said('select t.*, upper(c.email) from twice t, customers c', how)).computed, 'masked')
  t.same((await said('select count(*) from customers', how)).computed, 'clear')
  t.match((await said('create table t as select upper(email) from customers', how)).refusal, moved)
  t.match((await said("select set_config('a', upper(email), true) from customers", how)).refusal, moved)
})

t.test('the deepest and widest statements are followed or refused, and do not take for ever', async t => {
  const nested = (depth: number): string =>
    `select * from ${'(select * from '.repeat(depth)}customers${') x'.repeat(depth)}`
  t.equal((await said(nested(50))).refusal, undefined)
  t.match((await said(nested(120))).refusal, /depth of 100/)
  const inside = (depth: number): string =>
    `select id from customers where id in (${'select id from notes where id in ('.repeat(depth)}1${')'.repeat(depth + 1)}`
  t.equal((await said(inside(60))).refusal, undefined)
  const recursive = Array.from(
    { length: 30 },
    (_, n) =>
      `r${n}(a) as (select id from customers union all select a from r${n} join ${n === 0 ? 'notes' : `r${n - 1}`} x on true)`,
  )
  t.equal((await said(`with recursive ${recursive.join()} select * from r29`)).refusal, undefined)
  const wide = Array.from({ length: 2000 }, (_, n) => `upper(name) as c${n}`).join()
  t.equal((await said(`select ${wide} from customers`)).refusal, undefined)
  let towers = 'select id, email from customers'
  for (let level = 0; level < 12; level += 1)
    towers = `with recursive r(a, b) as (${towers} union all select a, b from r) select a, b from r`
  t.match((await said(`select upper(b) from (${towers}) x`)).refusal ?? '', /masked for you|followed/)
})
