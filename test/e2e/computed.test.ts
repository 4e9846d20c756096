// `computed: mask`: what is computed from masked values is shown masked, whole rows and NULL and errors included.
import pg from 'pg'
import t from 'tap'
import { SECRET, tryAll } from '../support/asking.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, name text, email text, ssn text);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example', '987-65-00' || i from generate_series(1, 9) i;
create view customer_view as select id, email from customers;
create view initials as select id, nullif(left(email, 1), 'u') as f from customers;
create view bands as select id, case when email > 'user5' then 'late' else 'early' end as band, count(*) over w as same
  from customers window w as (partition by left(email, 5));
create materialized view customer_mat as select * from customers;
create table people (id int, email text) partition by range (id);
create table people_1 partition of people for values from (1) to (100);
insert into people select id, email from customers;
create table old (id int);
insert into old values (1);
alter table old add column kept text default '${SECRET}';
create table clear (id int, word text);
insert into clear values (1, null), (2, 'clear');
analyze;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: ["customers.email", "customers.ssn", "people.email", "old.kept"], with: redact, computed: mask }
`

const attempts: Readonly<Record<string, readonly string[]>> = {
  'whole rows': [
    'select c from public.customers c where id = 7',
    'select v from customer_view v where id = 7',
    'select customer_mat from customer_mat where id = 7',
    'select p from people p where id = 7',
    'select p from people_1 p where id = 7',
    'select x from (select * from customers where id = 7) x',
    'update customers c set name = name where id = 7 returning c',
    'begin;; declare k cursor for select c from customers c where id = 7;; fetch k',
    'prepare p as select c from customers c where id = 7;; execute p',
  ],
  // Since version 18; older servers know no such names.
  'the row before and after in RETURNING': [
    'update customers set name = name where id = 7 returning old.email, new.email, upper(old.email), old, new::text',
    'update customers set name = name where id = 7 returning with (old as o, new as n) o.email, upper(n.email), o, n.*',
    "insert into customers values (7, 'n') on conflict (id) do update set name = 'x' returning with (old as excluded) excluded.email, upper(excluded.email), excluded::text",
    "insert into customers values (7, 'n') on conflict (id) do update set name = 'x' returning with (new as excluded) left(excluded.email, 6), excluded",
    'with u as (update customers set name = name where id = 7 returning with (old as o) o, upper(o.email) as e) select * from u',
    "merge into customers c using (values (7)) v(id) on c.id = v.id when matched then update set name = 'x' returning merge_action(), old, upper(new.email)",
  ],
  'names that are looked up': [
    'select current_setting(email) from customers where id = 7',
    `select ('"' || email || '"')::regclass from customers where id = 7`,
    `select ('"' || email || '"')::regtype from customers where id = 7`,
    `select ('"' || email || '"')::regproc from customers where id = 7`,
    `select ('"' || email || '"')::regrole from customers where id = 7`,
    `select ('"' || email || '"')::regnamespace from customers where id = 7`,
    'select email::regclass from customers where id = 7',
    'select to_tsquery(email) from customers where id = 7',
    "select has_column_privilege('customers', email, 'select') from customers where id = 7",
    "select has_table_privilege(email, 'select') from customers where id = 7",
    "select pg_get_serial_sequence('customers', email) from customers where id = 7",
    "select to_char(now() at time zone email, 'HH') from customers where id = 7",
  ],
  'a value that older rows have': [
    "select a from pg_attribute a where attname = 'kept'",
    "select current_setting(attmissingval::text) from pg_attribute where attname = 'kept'",
    "select attmissingval::text::regclass from pg_attribute where attname = 'kept'",
    "select attmissingval from pg_attribute where attname = 'kept'",
  ],
}

const world = await startWorld({ policy, sql: setup })
t.teardown(() => world[Symbol.asyncDispose]())
const carol = await world.person('carol')
const connection = await carol.connect('prod-db')
t.teardown(() => connection[Symbol.asyncDispose]())

t.test('no value comes in what is computed from it', t => tryAll(t, connection.port, attempts))

t.test('whether something computed is NULL is not shown; what is clear stays clear', async t => {
  const client = new pg.Client({ host: '127.0.0.1', port: connection.port, user: 'carol', database: 'app' })
  await client.connect()
  const rows = async (text: string): Promise<unknown[]> =>
    (await client.query({ text, rowMode: 'array' })).rows as unknown[]
  t.same(
    await rows("select nullif(substr(email, 1, 1), 'u'), nullif(substr(email, 1, 1), 'x') from customers where id = 7"),
    [['****', '****']],
  )
  t.same(await rows("select substring(email from '^q'), email || null, length(email) from customers where id = 7"), [
    ['****', '****', 0],
  ])
  t.same(await rows("select nullif(left(attmissingval::text, 2), '{u') from pg_attribute where attname = 'kept'"), [
    ['****'],
  ])
  t.same(await rows('select word, upper(word), email from clear left join customers using (id) order by id'), [
    [null, null, '****'],
    ['clear', 'CLEAR', '****'],
  ])
  // None of these is called name, so that is the table's.
  t.same(
    await rows(
      "select email || '', coalesce(email, ''), case when id > 1 then email else '' end, nullif(email, '')::varchar(3), (array[email])[1], substring(email from 2) from customers order by name limit 1",
    ),
    [['****', '****', '****', '****', '****', '****']],
  )
  t.same(await rows('select k from clear k order by id'), [['(1,)'], ['(2,clear)']])
  await t.rejects(rows('select * from nosuch'), { code: '42P01', message: /nosuch/ })
  await client.end()
})

t.test('whether something computed is NULL decides nothing either', async t => {
  const client = new pg.Client({ host: '127.0.0.1', port: connection.port, user: 'carol', database: 'app' })
  await client.connect()
  t.teardown(() => client.end())
  const inner = "(select id, nullif(left(email, 1), 'u') as f, email from customers) x"
  const refused = [
    `select id from ${inner} where f is null`,
    `select count(*) from ${inner} where x is not null`,
    `select count(*) filter (where f is null) from ${inner}`,
    `select case when f is null then 1 end from ${inner}`,
    `select count(f) from ${inner} where id = 7`,
    `select num_nulls(f, email) from ${inner}`,
    `with x as (select nullif(left(email, 1), 'u') as f from customers where id = 7) select 1 from x where f is null`,
    'select id from initials where f is null',
  ]
  for (const sql of refused) await t.rejects(client.query(sql), { code: '42501' }, sql)
  const rows = async (text: string): Promise<unknown> => (await client.query({ text, rowMode: 'array' })).rows
  t.same(await rows(`select f is null, x is null, email is null from ${inner} where id = 7`), [[false, false, false]])
  t.same(await rows('select f from initials where id = 7'), [['****']])
  t.same(await rows('select id, band, same from bands where id = 7'), [[7, '****', '0']])
  t.same(await rows('select count(email), count(c), count(c.*) from customers c where email is not null'), [
    ['9', '9', '9'],
  ])
  t.same(await rows('select count(*) from customers c where c is not null and not (c is null)'), [['9']])
})

t.test('nothing that is computed from a value decides whether something runs that would be felt', async t => {
  const client = new pg.Client({ host: '127.0.0.1', port: connection.port, user: 'carol', database: 'app' })
  await client.connect()
  t.teardown(() => client.end())
  const hit = "set_config('my.hit', 'yes', false)"
  const tests = [
    `substr(email, 1, 1) = 'u' and ${hit} is not null`,
    `substr(email, 1, 1) <> 'u' or ${hit} is not null`,
    `coalesce(nullif(left(email, 1), 'u'), ${hit})`,
    `left(email, 1) = 'u' and (select ${hit}) is not null`,
    `left(email, 1) between 'u' and ${hit}`,
    `left(email, 1) in ('x', id::text, ${hit})`,
    `(left(email, 1), ${hit}) = ('u', 'x')`,
    `left(email, 1) = any (select ${hit} || v from (values ('a'), ('u')) v(v))`,
    `(array[nullif(left(email, 1), 'u')])[length(${hit})]`,
    `lag(1, ascii(email) - 117, length(${hit})) over ()`,
    `email like 'u%' and pg_sleep(1) is not null`,
  ]
  for (const value of tests)
    await t.rejects(client.query(`select ${value} from customers where id = 7`), { code: '42501' }, value)
  const { rows } = await client.query("select current_setting('my.hit', true) as hit")
  t.same(rows, [{ hit: null }])
})
