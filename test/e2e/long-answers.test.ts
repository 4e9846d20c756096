// Statements that wait at the server while others give what they name another meaning: what comes is judged once more.
import t from 'tap'
import { run, Talk } from '../support/talk.ts'
import { client, type Message } from '../support/wire.ts'
import { startWorld } from '../support/world.ts'

const names = ['simple', 'piped', 'filtered', 'failing'] as const
const setup = `
create table customers (id int primary key, name text, secret text);
insert into customers select i, 'name ' || i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
${names.map(name => `create table ${name} (id int, note text); create table ${name}_next as select id, secret from customers;`).join('\n')}
create view worked_out as select id, name as x from customers;
create view plain as select id, name as x from customers;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: ["*.secret"], with: redact }
`

/** Long enough for what happens meanwhile. */
const wait = 'select pg_sleep(2)'
const swap = (name: string): string =>
  `begin; alter table ${name} rename to ${name}_before; alter table ${name}_next rename to ${name}; commit`

const everything = (answer: readonly Message[]): string =>
  answer.map(({ type, body }) => `${type} ${body.toString('latin1')}`).join('\n')

t.test('what names mean when the answer comes', async t => {
  await using world = await startWorld({ policy, sql: setup })
  await using carol = await (await world.person('carol')).connect('prod-db')
  /** What comes of statements of a masked person while a superuser, past gate, changes what they name. */
  const meanwhile = async (units: readonly Buffer[], change: string): Promise<string> => {
    const talk = await Talk.start(carol.port)
    const answer = talk.say(units)
    await new Promise(resolve => setTimeout(resolve, 1_000))
    await world.postgres.query(change, 'app')
    const got = everything(await answer)
    talk.close()
    return got
  }
  const query = (text: string): readonly Buffer[] => [client.query(`${wait}; ${text}`)]
  const made = (name: string): string =>
    `create table ${name} as select secret from customers; grant all on ${name} to gate_service`
  const attempts: Readonly<Record<string, readonly [readonly Buffer[], string]>> = {
    'a table in the place of another': [query('select upper(secret) from simple'), swap('simple')],
    'in a pipeline': [[...run(wait), ...run('select upper(secret) from piped'), client.sync], swap('piped')],
    'which rows there are': [query("select 1 from filtered where secret like 'userq%'"), swap('filtered')],
    'an error that quotes': [query('select secret::int from failing'), swap('failing')],
    'a table that is new': [query('select upper(secret) from newcomer'), made('newcomer')],
    'COPY of a table that is new': [query('copy latecomer to stdout'), made('latecomer')],
    'a view that shows something else': [
      query('select upper(x) from worked_out'),
      'create or replace view worked_out as select id, secret as x from customers',
    ],
    'a column of such a view': [
      query('select x from plain'),
      'create or replace view plain as select id, secret as x from customers',
    ],
  }
  for (const [name, [units, change]] of Object.entries(attempts))
    t.notMatch(await meanwhile(units, change), /secret\.|SECRET\.|SELECT 0/, name)
  t.match(
    await meanwhile(query('select upper(name), secret from customers where id = 7'), 'create table other (id int)'),
    /NAME 7.*\*\*\*\*/,
    'what means the same comes as ever',
  )
  t.match(
    await meanwhile(query('copy customers to stdout'), 'create table another (id int)'),
    /7\tname 7\t\*\*\*\*/,
    'as does a copy',
  )
})
