// With nothing masked and nothing refused, an unchanged psql says through gate byte for byte what it says without.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import {
  direct,
  hasPsql,
  openPolicy,
  type PsqlTarget,
  psql,
  SERVICE_PASSWORD,
  startPsql,
  startWorld,
  type World,
} from '../support/world.ts'

/** Process ids, times and OIDs of temporary things differ from run to run. */
const normal = (text: string): string =>
  text
    .replace(/with PID \d+/g, 'with PID #')
    .replace(/Time: [\d.]+ ms( \([\d:.]+\))?/g, 'Time: #')
    .replace(/backend_pid \| \d+/g, 'backend_pid | #')
    .replace(/port "?\d+"?/g, 'port #')

const scripts: Readonly<Record<string, string>> = {
  'describing things':
    '\\d\n\\d customers\n\\d+ orders\n\\dt+\n\\df\n\\du\n\\dn\n\\l app\n\\dx\n\\dp customers\n\\sf pg_catalog.now\n\\conninfo',
  'several statements in one query': "select 1\\; select 'two' as b\\; values (3), (4);\n",
  'an error in the middle of several statements':
    "create table multi (a int)\\; insert into multi values (1)\\; select 1/0\\; select 2;\nselect count(*) from pg_class where relname = 'multi';\n",
  'a transaction with savepoints': `begin;
insert into orders values (5000, 1, 1);
savepoint one;
update orders set total = 7 where id = 5000;
savepoint two;
select 1/0;
rollback to two;
select total from orders where id = 5000;
release one;
rollback;
select count(*) from orders where id = 5000;
`,
  'notices, warnings and every field of an error': `\\set VERBOSITY verbose
do $$ begin raise notice 'hello %', 1; raise warning 'careful' using detail = 'a detail', hint = 'a hint'; end $$;
select 'x'::int;
insert into orders values (1, 1, 1);
insert into orders values (9999, -5, 1);
rollback;
`,
  'syntax errors, from the lexer to the grammar': `\\set VERBOSITY verbose
selct 1;
select 'ünïcødé ☃', frm orders x y;
select 1 from \\g
select (1 \\g
select U&'\\\\00e';
select E'\\\\u12';
select 1 + /* never ends */ /* /* */;
*/ */;
create operator === (leftarg = int);
drop operator === (int);
create policy p on orders as odd;
create publication p for orders;
select id from orders fetch first 2 rows with ties;
select 1a, $1b, 0x1g;
begin;
select 1;
selct 2;
select 3;
rollback;
`,
  'prepared statements and cursors in SQL': `prepare p(int) as select id, name from customers where id = $1;
execute p(3);
begin;
declare c cursor for select id from customers order by id;
fetch 2 from c;
move 3 in c;
fetch backward 1 from c;
close c;
commit;
deallocate p;
execute p(1);
`,
  'LISTEN and NOTIFY':
    "listen news;\nnotify news, 'payload';\nselect pg_notify('news', 'again');\nunlisten news;\nnotify news, 'unheard';\n",
  settings:
    "set datestyle = 'German';\nselect date '2026-01-31';\nshow datestyle;\nreset datestyle;\nset application_name = 'mine';\nshow application_name;\nset time zone 'Asia/Tokyo';\nselect timestamptz '2026-01-01 00:00:00+00';\n",
  'all kinds of values': `select null, '', 'ünïcødé ☃', E'tab\\there', true, 1.5::numeric, 'infinity'::float8, '{1,NULL,3}'::int[], '{"a": [1, 2]}'::jsonb, '\\xdeadbeef'::bytea, interval '1 day', row(1, 'x');
select repeat('x', 100000) as long;
select array_agg(g) from generate_series(1, 1000) g;
\\gdesc
select from customers limit 2;
select;
`,
  'variables and conditions of psql':
    "select 42 as answer \\gset\n\\echo :answer\n\\if true\nselect 'yes';\n\\endif\nselect $1::int + $2 \\bind 1 2 \\g\n",
  'COPY both ways': `create table copied (a int, b text);
copy copied from stdin;
1\tone
2\t\\N
\\.
copy copied from stdin csv;
3,"with, comma"
\\.
copy copied to stdout;
copy (select * from copied order by a desc) to stdout csv header;
copy copied from stdin;
bad\tline
\\.
select count(*) from copied;
drop table copied;
`,
  'a large object':
    "select lo_from_bytea(424242, 'large object');\nselect convert_from(lo_get(424242), 'UTF8');\nselect lo_unlink(424242);\n",
}

async function both(world: World, gate: PsqlTarget, args: readonly string[], input: string): Promise<[string, string]> {
  const straight = await psql(direct(world.postgres), args, input)
  const through = await psql({ ...gate, user: 'gate_service' }, args, input)
  return [
    normal(`${straight.code}\n${straight.stdout}\n${straight.stderr}`),
    normal(`${through.code}\n${through.stdout}\n${through.stderr}`),
  ]
}

