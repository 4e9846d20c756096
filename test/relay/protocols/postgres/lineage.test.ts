// Which columns masked ones flow into, and what they may decide: PostgreSQL's own parser, a catalog written by hand.
import { Analyser } from '@gate/relay/protocols/postgres/analysis/analyser'
import type { StatementFacts } from '@gate/relay/protocols/postgres/analysis/facts'
import type { Query } from '@gate/relay/protocols/postgres/analysis/lineage'
import { Catalog } from '@gate/relay/protocols/postgres/catalog'
import type { CatalogRows } from '@gate/relay/protocols/postgres/catalog-queries'
import { type MaskedColumns, resolveMasks } from '@gate/relay/protocols/postgres/masked-columns'
import { computedColumns, maskingRefusal, systemMasks } from '@gate/relay/protocols/postgres/masking-rules'
import { silentLog } from '@gate/shared/log'
import type { MaskObligation } from '@gate/shared/model'
import t from 'tap'

const analyser = new Analyser(1024 * 1024, silentLog)
t.teardown(() => analyser[Symbol.asyncDispose]())

/** OIDs in src/include/catalog/pg_type.dat. */
const [TEXT, BOX, INT4RANGE] = ['25', '603', '3904']

const tables: Readonly<Record<string, readonly string[]>> = {
  'public.customers': ['id', 'name', 'email', 'balance'],
  'public.users': ['id', 'login', 'email'],
  'public.notes': ['id', 'customer_id', 'note'],
  'other.notes': ['id', 'customer_id', 'note'],
  'public.twice': ['id', 'secret'],
  'other.twice': ['id', 'plain', 'secret'],
  'public.parent': ['id', 'email'],
  'public.child': ['id', 'email', 'extra'],
  'public.made': ['id', 'secret', 'first_letter'],
  'public.odd_table': ['id', 'odd'],
  'public.stays': ['id', 'span', 'rooms', 'plot'],
  'public.ruled': ['id'],
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
  ['public.ruled', 'public.customers', 3],
]

const names = Object.keys(tables)
const oid = (name: string): string => String(20_000 + names.indexOf(name))

