// Tables under the names of others: migrations put one in the place of another, and nobody gets what triggers write to it.
import pg from 'pg'
import t from 'tap'
import { startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, name text, email text);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
create table audit_log (id serial, what text);
create function logs() returns trigger language plpgsql as $$ begin insert into audit_log values (default, new.email); return new; end $$;
create trigger logs after update of name on customers for each row execute function logs();
create schema kept;
create table kept.trail (id serial, what text);
create function trails() returns trigger language plpgsql as $$ begin insert into trail (what) values (new.email); return new; end $$;
create trigger trails after update of email on customers for each row execute function trails();
create table outbox (what text);
create view mails as select what from outbox;
create table sent (id int, what text) partition by range (id);
create table sent_1 partition of sent for values from (1) to (1000);
create table "SentMails" (id int, what text);
create function "Keep It"(said text) returns void language plpgsql as $$ begin insert into "SentMails" values (1, said); end $$;
create table letters (id int, email text);
insert into letters values (1, 'letter@secret.example');
create function sends() returns trigger language plpgsql as $$ begin
  insert into mails values (new.email); insert into sent_1 values (1, new.email); perform "Keep It"(new.email); return new; end $$;
create trigger sends after update on letters for each row execute function sends();
create table orders (id int primary key, total int);
insert into orders values (1, 10);
create materialized view totals as select sum(total) as n from orders;
create schema tenant;
create table tenant.c (id int);
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: [customers.email, letters.email, public.audit_log.what, kept.trail.what], with: redact }
      - { columns: [outbox.what, sent.what, SentMails.what], with: redact }
