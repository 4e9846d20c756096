// Names that are given another meaning, and settings that give texts another: what runs is what was decided over.
import t from 'tap'
import { run, shown, Talk } from '../support/talk.ts'
import { client } from '../support/wire.ts'
import { startWorld } from '../support/world.ts'

const setup = `
create table customers (id int primary key, email text);
insert into customers select i, 'user' || i || '@secret.example' from generate_series(1, 9) i;
create table limited (id int primary key);
insert into limited select generate_series(1, 500);
create table precious (id int);
create table deferred (id int primary key deferrable initially deferred);
create function off() returns text language sql as $$ select set_config('standard_conforming_strings', 'off', false) $$;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, support] }
    rules:
      - { name: never, when: op.action == "drop", deny: "No." }
      - { name: few, when: op.action == "delete", limit: { rows: 10, then: deny }, allow: [engineers] }
      - { name: everything, allow: [engineers, support] }
    mask:
      - { columns: ["customers.email"], for: { groups: [support] }, with: redact }
`

const SECRET = /secret/
const email = 'select email from customers where id = 7 union all select (select email from customers where id = 8)'

const world = await startWorld({ policy, sql: setup })
t.teardown(() => world[Symbol.asyncDispose]())
const ports: Record<string, number> = {}
for (const name of ['alice', 'carol'] as const) {
  const connection = await (await world.person(name)).connect('prod-db')
  t.teardown(() => connection[Symbol.asyncDispose]())
  ports[name] = connection.port
}

/** Runs turns in one session, and gives everything that came. */
async function session(person: 'alice' | 'carol', ...turns: readonly (string | readonly Buffer[])[]): Promise<string> {
  const talk = await Talk.start(ports[person] ?? 0)
  const answers: string[] = []
  for (const turn of turns)
    answers.push(typeof turn === 'string' ? await talk.ask(turn) : shown(await talk.say([...turn, client.sync])))
  talk.close()
  return answers.join('\n')
}

async function count(table: string): Promise<number> {
  const [row] = await world.postgres.query(`select count(*) from ${table}`, 'app')
  return Number(row?.[0])
}

t.test('a masked value under a name that means something else by now', async t => {
  const declare = `declare c cursor for ${email}`
  const attempts: Readonly<Record<string, readonly (string | readonly Buffer[])[]>> = {
    'EXECUTE of EXECUTE': [`prepare t as ${email}`, [client.parse('s', 'execute t')], 'execute s'],
    'Bind of EXECUTE of EXECUTE': [
      `prepare t as ${email}`,
      [client.parse('s', 'execute t')],
      [client.parse('u', 'execute s'), client.bind('', 'u'), client.execute('')],
    ],
    'EXECUTE of FETCH': ['begin', declare, [client.parse('s', 'fetch all from c')], 'execute s'],
    'EXECUTE of COPY': [[client.parse('s', `copy (${email}) to stdout`)], 'execute s'],
    'EXECUTE of EXPLAIN EXECUTE': [`prepare t as ${email}`, [client.parse('s', 'explain execute t')], 'execute s'],
    'EXECUTE of CREATE TABLE AS EXECUTE': [
      'prepare t as select 1 as email',
      [client.parse('s', 'create table stolen as execute t')],
      'deallocate t',
      `prepare t as ${email}`,
      'execute s',
      'select * from stolen',
    ],
    'EXECUTE of PREPARE': [
      'prepare x as select 1',
      [client.parse('d', 'deallocate x')],
      [client.parse('p', `prepare x as ${email}`)],
      'execute d',
      'execute p',
      'execute x',
    ],
    'EXECUTE of DECLARE': [
      'begin',
      'declare c cursor for select 1',
      [client.parse('d', 'close c')],
      [client.parse('p', declare)],
      'execute d',
      'execute p',
      'fetch all from c',
    ],
    'PREPARE behind a Parse': [
      [
        client.parse('x', 'select 1'),
        ...run('deallocate x'),
        ...run(`prepare x as ${email}`),
        client.bind('p', 'x'),
      ].concat(client.execute('p')),
    ],
    'DECLARE behind a Bind': [
      'begin',
      [client.parse('y', 'select 1'), client.bind('c', 'y'), ...run('close c'), ...run(declare), client.execute('c')],
    ],
    'names that stay after a commit that failed': [
      'prepare x as select 1',
      'insert into deferred values (1), (1); deallocate x',
      `insert into deferred values (1), (1); prepare x as ${email}`,
      'execute x',
      [client.bind('', 'x'), client.execute('')],
    ],
  }
  for (const [name, turns] of Object.entries(attempts)) t.notMatch(await session('carol', ...turns), SECRET, name)
  t.match(
    await session('carol', 'prepare x as select 1', 'prepare x as select 2', 'execute x'),
    /\n1$/,
    'it failed, and that is all',
  )
  t.equal(
    await session(
      'carol',
      'begin',
      'declare c cursor for select 5',
      [client.parse('x', 'select 6')],
      'execute x',
      'fetch 1 from c',
    ),
    '\n\n\n6\n5',
  )
})

