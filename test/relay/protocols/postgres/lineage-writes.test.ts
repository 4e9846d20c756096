// Where masked values may not go: into other columns, tables, files and definitions.
import t from 'tap'
import { analyser, both, computed, moved, used } from '../../../support/lineage.ts'

t.teardown(() => analyser[Symbol.asyncDispose]())

both(
  t,
  'masked values do not move to where they would be clear',
  [
    'insert into notes (id, note) select id, name from customers',
    "insert into customers values (1, 'n', 'e', 1) on conflict (id) do update set email = excluded.email returning id",
    'update notes set note = c.name from customers c where c.id = notes.customer_id returning notes.id, c.email',
    "update customers set email = 'new' where email = 'old'",
    "delete from customers where email = 'a' returning id, email",
    'merge into notes n using customers c on c.id = n.customer_id when matched then update set note = c.name',
    'merge into customers c using notes n on c.id = n.id when matched then update set name = n.note returning merge_action(), c.id',
    'create table t as select id, name from customers',
    'select id, name into t from customers union all select id, note from notes',
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
    "select email into t from customers union all select 'x'": moved,
    "select 'x' as email into t union all (select note from notes union all select email from customers)": moved,
    'create view v as select email from customers': moved,
    'create materialized view v as select * from customers': moved,
    "copy customers to '/tmp/customers'": moved,
    "copy (select email from customers) to program 'cat'": /COPY with programs of the server/,
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
  t,
  'RETURNING has the row as it was before, and as it is now',
  [
    'update customers set name = name returning old.email, new.email, old.name, new.*',
    'update customers set name = name returning with (old as o, new as n) o.email, n.email, upper(o.name)',
    "insert into customers values (1, 'n') on conflict (id) do update set name = excluded.name returning old.email, new.name",
    'delete from customers c returning old.*',
    'merge into customers c using notes n on c.id = n.id when matched then delete returning merge_action(), old.email, n.id',
    'with u as (update customers set name = name returning with (old as o) o.email) select email from u',
    'update customers set name = name from notes old where old.id = customers.id returning old.note, upper(old.note)',
    'update customers set name = name returning (select x.email from (select old.email) x)',
  ],
  {
    'update customers set name = name returning upper(old.email)': computed,
    'update customers set name = name returning old': computed,
    'update customers set name = name returning with (new as n) n::text': computed,
    'with u as (update customers set name = name returning old.email as e) select upper(e) from u': computed,
    // What an INSERT would have put in is not to be named there.
    "insert into customers values (1, 'n') on conflict (id) do update set name = 'x' returning with (old as excluded) upper(excluded.email)":
      computed,
    "insert into customers values (1, 'n') on conflict (id) do update set name = 'x' returning excluded.email":
      /nothing says what excluded.email stands for/,
    'update customers set name = name where old.id = 1': /nothing says what old.id stands for/,
    'update customers set name = old.email': /nothing says what old.email stands for/,
    'update customers set name = name returning with (old as o) old.email': /nothing says what old.email stands for/,
  },
)

both(
  t,
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
  t,
  'definitions may go by clear columns of a table with masked ones',
  [
    'create table t (id int, customer_id text references customers (id))',
    'create table if not exists customers (id text primary key, name text, email text)',
    'create table customers (id text primary key, parent text references customers (id), foreign key (parent) references users (login))',
    'alter table notes add constraint f foreign key (customer_id) references customers (id) on delete cascade',
    'alter table notes add column c text references customers (id), add column d text',
    'create index if not exists i on customers (name, id desc) include (balance)',
    'create unique index on customers (lower(name), (balance + 1)) where customers.balance is not null and id in (1, 2)',
    'create index on twice (lower(plain)) where twice.plain is not null',
    "create index on customers (id) where name = any (array['a'::text, 'b'::text])",
    "create index on customers (greatest(name, 'a') collate \"C\") where case when balance > 0 then name <> 'a' else true end",
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
    'create index on customers (upper(email))': /public\.customers\.email is masked for you/,
    'create index on customers ((customers.email || name))': /public\.customers\.email is masked for you/,
    "create index on customers (id) where email > 'a'": /public\.customers\.email is masked for you/,
    'create index on customers (hashtext(customers::text))': /are not followed|gate does not know/,
    'create index on customers (id) where customers is not null': /are not followed/,
    'create index on customers (id) where (customers).email is null': /are not followed/,
    'create index on customers (num_nulls(customers.*))': /are not followed/,
    'create index on customers (id) where customers.hash_record > 0':
      /customers\.hash_record may be a function of its row/,
    'create unique index on customers ((public.customers.num_nulls))':
      /customers\.num_nulls may be a function of its row/,
    'create index on twice (id) where twice.to_jsonb is null': /twice\.to_jsonb may be a function of its row/,
    "create index on customers (id) where row(name, email) = row('a', 'b')": /are not followed/,
    "create index on customers (id) where case when email > 'a' then true end":
      /public\.customers\.email is masked for you/,
    "create index on customers (id) where 'a' = any (array[name, email])": /public\.customers\.email is masked for you/,
    'create index on customers (id) where name = any (array[customers::text])': /are not followed/,
    'create index on customers (id) where case customers.num_nulls when 1 then true end':
      /customers\.num_nulls may be a function of its row/,
  },
)
