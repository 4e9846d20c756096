// Where something is masked: a column that was just added outside gate is found, and one that does not exist is told as the server tells.
import pg from 'pg'
import t from 'tap'
import { startWorld } from '../support/world.ts'

const setup = `
create table people (id int primary key, name text, email text);
insert into people values (1, 'Ann', 'ann@secret.example');
create function shout(people) returns text language sql immutable as 'select upper($1.name)';
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - { columns: ["people.email", "people.phone"], with: redact }
`

interface Failed {
  readonly code: string
  readonly message: string
}

const world = await startWorld({ policy, sql: setup })
t.teardown(() => world[Symbol.asyncDispose]())
const connection = await (await world.person('carol')).connect('prod-db')
t.teardown(() => connection[Symbol.asyncDispose]())
const client = new pg.Client({ host: '127.0.0.1', port: connection.port, user: 'carol', database: 'app' })
await client.connect()
t.teardown(() => client.end())

/** The rows, or what went wrong; through both protocols. */
async function ask(text: string): Promise<readonly unknown[]> {
  const said = (query: Promise<{ rows: unknown[] }>): Promise<unknown> =>
    query.then(
      ({ rows }) => rows,
      ({ code, message }: Failed) => `${code} ${message}`,
    )
  return [
    await said(client.query(text)),
    await said(client.query({ text, values: [], queryMode: 'extended' } as never)),
  ]
}

t.test('a column that somebody else added a moment ago', async t => {
  t.same(await ask('select name from people'), [[{ name: 'Ann' }], [{ name: 'Ann' }]])
  await world.postgres.query("alter table people add city text default 'Bonn', add phone text default '555'", 'app')
  const row = { city: 'Bonn', phone: '****' }
  t.same(await ask("select city, phone from people where city = 'Bonn'"), [[row], [row]])
})

t.test('a column that does not exist', async t => {
  const cases = {
    'select emial from people': '42703 column "emial" does not exist',
    'select p.emial from people p': '42703 column p.emial does not exist',
    'select p.id from people p where p.nmae = 1': '42703 column p.nmae does not exist',
    'select q.id from people p': '42P01 missing FROM-clause entry for table "q"',
    'select id from people order by nmae': '42703 column "nmae" does not exist',
    'update people set name = nmae': '42703 column "nmae" does not exist',
  }
  for (const [text, expected] of Object.entries(cases)) {
    t.same(await ask(text), [expected, expected], text)
    const direct = await world.postgres.query(text, 'app').catch((error: Error) => error.message)
    t.equal(expected.slice(6), direct, `the server: ${text}`)
  }
})

t.test('what could be a function of a row is refused as that', async t => {
  const [simple] = await ask('select p.shout from people p')
  t.match(simple, /^42501 gate: .*shout/)
  t.match((await ask('select p.length from people p'))[0], /^42501 gate|^42703/)
})