function rows(): CatalogRows {
  const builtIn = (volatility: string, list: string): (string | null)[][] =>
    list.split(' ').map((name, index) => [String(100 + index), 'pg_catalog', name, volatility, null, 'false', 'false'])
  return {
    relations: names.map(name => {
      const [schema = '', relation = ''] = name.split('.')
      return [oid(name), schema, relation, views[name] === undefined ? 'r' : 'v']
    }),
    columns: names.flatMap(name =>
      (tables[name] ?? []).map((column, index) => [
        ...[oid(name), String(index + 1), column],
        ({ span: INT4RANGE, plot: BOX } as Record<string, string>)[column] ?? TEXT,
      ]),
    ),
    inherits: [[oid('public.child'), oid('public.parent')]],
    views: reads.map(([view, relation, column]) => [oid(view), oid(relation), String(column)]),
    callers: [[oid('public.calling_view')]],
    generated: [[oid('public.made'), '3', '2']],
    keys: [
      [oid('public.customers'), '1'],
      [oid('public.users'), '1'],
      [oid('public.parent'), '1'],
    ],
    types: [
      ['40000', 'odd', 'true'],
      ['40001', 'checked', 'false'],
    ],
    castTables: [[oid('public.odd_table')]],
    definitions: [],
    functions: [
      ...builtIn('i', 'lower upper length substr concat min max count sum string_agg array_agg rank lag bool_or mode'),
      ...builtIn('i', 'row_to_json to_jsonb num_nulls string_to_table'),
      ...builtIn('s', 'now unnest generate_series'),
      ...builtIn('v', 'set_config pg_sleep setval random'),
      ['30000', 'public', 'peek', 's', null, 'false', 'false'],
      ['30001', 'public', 'lower', 'i', 'citext', 'false', 'false'],
      ['30002', 'public', 'substr_of', 'i', null, 'false', 'false'],
      ['30003', 'public', 'concat', 's', 'acme', 'false', 'false'],
      ['30004', 'public', 'geometry_of', 'i', 'acme', 'false', 'false'],
      ['30005', 'public', 'card', 's', null, 'false', 'true'],
      ['30006', 'public', 'similarity', 'i', 'pg_trgm', 'false', 'false'],
      ['30007', 'public', 'set_limit', 'v', 'pg_trgm', 'false', 'false'],
    ],
    operators: [],
    ruledViews: [],
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

const mask: MaskObligation = {
  ...{ kind: 'mask', columns: ['public.customers.email', 'users.email', '*.secret', 'public.parent.email', 'stays.*'] },
  ...{ detect: [], with: 'redact', fixed: undefined, computed: 'deny', predicates: 'equality' },
}

async function masked(how: Partial<MaskObligation> = {}): Promise<MaskedColumns> {
  return resolveMasks([{ ...mask, ...how }], await snapshot, systemMasks)
}

interface Said {
  readonly refusal: string | undefined
  /** Of each column, how it is masked. */
  readonly computed: 'clear' | 'masked' | readonly (MaskObligation['with'] | undefined)[]
}

async function said(sql: string, how: Partial<MaskObligation> = {}): Promise<Said> {
  const columns = await masked(how)
  const [facts] = await statements(sql)
  if (facts === undefined) throw new Error('no statement')
  const computed = computedColumns(facts, columns)
  const ways = typeof computed === 'string' ? computed : computed.map(mask => mask?.with)
  return { refusal: maskingRefusal(facts, columns), computed: ways }
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
    'select (select email from customers limit 1)',
    'select n.id, (select c.email from customers c where c.id = n.customer_id) as mail from notes n',
    'values ((select email from customers limit 1))',
    'select email::text, email::varchar as v, (select email::text from users limit 1) from customers',
    "select id, email is not null as has_email, email = 'a' as is_a, email in ('a', 'b') from customers",
    "select bool_or(email = 'a'), count(*) filter (where (email = 'a') is true), num_nulls(email, name) from customers",
    "select count(c.*), count(c) filter (where email in (values ('a'), ('b'))) from customers c",
    "select id from customers c join unnest($1::text[]) u(id) using (id) where email in (values ('a'), ($2))",
    'explain (wal off) select email from customers',
    "select 'x' in (select email from customers), a.email = b.email from customers a, users b",
    'select explain from (select email as explain from customers) x',
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
    'select array(select email from customers)': computed,
    'select (select email from customers limit 1) || name from customers': computed,
    "select email = name, 'x' = substr(email, 1, 1) from customers": computed,
    "select email > 'a' from customers": computed,
    'select name in (select email from customers) from customers': computed,
    'select email::char(3) from customers': computed,
    'select email::evil.text from customers': computed,
    'select max((select email from customers limit 1)) from notes': computed,
    'select mode() within group (order by email) from customers': used('ORDER BY'),
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
    'select c.card from customers c': /\.card calls the function card\(\) of a row/,
    'select c.cord from customers c': /nothing says what c\.cord stands for/,
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
    'select email from customers union all select note from notes',
    'select id, email, name from customers union all select id, null, login from users union all select 1, email, login from users',
    'with recursive r(n, e) as (select id, email from customers union all select n + 1, e from r) select n, e from r',
    "select e from (select email e from customers union all select email from users) x where e = 'a'",
  ],
  {
    'select upper(e) from (select email e from customers) x': computed,
    'select upper(c) from customers as x(a, b, c, d)': computed,
    'select upper(x.e) from (select email from customers) x(e)': computed,
    'select id, email from customers union select id, email from customers': used('a comparison of whole rows'),
    'select id from customers intersect select length(email) from customers': computed,
    'select id, email from customers intersect select id, email from users': used('a comparison of whole rows'),
    'select email from customers union all select upper(email) from users':
      /public\.users\.email is masked for you, and/,
    'select upper(e) from (select email e from customers union all select note from notes) x': computed,
    'with recursive r(n, e) as (select id, email from customers union all select n + 1, e || n from r) select n from r':
      computed,
    'select a.e from (select email e from customers union all select note from notes) a join users u on u.email = a.e':
      used('ON'),
    "with recursive r(n, e) as (select 1, '' union all select id, email from customers, r) select upper(e) from r":
      computed,
    'with recursive a as (select e from b), b(e) as (select email from customers) select upper(e) from a':
      /columns of b cannot be followed/,
    'with x as (select * from customers) select upper(email) from x': computed,
    'select upper(email) from (select * from customers natural join notes) x': computed,
    'select * from customers c join (select note as email from notes) n using (email)': used('JOIN … USING'),
    'select l.x from customers c, lateral (select upper(c.email) x) l': computed,
    'select u from customers, unnest(array[email]) u': used('unnest()'),
    'select id from customers, unnest(array[email]) u': used('unnest()'),
    "select count(*) from customers, string_to_table(email, 'a')": used('string_to_table()'),
    'select count(*) from customers c, generate_series(1, length(c.email))': used('generate_series()'),
    'select id from (select id, generate_series(1, length(email)) from customers) x': used('generate_series()'),
    'select * from customers, lateral (select email || name as x) l': computed,
    "select x.value from customers c, json_table(to_jsonb(c), '$' columns (value text path '$.email')) x": used('FROM'),
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
    "select case email when 'a' then 1 when $1 then 2 end from customers",
    "select id from customers where (id, email) = (1, 'a') or (id, email) in ((1, 'a'), (2, 'b'))",
    "select id, count(*) from customers group by id, email is null order by email = 'a'",
    "select id from customers where (email = 'a') is not false",
    "select id from customers where (select email from users where id = 1) = 'a'",
    'select id from customers where (select email from users where id = 1)::text = email',
    'select c.id from customers c join users u on lower(u.email) = lower(c.email) and lower(c.email) = u.email',
    "select id from stays where lower(span::text) = '[1,2)' or span = '[1,2)' or lower(rooms) = 'a'",
    "select id from stays where rooms = '{a}'",
  ],
  {
    "select id from customers where email like 'a%'": used('WHERE'),
    'select id, email = string_to_table($1, $2) from customers': computed,
    'select id, email = (rank() over ())::text from customers': computed,
    'select id, email = upper((rank() over ())::text) from customers': computed,
    'select id from customers where email = random()::text': used('WHERE'),
    "select id from customers where email in ('a', set_config('a.b', 'c', true))": used('WHERE'),
    'select id from customers group by id having email = count(*)::text': used('HAVING'),
    "select id from customers group by id having email = string_agg('a', '')": used('HAVING'),
    'select case email when random()::text then 1 end from customers': used('CASE'),
    'select 1 where length((select email from customers where id = 7)) = 12': used('WHERE'),
    "select 1 where substr((select email from customers where id = 7), 1, 1) in ('a', 'b')": used('WHERE'),
    'select length((select email from customers where id = 7)) = 12': computed,
    "select ((select email from customers where id = 7) < 'm') = true": computed,
    "select (array(select email from customers order by id))[1] = 'a'": computed,
    "select case substr((select email from customers where id = 7), 1, 1) when 'a' then 1 end": used('CASE'),
    'select id from notes n order by length((select email from customers c where c.id = n.id)) = 12': used('ORDER BY'),
    'select id from customers where email = lower(email)': used('WHERE'),
    'select id from customers where upper(email) <> lower(email::text)': used('WHERE'),
    'select a.id from customers a join customers b on a.id = b.id and a.email = upper(b.email)': used('ON'),
    'select id from stays where lower(span) = 1': used('WHERE'),
    "select id from stays where 'a' = any(rooms)": used('WHERE'),
    "select id from stays where plot = '(1,1),(0,0)'": used('WHERE'),
    "select id, 'a' <> all(rooms) from stays": /stays\.rooms is masked for you, and/,
    'select num_nulls(variadic rooms) from stays': /stays\.rooms is masked for you, and/,
    'select count(id order by 1 / (length(email) - 12)) from customers': used('ORDER BY'),
    "select count(id order by case when email like 'a%' then 1 / 0 end) from customers": used('CASE'),
    "select id from customers where email > 'a'": used('WHERE'),
    "select id from customers where email ~ '^a'": used('WHERE'),
    "select id from customers where email between 'a' and 'b'": used('WHERE'),
    "select id from customers where substr(email, 1, 1) = 'a'": used('WHERE'),
    "select id from customers where email::varchar(1) = 'a'": used('WHERE'),
    'select id from customers where length(email) = 3': used('WHERE'),
    'select id from customers where email = name': used('WHERE'),
    'select g from customers join generate_series(1, 9) g on g::text = email': used('ON'),
    'select v.x from customers c join (values (1)) v(x) on v.x::text = c.email': used('ON'),
    "select id from (select id, substr(email, 1, 1) s from customers) x where s = 'u'": computed,
    "select id from customers where (select substr(email, 1, 1)) = 'a'": computed,
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
    'select id from customers limit (select length(email) from customers limit 1)': computed,
    'select id from customers limit (select email::text from customers limit 1)': used('LIMIT'),
    'select id from notes tablesample bernoulli ((select email::text from customers limit 1))': used('TABLESAMPLE'),
    'select id from notes tablesample bernoulli (9) repeatable ((select length(email) from customers limit 1))':
      computed,
    'select rank() over (order by email) from customers': used('OVER'),
    'select rank() over w from customers window w as (partition by email)': used('OVER'),
    'select string_agg(name, $1 order by email) from customers': used('ORDER BY'),
    "select count(*) filter (where email like 'a%') from customers": used('FILTER'),
    "select case when email like 'a%' then 1 end from customers": used('CASE'),
    'select case email when name then 1 end from customers': used('CASE'),
    'select case lower(email) when substr(email, 1, 1) then 1 end from customers': used('CASE'),
    [`select case email ${Array.from({ length: 21 }, (_, n) => `when '${n}' then ${n}`).join(' ')} end from customers`]:
      /at most 20 comparisons/,
    [`select ${Array.from({ length: 21 }, (_, n) => `email = '${n}'`).join()} from customers`]:
      /at most 20 comparisons/,
    [`select id from customers where email = any(array[${Array.from({ length: 101 }, (_, n) => `'${n}'`).join()}])`]:
      used('WHERE'),
    "select id from customers where (id, substr(email, 1, 1)) = (1, 'a')": used('WHERE'),
    "select id from customers where (id, email) < (1, 'a')": used('WHERE'),
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
    "with customers as (select 1 as id, 'n' as name, 'e' as email) update customers set name = email": moved,
    "with customers as (select 1 as id, 'e' as email) delete from customers where email like 'a%'": used('WHERE'),
    "with customers as (select 1 as id, 'e' as email) delete from customers returning upper(email)": computed,
    'update notes set note[(select length(email) from customers limit 1)] = 1': computed,
    'update notes set note[(select email::text from customers limit 1)] = 1': moved,
    "insert into notes (note[(select email::text from customers limit 1)]) values ('x')": moved,
    'insert into notes (id) values (1) on conflict (id) do update set note[(select email::text from customers limit 1)] = 1':
      moved,
    'with x as materialized (select 1 / length(email) from customers) select count(*) from x': computed,
    'select count(*) from (select distinct on (id) id, 1 / length(email) from customers) x': computed,
    'select 1 where exists (select 1 / length(email) from customers)': computed,
    'create index on customers (email)': /no key or index can be made of it/,
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
    'select * from union_view',
    'select * from ruled, customers',
    'select similarity(note, note) from notes',
    'select * from made',
    'select upper(a) from other_view, customers',
    "select id from nested_view where mail = 'a'",
    'select secret from twice',
    'select * from child',
    'select lower(note) from notes',
    'explain analyze select id, upper(name) from customers where balance > 1',
    "explain (analyze, verbose) update customers set name = 'n', email = 'e' where id = 1",
    'explain (verbose) select * from customers',
    'refresh materialized view plain_view',
    "comment on table customers is 'c'",
    'set work_mem = 4000',
    'reset enable_seqscan',
    'select pg_catalog.concat(note) from notes',
  ],
  {
    'select upper(mail) from plain_view': computed,
    'select upper(mail) from nested_view': computed,
    'select shout from loud_view': computed,
    'select upper(mail) from union_view': computed,
    'select id from calling_view': /calling_view is made of masked columns in a way that cannot be followed/,
    "select id from loud_view where shout = 'A'": used('WHERE'),
    'select upper(secret) from twice': /twice\.secret is masked for you/,
    'select upper(email) from child': /public\.parent\.email is masked for you/,
    'explain analyze select id, email from customers': /EXPLAIN ANALYZE shows what it met/,
    "explain (analyze) select id from customers where email = 'a'": /EXPLAIN ANALYZE shows what it met/,
    'explain analyze with x as (select * from customers) select id from x': /EXPLAIN ANALYZE shows what it met/,
    'explain (verbose) select id from customers order by email': used('ORDER BY'),
    'set enable_seqscan = off': /enable_seqscan steers in what order rows come/,
    "select set_config('random_page_cost', '1', false)": /random_page_cost steers/,
    'select peek(id) from notes': /gate does not know that peek\(\)/,
    'select concat(note) from notes': /gate does not know that concat\(\)/,
    'select geometry_of(note) from notes': /gate does not know that geometry_of\(\)/,
    'select nothing_known(note) from notes': /gate does not know that nothing_known\(\)/,
    "select encode(chunk_data, 'hex') from pg_toast.pg_toast_16384": /pg_toast/,
    "select encode(chunk_data, 'hex') from pg_toast_16384": /pg_toast/,
    'select set_limit(0.1) from notes': /gate does not know that set_limit\(\)/,
    'select n.card from notes n': /\.card calls the function card\(\) of a row/,
    'select (n).card from notes n': /\.card calls the function card\(\) of a row/,
    "select '7'::odd": /casts of the type odd run functions/,
    'prepare p(odd) as select $1': /casts of the type odd run functions/,
    'select * from odd_table': /odd_table has columns of types whose casts run functions/,
    'insert into ruled values (1)': /rules of public\.ruled read them or run functions/,
    "select first_letter || '' from made": /public\.made\.first_letter is masked for you/,
    "select id from made where first_letter = 'a'": /cannot be used in WHERE/,
    'alter schema public rename to elsewhere': /names stay what they are/,
    'alter function peek(int) rename to lower': /names stay what they are/,
    'alter function peek(int) set schema elsewhere': /names stay what they are/,
    'alter role gate set search_path = evil': /gate does not know that this command/,
  },
)

both(
  'beside the primary key of its table a masked column decides nothing more',
  [
    'select c.id, c.email, count(*) from customers c join notes n on n.customer_id = c.id group by c.id, c.email',
    'select name, email, id from customers group by name, email, id order by id, email',
    'select id, email, count(*) from customers group by 1, 2',
    'select x.id, x.email, count(*) from (select id, email from customers) x, notes n group by x.id, x.email order by x.id',
    'select x.email, x.id from (select id, email from customers) x group by x.email, x.id order by id',
    'select distinct c.id, c.email from customers c join notes n on n.customer_id = c.id order by c.id',
    'select distinct name, email, id from customers order by name, id, email',
    'select distinct a.id, a.email, b.id, b.email from customers a, users b order by 1, 3',
    'select distinct on (id, email) id, email, name from customers order by id, email, name',
    'select a.id, b.id, a.email, b.email from customers a, customers b group by a.id, b.id, a.email, b.email',
    'select j.cid, j.mail from (customers c join notes n on n.customer_id = c.id) as j(cid, n, mail) group by 1, 2',
    'select v.id, v.mail, count(*) from plain_view v group by v.id, v.mail order by 1',
  ],
  {
    'select n.id, c.email from customers c, notes n group by n.id, c.email': used('GROUP BY'),
    'select a.id, b.email from customers a, customers b group by a.id, b.email': used('GROUP BY'),
    'with w as (select id, email from customers) select a.id, b.email from w a, w b group by a.id, b.email':
      used('GROUP BY'),
    'select a.id, b.mail from plain_view a, plain_view b group by a.id, b.mail': used('GROUP BY'),
    'select email, id from customers group by rollup (email, id)': used('GROUP BY'),
    'select email, id from customers group by grouping sets ((id), (id, email))': used('GROUP BY'),
    'select id, email from parent group by id, email': /cannot be used in GROUP BY/,
    'select id, secret from twice group by id, secret': /cannot be used in GROUP BY/,
    'select email, id from customers order by email, id': used('ORDER BY'),
    'select distinct id, email from customers': used('DISTINCT'),
    'select distinct id, email from customers order by id + 0': used('DISTINCT'),
    'select distinct a.id, a.email, b.email from customers a, users b order by a.id': used('DISTINCT'),
    'select distinct c.id, c.email, n.note from customers c, notes n order by c.id': used('DISTINCT'),
    'select v.id, v.mail, count(*) from plain_view v group by v.id, v.mail': used('GROUP BY'),
    'select x.id, x.email from (select id, email from customers) x group by x.id, x.email order by count(*)':
      used('GROUP BY'),
    'select x.id, x.email from (select id, email from customers) x group by x.email, x.id': used('GROUP BY'),
    'select id + 1, email from customers group by id + 1, email': used('GROUP BY'),
    'select id::text, email from customers group by id::text, email': used('GROUP BY'),
    'select id, email from customers union select id, email from customers': used('a comparison of whole rows'),
    'select id as email, email as id from customers group by id, email': used('GROUP BY'),
    'select u.id, u.e from (select id, email e from customers union all select id, email from users) u group by 1, 2':
      used('GROUP BY'),
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
    ['select mode() within group (order by email) from customers', []],
    ['select email is not null from customers', ['allow', 'equality']],
    ["select email = 'a' from customers", ['allow', 'equality']],
    ['select 1 from customers where (email is not null) is true', ['allow', 'equality']],
    ['select id from customers, unnest(array[email])', ['allow']],
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

both(
  'an UPDATE may leave a masked column as it is',
  [
    'update customers set email = coalesce($1, email), name = $2 where id = 7',
    'update customers c set email = coalesce($1, c.email), balance = balance + 1',
    'update customers set email = email',
    'update customers set email = case when $1 then $2 else email end',
    "update customers c set email = case when c.id = 1 then c.email else coalesce('x', c.email) end from notes n where n.id = c.id",
    'insert into customers (id, email) values (1, $1) on conflict (id) do update set email = coalesce(excluded.email, customers.email)',
  ],
  {
    'update customers set name = coalesce($1, email)': moved,
    'update customers set email = coalesce(email, $1)': moved,
    "update customers set email = coalesce($1, email || '')": moved,
    'update customers set email = upper(email)': moved,
    'update customers c set email = coalesce($1, u.email) from users u where u.id = c.id': moved,
    'update notes n set note = coalesce($1, note) from customers c where c.id = n.id and c.email > $2': used('WHERE'),
    'update notes set note = (select email from customers limit 1)': moved,
    'update notes n set note = coalesce($1, n.note, c.email) from customers c': moved,
    "update customers set email = case when email like 'a%' then 'x' else email end": used('CASE'),
    'update customers set (name, email) = (email, name)': moved,
    'update customers set email = (select c.email from customers c where c.id = 2)': moved,
  },
)

both(
  'definitions may go by clear columns of a table with masked ones',
  [
    'create table t (id int, customer_id text references customers (id))',
    'create table if not exists customers (id text primary key, name text, email text)',
    'create table customers (id text primary key, parent text references customers (id), foreign key (parent) references users (login))',
    'alter table notes add constraint f foreign key (customer_id) references customers (id) on delete cascade',
    'alter table notes add column c text references customers (id), add column d text',
    'create index if not exists i on customers (name, id desc) include (balance)',
  ],
  {
    'create table t (e text references customers (email))':
      /public\.customers\.email is masked for you, so no key or index/,
    'create table t (e text references customers)': /say which of its columns is referred to/,
    'create table t (like customers)': /has masked columns, and columns are not followed/,
    'create table t (e text references customers (id), like customers)':
      /has masked columns, and columns are not followed/,
    'create table t () inherits (customers)': /has masked columns, and columns are not followed/,
    'create table t partition of parent default': /has masked columns, and columns are not followed/,
    'alter table customers add column x text': /has masked columns, and columns are not followed/,
    'alter table customers add column x text references customers (id), alter column name type text using email':
      /are not followed/,
    'alter table notes add foreign key (id) references customers (id), inherit customers': /are not followed/,
    'create index on customers (email)': /public\.customers\.email is masked for you, so no key or index/,
    'create unique index on customers (id) include (email)': /public\.customers\.email is masked for you/,
    'create index on customers (upper(email))': /are not followed/,
    "create index on customers (id) where email > 'a'": /are not followed/,
  },
)

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
      [...computedColumns(facts, resolved)].map(each => (typeof each === 'string' ? each : each?.with))
    )
  }
  t.same(await ways('select id, email from customers union all select id, note from notes'), [undefined, 'partial'])
  t.same(await ways('select email, login from users union all select email, null from users'), ['hash', 'hash'])
  t.same(await ways('select email from customers union all select email from users'), ['redact'])
  t.same(await ways('select id, (select email from customers limit 1) from notes'), [undefined, 'partial'])
  t.same(await ways('select email::text, (select email::text from users limit 1) from customers'), ['redact', 'redact'])
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
