// Statements that carry a value which is masked for somebody, each in another way; and statements that carry none.
// Column email of customers, ssn and card of people, and every password_hash are masked.

/** What must not be found anywhere. Nothing that a detector knows: only the column says that it is one. */
export const CANARY = 'zebra-canary-4711'
export const NUMBER_CANARY = '7310246895'
/** The same in other forms: what a search looks for. */
export const canaryForms: readonly string[] = [
  CANARY,
  NUMBER_CANARY,
  'zebra-can',
  'canary-4711',
  Buffer.from(CANARY).toString('hex'),
  Buffer.from(CANARY).toString('base64').slice(0, 20),
  BigInt(NUMBER_CANARY).toString(16),
  // What detectors find.
  'hidden.person@mail.example',
  '4111 1111 1111 1111',
  '4111111111111111',
  'ghp_Zk3xQ9vT7mB2nR5sW8yL1cD4fG6hJ0aBcDeF',
  // Passwords, which nobody masks and everybody wants to.
  'open-sesame-99',
]

export const redactionSql = `
create table customers (id int primary key, name text, email text, balance numeric, joined date);
create table people (id int primary key, ssn text, card bigint, born date, tags text[]);
create table users (id int primary key, login text, password_hash text);
create table orders (id int primary key, customer_id int, note text, placed date, code text);
create view mails as select id, email as mail from customers;
create function find_person(text) returns int stable language sql as 'select id from people where ssn = $1';
create type pair as (a int, b text);
insert into customers select i, 'name ' || i, 'mail-' || i, i, '2024-01-01' from generate_series(1, 9) i;
`

export const redactionPolicy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba, support] }
    viewers: [dba]
    rules:
      - { name: wide, when: op.action == "delete" && !op.hasWhere, hold: { approvers: "1 of dba", expires: 60s } }
      - { name: everything, allow: [engineers, dba] }
    mask:
      - { columns: ["public.customers.email", "people.ssn", "people.card", "*.password_hash"], for: { groups: [support] }, with: redact }
