// Ways to get at a masked value, by families: whatever comes back, in whatever form, the value is not in it.
import t from 'tap'
import { ask, SECRET, tryAll } from '../support/asking.ts'
import { samplePolicy, startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, name text, email text not null, balance numeric, created date default '2020-01-01');
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example', i * 1.5 from generate_series(1, 50) i;
create unique index on customers (email);
create table users (id int primary key, login text, password_hash text);
insert into users select i, 'login' || i, 'hash-of-secret-' || i from generate_series(1, 50) i;
create table notes (id int primary key, customer_id int, note text, amount int);
insert into notes select i, i, 'note ' || i, i from generate_series(1, 50) i;
create view customer_view as select id, email from customers;
create view view_of_view as select id, upper(email) as shout from customer_view;
create view names_only as select id, name from customers;
create view over_names as select id, name from names_only;
create materialized view customer_mat as select id, email from customers;
create table events (id int, happened date, email text) partition by range (happened);
create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
insert into events values (1, '2026-05-05', '${SECRET}');
create table parent (id int, email text);
create table child (extra int) inherits (parent);
insert into child values (1, '${SECRET}', 2);
create function leak_sql() returns text language sql as 'select email from customers where id = 7';
create function leak_table() returns setof customers language sql as 'select * from customers';
create function leak_notice() returns int language plpgsql as $$ begin raise notice '%', (select email from customers where id = 7); return 1; end $$;
create function leak_error() returns int language plpgsql as $$ begin raise exception '%', (select email from customers where id = 7); end $$;
create function leak_arg(text) returns text language sql immutable as 'select $1';
create function card(customers) returns text language sql stable as 'select $1.email';
create function leak_cursor() returns refcursor language plpgsql as $$ declare c refcursor := 'leaky'; begin open c for select email from customers; return c; end $$;
create function tell_change() returns trigger language plpgsql as $$ begin perform pg_notify('changes', to_jsonb(new)::text); return new; end $$;
create trigger told after update on customers for each row execute function tell_change();
create operator ~~~~ (leftarg = text, rightarg = text, function = texticlike);
create function "json_scalar"(int) returns text language sql stable as 'select email from customers where id = $1';
create function "x.lower"(int) returns text language sql stable as 'select email from customers where id = $1';
create function "pg_catalog.lower"(int) returns text language sql stable as 'select email from customers where id = $1';
create table keyed (email text primary key, name text);
insert into keyed select 'user' || i || '@secret.example', 'name ' || i from generate_series(1, 20) i;
create domain area as box;
create domain land as area;
create table plots (id int primary key, password_hash box);
create table edges (id int primary key, password_hash line);
create table lands (id int primary key, password_hash land);
create view hidden_xml as select table_to_xml('customers', true, false, '')::text t;
create view hidden_stats as select tablename, attname, most_common_vals::text, histogram_bounds::text from pg_stats;
create view hidden_query as select query_to_xml('select * from public.customers', true, false, '')::text t;
create table old (id int);
insert into old values (1);
alter table old add column kept text default '${SECRET}';
create view hidden_row as select a::text t from pg_attribute a where attname = 'kept';
do $$ declare n text[] := array(select 'n' || row_number() over () from pg_attribute where attrelid = 'pg_attribute'::regclass and attnum > 0);
begin execute format('create view hidden_names as select %s::text t from pg_attribute a(%s) where n2 = %L',
  n[cardinality(n)], array_to_string(n, ', '), 'kept'); end $$;
create view column_names as select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'old'::regclass and attnum > 0;
reset role;
create foreign data wrapper elsewhere;
create server other foreign data wrapper elsewhere;
grant usage on foreign server other to gate_service;
create user mapping for gate_service server other options (password '${SECRET}');
set role gate_service;
create view hidden_queries as select pg_stat_get_backend_activity(id) as query from pg_stat_get_backend_idset() id;
create view row_beside_column as select c.id, to_jsonb(c) as j from customers c;
create view row_of_join as select j.id, j::text as t from (customers c join notes n using (id)) j;
create view text_of_row as select u.login, u::text as t from users u;
create view over_row as select id, j ->> 'email' as e from row_beside_column;
create view ruled_view as select id, note from notes;
create view ruled_by_row as select id, note from notes;
create rule shows as on insert to ruled_by_row do instead select to_jsonb(c) ->> 'email' as note from customers c where c.id = 7;
create rule shows as on insert to ruled_view do instead select upper(email) as note from customers where id = 7;
create table copies (what text);
create rule copied as on update to events do also insert into copies values (old.email);
create table logins (id int, password_hash text);
insert into logins values (7, '${SECRET}');
create rule copied as on delete to logins do also insert into copies values (old::text);
create table kept_log (what text);
create function keep() returns trigger language plpgsql as $$ begin insert into kept_log values (old::text); return new; end $$;
create trigger keeps after update on users for each row execute function keep();
create table guarded (id int);
insert into guarded values (7);
create function tells(int) returns bool language plpgsql as $$ begin
  raise notice '%', (select email from customers where id = $1); return true; end $$;
