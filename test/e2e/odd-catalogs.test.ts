// Catalogs as somebody made them past gate: keys that hold for nobody yet, families with several masks, rules and views over
// PostgreSQL's own catalogs, views that the server cannot explain; and sequences that tell what they are called by.
import t from 'tap'
import { Talk } from '../support/talk.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, name text, email text, ssn text);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example', chr(96 + i) || '-secret' from generate_series(1, 9) i;
create sequence seq_a;
create sequence seq_g;
create table parted (id int, email text) partition by list (id);
create table parted_1 partition of parted for values in (1);
alter table parted_1 alter id set not null;
insert into parted values (1, 'z@secret.example'), (1, 'a@secret.example');
create table parent (id int, phone text);
create table child () inherits (parent);
insert into child values (1, '12345-secret-6789');
create table a_parent (id int, phone text);
create table z_child () inherits (a_parent);
insert into z_child values (1, '12345-secret-6789');
create function made() returns text language sql as $$ select 'my secret' $$;
create view sources as select proname, prosrc from pg_proc where proname = 'made';
create view sources_worked_out as select proname, upper(prosrc) as s from pg_proc where proname = 'made';
create table ruled (id int);
create table rule_log (q text);
create rule r as on insert to ruled
  do also insert into rule_log select query_to_xml('select email from customers', true, false, '')::text;
create table plainly_ruled (id int);
create rule r as on insert to plainly_ruled do also insert into rule_log select upper(now()::text);
create function gone(int) returns int language sql immutable as 'select 1';
create view damaged as select gone(1) as one;
create table history (id int, kept customers);
insert into history select id, c from customers c;
create table histories (id int, all_kept customers[]);
insert into histories select 1, array_agg(c) from customers c;
create view kept_view as select id, kept from history;
create view sound as select id, email from customers;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: ["*.email", "pg_catalog.pg_proc.prosrc"], with: redact }
      - { columns: ["*.ssn"], with: redact, computed: mask }
      - { columns: ["parent.phone", "a_parent.phone"], with: partial }
      - { columns: ["child.phone", "z_child.phone"], with: redact }
`

t.test('what a masked person sees of catalogs that were made past gate', async t => {
  await using world = await startWorld({ policy, sql: setup, postgres: { settings: { log_statement: 'all' } } })
  const query = (text: string): Promise<string[][]> => world.postgres.query(text, 'app')
  await query('alter table only parted add primary key (id)')
  await query("delete from pg_proc where proname = 'gone'")
  await using carol = await (await world.person('carol')).connect('prod-db')
  const ask = async (text: string): Promise<string> => {
    const talk = await Talk.start(carol.port)
    const answer = await talk.ask(text)
    talk.close()
    return answer.replace(/[\0-\x1f]/g, '')
  }

  t.match(
    await ask('select id, email from parted order by id, email'),
    /^42501 gate: .* cannot be used in ORDER BY/,
    'a primary key that does not hold for all partitions yet puts no rows in order',
  )
  for (const table of ['parent', 'child', 'a_parent', 'z_child'])
    t.equal(await ask(`select phone from ${table}`), '****', `${table}: the strictest mask of a family is that of all`)
  t.match(world.postgres.log(), 'set local jit = off', 'the server compiles nothing to be asked for its catalog')
  t.match(await ask('select prosrc from sources'), /^\*\*\*\*$/, "a view over PostgreSQL's own catalog")
  t.match(await ask('select s from sources_worked_out'), /^42501 gate: .* would be computed from it/)
  t.match(
    await ask("select routine_definition from information_schema.routines where routine_name = 'made'"),
    /^42501 gate: the view information_schema.routines/,
    'one that PostgreSQL has over it',
  )
  t.match(await ask("select table_name from information_schema.tables where table_name = 'ruled'"), 'ruled')
  t.match(await ask('insert into ruled values (1)'), /^42501 gate: .*rules of public.ruled/)
  t.equal(await ask('insert into plainly_ruled values (1)'), '', 'a rule that only computes')
  t.same(await query("select from rule_log where q like '%secret%'"), [])
  t.equal(await ask('select email from sound where id = 7'), '****', 'beside a view that the server cannot explain')
  t.match(await ask('select * from damaged'), /^42501 gate: the view public.damaged/)

  t.match(
    await ask('select id, kept from history where id = 7'),
    /^7ÿ+$/,
    'a row of a masked table that is kept in a column',
  )
  t.match(await ask('select id, all_kept from histories'), /^1ÿ+$/, 'many of them')
  t.match(await ask('select id, kept from kept_view where id = 7'), /^7ÿ+$/, 'in a view')
  t.match(await ask('select (kept).email from history'), /^42501 gate: public.history.kept is masked for you/)
  t.match(await ask('select to_json(kept) from history'), /^42501 gate: public.history.kept is masked for you/)
  t.equal(await ask('select count(*) from history'), '9')

  t.match(
    await ask("select nextval(('seq_' || left(ssn, 1))::regclass) from customers where id = 7"),
    /^42501 gate: public.customers.ssn is masked for you, so it cannot be copied/,
  )
  t.same(await query('select a.is_called, g.is_called from seq_a a, seq_g g'), [['false', 'false']])
  t.equal(await ask("select nextval('seq_a'), upper(ssn) from customers where id = 7"), '1****')
})