t.test('rows beyond a limit', async t => {
  const deleting = 'delete from limited where id > 100 returning id'
  const attempts: Readonly<Record<string, readonly (string | readonly Buffer[])[]>> = {
    'EXECUTE of EXECUTE': [`prepare t as ${deleting}`, [client.parse('s', 'execute t')], 'execute s'],
    'PREPARE behind a Parse': [
      [
        client.parse('x', 'select 1'),
        ...run('deallocate x'),
        ...run(`prepare x as ${deleting}`),
        client.bind('', 'x'),
      ].concat(client.execute('')),
    ],
    'FETCH of a portal whose Execute was skipped': [
      'begin',
      [client.parse('', deleting), client.bind('p', '')],
      'savepoint a',
      [...run('select 1/0'), client.execute('p')],
      'rollback to a',
      'fetch 1 from p',
      'commit',
    ],
  }
  for (const [name, turns] of Object.entries(attempts)) {
    t.match(await session('alice', ...turns), /42501|0A000/, name)
    t.equal(await count('limited'), 500, name)
  }
})

t.test('a text that means another one once a setting is changed', async t => {
  const hidden = client.query("select '\\''; drop table precious; --'")
  const off: Readonly<Record<string, readonly Buffer[]>> = {
    'by a name that says two things': [
      client.query("select set_config('my.x', 'work_mem', false)"),
      client.query(
        "select set_config(name, 'off', false) from (select current_setting('my.x') as name) s, (select set_config('my.x', 'standard_conforming_strings', false) as y offset 0) t where name = 'work_mem'",
      ),
    ],
    'by a value that a cast changes': [
      client.parse('', "select set_config('standard_conforming_strings', $1::numeric(2,-1)::text, false)"),
      client.bind('', '', [Buffer.from('1')]),
      client.execute(''),
      client.sync,
    ],
    'by a view over the settings': [
      client.query('create view v as select name, setting from pg_settings'),
      client.query("update v set setting = 'off' where name = 'standard_conforming_strings'"),
    ],
    'by a view over such a view': [
      client.query('create view w as select name, setting from v'),
      client.query("update w set setting = 'off' where name = 'standard_conforming_strings'"),
    ],
    'by an aggregate': [
      client.query(
        "create aggregate turn(text, bool) (sfunc = set_config, stype = text, initcond = 'standard_conforming_strings')",
      ),
      client.query("select turn('off', false)"),
    ],
    "by a function of one's own": [client.query('select off()')],
    'by a function that runs texts': [
      client.query(
        "select query_to_xml('select set_config(''standard_conforming_strings'', ''off'', false)', true, false, '')",
      ),
    ],
  }
  for (const [name, units] of Object.entries(off)) {
    for (const person of ['alice', 'carol'] as const) {
      const talk = await Talk.start(ports[person] ?? 0)
      const answered = [...units, hidden].filter(unit => unit[0] === 0x51 || unit[0] === 0x53).length
      await talk.say([...units, hidden], answered)
      talk.close()
      t.equal(await count('precious'), 0, `${name}, ${person}`)
    }
  }
  const segment = [...run('select off()'), client.parse('', "select '\\'"), client.sync]
  t.match(await session('alice', segment), /42501 gate: whether the server reads this text/)
  t.match(await session('alice', [...run("select 'a\\b'"), ...run("select 'c\\d'")]), /a\\b; c\\d/)
})