create policy telling on guarded using (tells(id));
alter table guarded enable row level security, force row level security;
create view over_guarded as select id from guarded;
create view banded as select id, name from customers where email > 'user5';
create view liked as select id from customers where email like 'user7%';
create view begun as select id from customers where left(email, 5) = 'user7';
create view joined_band as select n.id, c.name from notes n left join customers c on c.id = n.customer_id and c.email < 'user5';
create view lateral_band as select n.id, x.name from notes n, lateral (select name from customers c where c.id = n.id and email ~ '7') x;
create view existing as select c.id from customers c where exists (select from customers o where o.email > c.email and o.id < 9);
create view topmost as select id from customers order by email desc limit 3;
create view first_of as select distinct on (created) created, id from customers order by created, email;
create view ranked as select id from (select id, rank() over (order by email) as place from customers) r where place < 4;
create view clear_part as select c.id from customers c join (values ('user7')) v (part) on v.part = left(c.email, 5);
create view using_part as select c.id from (select id, left(email, 5) as part from customers) c join (select 'user7'::text as part) v using (part);
create view looked_up_band as select id from customers where (id, true) in (select id, email > 'user5' from customers);
create view greatest_of as select c.id from customers c join (select max(email) as most from customers) m on m.most = c.email;
create view cut_by as select c.id from customers c, lateral (select 1 limit (c.email > 'user5')::int) one;
create view sampled_by as select c.id from customers c, lateral (select 1 from notes tablesample bernoulli (100 * (c.email > 'user5')::int)) n;
create view over_band as select id from banded;
create materialized view kept_band as select id from customers where email between 'user1' and 'user5';
create view active as select c.id, c.name, c.email, n.amount from customers c join notes n on n.customer_id = c.id
  where c.balance > 3 and email is not null and coalesce(email, '') <> '' order by c.email;
