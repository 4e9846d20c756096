// Rows that are kept while what their names mean becomes something else: of cursors WITH HOLD, materialized views, columns of rows.
import t from 'tap'
import { errors, query, said } from '../support/messages.ts'
import { run, Talk } from '../support/talk.ts'
import { client } from '../support/wire.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, name text, email text);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
create table notes (id int primary key, note text);
insert into notes select i, 'note ' || i from generate_series(1, 9) i;
`

const seen = 'drop view if exists seen; create view seen as select id, email as shown, name from customers'

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support, engineers] }
    rules: [{ name: everything, allow: [support, engineers] }]
    mask: [{ columns: [customers.email], for: { groups: [support] }, with: redact }]
`

const computed = 'select n.id, n.note, (select shown from seen s where s.id = n.id) from notes n order by n.id'
const plain = 'select id, name, shown from seen order by id'

/** Afterwards what the cursors name shows no masked column where it showed one. */
const replaced = 'create or replace view seen as select id, name as shown, email as name from customers'
const another = 'drop view seen; create view seen as select id, note as shown, note as name from notes'

/** Ways to go on with a cursor. */
const ways: Readonly<Record<string, readonly Buffer[]>> = {
  FETCH: query('fetch 1 from k'),
  'FETCH over the protocol': [...run('fetch 1 from k'), client.sync],
  'Execute of the portal': [client.execute('k', 1), client.sync],
}

t.test('rows of a cursor WITH HOLD stay masked as they were when it was declared', async t => {
  await using world = await startWorld({ policy, sql: setup })
  const [carol, alice] = [await world.person('carol'), await world.person('alice')]
  await using gate = await carol.connect('prod-db')
  await using whole = await alice.connect('prod-db')
  const talk = await Talk.start(gate.port)
  const other = await Talk.start(whole.port)
  const say = async (to: Talk, units: readonly Buffer[]): Promise<string> => {
    const answers = await to.say([...units])
    t.same(errors([answers]), [])
    return said([answers])
  }
  for (const [form, declared] of Object.entries({ computed, plain }))
    for (const [who, changing] of [
      [talk, another],
      [other, another],
      [other, replaced],
    ] as const)
      for (const [way, units] of Object.entries(ways)) {
        await say(other, query(seen))
        await say(talk, query(`begin; declare k cursor with hold for ${declared}; commit`))
        t.match(await say(talk, units), '****', `${form}, ${way}, before`)
        await say(who, query(changing))
        const answer = await say(talk, units)
        t.notMatch(answer, 'secret', `${form}, ${way}, after ${changing}`)
        if (form === 'computed') t.match(answer, /note 2.*\*\*\*\*/s, 'what was clear still is')
        await say(talk, query('close k'))
      }

  await say(other, query('create view clear as select id, name from customers'))
  await say(
    talk,
    query('begin; declare k cursor with hold for select id, (select name from clear limit 1) from notes; commit'),
  )
  await say(other, query('drop view clear; create view clear as select id, note as name from notes'))
  t.match(await say(talk, query('fetch 1 from k')), 'name 1', 'a cursor of nothing masked')
  await say(talk, query('close k'))
  await say(
    talk,
    query(
      'begin; create temp table mine as select 7 as id, note from notes; declare k cursor with hold for select * from mine; commit',
    ),
  )
  t.match(await say(talk, query('fetch 1 from k')), 'note 1', 'a cursor of what its transaction made')
  for (const each of [talk, other]) each.close()
})

t.test('a view whose rows are kept is not replaced by somebody from whom it is masked', async t => {
  const kept = `${setup} ${seen};
create materialized view list as select id, shown from seen;
create table marked (id int, row seen);
insert into marked select id, s from seen s;
create view outer_clear as select id, name from seen;
create materialized view names as select name from outer_clear;
create view loose as select id, email as shown from customers;
create view base as select id, email as shown from customers;
create materialized view based as select * from base;
create function pick() returns table (id int, shown text) language plpgsql stable as $$ begin return query select c.id, c.email from customers c; end $$;
create view picked as select * from pick();
create table chosen (id int, row picked, rows picked[]);
insert into chosen select id, p, array[p] from picked p;
create view harmless as select id, upper(note) as note from notes;
create table noted (id int, row harmless);
insert into noted select id, h from harmless h;
`
  await using world = await startWorld({ policy, sql: kept })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const talk = await Talk.start(gate.port)
  t.match(await talk.ask('table list'), '****')
  t.match(await talk.ask(replaced), 'keeps rows that seen showed')
  t.notMatch(await talk.ask('table list'), 'secret')
  t.notMatch(await talk.ask('table marked'), 'secret')
  t.notMatch(await talk.ask('table chosen'), 'secret', 'rows of a view that calls a function')
  t.match(await talk.ask('select (row).shown from chosen'), 'is masked for you')
  t.match(await talk.ask('select (row).note, id from noted'), 'NOTE 1', 'rows of a view of nothing masked')
  await world.postgres.query('set role gate_service; drop materialized view list', 'app')
  t.match(await talk.ask(replaced), 'keeps rows that seen showed', 'rows in a column are kept as well')

  const clear = 'create or replace view outer_clear as select id, name from seen where id < 5'
  for (const text of [
    clear,
    clear
      .replaceAll('outer_clear', 'loose')
      .replace('name from seen', 'note from notes')
      .replace('note', 'note as shown'),
  ])
    t.equal(await talk.ask(text), '', text)

  const anew = 'create view base as select id, note as shown from notes'
  for (const text of ['create schema shelf', anew.replace('base', 'shelf.base')])
    t.equal(await talk.ask(text), '', `${text}: another one stays as it is`)
  t.notMatch(await talk.ask('table based'), 'secret')
  t.match(await talk.ask(anew.replace('view', 'or replace view')), 'keeps rows that base showed')
  t.match(await talk.ask(anew), 'already exists')
  t.equal(await talk.ask(`drop materialized view based; drop view base; ${anew}`), '', 'what kept its rows is gone')
  talk.close()
})
