// What people and tools send every day, by a person from whom columns are masked: it runs, and only masked values differ.
import pg from 'pg'
import t from 'tap'
import { legitimate, legitimateSince, legitimateSql } from '../support/legitimate.ts'
import { run } from '../support/process.ts'
import { direct, hasPsql, type PsqlTarget, psql, startWorld } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { env: prod, protocol: postgres } }
    allow: { groups: [support] }
    rules: [{ name: everything, allow: [support] }]
    mask:
      - columns: [customers.email, users.email, employees.email, shops.email, events.email, "*.password_hash", billing.cards.number]
        with: redact
`

/** Every masked value holds this word, and nothing else does. */
const SECRET = 'secret'
const REDACTED = '****'

type Rows = readonly (readonly (string | null)[])[]

interface Answer {
  readonly rows: Rows
  readonly error: string | undefined
}

async function open(target: PsqlTarget): Promise<pg.Client> {
  const { port, user = 'carol', password } = target
  const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'app', ssl: false })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Runs messages in a transaction that is rolled back, and gives the rows of the last one. */
async function ask(client: pg.Client, messages: readonly string[], extended: boolean): Promise<Answer> {
  await client.query('begin')
  try {
    let rows: Rows = []
    for (const text of messages) {
      const query = { text, rowMode: 'array', types: { getTypeParser: () => (value: string) => value } }
      const result = await client.query((extended ? { ...query, values: [], queryMode: 'extended' } : query) as never)
      rows = (result as unknown as { rows: Rows }).rows
    }
    return { rows, error: undefined }
  } catch (thrown) {
    return { rows: [], error: String(thrown) }
  } finally {
    await client.query('rollback')
  }
}

const isSecret = (value: string | null | undefined): boolean => value?.includes(SECRET) === true

/** Masked values as a person sees them; of columns that several tables feed, everything is masked. */
function masked(rows: Rows, whole: boolean): Rows {
  const fed = (index: number): boolean => whole && rows.some(row => isSecret(row[index]))
  return rows.map(row =>
    row.map((value, index) => (value !== null && (isSecret(value) || fed(index)) ? REDACTED : value)),
  )
}

t.test('a person from whom columns are masked can do their work', async t => {
  await using world = await startWorld({ policy, sql: legitimateSql })
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const straight = direct(world.postgres)
  const [through, beside] = [await open(gate), await open(straight)]
  t.teardown(() => Promise.all([through.end(), beside.end()]))

  const newer = Object.entries(legitimateSince).filter(([version]) => Number(version) <= world.postgres.version)
  const families = [...Object.entries(legitimate), ...newer.map(([version, all]) => [`since ${version}`, all] as const)]
  for (const [family, statements] of families) {
    await t.test(family, async t => {
      for (const statement of statements) {
        const messages = statement.split(';;')
        const expected = await ask(beside, messages, false)
        t.equal(expected.error, undefined, `the server takes: ${statement}`)
        for (const extended of messages.length > 1 ? [false] : [false, true]) {
          const given = await ask(through, messages, extended)
          t.equal(given.error, undefined, statement)
          if (family !== 'what differs from one moment to the next')
            t.same(given.rows, masked(expected.rows, family === 'values of several columns'), statement)
        }
      }
    })
  }

  await t.test('the comparison would see a value that is not masked', async t => {
    const { rows } = await ask(beside, ['select email from customers where id = 1'], false)
    t.match(rows[0]?.[0], SECRET)
    t.same(masked(rows, false), [[REDACTED]])
  })

  await t.test('psql describes everything as it does without gate', { skip: hasPsql ? false : 'no psql' }, async t => {
    const commands = [
      '\\d',
      '\\d+ customers',
      '\\dt+ *.*',
      '\\dv+',
      '\\dm+',
      '\\di+',
      '\\ds',
      '\\df+',
      '\\sf plain_work',
    ]
    const more = [
      '\\sv customer_view',
      '\\dT+',
      '\\dD',
      '\\dn+',
      '\\du',
      '\\dp',
      '\\dx',
      '\\dL',
      '\\dC',
      '\\do',
      '\\da',
    ]
    const rare = [
      '\\l',
      '\\db',
      '\\dy',
      '\\dF',
      '\\ddp',
      '\\dRp',
      '\\dX',
      '\\dP+',
      '\\dA',
      '\\dc',
      '\\dO',
      '\\d+ events',
    ]
    // An older psql asks a newer server for columns that are gone; hints, which may quote values, are not shown to masked people.
    const withoutHint = (text: string): string => text.replace(/^HINT: .*\n/gm, '')
    for (const command of [...commands, ...more, ...rare]) {
      const expected = await psql(straight, ['-c', command])
      const given = await psql({ ...gate, user: 'gate_service' }, ['-c', command])
      t.equal(given.stderr, withoutHint(expected.stderr), command)
      t.equal(given.stdout, expected.stdout, command)
    }
  })

  const version = async (): Promise<number> =>
    Number(/ (\d+)/.exec((await run('pg_dump', ['--version']).catch(() => ({ stdout: '' }))).stdout)?.[1] ?? 0)
  const skip = (await version()) >= world.postgres.version ? false : `no pg_dump of version ${world.postgres.version}`

  await t.test('pg_dump writes the schema as it does without gate', { skip }, async t => {
    const dump = async (target: PsqlTarget): Promise<string> => {
      const where = ['-h', '127.0.0.1', '-p', String(target.port), '-U', 'gate_service']
      const done = await run('pg_dump', [...where, '--schema-only', 'app'], { env: { PGPASSWORD: target.password } })
      t.equal(done.stderr, '')
      // Newer versions write a random word around the dump.
      return done.stdout.replace(/^\\(un)?restrict .*$/gm, '')
    }
    t.equal(await dump(gate), await dump(straight))
  })
})

t.test('extensions that only compute may be used', async t => {
  await using world = await startWorld({ policy, sql: 'select 1' })
  const available = await world.postgres.query(
    "select name from pg_available_extensions where name in ('hstore', 'citext', 'pg_trgm', 'pgcrypto', 'unaccent', 'tablefunc')",
  )
  if (available.length < 6) {
    t.pass('this server has no contrib modules')
    return
  }
  for (const [name = ''] of available) await world.postgres.query(`create extension ${name}`, 'app')
  await world.postgres.query(
    `set role gate_service; create table customers (id int primary key, name text, nick citext, about hstore, email text);
    insert into customers values (1, 'Ada', 'ADA', 'a=>1', 'ada@secret.example');
    create table sold (shop int, part text, n int);
    insert into sold values (1, 'a', 5), (1, 'b', 6), (2, 'a', 7);
    create view plain as select unaccent(name) as name, unaccent(email) as mail from customers`,
    'app',
  )
  const carol = await world.person('carol')
  await using gate = await carol.connect('prod-db')
  const client = await open(gate)
  t.teardown(() => client.end())
  const works: Readonly<Record<string, string>> = {
    "select nick = 'ada' and lower(nick) = 'ada' from customers": 'true',
    "select about -> 'a' from customers": '1',
    'select akeys(about)::text || (each(about)).value from customers': '{a}1',
    "select similarity(name, 'Ada') from customers where name % 'Ada'": '1',
    "select encode(digest(name, 'md5'), 'hex') = md5(name) from customers": 'true',
    'select unaccent(name) from customers': 'Ada',
    'select name from plain': 'Ada',
    "select b + 1 from crosstab('select shop, part, n from sold order by 1, 2') as t(shop int, a int, b int)": '7',
    "select b from crosstab('select shop, part, n from sold order by 1', $$values ('a'), ('b')$$) as t(shop int, a int, b int)":
      '6',
    "with s as (select 1) select b from s, crosstab('select shop, part, n from sold order by 1, 2') as t(shop int, a int, b int)":
      '6',
    "select category_1 from crosstab2('select shop::text, part, n::text from sold order by 1, 2')": '5',
    'select email from customers': REDACTED,
  }
  for (const [sql, value] of Object.entries(works)) {
    const { rows } = (await client.query({ text: sql, rowMode: 'array' })) as unknown as { rows: unknown[][] }
    t.equal(String(rows[0]?.[0]), value, sql)
  }
  for (const sql of [
    'select hstore(c) from customers c',
    'select mail from plain',
    "select similarity(email, 'a') from customers",
    'select digest(email, $$md5$$) from customers',
    ...[
      'select name, name, email from customers',
      'select n, name, id from customers, (values (1)) v(n) where email > $$a$$',
    ].map(query => `select * from crosstab('${query}') as t(a text, b text)`),
    "select * from crosstab('select 1, name, mail from plain') as t(a int, b text)",
    "select * from crosstab('select shop, part, n from sold', 'select email from customers') as t(a int, b int)",
    "select * from crosstab('select shop, part, n from sold' || '') as t(a int, b int)",
    "select c.email from customers c, crosstab('select shop, part, n from sold') as t(a int, b int)",
    "select * from crosstab('select shop, part, n from sold; select name, name, email from customers') as t(a text, b text)",
    "select * from crosstab('select 1, 2, email from customers c') as t(a int, b text), crosstab('select shop, part, n from sold') as u(a int, b int)",
    "select * from crosstab('select shop, part, query_to_xml(part, true, true, part) from sold') as t(a int, b xml)",
    "select * from crosstab('select * from crosstab(''select name, name, email from customers'') as t(a text, b text, c text)') as t(a text, b text)",
    "with customers as (select 1 as n) select * from crosstab('select name, name, email from customers') as t(a text, b text)",
    "select * from (with customers as (select 1) table customers) c, crosstab('select name, name, email from customers') as t(a text, b text)",
    // With standard_conforming_strings off, the second literal ends elsewhere.
    String.raw`select * from crosstab($$select name, '\' || ', email from customers --' from plain$$) as t(a text, b text)`,
    'select * from connectby($$customers$$, $$email$$, $$id$$, $$1$$, 0) as t(a text, b int, c int)',
  ])
    await t.rejects(client.query(sql), { message: /gate: / }, sql)
})
