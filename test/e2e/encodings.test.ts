// Other client encodings, and literals without the standard: through gate as without it, and no way around what gate reads.
import { decode, readEncodings } from '@gate/relay/protocols/postgres/encodings'
import pg from 'pg'
import t from 'tap'
import { run, shown, Talk } from '../support/talk.ts'
import { client } from '../support/wire.ts'
import { direct, hasPsql, psql, startWorld } from '../support/world.ts'

const setup = `
create table people (id int primary key, name text, email text);
insert into people values (1, 'José', 'jose@secret.example'), (2, '10 €', 'b@secret.example'), (3, 'a\\b', 'c@secret.example');
create table "é" (id int);
create function leave_standard() returns void language plpgsql as
  $$ begin perform set_config('standard_conforming_strings', 'off', false); end $$;
`

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, support] }
    rules:
      - { name: no-wide-delete, when: op.action == "delete" && !op.hasWhere, deny: "Say which rows." }
      - { name: not-that, when: 'op.read.exists(table, table.endsWith("é"))', deny: "Not that table." }
      - { name: everything, allow: [engineers, support] }
    mask:
      - { columns: ["people.email", "üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü.email"], for: { groups: [support] }, with: redact }
`

const world = await startWorld({ policy, sql: setup })
t.teardown(() => world[Symbol.asyncDispose]())
const alice = await (await world.person('alice')).connect('prod-db')
t.teardown(() => alice[Symbol.asyncDispose]())

t.test('every encoding that gate says it reads has the characters of the server', async t => {
  const server = new pg.Client({ ...direct(world.postgres), host: '127.0.0.1', database: 'app' })
  await server.connect()
  for (const encoding of readEncodings) {
    for (let byte = 0x80; byte < 0x100; byte += 1) {
      const bytes = Buffer.from([byte])
      const theirs = await server
        .query('select convert_from($1, $2) as text', [bytes, encoding])
        .then(({ rows }) => (rows as { text: string }[])[0]?.text)
        .catch(() => undefined)
      const ours = decode(bytes, encoding)
      // What the server does not know fails there.
      if (ours !== theirs && theirs !== undefined) t.equal(ours, theirs, `${encoding} ${byte.toString(16)}`)
    }
  }
  t.equal(decode(Buffer.from([0xff]), 'WIN1251'), 'я')
  await server.end()
})

t.test('a session in LATIN1 from its start', async t => {
  const wire = await Talk.start(alice.port, { client_encoding: 'LATIN1' })
  t.equal(await wire.ask('show client_encoding'), 'LATIN1')
  t.equal(await wire.ask('select name from people where id = 1'), 'Jos\xe9')
  t.equal(await wire.ask(Buffer.from("select id from people where name = 'Jos\xe9'", 'latin1')), '1')
  t.match(await wire.ask('select name from people where id = 2'), /^22P05 /)
  t.match(await wire.ask(Buffer.from('select 1 frm \xe9', 'latin1')), /^42601 syntax error/)
  t.match(await wire.ask(Buffer.from('select id from "\xe9"', 'latin1')), /^42501 gate: Not that table/)
  t.equal(await wire.ask("set client_encoding = 'UTF8'"), '')
  t.equal(await wire.ask("select id from people where name = 'José'"), '1')
  t.equal(await wire.ask('reset client_encoding'), '')
  t.equal(await wire.ask('select name from people where id = 1'), 'Jos\xe9')
  wire.close()
})

t.test('a session that changes its encoding', async t => {
  const wire = await Talk.start(alice.port)
  t.equal(await wire.ask("set client_encoding = 'WIN1252'"), '')
  t.equal(await wire.ask(Buffer.from([...Buffer.from("select id from people where name = '10 "), 0x80, 0x27])), '2')
  t.equal(await wire.ask("begin; set local client_encoding = 'SJIS'"), '')
  t.equal(await wire.ask("select '1'"), '1')
  t.match(await wire.ask(Buffer.from("select '\x95\\'", 'latin1')), /^42501 gate: gate cannot read the characters/)
  t.equal(await wire.ask('rollback'), '')
  t.equal(await wire.ask(Buffer.from("select 'Jos\xe9'", 'latin1')), 'Jos\xe9')
  t.equal(await wire.ask("select set_config('client_' || 'encoding', 'utf8', false)"), 'UTF8')
  t.equal(await wire.ask("select 'José'"), Buffer.from('José').toString('latin1'))
  t.equal(await wire.ask("update pg_settings set setting = 'LATIN1' where name = 'client_encoding'"), 'LATIN1')
  t.equal(await wire.ask(Buffer.from("select '\xe9'", 'latin1')), '\xe9')
  wire.close()
})

t.test('names in another encoding are not taken for others', async t => {
  const wire = await Talk.start(alice.port)
  const parse = client.parse('Ã©', 'delete from people')
  t.equal(shown(await wire.say([client.parse('é', 'select 1'), client.sync])), '')
  t.match(shown(await wire.say([parse, client.sync])), /^42501 gate: Say which rows/)
  t.equal(await wire.ask("set client_encoding = 'LATIN1'"), '')
  const bound = [client.bind('', 'é'), client.execute(''), client.sync]
  t.match(shown(await wire.say(bound)), /^08P01 .*beyond ASCII/)
  t.equal(await wire.ask('select count(*) from people'), '3')
  wire.close()
})

t.test('literals without the standard', async t => {
  const wire = await Talk.start(alice.port, { options: '-c standard_conforming_strings=off' })
  t.equal(await wire.ask('show standard_conforming_strings'), 'off')
  t.equal(await wire.ask("select id from people where name = E'a\\\\b'"), '3')
  t.equal(await wire.ask("select id from people where name = 'a\\\\b'"), '3')
  t.equal(await wire.ask("select'\\'' || n'\\\\'"), "'\\")
  const hidden = "delete from people where name = '\\' and name <> ' or true --'"
  t.match(await wire.ask(hidden), /^42501 gate: Say which rows/)
  t.match(await wire.ask("select '\\'', 1; delete from people --'"), /^42501 gate: Say which rows/)
  t.equal(await wire.ask('set standard_conforming_strings = on'), '')
  t.equal(await wire.ask("select id from people where name = 'a\\b'"), '3')
  t.equal(await wire.ask('begin; set local standard_conforming_strings = off; savepoint s'), '')
  t.equal(await wire.ask("select '\\\\'"), '\\')
  t.equal(await wire.ask('rollback'), '')
  t.equal(await wire.ask("select '\\'"), '\\')
  wire.close()
})

t.test('in a pipeline nobody knows what a text means until the server has said so', async t => {
  const wire = await Talk.start(alice.port)
  const hidden = "delete from people where name = '\\' and name <> ' or true --'"
  const off = 'set standard_conforming_strings = off'
  const together = await wire.say([...run(off), ...run('select 1'), ...run(hidden), client.sync])
  t.match(shown(together), /^1; 42501 gate: whether the server reads this text/)
  t.equal(await wire.ask('show standard_conforming_strings'), 'on', 'the error took it back')
  const apart = [...run(off), client.sync, ...run(hidden), client.sync, ...run('select 2'), client.sync]
  t.match(shown(await wire.say(apart, 3)), /^42501 gate: Say which rows.*; 2$/)
  t.equal(await wire.ask('select count(*) from people'), '3')
  t.equal(await wire.ask('discard all'), '')
  t.equal(await wire.ask("select '\\'"), '\\')
  t.match(await wire.ask('select leave_standard()'), /^42501 gate: standard_conforming_strings became off/)
  wire.close()
})

t.test('where something is masked, values stay UTF8', async t => {
  const carol = await (await world.person('carol')).connect('prod-db')
  t.teardown(() => carol[Symbol.asyncDispose]())
  const latin = new pg.Client({
    host: '127.0.0.1',
    port: carol.port,
    user: 'carol',
    database: 'app',
    client_encoding: 'LATIN1',
  })
  ;(latin as unknown as { getStartupConf: () => object }).getStartupConf = () => ({
    user: 'carol',
    database: 'app',
    options: '-c client_encoding=LATIN1',
  })
  await latin.connect()
  t.same(
    (await latin.query('show client_encoding')).rows,
    [{ client_encoding: 'UTF8' }],
    'what is said beside options counts',
  )
  await latin.end()
  t.match(await Talk.refused(carol.port, { client_encoding: 'LATIN1' }), /^42501 .*client_encoding/)
  const wire = await Talk.start(carol.port, { client_encoding: 'SQL_ASCII' })
  t.equal(await wire.ask('show client_encoding'), 'UTF8')
  for (const text of [
    "set client_encoding = 'LATIN1'",
    "set names 'sql_ascii'",
    "select set_config('client_encoding', 'sjis', false)",
  ])
    t.match(await wire.ask(text), /^42501 gate: .*UTF8/, text)
  const set = client.parse('', "select set_config('client_encoding', $1, false)", [25])
  const bound = [set, client.bind('', '', [Buffer.from('latin1')]), client.execute(''), client.sync]
  t.match(shown(await wire.say(bound)), /^42501 gate: .*UTF8/)
  t.equal(await wire.ask("prepare p as select set_config('client_encoding', $1, false)"), '')
  t.match(await wire.ask("execute p('latin1')"), /^42501 gate: .*UTF8/)
  t.equal(await wire.ask('set standard_conforming_strings = off'), '')
  t.equal(await wire.ask("select email from people where email = E'jose@secret.example'"), '****')
  wire.close()
})

t.test('psql in LATIN1', { skip: !hasPsql && 'no psql' }, async t => {
  const script =
    "\\encoding LATIN1\nselect convert_from('\\xe9', 'LATIN1');\n\\encoding\n\\encoding UTF8\nselect 'é';\n"
  const [through, straight] = await Promise.all([
    psql({ port: alice.port }, ['-At'], script),
    psql(direct(world.postgres), ['-At'], script),
  ])
  t.same(through, straight)
  t.equal(through.code, 0)
})

t.test('a database in another encoding cuts and folds names otherwise', async t => {
  const long = 'ü'.repeat(40)
  await world.postgres.query('drop database app with (force)')
  await world.postgres.query("create database app owner gate_service encoding 'LATIN1' locale 'C' template template0")
  await world.postgres.query(
    `set role gate_service; create table people (id int, email text);
     create table "${long}" (id int, email text); insert into "${long}" values (7, 'seven@secret.example')`,
    'app',
  )
  const carol = await (await world.person('carol')).connect('prod-db')
  t.teardown(() => carol[Symbol.asyncDispose]())
  const masked = await Talk.start(carol.port)
  t.equal(await masked.ask(`select email from "${long}"`), '****')
  for (const text of [`select reverse(email) from "${long}"`, `create table taken as select email from "${long}"`])
    t.match(await masked.ask(text), /^42501 gate: .* is masked for you/, text)
  const [here, there] = [`"${long}a"`, `"${long}b"`]
  for (const text of [
    `select (select reverse(${there}) from (select 'x'::text as ${here}) i) from (select email as ${there} from "${long}") o`,
    `with ${here} as (select email v from "${long}"), ${there} as (select 'x'::text v) select reverse(v) from ${here}`,
    `select reverse(Ä) from (select email as ä, 'x'::text as "Ä" from "${long}") x`,
    `with "Ä" as (select 'x'::text v) select reverse(v) from "Ä", U&"\\00c4" x`,
  ])
    t.match(await masked.ask(text), /^42501 gate: .* names in it are not told apart/, text)
  t.equal(await masked.ask(`select "Ä".email as "É" from "${long}" "Ä"`), '****')
  masked.close()
  const wire = await Talk.start(alice.port)
  t.equal(await wire.ask(`prepare "${long}" as select 1; prepare "${long}x" as select 2`), '')
  for (const text of [`execute "${long}"`, `prepare "${long}y" as select 3; execute "${long}"`])
    t.match(await wire.ask(text), /^42501 gate: the database is in another encoding than UTF8/, text)
  const bound = [client.parse(`${long}z`, 'select 4'), client.bind('', long), client.execute(''), client.sync]
  t.match(shown(await wire.say(bound)), /^08P01 .*beyond ASCII/)
  t.equal(await wire.ask('prepare plain as select 5; execute plain'), '5')
  wire.close()
})