`

/** Each message by itself; what the last one gave, or the first error. */
async function said(client: pg.Client, ...messages: string[]): Promise<string> {
  let last = ''
  for (const text of messages) {
    try {
      const result = (await client.query({ text, rowMode: 'array' })) as unknown as { rows: unknown[][] }
      last = JSON.stringify(result.rows)
    } catch (thrown) {
      await client.query('rollback')
      return String(thrown)
    }
  }
  return last
}

t.test('a person from whom columns are masked', async t => {
  await using world = await startWorld({ policy, sql: setup })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const open = async (): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'carol', database: 'app' })
    client.on('error', () => {})
    await client.connect()
    t.teardown(() => client.end())
    return client
  }
  const client = await open()

  await t.test('puts a table in the place of another that no code of others names', async t => {
    const fresh = 'create table orders_new (id int primary key, total numeric)'
    const swap = ['alter table orders rename to orders_old', 'alter table orders_new rename to orders']
    t.equal(await said(client, 'begin', fresh, ...swap, 'drop table orders_old cascade', 'table orders'), '[]')
    await client.query('rollback')
    const kept = 'create materialized view totals_new as select 2 as n'
    const others = [
      'alter materialized view totals rename to totals_old',
      'alter materialized view totals_new rename to totals',
    ]
    t.equal(await said(client, kept, ...others, 'select n from totals'), '[[2]]')
    t.equal(await said(client, 'create table tenant.orders (id int)', 'table tenant.orders'), '[]')
    t.equal(await said(client, 'create temp table orders as select 5 as id', 'table orders', 'drop table orders'), '[]')
    t.equal(
      await said(client, 'set search_path = tenant, public', 'create table totals (id int)', 'table totals'),
      '[]',
    )
    await client.query('reset search_path')
  })

  await t.test('reads what DROP says', async t => {
    const notices: string[] = []
    client.on('notice', ({ message }) => notices.push(message ?? ''))
    await said(client, 'drop table if exists no_such_table', 'drop view if exists no_such_schema.v')
    await said(client, 'create table a (id int)', 'create view b as table a', 'drop table a cascade')
    const nowhere = 'alter table if exists no_such_table'
    await said(client, `${nowhere} add column x int`, `${nowhere} rename to x`, `${nowhere} set schema tenant`)
    await said(client, `${nowhere} rename column a to b`, 'alter table tenant.c drop column if exists no_such_column')
    t.same(notices, [
      'table "no_such_table" does not exist, skipping',
      'schema "no_such_schema" does not exist, skipping',
      'drop cascades to view b',
      ...Array.from({ length: 4 }, () => 'relation "no_such_table" does not exist, skipping'),
      'column "no_such_column" of relation "c" does not exist, skipping',
    ])
    t.match(
      await said(client, 'begin', 'create table a (id int)', 'create view b as table a', 'drop table a'),
      /other objects depend/,
    )
  })

  await t.test('gets nothing of what triggers write to one of that name', async t => {
    const log = 'audit_log (id serial, plain text)'
    const drop = 'drop table audit_log'
    const update = "update customers set name = 'x' where id = 7"
    const read = 'select plain from audit_log'
    // A session that has never set search_path.
    const client = await open()
    t.equal(await said(client, `create table if not exists ${log}`), '[]', 'what is there is not made')
    const mailing = "update customers set email = 'x' || email where id = 7"
    for (const messages of [
      [
        'create table trail (id serial, what text)',
        'set search_path = public, kept',
        mailing,
        'select what from public.trail',
      ],
      ['create view trail as select 1 as id, name as what from customers'],
      [`create temp table ${log}`, update, read],
      [`create table tenant.${log}`],
      ['begin', drop, `create table ${log}`, 'commit', update, read],
      ['begin', drop, `create temp table ${log}`, 'commit', update, read],
      [
        'begin',
        drop,
        `create table mine (id serial, plain text)`,
        'alter table mine rename to audit_log',
        'commit',
        update,
        read,
      ],
      ['begin', drop, "create view audit_log as select id, '' as plain from orders"],
      ['begin', drop, 'create table audit_log as select 1 as id, name as plain from customers'],
      ['begin', drop, `create table tenant.${log}`, 'alter table tenant.audit_log set schema public'],
      [
        'create table audit_log2 (id serial, plain text)',
        'begin',
        drop,
        'commit',
        'alter table audit_log2 rename to audit_log',
      ],
      [`create table ${log}`, update, read],
    ])
      t.match(await said(client, ...messages), /gate: columns are masked for you, and triggers/, messages.join('; '))
    t.equal(await said(client, `create table if not exists orders (id int)`), '[]')
  })

  await t.test('keeps views and partitions that triggers write to, and what functions of odd names do', async t => {
    const update = 'update letters set id = id + 1'
    for (const messages of [
      ['drop view mails', 'create table mails (plain text)', update, 'table mails'],
      ['drop table outbox cascade', 'create table mails (plain text)', update, 'table mails'],
      ['create table mine (what text)', 'create or replace view mails as select what from mine', update, 'table mine'],
      ['drop table sent_1', 'create table sent_1 (id int, plain text)', update, 'table sent_1'],
      ['drop table sent', 'create table sent_1 (id int, plain text)', update, 'table sent_1'],
      ['drop schema public cascade'],
      ['drop table "SentMails"', 'create table "SentMails" (id int, plain text)', update, 'table "SentMails"'],
    ])
      t.match(await said(client, ...messages), /gate: columns are masked for you, and triggers/, messages.join('; '))
    t.equal(
      await said(client, 'create schema spare', 'create table spare.a (id int)', 'drop schema spare cascade'),
      '[]',
    )
    // A view that it does not name is no reason.
    t.equal(await said(client, 'create view unnamed as select id from customers', 'drop view unnamed cascade'), '[]')
  })

  await t.test('puts none in the place of another where an extension composes names for code of others', async t => {
    const fresh = ['create table orders_ext (id int)', 'create temp table orders (id int)']
    t.equal(await said(client, 'begin', ...fresh), '[]')
    await client.query('rollback')
    await world.postgres.query(
      `create extension hstore; create function sent_on(said text) returns void language plpgsql as
        $$ begin execute 'insert into ' || 'orders values ($1)' using said; end $$;
      alter extension hstore add function sent_on(text);
      set role gate_service; create function hands() returns trigger language plpgsql as
        $$ begin perform sent_on(new.email); return new; end $$;
      create trigger hands after update on customers for each row execute function hands()`,
      'app',
    )
    t.match(await said(client, 'begin', ...fresh), /in the place of another/)
    await world.postgres.query('set role gate_service; drop function hands() cascade', 'app')
  })

  await t.test('puts none in the place of another where code of others composes names', async t => {
    await world.postgres.query(
      `set role gate_service; create function composed() returns trigger language plpgsql as
        $$ begin execute 'insert into ' || tg_argv[0] || ' values ($1)' using new.email; return new; end $$;
      create trigger composed after update on customers for each row execute function composed('orders')`,
      'app',
    )
    const fresh = ['create table orders_new (id int)', 'alter table orders rename to orders_old']
    t.match(await said(client, 'begin', ...fresh, 'alter table orders_new rename to orders'), /in the place of another/)
  })
})

t.test('where a mask is for a column of any table', async t => {
  const any = policy.replace('customers.email', '"*.email"')
  await using world = await startWorld({ policy: any, sql: setup })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'carol', database: 'app' })
  client.on('error', () => {})
  await client.connect()
  t.teardown(() => client.end())
  const again = 'create table mails (plain text)'
  t.match(await said(client, 'drop view mails', again), /triggers write what is masked to a table called mails/)
  t.equal(await said(client, 'create table said (id int)', 'table said'), '[]', 'a word for something else')
})
