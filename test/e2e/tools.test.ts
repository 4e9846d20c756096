// PostgreSQL's own programs through gate: pg_dump, pg_restore, pgbench, and psql's large objects.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { direct, hasPsql, openPolicy, type PsqlTarget, psql, startWorld } from '../support/world.ts'

const TOOL_TIMEOUT_MS = 120_000

/** Major version of a program; undefined where it is not installed. */
function versionOf(program: string): Promise<number | undefined> {
  return run(program, ['--version']).then(
    ({ stdout }) => Number(/ (\d+)/.exec(stdout)?.[1]),
    () => undefined,
  )
}

const sql = `
create schema kept;
create type kept.mood as enum ('happy', 'sad');
create table kept.people (id serial primary key, name text unique, mood kept.mood, picture bytea, tags text[], about jsonb);
insert into kept.people (name, mood, picture, tags, about)
  select 'name ' || g, case when g % 2 = 0 then 'happy' else 'sad' end::kept.mood, decode(md5(g::text), 'hex'), array['a', null],
    jsonb_build_object('g', g) from generate_series(1, 2000) g;
create table kept.orders (id int primary key, person int references kept.people, total numeric check (total >= 0));
insert into kept.orders select g, g, g * 1.5 from generate_series(1, 2000) g;
create view kept.happy as select * from kept.people where mood = 'happy';
create function kept.twice(int) returns int language sql as 'select $1 * 2';
comment on table kept.people is 'people; "quoted" ☃';
`

t.test("PostgreSQL's own programs through gate", { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using world = await startWorld({ policy: openPolicy, sql })
  await using directory = await temporaryDirectory('tools')
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const straight = direct(world.postgres)
  const through = { ...gate, user: 'gate_service' }
  const [dumps = 0, benches] = [await versionOf('pg_dump'), await versionOf('pgbench')]
  // pg_dump refuses servers that are newer than it is.
  const skipDump = dumps >= world.postgres.version ? false : `no pg_dump of version ${world.postgres.version}`
  const skipBench = benches === undefined ? 'no pgbench on this machine' : false
  const tool = async (program: string, target: PsqlTarget, ...args: string[]): ReturnType<typeof run> => {
    const where = ['-h', '127.0.0.1', '-p', String(target.port), '-U', target.user ?? 'alice']
    return run(program, [...where, ...args], { env: { PGPASSWORD: target.password } }, TOOL_TIMEOUT_MS)
  }
  const dump = async (target: PsqlTarget, ...args: string[]): Promise<string> => {
    const done = await tool('pg_dump', target, '-n', 'kept', ...args, 'app')
    if (done.code !== 0) throw new Error(done.stderr)
    // Newer versions write a random word around the dump.
    return done.stdout.replace(/^\\(un)?restrict .*$/gm, '')
  }

  await t.test('pg_dump writes the same, as COPY and as INSERTs', { skip: skipDump }, async t => {
    for (const args of [
      [],
      ['--inserts', '--serializable-deferrable'],
      ['--column-inserts', '--rows-per-insert=100'],
    ]) {
      const expected = await dump(straight, ...args)
      t.ok(expected.length > 100_000)
      t.equal(await dump(through, ...args), expected)
    }
  })

  await t.test('what pg_restore puts back is what pg_dump took, also in parallel', { skip: skipDump }, async t => {
    const expected = await dump(straight)
    for (const [format, jobs] of [
      ['custom', '1'],
      ['directory', '2'],
    ] as const) {
      const file = join(directory.path, format)
      const dumped = await tool('pg_dump', through, '-n', 'kept', '-F', format, '-j', jobs, '-f', file, 'app')
      t.equal(dumped.code, 0, dumped.stderr)
      await world.postgres.query('drop schema kept cascade', 'app')
      const restored = await tool('pg_restore', through, '-j', jobs, '-d', 'app', file)
      t.equal(restored.code, 0, restored.stderr)
      t.equal(await dump(straight), expected)
    }
  })

  await t.test('pgbench runs in every mode and fails nothing', { skip: skipBench }, async t => {
    const made = await tool('pgbench', through, '-i', '-s', '1', '-q', 'app')
    t.equal(made.code, 0, made.stderr)
    for (const mode of ['simple', 'extended', 'prepared']) {
      const done = await tool('pgbench', through, '-n', '-M', mode, '-c', '4', '-t', '50', 'app')
      t.match(done.stdout, /number of transactions actually processed: 200\/200/, done.stderr)
      t.match(done.stdout, /number of failed transactions: 0 /)
    }
    const pipelined = join(directory.path, 'pipelined.sql')
    await writeFile(
      pipelined,
      '\\startpipeline\n\\set x random(1, 100)\nselect :x;\nselect abalance from pgbench_accounts where aid = :x;\n\\endpipeline\n',
    )
    const done = await tool('pgbench', through, '-n', '-M', 'extended', '-f', pipelined, '-t', '50', 'app')
    t.match(done.stdout, /processed: 50\/50/, done.stderr)
    t.same(await world.postgres.query('select count(*) from pgbench_history', 'app'), [['600']])
  })

  await t.test('psql imports, exports and unlinks a large object', async t => {
    const [from, to] = [join(directory.path, 'from'), join(directory.path, 'to')]
    await writeFile(from, Buffer.alloc(100_000, 'large object'))
    const script = `\\lo_import '${from}' 'a comment'\n\\lo_export :LASTOID '${to}'\n\\lo_list\n\\lo_unlink :LASTOID\n\\lo_unlink 4711\n`
    const done = await psql(through, ['-At'], script)
    t.ok((await readFile(from)).equals(await readFile(to)))
    t.match(done.stderr, /large object 4711 does not exist/)
    const alone = (text: string): string => text.replace(/\d{4,}/g, '#')
    t.equal(alone(done.stdout), alone((await psql(straight, ['-At'], script)).stdout))
  })
})
