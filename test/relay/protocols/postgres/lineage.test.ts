// Which results masked columns flow into: those that show one as it is, and those that would be computed from it.
import t from 'tap'
import { analyser, both, computed, said, used } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

both(
  t,
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
    'select name in (select email from customers) from customers': used('what decides whether'),
    'select email::char(3) from customers': computed,
    'select email::evil.text from customers': computed,
    'select max((select email from customers limit 1)) from notes': computed,
    'select mode() within group (order by email) from customers': used('ORDER BY'),
    'select lag(email) over (order by id) from customers': computed,
    'select xmlforest(email) from customers': computed,
    "select json_object('a': email) from customers": computed,
    "explain (memory) select id from customers where email = 'a'": /memory planning takes/,
  },
)

const walk =
  'with recursive d as (select id, email as mail from users where id = 1 union all select u.id, u.email from users u join d on u.id = d.id + 1)'

both(
  t,
  'SEARCH and CYCLE add columns that are made of clear ones',
  [
    `${walk} search depth first by id set place select *, upper(place::text) from d order by place`,
    `${walk} search breadth first by id set place cycle id set looped using path select d.id, mail, looped, path from d`,
    `${walk} cycle id set email using path select upper(email::text) from d`,
    `${walk} search depth first by id set to_jsonb, e as (select d.id, d.to_jsonb::text as place from d) select e.id, upper(e.place) from e`,
  ],
  {
    [`${walk} search depth first by mail set place select id from d`]: /clear columns/,
    [`${walk} search depth first by id set place cycle id, mail set looped using path select id from d`]:
      /clear columns/,
    [`${walk} search depth first by id set email select (select upper(email::text) from (select * from d) x) from customers`]:
      computed,
    [`${walk} search depth first by id set email, e as (select * from d) select (select upper(email::text) from e) from customers`]:
      computed,
    [`${walk} search depth first by id set to_jsonb select lower(s.to_jsonb) from (select * from d) s`]:
      /computed from it/,
    [`${walk} search depth first by id set to_jsonb, e as (select d.* from d) select id from e where e.to_jsonb is null`]:
      /cannot be used in WHERE/,
    [`${walk} search depth first by id set place select upper(x.c) from (select d.*, c.email from d, customers c) x(a, b, c)`]:
      /email is masked for you, and the column "upper" would be computed/,
  },
)

both(
  t,
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
  t,
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
    // Before its own WITH is known, stays is the table, which has as many masked columns.
    'with recursive r(a, b) as (with stays as (select null::text as price, email as rooms from customers) select (select price from stays union all select null limit 1), (select rooms from stays union all select null limit 1) union all select b, null from r) select upper(a) from r':
      computed,
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
