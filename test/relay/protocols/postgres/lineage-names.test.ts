// What names stand for: views, inherited tables, several tables of one name, functions that gate does not know.
import t from 'tap'
import { analyser, both, computed, said, used, withType } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

both(
  t,
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
    'select t.id, note from twice t join notes n using (id)',
    'select n.id from twice t join notes n using (id) join twice o using (secret)',
    // Only one of the name has it: where it is not that one, the server says so.
    'select n.id from twice t join notes n using (id) join other.twice o using (plain)',
    'select c.id, email from customers c join made_a_moment_ago m using (id)',
    'select id, email from customers join generate_series(1, 2) using (id)',
    'select * from child',
    'select lower(note) from notes',
    'explain analyze select id, upper(name) from customers where balance > 1',
    "explain (analyze, verbose) update customers set name = 'n', email = 'e' where id = 1",
    'explain (verbose) select * from customers',
    'refresh materialized view plain_view',
    "comment on table customers is 'c'",
    'revoke select on customers from public',
    'revoke all on all tables in schema public from public',
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
    'select id from over_calling_view': /over_calling_view is made of masked columns in a way that cannot be followed/,
    'select secret from over_odd_view': /over_odd_view is made of masked columns in a way that cannot be followed/,
    "select id from loud_view where shout = 'A'": used('WHERE'),
    'select upper(secret) from twice': /twice\.secret is masked for you/,
    'select n.id from twice t join notes n using (secret)': /nothing says which columns/,
    'select c.id from customers c join (select upper(note) from notes) n using (email)': /nothing says which columns/,
    'select id from customers join generate_series(1, length(email)) g using (id)': /generate_series\(\)/,
    'select id from customers join (select * from notes, twice) n using (plain, email)': /nothing says which columns/,
    'select * from (twice t join notes n using (plain)) as j': /nothing says what columns there are in the join/,
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
    'insert into ruled_view values (1)': /rules of public\.ruled_view read them or run functions/,
    'update over_ruled_view set id = 1': /rules of public\.over_ruled_view read them or run functions/,
    "select first_letter || '' from made": /public\.made\.first_letter is masked for you/,
    "select id from made where first_letter = 'a'": /cannot be used in WHERE/,
    'alter schema public rename to elsewhere': /names stay what they are/,
    'alter function peek(int) rename to lower': /names stay what they are/,
    'alter function peek(int) set schema elsewhere': /names stay what they are/,
    'alter role gate set search_path = evil': /gate does not know that this command/,
  },
)

both(
  t,
  'what decides in the values of a view is as if it flowed in; which rows it has is its own',
  ['select id, has, logins from deciding_view where has', 'select name from counting_view'],
  Object.fromEntries(
    [
      ...['band', 'boss', 'place', 'named', 'above', 'names', '"first"', 'found'].map(
        column => `select ${column} from deciding_view`,
      ),
      ...['many', '"all"'].map(column => `select ${column} from counting_view`),
    ].map(sql => [sql, computed]),
  ),
)

both(
  t,
  'a column that one of the tables of a name lacks may be one from further out',
  [
    'select plain from twice',
    'select c.name, t.plain from customers c, twice t',
    'select t.plain from twice t join customers c on t.id = c.id',
    "select id from customers where (select plain from twice where twice.id = customers.id limit 1) = 'a'",
    'select (select plain from twice limit 1) from (select name as plain from customers) y',
    'select (select t.plain from twice t limit 1) from (select email as plain from customers) y',
    'select (select upper(id) from twice limit 1) from (select email as id from customers) y',
  ],
  {
    'select (select upper(plain) from twice limit 1) from (select email as plain from customers) y': computed,
    'select (select plain from twice limit 1) from (select email as plain from customers) y': computed,
    'select (select upper(plain) from (select * from twice) s limit 1) from (select email as plain from customers) y':
      computed,
    'with q as (select * from twice) select (select upper(plain) from q) from (select email as plain from customers) y':
      computed,
    "select 1 from (select email as plain from customers) y where (select plain > 'a' from twice limit 1)":
      /email is masked for you/,
    'select 1 from (select email as plain from customers) y order by (select plain from twice limit 1)':
      used('ORDER BY'),
    'insert into notes select y.id, (select plain from twice limit 1) from (select id, email as plain from customers) y':
      /email is masked for you/,
    'select (select upper(plain) from twice limit 1) from customers plain': computed,
  },
)

const shown = /computed from it|cannot be copied|cannot be used/

both(
  t,
  'a column that one of the tables of a name lacks may be a function of its row',
  ['select to_jsonb from twice', 'select t.to_jsonb from other.twice t', 'select id from twice t where t.plain = $1'],
  {
    'select upper(t.to_jsonb) from twice t': shown,
    'select id from twice where twice.to_jsonb is null': shown,
    'select id from twice order by public.twice.to_jsonb': shown,
    'create table mine as select twice.to_jsonb from twice': shown,
    'update twice t set id = t.to_jsonb': shown,
    'insert into notes select t.id, t.to_jsonb from twice t': shown,
    'select upper(s.to_jsonb) from (select * from twice) s': shown,
    'with q as (select t.*, c.email as mail from twice t, customers c) select lower(q.to_jsonb) from q': shown,
    'select (select min(t.to_jsonb)) from twice t join notes n using (id)': shown,
    'select lower(s.record) from (select * from twice) s': shown,
  },
)

t.test("a type that could be taken for PostgreSQL's own by its name is not", async t => {
  for (const [type, cast] of [
    ['text', 'email::text'],
    ['varchar', 'email::"varchar"'],
  ] as const) {
    const sql = `select id from customers where ${cast} = 'a'`
    t.equal((await said(sql)).refusal, undefined, sql)
    t.match((await said(sql, {}, withType(type))).refusal, `${type} may be another type than PostgreSQL's`, sql)
  }
  const qualified = "select id from customers where email::pg_catalog.text = 'a'"
  t.equal((await said(qualified, {}, withType('text'))).refusal, undefined)
})