`

export interface Vanishing {
  readonly sql: string
  /** Of the extended protocol; sent as text and as binary text. */
  readonly parameters?: readonly string[]
  /** What must still be readable. */
  readonly kept?: readonly string[]
}

const C = CANARY
const N = NUMBER_CANARY

/** Nothing of CANARY and the like may be left of these. */
export const vanishing: readonly Vanishing[] = [
  // Compared, in every syntax of a constant.
  {
    sql: `select id from customers where email = '${C}' and id = 1234`,
    kept: ['id = 1234', 'select id from customers'],
  },
  { sql: `select id from customers where '${C}' = email` },
  { sql: `select id from customers where customers.email = '${C}'` },
  { sql: `select id from public.customers c where c.email <> '${C}'` },
  { sql: `select id from customers where email = E'zebra\\x2dcanary-47\\u0031\\061'` },
  { sql: `select id from customers where email = E'${C}\\'s'` },
  { sql: `select id from customers where email = U&'zebra\\002dcanary-4711'` },
  { sql: `select id from customers where email = U&'zebra!002dcanary-4711' uescape '!'` },
  { sql: `select id from customers where email = $$${C}$$` },
  { sql: `select id from customers where email = $a_1$ $$ ${C} $a_1$` },
  { sql: `select id from customers where email = N'${C}'` },
  { sql: `select id from customers where email = 'zebra-can'\n  'ary-4711'` },
  { sql: `select id from customers where email = 'zebra-can' -- a ' quote\n'ary-4711'` },
  { sql: `select id from customers where email = '${C}'::text` },
  { sql: `select id from customers where email = cast('${C}' as varchar(40))` },
  { sql: `select id from customers where email = text '${C}'` },
  { sql: `select id from customers where email = '${C}' collate "C"` },
  { sql: `select id from customers where email like '${C}%'` },
  { sql: `select id from customers where email ilike '%${C}'` },
  { sql: `select id from customers where email similar to '${C}'` },
  { sql: `select id from customers where email ~ '^${C}'` },
  { sql: `select id from customers where email in ('a', '${C}')` },
  { sql: `select id from customers where email = any(array['${C}'])` },
  { sql: `select id from customers where email = any('{${C}}')` },
  { sql: `select id from customers where email between '${C}' and 'zz'` },
  { sql: `select id from customers where email is distinct from '${C}'` },
  { sql: `select id from customers where (id, email) = (5, '${C}')` },
  { sql: `select id from customers where row(email) = row('${C}')` },
  { sql: `select id from customers where (id, email) in (values (1, '${C}'))` },
  { sql: `select id from customers where coalesce(email, '') = '${C}'` },
  { sql: `select id from customers where lower(email) = lower('${C}')` },
  { sql: `select id from customers where case email when '${C}' then true end` },
  { sql: `select id from customers where nullif(email, '${C}') is null` },
  { sql: `select id from customers where email || '' = 'zebra-' || 'canary-4711'` },
  { sql: `select case when email = '${C}' then 1 else 2 end from customers` },
  { sql: `select email = '${C}' from customers` },
  { sql: `select id from customers order by email = '${C}'` },
  { sql: `select count(*) filter (where email = '${C}') from customers` },
  { sql: `select id from customers group by id, email having email = '${C}'` },
  { sql: `select id from people where card = ${N}` },
  { sql: `select id from people where card = -${N}` },
  { sql: `select id from people where card = 7_310_246_895` },
  { sql: `select id from people where card = 0x1B3B9416F` },
  { sql: `select id from people where card = ${N}.0` },
  { sql: `select id from people where card in (1, ${N})` },
  { sql: `select id from people where card > ${N} - 1` },
  { sql: `select id from people where ssn = x'7a6562726163616e617279'::text` },
  // Another way to the column.
  { sql: `select id from mails where mail = '${C}'` },
  { sql: `select * from (select email as e from customers) s where e = '${C}'` },
  { sql: `select * from (select email as id from customers) s where id = '${C}'` },
  { sql: `with c(x) as (select email from customers) select * from c where x = '${C}'` },
  {
    sql: `with recursive c(x) as (select email from customers union select x from c) select * from c where x = '${C}'`,
  },
  { sql: `select * from (select note from orders union select email from customers) s where note = '${C}'` },
  { sql: `select 1 from customers c join orders o on o.code = c.email where o.code = '${C}'` },
  { sql: `select 1 from orders where code in (select email from customers) and code = '${C}'` },
  { sql: `select 1 from customers join (values ('${C}')) v(email) using (email)` },
  { sql: `select 1 from customers c, lateral (select c.email as note) l where l.note = '${C}'` },
  { sql: `select find_person('${C}')` },
  { sql: `select id from orders where id = find_person('${C}')` },
  { sql: `select exists (select from customers where email = '${C}')` },
  { sql: `explain select id from customers where email = '${C}'` },
  // Written.
  { sql: `insert into customers (id, email) values (70, '${C}') on conflict do nothing`, kept: ['70'] },
  {
    sql: `insert into customers values (71, 'n', '${C}', 5, '2024-02-03') on conflict do nothing`,
    kept: ['71', '2024-02-03'],
  },
  { sql: `insert into customers (email, id) values ('x', 72), ('${C}', 73) on conflict do nothing` },
  { sql: `insert into customers (id, email) select 74, '${C}' on conflict do nothing` },
  { sql: `insert into customers (id, name) values (1, 'n') on conflict (id) do update set email = '${C}'` },
  { sql: `insert into users (id, password_hash) values (1, '${C}') on conflict do nothing` },
  { sql: `update customers set email = '${C}' where id = 4321`, kept: ['4321'] },
  { sql: `update customers set (name, email) = ('n', '${C}') where id = 4322` },
  { sql: `update customers set (name, email) = (select 'n', '${C}') where id = 4323` },
  { sql: `update customers set email = upper('${C}') where id = 4324` },
  { sql: `update customers set name = 'plain' where email = '${C}'`, kept: ["'plain'"] },
  { sql: `update people set tags[1] = '${C}' where ssn = 'x'` },
  { sql: `delete from customers where email = '${C}'` },
  { sql: `with gone as (delete from customers where email = '${C}' returning id) select * from gone` },
  {
    sql: `with u as (update customers set name = 'x' where id = 4325 returning email as note) select 1 from u where note = '${C}'`,
  },
  {
    sql: `merge into customers c using (select 900 as id, '${C}' as e) s on c.id = s.id when matched then update set email = s.e`,
  },
  { sql: `merge into customers c using orders o on c.email = '${C}' when matched then do nothing` },
  { sql: `select jsonb_populate_record(null::customers, '{"email":"${C}"}')` },
  { sql: `select * from jsonb_populate_recordset(null::public.customers, '[{"email":"${C}"}]')` },
  // Prepared, declared, called.
  { sql: `prepare p1 as select id from customers where email = '${C}'` },
  { sql: `prepare p2(text) as select id from customers where email = $1` },
  { sql: `execute p2('${C}')` },
  { sql: `begin; declare cur1 cursor for select id from customers where email = '${C}'; fetch 1 from cur1; commit` },
  { sql: `do $$ begin perform id from customers where email = '${C}'; end $$` },
  { sql: `do $b$ begin execute 'update customers set name = ''x'' where email = ''${C}'''; end $b$` },
  { sql: `do $b$ begin execute $i$ select '${C}' $i$; -- email = '${C}'\n end $b$` },
  { sql: `create or replace function f1() returns text language sql as $$ select '${C}'::text $$` },
  { sql: `create or replace function f2() returns text language sql as 'select ''${C}''::text'` },
  { sql: `create or replace view v1 as select id from customers where email = '${C}'` },
  { sql: `create temp table t1 as select id from customers where email = '${C}'` },
  { sql: `alter table customers alter email set default '${C}'` },
  { sql: `create index if not exists i1 on customers (id) where email = '${C}'` },
  { sql: `comment on column customers.email is '${C}'` },
  { sql: `set app.email = '${C}'` },
  { sql: `select set_config('app.email', '${C}', false)` },
  { sql: `notify channel_1, '${C}'` },
  { sql: `copy (select id from customers where email = '${C}') to stdout` },
  // Comments beside it.
  { sql: `select id from customers where email = 'x' /* was '${C}' /* or '${C}' */ */` },
  { sql: `select id from customers -- it's ${C}\n where email = 'x'` },
  // Not readable, and so refused.
  { sql: `selct id from nowhere where email = '${C}'` },
  { sql: `select id from customers where email = '${C}' limit limit` },
  { sql: `select id from customers where email = 'O'${C}'` },
  { sql: `select id from customers where email = '${C}` },
  { sql: `select id from customers where card = ${N} where` },
  { sql: `select /* ${C}` },
  { sql: `select $x$ ${C}` },
  // What detectors find, wherever it is.
  { sql: `select 'hidden.person@mail.example', 17`, kept: ['17'] },
  { sql: `select 'to: hidden.person@mail.example!'`, kept: ["'to: "] },
  { sql: `select id from orders where note = E'hidden.person\\x40mail.example'` },
  { sql: `select id from orders where note = 'hidden.person@ma'\n'il.example'` },
  { sql: `select id as "hidden.person@mail.example" from orders` },
  { sql: `select 1 -- hidden.person@mail.example` },
  { sql: `select 1 /* 4111 1111 1111 1111 */` },
  { sql: `select 4111111111111111` },
  { sql: `select 4_111_111_111_111_111` },
  { sql: `select 'ghp_Zk3xQ9vT7mB2nR5sW8yL1cD4fG6hJ0aBcDeF'` },
  { sql: `do $$ begin perform 'hidden.person@mail.example'; end $$` },
  { sql: `select '\\x68696464656e2e706572736f6e406d61696c2e6578616d706c65'::bytea` },
  { sql: `selct 'hidden.person@mail.example'` },
  // Passwords, always.
  { sql: `create role r1 login password 'open-sesame-99'` },
  { sql: `alter role r1 encrypted password 'open-sesame-99'` },
  { sql: `alter user r1 with password $p$open-sesame-99$p$` },
  { sql: `do $$ begin alter role r1 password 'open-sesame-99'; end $$` },
  { sql: `do $$ begin execute 'alter role r1 password ''open-sesame-99'''; end $$` },
  { sql: `create user mapping for public server s options (user 'u', password 'open-sesame-99')` },
  { sql: `select dblink_connect('host=h user=u password=open-sesame-99')` },
  { sql: `select * from orders where note = 'postgresql://u:open-sesame-99@h/d'` },
  { sql: `create subscription s1 connection 'host=h password=open-sesame-99' publication p` },
  { sql: `alter role r1 password 'open-sesame-99' nonsense` },
  // Bound.
  { sql: 'select id from customers where email = $1', parameters: [C] },
  { sql: 'select id from customers where $1 = email', parameters: [C] },
  { sql: 'select id from customers where email = $1::text and name = $2', parameters: [C, 'Smith'], kept: ['Smith'] },
  { sql: 'select id from customers where email like $1 or lower(email) = $2', parameters: [`${C}%`, C] },
  { sql: 'select id from customers where email in ($1, $2)', parameters: ['x', C] },
  { sql: 'select id from customers where email = any($1)', parameters: [`{${C}}`] },
  { sql: 'select id from customers where email = $1 or name = $1', parameters: [C] },
  { sql: 'insert into customers (id, email) values (80, $1) on conflict do nothing', parameters: [C] },
  {
    sql: 'insert into users values (81, $1, $2) on conflict do nothing',
    parameters: ['login-81', C],
    kept: ['login-81'],
  },
  { sql: 'update customers set email = $1 where name = $2', parameters: [C, 'Miller'], kept: ['Miller'] },
  { sql: 'update customers set email = upper($1) where id = 1', parameters: [C] },
  { sql: 'select id from mails where mail = $1', parameters: [C] },
  { sql: 'select find_person($1)', parameters: [C] },
  { sql: 'select $1::text', parameters: ['hidden.person@mail.example'] },
  { sql: 'select id from orders where note = $1', parameters: ['see hidden.person@mail.example'], kept: ['see '] },
]

