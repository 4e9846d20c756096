// Values of megabytes that a client writes into a statement's text, as psycopg2 does: decided, masked, held and recorded like bound ones.
import { randomBytes } from 'node:crypto'
import t from 'tap'
import { direct, hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

const MEBIBYTE = 1024 * 1024
const LIMIT = /statements of more than 1048576 bytes, long values in them aside/

t.test('long constants in the text', { skip: hasPsql ? false : 'psql is not installed' }, async t => {
  await using world = await startWorld({
    sql: `create table files (id int primary key, name text, content bytea);
      create table customers (id int primary key, email text);
      insert into customers values (1, 'jane@secret.example');`,
  })
  const [alice, bob, carol] = await Promise.all([world.person('alice'), world.person('bob'), world.person('carol')])
  await using open = await alice.connect('prod-db')
  await using masked = await carol.connect('prod-db')
  const target = { ...direct(world.postgres), port: open.port }
  const run = (sql: string, to = target): ReturnType<typeof psql> => psql(to, ['-X', '-qAt', '-f', '-'], sql)
  const content = randomBytes(2 * MEBIBYTE).toString('hex')

  await t.test('go to the server as they are', async t => {
    const { stdout, stderr } = await run(`
      insert into files values (1, '${"it''s ".repeat(300_000)}', '\\x${content}'::bytea);
      update files set content = E'\\\\x${content}' where id = 1;
      select length(name), encode(content, 'hex') = '${content}' from files where name = '${"it''s ".repeat(300_000)}';`)
    t.same({ stdout: stdout.trim(), stderr }, { stdout: '1500000|t', stderr: '' })
  })

  await t.test('are recorded as parameters', async t => {
    const [session] = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as { id: string }[]
    const shown = (await bob.runInProcess('sessions', 'show', session?.id ?? '', '--json')).stdout
    const events = shown.split('\n').filter(line => line.includes('insert into files'))
    t.equal(events.length, 1)
    t.match(events[0], /"text":"insert into files values \(1, {2}\$1 , {2}\$2 ::bytea\)"/)
    t.ok((events[0] ?? '').length < 10_000)
  })

  await t.test('do not change what is decided', async t => {
    const wide = startPsql(target, ['-X', '-qAt', '-f', '-'])
    wide.child.stdin?.end(`update files set content = '\\x${content}';`)
    const [, id = ''] = await wide.waitFor(/request (r_[a-z0-9]+)/)
    t.match((await bob.runInProcess('requests', '--json')).stdout, /update files set content = {2}\$1 /)
    t.equal((await bob.runInProcess('approve', id)).code, 0)
    t.equal((await wide.finished()).code, 0)
    const never = await run(`drop table files; select '${content}';`)
    t.match(never.stderr, /ERROR.*\n.*Schema changes|Schema changes/)
    t.match((await run('select count(*) from files')).stdout, '1')
  })

  await t.test('show nothing of masked columns', async t => {
    const to = { ...target, port: masked.port }
    const padding = 'x'.repeat(2 * MEBIBYTE)
    const shown = await run(`select id, email from customers where '${padding}' <> 'y';`, to)
    t.equal(shown.stdout.trim(), '1|****')
    for (const sql of [
      `select email || '${padding}' from customers;`,
      `select id from customers where email < '${padding}';`,
      `select id from customers where email like '${padding}%';`,
      `select query_to_xml('select email from customers -- ${padding}', true, true, '');`,
      `select '${`public.customers${' '.repeat(2 * MEBIBYTE)}`}'::regclass, c.* from customers c where row_to_json(c)::text > '${padding}';`,
    ]) {
      const { stdout, stderr } = await run(sql, to)
      t.notMatch(stdout + stderr, 'secret.example', sql.slice(0, 60))
      t.match(stderr, 'ERROR', sql.slice(0, 60))
    }
  })

  await t.test('are refused where the statement is long without them, or they are no values', async t => {
    for (const sql of [
      `do $$ begin perform '${'x'.repeat(2 * MEBIBYTE)}'; end $$;`,
      `prepare p as select '${'x'.repeat(2 * MEBIBYTE)}';`,
      `create function f() returns text language sql as '${'-'.repeat(2 * MEBIBYTE)}';`,
      `select U&'${'x'.repeat(2 * MEBIBYTE)}';`,
      `select 1 ${'+ 1'.repeat(400_000)}, '${'x'.repeat(MEBIBYTE)}';`,
    ])
      t.match((await run(sql)).stderr, LIMIT, sql.slice(0, 60))
    t.match((await run('select 1')).stdout, '1')
  })
})