create view same_mail as select a.id, b.id as other from customers a join customers b on lower(a.email) = lower(b.email);
create domain loud as text check (leak_arg(value) is not null);
analyze;
`

const policy = samplePolicy
  .replace(
    'columns: ["public.customers.email", "*.password_hash"]',
    'columns: ["public.customers.email", "*.password_hash", "public.events.email", "public.parent.email", "public.keyed.email", "public.kept_log.*"]',
  )
  .replace('allow: [engineers, dba]\n      - name: reads', 'allow: [engineers, dba, support]\n      - name: reads')

/** Each is tried over the simple and the extended protocol; `;;` separates messages of one session. */
const attempts: Readonly<Record<string, readonly string[]>> = {
  'plain, renamed, through subqueries and joins': [
    'select email from customers where id = 7',
    'select email as id, id as email from customers',
    'select e from (select email e from customers) x',
    'select * from customers',
    'select c.* from customers c',
    'table customers',
    'with x as (select email from customers) select * from x',
    'with recursive x(e, n) as (select email, 1 from customers where id = 7 union all select e, n + 1 from x where n < 3) select * from x',
    'select email from customers union select note from notes',
    'select email from customers union all select email from customers',
    'select l.email from notes n, lateral (select email from customers c where c.id = n.id) l',
    'select * from customers natural join notes',
    'select email from customers full join notes using (id)',
    'select a.* from customers as a(x, y, z) where x = 7',
    'select distinct email from customers',
    'select (select email from customers where id = 7)',
    'values ((select email from customers where id = 7))',
    'select email from only customers',
    'select "email" from "public"."customers"',
    'select EMAIL from PUBLIC.CUSTOMERS',
    'select U&"\\0065mail" from customers',
    'select /* /* nested */ */ email from customers',
    'select email from customers for update',
    'select email from customers limit 1 offset 6',
    'select email from customers tablesample system (100)',
  ],
  'columns of VALUES beside columns that nobody can count': [
    `select v.e, f.* from customers c, lateral (values (c.email)) v(e), json_to_record('{"a":1}') as f(a int)`,
    'select v.e, (j).* from customers c, lateral (values (c.email)) v(e), (select row(1, 2) j) x',
    'with v(e) as (select x.e from customers c, lateral (values (c.email)) x(e)) select v.e, (j).* from v, (select row(1, 2) j) x',
  ],
  'SELECT INTO of a set operation': [
    "select email into stolen from customers union all select 'x';; select * from stolen",
    "select email into temp stolen from customers union all select 'x';; select reverse(email) from stolen",
    'select 1 into stolen union all (select 2 union all select length(email) from customers)',
  ],
  'names that mean another column to the server than they seem to': [
    'select (select email from (select (select x.* from (select email from customers where id=7) x)) s) from (select 1 as email) y',
    'select (select email from (select (select email.* from (select 1 as foo) email)) s) from customers where id=7',
    'select (select int4 from (select case when true then 1 else 2::int4 end) s) from (select email as int4 from customers where id=7) y',
    'select (select "text" from (select (select 1+1)::text) s) from (select email as text from customers where id=7) y',
    'select (select "case" from (select case when true then 1 else (select 1) end) s) from (select email as "case" from customers where id=7) y',
    "select (select text from (select ('{}'::jsonb)['a']::text) s) from (select email as text from customers where id=7) y",
    'select (select email from (select (email).* from (select n from notes n) as t(email)) s limit 1) from customers where id=7',
    'select (select column3 from (values (c.*)) v) from customers c, (select 1 as column3) y where c.id=7',
    'select (select upper.upper from upper(c.email)) from customers c, (select 1 as upper) upper where c.id=7',
    'select (select reverse.* from reverse(c.email)) from customers c, (select 1 as x) reverse where c.id=7',
    'select (select coalesce.coalesce from coalesce(c.email, null)) from customers c, (select 1 as coalesce) coalesce where c.id=7',
    'select (select public.customers.email from (select 1 as email) customers) from customers where id=7',
    'select (select app.public.customers.email from (select 1 as email) customers) from customers where id=7',
    'with other as (select 1 as email) select (select public.customers.email from other customers) from customers where id=7',
    'select (select a from (select "*" from (select 1 as "*", 2 as a) x) s) from (select email as a from customers where id=7) y',
    'copy (select (select email from (select (select email.* from (select 1 as foo) email)) s) from customers) to stdout',
  ],
  'cursors that EXPLAIN declares': [
    'begin;; declare c cursor for select email from customers union all select email from customers;; explain declare c cursor for select 1;; fetch 8 from c;; rollback',
    'begin;; declare c cursor for select reverse(email) from customers;; explain declare c cursor for select 1;; fetch 8 from c;; rollback',
  ],
  'how much WAL an UPDATE writes': [
    "begin;; explain (analyze, wal, costs off) update users set password_hash = 'x' where id = 7;; rollback",
    'select pg_current_wal_lsn(), pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()',
  ],
  'what another server takes for a function': [
    'select json_scalar(7)',
    'select "x.lower"(7)',
    'select "pg_catalog.lower"(7)',
  ],
  'views that hide what they read': [
    'select * from hidden_xml',
    'select * from hidden_stats',
    'select * from hidden_row',
    'select * from hidden_names',
    // Nobody can read definitions of views over what she has locked.
    ...['hidden_query', 'hidden_queries', 'hidden_row'].map(
      view =>
        `begin;; lock table customers;; savepoint s;; select 1 from no_such_table;; rollback to s;; select * from ${view};; rollback`,
    ),
    "insert into ruled_view values (1, 'x')",
    // PostgreSQL keeps that such a one depends on a column, and not that it does on the row.
    ...['row_beside_column', 'row_of_join', 'text_of_row', 'over_row'].map(view => `select * from ${view}`),
    "select j ->> 'email' from row_beside_column",
    "select id from row_beside_column where j ->> 'email' like 'user7@%'",
    "insert into ruled_by_row values (1, 'x') returning note",
    "insert into ruled_by_row values (1, 'x')",
  ],
  'rules that copy rows of their own table': [
    'update events set id = id where id = 1;; select * from copies',
    'delete from logins where id = 7;; select * from copies',
  ],
  'rules behind names that the open transaction gave': [
    "begin;; alter view ruled_view rename to ruled_too;; insert into ruled_too values (1, 'x');; rollback",
    "begin;; create view over_ruled as select id, note from ruled_view;; insert into over_ruled values (1, 'x');; rollback",
    "create view over_ruled as select id, note from ruled_view; insert into over_ruled values (1, 'x'); drop view over_ruled",
    "begin;; create or replace view names_only as select id, note as name from ruled_view;; insert into over_names values (1, 'x');; rollback",
    "begin;; create schema apart;; alter view ruled_view set schema apart;; insert into apart.ruled_view values (1, 'x');; rollback",
  ],
  'views, partitions, children': [
    'select * from customer_view',
    'select * from view_of_view',
    'select * from customer_mat',
    'select email from events',
    'select email from events_2026',
    'select email from parent',
    'select email from child',
    'select * from child',
  ],
  'whole rows and composites': [
    'select c from customers c',
    'select c::text from customers c',
    'select (c).* from customers c',
    'select (c).email from customers c',
    'select row(c.*) from customers c',
    'select row(email) from customers',
    'select card(c) from customers c',
    'select c.card from customers c',
    'select customers from customers',
    'select array_agg(c) from customers c',
  ],
  'functions and operators over it': [
    'select upper(email) from customers',
    "select email || '' from customers",
    'select substr(email, 1, 3) from customers',
    'select reverse(email) from customers',
    "select translate(email, 'abc', 'nop') from customers",
    'select md5(email) from customers where id = 7',
    "select encode(sha256(convert_to(email, 'UTF8')), 'hex') from customers where id = 7",
    "select encode(convert_to(email, 'UTF8'), 'base64') from customers where id = 7",
    "select encode(email::bytea, 'hex') from customers",
    'select ascii(email) from customers',
    'select length(email) from customers',
    'select min(email), max(email) from customers',
    "select string_agg(email, ',') from customers",
    'select array_agg(email) from customers',
    'select coalesce(email, name) from customers',
    'select greatest(email, name) from customers',
    'select case when id = 7 then email end from customers',
    "select case when email like 'u%' then 1 end from customers",
    "select nullif(email, '') from customers",
    'select email::varchar(5) from customers',
    'select cast(email as char(30)) from customers',
    "select format('%s', email) from customers",
    'select quote_literal(email) from customers',
    'select first_value(email) over (order by id) from customers',
    'select lag(email) over (order by id) from customers',
    "select email ~~~~ 'user7%' from customers",
    'select leak_arg(email) from customers',
    'select email::loud from customers',
    "select regexp_split_to_table(email, '@') from customers",
    'select unnest(array[email]) from customers',
  ],
  'JSON and XML': [
    'select row_to_json(c) from customers c',
    'select to_jsonb(c) from customers c',
    'select json_agg(c) from customers c',
    "select to_jsonb(c) -> 'email' from customers c",
    "select json_build_object('e', email) from customers",
    'select xmlforest(email) from customers',
    'select xmlelement(name e, email) from customers',
    "select query_to_xml('select email from customers', true, false, '')",
    "select table_to_xml('customers', true, false, '')",
    "select schema_to_xml('public', true, false, '')",
    "select database_to_xml(true, false, '')",
    "select cursor_to_xml('leaky', 10, true, false, '')",
    'select hstore(c) from customers c',
  ],
  'an oracle by condition, order, group': [
    "select id from customers where email like 'user7@%'",
    "select id from customers where email > 'm' order by id",
    "select 1 where exists (select 1 from customers where email like 'user7@%')",
    'select id from customers order by email',
    'select id, email from customers order by 2',
    'select count(*) from customers group by email',
    "select n.id from notes n join customers c on c.email like 'u%'",
    "select count(*) filter (where email like 'user7@%') from customers",
    "select id from customers group by id having max(email) like 'u%'",
  ],
  'functions that hide what they read': [
    'select leak_sql()',
    'select * from leak_sql()',
    'select * from leak_table()',
    'select email from leak_table()',
    'select leak_notice()',
    'select leak_error()',
    'select (leak_table()).email',
    'select leak_cursor();; fetch all from leaky',
    'begin;; select leak_cursor();; fetch all from leaky;; rollback',
    'select id from guarded',
    'select * from over_guarded',
    "do $$ begin raise notice '%', (select email from customers where id = 7); end $$",
    "do $$ begin perform set_config('application_name', (select email from customers where id = 7), false); end $$;; show application_name",
    'select public.leak_sql()',
    'select "leak_sql"()',
    "select pg_catalog.query_to_xml('select email from customers', true, false, '')",
  ],
  'another form of the answer': [
    'copy customers to stdout',
    'copy customers (email) to stdout csv',
    'copy (select email from customers) to stdout',
    'copy customers to stdout (format binary)',
    'begin;; declare c cursor for select email from customers;; fetch all from c;; rollback',
    'declare c cursor with hold for select email from customers;; fetch all from c',
    'prepare p as select email from customers;; execute p',
    'prepare p as select upper(email) from customers;; execute p',
    "prepare p(text) as select $1 || email from customers;; execute p('x')",
    'prepare p as select email from customers;; create temp table stolen as execute p;; select * from stolen',
    'prepare p as select reverse(email) e from customers;; create table stolen as execute p;; select e from stolen',
    'prepare p as select email from customers;; explain (analyze, verbose) execute p',
    'explain select * from customers where email = (select email from customers where id = 7)',
    'explain (analyze, verbose) select email from customers',
    'create temp table t as execute p',
  ],
  notifications: [
    'listen changes;; update customers set name = name where id = 7;; select 1',
    "begin;; listen changes;; commit;; update customers set name = 'x' where id = 7 returning id;; select 1",
  ],
  'errors and notices that talk': [
    'select email::int from customers where id = 7',
    'select cast((select email from customers where id = 7) as int)',
    "insert into customers values (100, 'x', 'user7@secret.example')",
    'update customers set email = null where id = 7',
    'update customers set id = null where id = 7',
    'insert into customers (id, name, email) select 7, name, email from customers',
    'select 1 / (length(email) - length(email)) from customers',
    'select date(email) from customers where id = 7',
    "alter table customers add constraint c check (email = '')",
    'alter table customers alter column email type int using email::int',
  ],
  'carrying it away': [
    'create table stolen as select email from customers;; select * from stolen',
    'select email into stolen from customers;; select * from stolen',
    'create temp table stolen as select * from customers;; select * from stolen',
    'insert into notes (id, note) select id + 1000, email from customers;; select note from notes',
    'update notes set note = (select email from customers where id = 7);; select note from notes',
    'update notes set note = c.email from customers c where c.id = notes.id;; select note from notes',
    'merge into notes n using customers c on c.id = n.id when matched then update set note = c.email;; select note from notes',
    'update customers set name = email;; select name from customers',
    'update customers set name = email returning name',
    'delete from customers where id = 7 returning email',
    'insert into notes (id, note) values (2000, (select email from customers where id = 7));; select note from notes',
    "insert into customers as c (id, name, email) values (7, 'x', 'y') on conflict (id) do update set name = c.email;; select name from customers",
    'create view stolen as select email e from customers;; select * from stolen',
    'create materialized view stolen as select email e from customers;; select * from stolen',
    "create function stolen() returns text language sql as 'select email from customers limit 1';; select stolen()",
    "create function pg_temp.stolen() returns text language sql as 'select email from public.customers limit 1';; select pg_temp.stolen()",
    'create rule r as on insert to notes do also update notes set note = (select email from customers where id = 7);; insert into notes values (3000);; select note from notes',
    'create table stolen (like customers including all)',
    'create table stolen () inherits (customers);; select email from stolen',
    'alter table customers rename to renamed;; select email from renamed',
    'alter table customers rename column email to mail;; select mail from customers',
    'alter table customers set schema pg_temp',
    'create index on customers (upper(email));; select * from pg_stats',
    "create table stolen (e text default (current_setting('x.y', true)))",
    "select set_config('x.y', email, false) from customers where id = 7;; select current_setting('x.y')",
    "select pg_notify('c', email) from customers;; select 1",
    'select pg_terminate_backend(length(email)) from customers where id = 7',
    'select pg_cancel_backend(pid) from pg_stat_activity, customers c where c.id = 7 and pg_cancel_backend(ascii(c.email))',
    "select setval('s', length(email)) from customers",
    "comment on table notes is 'x'",
    'create sequence s;; select * from s',
    'with d as (delete from customers where id = 7 returning email) select * from d',
    'with i as (insert into notes select id + 5000, id, email from customers returning note) select * from i',
  ],
  'catalogs and what others do': [
    "select most_common_vals, histogram_bounds from pg_stats where tablename = 'customers'",
    "select * from pg_stats where tablename = 'customers'",
    'select * from pg_statistic',
    'select stavalues1 from pg_statistic',
    'select query from pg_stat_activity',
    'select * from pg_stat_activity',
    'select * from pg_stat_get_activity(null)',
    'select statement from pg_prepared_statements',
    'select * from pg_cursors',
    'select data from pg_largeobject',
    'select * from information_schema.user_mapping_options',
    'select umoptions from information_schema._pg_user_mappings',
    'select * from hidden_queries',
    'select lo_get(1)',
    "select pg_read_file('postgresql.conf')",
    "select * from ts_stat('select to_tsvector(email) from customers')",
    "select * from pg_ls_dir('.')",
    "select pg_get_viewdef('customer_view')",
  ],
  'a table of guesses that is called as the masked one': [
    "create temp table customers (id int, name text, email text not null, balance numeric, created date);; insert into pg_temp.customers select i, '', 'user' || i || '@secr' || 'et.example' from generate_series(1, 50) i;; select c.id, g.email from public.customers c join customers g on g.email = c.email",
    "create temp table customers (id int, name text, email text not null, balance numeric, created date);; insert into pg_temp.customers select i, '', 'user' || i || '@secr' || 'et.example' from generate_series(1, 50) i;; select c.id, g.email from public.customers c join customers g using (email)",
    "create temp table customers (email text);; insert into pg_temp.customers select 'user' || i || '@secr' || 'et.example' from generate_series(1, 50) i;; select c.id, g.email from public.customers c, (select email from customers union all select email from keyed where false) g where g.email = c.email",
  ],
  'tables that a trigger takes for others': (() => {
    const write = 'update public.users set login = login where id = 7'
    return [
      `create temp table kept_log (what text);; ${write};; select what from pg_temp.kept_log`,
      `create table pg_temp.kept_log (what text);; ${write};; select what from kept_log`,
      `select null::text as what into temp kept_log;; ${write};; select what from kept_log`,
      `create temp table kept_log as select null::text as what;; ${write};; select what from kept_log`,
      `explain analyze create temp table kept_log as select null::text as what;; ${write};; select what from kept_log`,
      `begin;; create temp table a (what text);; alter table a rename to kept_log;; ${write};; select what from kept_log;; rollback`,
      `create schema mine;; create table mine.kept_log (what text);; set search_path = mine, public;; ${write};; select what from mine.kept_log`,
      `create schema mine;; set search_path = mine;; create table if not exists kept_log (what text);; set search_path = mine, public;; ${write};; select what from mine.kept_log`,
      `create schema gate_service;; create table if not exists kept_log (what text);; ${write};; select what from gate_service.kept_log`,
      `create schema mine;; create table mine.a (what text);; alter table mine.a rename to kept_log;; set search_path = mine, public;; ${write};; select what from mine.kept_log`,
    ]
  })(),
  'temporary tables with masked columns of their own': [
    "create temp table mine (password_hash text);; insert into mine values ('sec' || 'ret');; select reverse(password_hash) from pg_temp.mine",
  ],
  'hiding it': [
    'select 1; select email from customers',
    'select 1;; select email from customers; select 2',
    'set search_path = pg_temp, public; create temp table customers (email text); select email from public.customers',
    'set search_path = pg_catalog;; select email from public.customers',
    "select email from customers where 'a' = E'\\\\'' or email = 'x'",
    'select $q$;$q$, email from customers',
    'select $é$ x $é$, email from customers',
    "set standard_conforming_strings = off;; select '\\\\', email from customers",
    "set client_encoding = 'SJIS';; select email from customers",
    'set role postgres;; select email from customers',
    'set "ROLE" to postgres;; select email from customers',
    'set "Session_Authorization" to postgres;; select email from customers',
    "select set_config('role', 'postgres', false);; select email from customers",
    "update pg_settings set setting = 'postgres' where name = 'role'",
    'reset session authorization;; select email from customers',
    'set session authorization gate_service;; select email from customers',
  ],
}

t.test('a person from whom columns are masked', async t => {
  await using world = await startWorld({ policy, sql: setup })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const bob = await world.person('bob')
  await using clear = await bob.connect('prod-db')

  await t.test('the secret is there for those who may see it, in every form that is looked for', async t => {
    const seen = await ask(
      clear.port,
      ["select email, encode(email::bytea, 'hex'), reverse(email), md5(email) from customers where id = 7"],
      false,
      false,
    )
    t.match(seen.text, SECRET)
    t.match(seen.text, Buffer.from('secret').toString('hex'))
  })

  await tryAll(t, gate.port, attempts)

  await t.test('a key without overlaps leaves the order of groups to what is beside it', async t => {
    if (world.postgres.version < 18) return
    const columns = 'id int4range, during daterange, password_hash text, primary key (id, during without overlaps)'
    await world.postgres.query(`set role gate_service; create table spans (${columns})`, 'app')
    const groups = 'select id from spans group by id, during, password_hash'
    t.ok((await ask(gate.port, [groups], false, false)).refused)
  })

  await t.test('nothing was carried to where it could be read', async t => {
    const notes = await world.postgres.query("select count(*) from notes where note like '%secret%'", 'app')
    t.same(notes, [['0']])
    t.same(await world.postgres.query("select count(*) from customers where name like '%secret%'", 'app'), [['0']])
    t.same(
      await world.postgres.query("select count(*) from pg_class where relname = 'stolen'", 'app'),
      [['0']].map(() => [String(stolenTables)]),
    )
  })

  await t.test('the gaps that the documents admit', async t => {
    const guess = await ask(
      gate.port,
      [`insert into customers values (9999, 'x', 'user9@secret.example', 1)`],
      false,
      false,
    )
    t.match(guess.text, /23505/, 'a unique index tells that a value exists, and no more')
    t.notMatch(guess.text, /Key \(email\)/)
    const own = ['create temp table own (password_hash text)', "insert into own values ('a')", 'select * from own']
    const made = await ask(gate.port, ['begin', ...own, 'commit', 'select * from own'], false, false)
    t.match(made.text, /"a".*"\*{4}"/s, 'masks of names begin with COMMIT where a transaction makes the names')
  })

  await t.test('a notification comes without its payload', async t => {
    const messages = ['listen changes', "update customers set name = 'told' where id = 30", 'select 1']
    t.match((await ask(clear.port, messages, false, false)).text, /"channel":"changes","payload":"\{.*user30@secret/)
    t.match((await ask(gate.port, messages, false, false)).text, '"channel":"changes","payload":""')
  })

  await t.test('what tells of a value that does not come itself is refused', async t => {
    const telling = [
      ...(attempts['how much WAL an UPDATE writes'] ?? []),
      // Constants that are another for each row.
      "select g from customers c, generate_series(1, 3) g where c.email = (case g when 1 then 'a' when 2 then 'b' end)",
      "select id from customers where email = (case when random() < 0.5 then 'a' else 'b' end)",
      "select c.id, g from customers c join generate_series(0, 9) g on c.email = ((g % 2 = 1)::int::text || 'a')",
      'select c.id from customers c, generate_series(1, 9) g where c.email = (exists (select 1 where g > 3))::text',
      // The order in which groups of a key are found.
      'select name from keyed group by email limit 3',
      'select name from keyed group by email, email, name',
      // The server's own files hold everything, and its programs read them.
      "copy notes from program 'echo 1'",
      "copy notes to program 'cat'",
      "copy notes from '/etc/hostname'",
      // Boxes are compared by their area.
      "select id from plots where password_hash = box '((0,0),(2,3))'",
      "select id from edges where line '{2e-6,0,0}' = password_hash",
      "select id from plots where (select password_hash from plots where id = 7) = box '((0,0),(2,3))'",
      "select (select password_hash from plots where id = 7) = box '((0,0),(2,3))'",
      "select id from notes where box '((0,0),(2,3))' in (select password_hash from plots)",
      "select id from lands where password_hash = box '((0,0),(2,3))'",
      // Views that show who is above or below a value.
      ...[
        'banded',
        'liked',
        'begun',
        'joined_band',
        'lateral_band',
        'existing',
        'topmost',
        'clear_part',
        'cut_by',
        'sampled_by',
        'using_part',
        'looked_up_band',
        'greatest_of',
        'first_of',
        'ranked',
        'over_band',
      ].flatMap(view => [`select id from ${view}`, `select count(*) from ${view}`]),
      'select id from kept_band',
      "update banded set name = 'hit'",
      // What an index page a value is, or would be, on.
      'select * from pg_lock_status()',
      "select 1 from pg_locks where page = 1 and mode = 'SIReadLock'",
      'grant select on all tables in schema public to public',
      // Settings that steer the planner, through a view that no snapshot shows.
      "begin;; create temp view s as select * from pg_settings;; update s set setting = 'off' where name = 'enable_seqscan';; rollback",
      "create temp view s as select * from pg_settings; update s set setting = 'off' where name = 'enable_seqscan'; drop view s",
    ]
    for (const text of telling) t.ok((await ask(gate.port, text.split(';;'), false, false)).refused, text)
  })

  await t.test('nothing says where in an index a value is, or would be', async t => {
    const looking = async (port: number, guess: string): Promise<string> => {
      const messages = ['begin isolation level serializable', 'set local enable_seqscan = off']
      const look = `select id from customers where email = '${guess}'`
      const where =
        "select page, tuple, l.page, (l).tuple from pg_locks l where mode = 'SIReadLock' and locktype = 'page'"
      const { text } = await ask(
        port,
        [...messages.slice(0, port === clear.port ? 2 : 1), look, where, 'rollback'],
        false,
        false,
      )
      return text
    }
    t.match(await looking(clear.port, 'no such value'), /\[\[1,null,1,null\]\]/, 'the server says it')
    const told = await looking(gate.port, 'no such value')
    t.notMatch(told, /\[\[\d/, told)
  })

  await t.test('and yet she can work', async t => {
    const works = [
      'select id, name from customers where id = 7',
      'select * from names_only limit 3',
      'select id, email, amount from active where amount > 5 order by id',
      'select * from same_mail order by id limit 3',
      "select id from customers where coalesce(email, '') <> ''",
      'select * from column_names',
      'select name as email, count(*) from customers group by name order by email limit 2',
      'select x.count, x.lower from (select count(*), lower(name) from customers group by 2) x order by 2 limit 1',
      'select upper.upper from upper((select name from customers where id = 7))',
      "begin;; create sequence numbers;; select setval('numbers', 7), nextval('numbers');; rollback",
      "select pg_notify('told', 'by her')",
      'reset role',
      'set role none',
      'set session authorization default;; reset all',
      'select id, email, balance from customers where balance > 10 order by id limit 5',
      'select count(*), sum(amount) from notes',
      'select c.name, count(*), max(n.amount) from customers c join notes n on n.customer_id = c.id group by c.name order by 2 desc limit 3',
      'with top as (select id, email from customers order by balance desc limit 3) select * from top',
      "select id, email from customers where email = 'user7@secret.example'",
      'select id, upper(name), balance * 2 from customers where id in (select customer_id from notes where amount > 3)',
      'select n.note, c.name from notes n join customers c on c.id = n.customer_id where n.amount > 5 order by n.id limit 3',
      "insert into notes values (9000, 1, 'new', 1)",
      "update notes set note = 'changed' where id = 9000",
      'delete from notes where id = 9000',
      "update customers set name = 'renamed' where id = 3",
      'begin;; alter view names_only rename to other_names;; select count(*) from other_names;; rollback',
      "begin;; create view own_notes as select id, note from notes;; insert into own_notes values (9001, 'x');; rollback",
      'begin;; create view own_ruled as select id from ruled_view;; select count(*) from own_ruled;; rollback',
      'begin;; savepoint s;; select 1;; rollback to s;; commit',
      "select relname from pg_class where relname = 'customers'",
      'select now(), current_user, version(), pg_backend_pid()',
      'show search_path;; set search_path = public;; reset search_path',
      'explain select id from notes',
      'copy notes to stdout',
      'begin;; create temp table own_notes as select id, note from notes;; alter table own_notes rename to more_notes;; rollback',
      'begin;; create table report as select count(*) as n from notes;; create table if not exists users (id int);; rollback',
      "update users set login = 'x' where id = 3",
    ]
    for (const statement of works) {
      for (const extended of [false, true]) {
        const { refused, text } = await ask(
          gate.port,
          statement.split(';;'),
          extended && !statement.startsWith('copy'),
          false,
        )
        t.notOk(refused, `${statement}: ${text.slice(0, 200)}`)
      }
    }
  })
})

/** `create table stolen (e text default …)` and the like hold nothing; they are not refused. */
const stolenTables = 1
