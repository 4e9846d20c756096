// Masks that begin while a transaction is open: what it made before them shows nothing that they hide.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import t from 'tap'
import { until } from '../support/until.ts'
import { startWorld } from '../support/world.ts'

const policy = (masks: string): string => `
targets:
  - match: { labels: { env: prod, protocol: postgres } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
${masks}`
const open = policy('')
const masking = policy('    mask: [{ columns: [public.customers.email], with: redact }]\n')

const setup = `
create table customers (id int primary key, email text);
insert into customers select i, 'user' || i || '@secret.example' from generate_series(1, 3) i;
create table notes (id int, note text);
create function mail(int, int) returns text language sql stable as 'select email from customers where id = $1';
`

/** What is made before the masks, and what is asked after them. */
const attempts: readonly (readonly [readonly string[], string])[] = [
  [['create temp view shown as select email from customers'], 'select * from shown'],
  [['create temp view shown as select email from customers'], 'select upper(email) from shown'],
  [
    [
      'create view notes_too as select * from notes',
      'create or replace view notes_too as select id, email as note from customers',
    ],
    'select note from notes_too',
  ],
  [
    ['alter table notes rename to other', 'create view notes as select id, email as note from customers'],
    'select note from notes',
  ],
  [['create operator @@@ (leftarg = int, rightarg = int, function = mail)'], 'select 1 @@@ 2'],
  [
    [
      'create function copies() returns trigger language plpgsql as $$ begin insert into notes select 9, email from customers; return new; end $$',
      'create trigger copies after update on customers for each row execute function copies()',
    ],
    'update customers set id = id',
  ],
  [['do $$ begin create temp view shown as select email from customers; end $$'], 'select * from shown'],
]

t.test('what a transaction made before its masks', async t => {
  await using world = await startWorld({ policy: open, sql: setup })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'carol', database: 'app' })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  /** Until the relay goes by it. */
  const load = async (text: string): Promise<void> => {
    await writeFile(join(world.relay.directory, 'policy.yaml'), text)
    const client = await connect()
    await until('the policy is in force', async () => {
      const { rows } = await client.query('select email from customers where id = 1')
      return (rows[0].email === '****') === (text === masking)
    })
    await client.end()
  }

  for (const [made, asked] of attempts)
    await t.test(asked, async t => {
      await load(open)
      const clients = [await connect(), await connect()]
      for (const client of clients) await client.query('begin')
      const [simple, extended] = clients
      for (const text of made) await simple?.query(text)
      await load(masking)
      await t.rejects(async () => void (await simple?.query(asked)), {
        message: /^gate: what is masked for you has changed/,
      })
      await simple?.query('rollback')
      t.same((await simple?.query('select email from customers limit 1'))?.rows, [{ email: '****' }], 'then it goes on')
      t.same((await extended?.query('select $1::text as x', ['x']))?.rows, [{ x: 'x' }], 'what made nothing goes on')
      await extended?.query('insert into notes values (1, $1)', ['x'])
      await extended?.query('rollback')
      for (const client of clients) await client.end()
    })
})