/** Nothing masked is in reach, or what is written meets something else: everything is recorded as it was sent. */
export const staying: readonly Vanishing[] = [
  { sql: 'select 1' },
  { sql: "select id from orders where note = 'Lieferung 2024' and placed = '2024-02-03' limit 10 offset 5" },
  { sql: "insert into orders (id, note, placed) values (2001, 'red shoes', '2024-03-04') on conflict do nothing" },
  { sql: "update orders set note = 'sent', placed = date '2024-04-05' where id = 77" },
  { sql: "select id from customers where name = 'Smith' and joined > '2023-12-31' and balance >= 12.50 limit 3" },
  { sql: 'select id, email from customers where id in (1, 2, 3) order by 1' },
  { sql: "select id from customers where name like 'Sm%' and id between 5 and 9" },
  { sql: "update customers set name = 'Jones', balance = -3.5 where id = 4" },
  { sql: "delete from orders where placed < '2020-01-01'" },
  { sql: "select count(*) from orders where lower(note) = 'x' and note ~ '^a+$'" },
  { sql: "set statement_timeout = '5s'" },
  { sql: "select id /* traceparent='00-abc' */ from orders" },
  {
    sql: "select c.name, o.note from customers c join orders o on o.customer_id = c.id where o.note = 'late' and c.id = 8",
  },
  { sql: 'select id from orders where id = $1 and note = $2', parameters: ['17', 'blue'], kept: ['17', 'blue'] },
  {
    sql: 'select email from customers where id = $1 and name = $2',
    parameters: ['18', 'Adams'],
    kept: ['18', 'Adams'],
  },
]