t.test('psql through gate', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using world = await startWorld({ policy: openPolicy })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')

  for (const [name, script] of Object.entries(scripts)) {
    await t.test(`${name}: the same output as without gate`, async t => {
      const [straight, through] = await both(world, gate, ['-a'], script)
      t.equal(through, straight)
      t.ok(straight.length > 50)
    })
  }

  for (const unended of [
    "select 'abc",
    'select "abc',
    'select $x$abc',
    'select /* abc',
    "select b'01",
    'select (1',
    ' ',
  ]) {
    await t.test(`${unended}: the same error as without gate`, async t => {
      const args = ['-v', 'VERBOSITY=verbose', '-c', unended]
      const [straight, through] = await both(world, gate, args, '')
      t.equal(through, straight)
    })
  }

  await t.test('1,000,000 rows arrive byte for byte', async t => {
    const sql = 'select g, md5(g::text), g * 2.5 from generate_series(1, 1000000) g'
    await using directory = await temporaryDirectory('rows')
    const files = [join(directory.path, 'direct'), join(directory.path, 'gate')] as const
    t.equal((await psql(direct(world.postgres), ['-At', '-o', files[0], '-c', sql])).code, 0)
    t.equal((await psql(gate, ['-At', '-o', files[1], '-c', sql])).code, 0)
    const [straight, through] = await Promise.all(files.map(file => readFile(file)))
    t.ok(straight !== undefined && straight.length > 40_000_000)
    t.ok(straight !== undefined && through?.equals(straight))
  })

  await t.test('\\copy of 200,000 rows in and out again gives the same file', async t => {
    await using directory = await temporaryDirectory('copy')
    const [out, back] = [join(directory.path, 'out.csv'), join(directory.path, 'back.csv')]
    const script = `create table travelled (a int, b text);
\\copy (select g, md5(g::text) from generate_series(1, 200000) g) to '${out}' csv
\\copy travelled from '${out}' csv
\\copy (select * from travelled order by a) to '${back}' csv
drop table travelled;
`
    const done = await psql(gate, ['-v', 'ON_ERROR_STOP=1'], script)
    t.equal(done.code, 0, done.stderr)
    t.ok((await readFile(out)).equals(await readFile(back)))
  })

  await t.test("a listener hears another session's notification in the middle of nothing", async () => {
    await using listener = startPsql(gate, ['-At'])
    listener.child.stdin?.write("listen far;\nselect 'listening';\n")
    await listener.waitFor(/listening/)
    await psql(gate, ['-c', "notify far, 'from afar'"])
    listener.child.stdin?.write('select 1;\n')
    await listener.waitFor(/Asynchronous notification "far" with payload "from afar"/)
  })

  await t.test('Ctrl-C cancels the own statement at once and nobody else’s', async t => {
    await using mine = startPsql(gate, ['-c', 'select pg_sleep(120)'])
    await using other = startPsql(gate, ['-At', '-c', "select pg_sleep(3), 'undisturbed'"])
    const running = async (): Promise<number> =>
      Number(
        (
          await world.postgres.query(
            "select count(*) from pg_stat_activity where query like '%pg_sleep(%' and state = 'active' and pid <> pg_backend_pid()",
            'app',
          )
        )[0]?.[0],
      )
    await until('both statements', async () => (await running()) >= 2)
    mine.kill('SIGINT')
    const cancelled = await mine.finished()
    t.match(cancelled.stderr, /ERROR: {2}canceling statement due to user request/)
    t.match((await other.finished()).stdout, /undisturbed/)
  })

  await t.test('start-up parameters and options reach the server', async t => {
    const args = [
      '-At',
      '-c',
      "select current_setting('search_path'), current_setting('TimeZone'), current_setting('application_name'), current_setting('work_mem')",
    ]
    const connection = `host=127.0.0.1 port=${gate.port} dbname=app user=x application_name=app-x options='-c search_path=pg_catalog,public -c work_mem=7MB'`
    const done = await run('/usr/bin/psql', ['-X', '-d', connection, ...args], { env: { PGTZ: 'Pacific/Auckland' } })
    t.equal(done.stdout, 'pg_catalog,public|Pacific/Auckland|app-x|7MB\n', done.stderr)
  })

  for (const options of ['-c nonsense=1', '-c work_mem=much', '-c wal_level=logical']) {
    await t.test(`options that the server refuses are refused in its words: ${options}`, async t => {
      const refused = async (port: number): Promise<string> => {
        const connection = `host=127.0.0.1 port=${port} dbname=app user=gate_service options='${options}'`
        const env = { PGPASSWORD: SERVICE_PASSWORD }
        const done = await run('/usr/bin/psql', ['-X', '-d', connection, '-c', 'select 1'], { env })
        t.equal(done.code, 2)
        return normal(done.stderr)
      }
      t.equal(await refused(gate.port), await refused(world.postgres.port))
    })
  }
})
