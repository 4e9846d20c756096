// gate's own look at the catalog: what a session makes is known to the rules from its next statement on, and costs little.
import { catalogQueries } from '@gate/relay/protocols/postgres/catalog-queries'
import t from 'tap'
import { until } from '../support/until.ts'
import { direct, hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { protocol: postgres } }
    allow: { groups: [engineers, dba, support] }
    rules:
      - name: everything
        allow: [engineers, dba, support]
      - name: calls
        when: op.action == "call"
        deny: "Nobody calls."
      - name: secrets
        when: op.action == "insert" && "secrets.box" in op.written
        deny: "Nobody writes there."
`

t.test("gate's own look at the catalog", { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using world = await startWorld({ policy, relay: { log: 'debug' } })
  const alice = await world.person('alice')
  await using connection = await alice.connect('prod-db')
  const readings = (): number => world.relay.process().stderr().split('"event":"postgres.catalog-read"').length
  const streams = async (): Promise<number> => {
    const [row] = await world.postgres.query(
      `select count(*) from pg_stat_activity where application_name = 'gate catalog'`,
    )
    return Number(row?.[0])
  }

  await t.test('a table that was just made is known by its full name', async t => {
    const done = await psql(connection, ['-c', 'create schema secrets', '-c', 'create table secrets.box (a int)'])
    t.equal(done.code, 0, done.stderr)
    const refused = await psql(connection, ['-c', 'set search_path = secrets', '-c', 'insert into box values (1)'])
    t.match(refused.stderr, /gate: Nobody writes there\./)
    await psql(connection, ['-c', 'alter table secrets.box rename to chest'])
    const allowed = await psql(connection, ['-c', 'insert into secrets.chest values (1)'])
    t.equal(allowed.stderr, '')
  })

  await t.test('also when the server has ended the stream on which gate looked', async t => {
    const name = `box_again`
    const done = await psql(connection, ['-c', `create table public.${name} (a int)`])
    t.equal(done.code, 0, done.stderr)
    await world.postgres.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gate catalog'`,
    )
    const moved = await psql(connection, [
      '-c',
      `alter table public.${name} rename to box`,
      '-c',
      'alter table public.box set schema secrets',
      '-c',
      'insert into secrets.box values (1)',
    ])
    t.match(moved.stderr, /gate: Nobody writes there\./)
  })

  await t.test('a lock is in the way of views over what is locked, and of no others', async t => {
    const made = [
      'create table locked (a int)',
      'create view over_locked as select a from locked',
      'create view apart as select 7 as a',
    ]
    for (const sql of [...made, 'create table new_box (a int)'])
      await world.postgres.query(`set role gate_service; ${sql}`, 'app')
    await using holding = startPsql(direct(world.postgres), ['-At'])
    holding.child.stdin?.write("begin; lock table locked; select 'held';\n")
    await holding.waitFor(/held/)
    const done = await psql(connection, ['-At', '-c', 'drop table new_box', '-c', 'select * from apart'])
    t.equal(done.stdout, 'DROP TABLE\n7\n', done.stderr)
    t.match((await psql(connection, ['-c', 'select * from over_locked'])).stderr, /gate: Nobody calls\./)
    holding.child.stdin?.write("rollback; select 'free';\n")
    await holding.waitFor(/free/)
    const after = await psql(connection, [
      '-At',
      '-c',
      'create view new_box as select 1 as a',
      '-c',
      'select count(*) from over_locked',
    ])
    t.equal(after.stdout, 'CREATE VIEW\n0\n', after.stderr)
  })

  await t.test('a view that the server cannot explain is in nobody’s way', async t => {
    const made = `create table gone (a int); create view over_it as select a from gone`
    await world.postgres.query(`${made}; delete from pg_class where relname = 'gone'`, 'app')
    await t.rejects(world.postgres.query(`select pg_get_viewdef('over_it'::regclass)`, 'app'))
    const done = await psql(connection, ['-c', 'create table later (a int)', '-c', 'insert into later values (1)'])
    t.equal(done.stderr, '')
  })

  await t.test('no part of a look is done for each pair of a table and a function', async t => {
    await world.postgres.query('create database many')
    const made = `begin for n in 1..200 loop execute format('create table of_many_%s (a int)', n);
      execute format('create function one_%s() returns int language plpgsql as %L', n, 'begin return 1; end'); end loop; end`
    await world.postgres.query(`do $$ ${made} $$`, 'many')
    for (const [name, query] of Object.entries(catalogQueries(false))) {
      const plan = await world.postgres.query(`explain (analyze, timing off) ${query}`, 'many')
      const loops = plan.map(([line = '']) => Number(/ loops=(\d+)\)/.exec(line)?.[1] ?? 0))
      t.ok(Math.max(...loops) < 5_000, `${name}: ${Math.max(...loops)} times`)
    }
  })

  await t.test('BEGIN and COMMIT do not make gate look', async t => {
    const before = readings()
    const made = [1, 2, 3].flatMap(number => [
      '-c',
      'begin',
      '-c',
      `create table made_${number} (a int)`,
      '-c',
      'commit',
    ])
    const done = await psql(connection, made)
    t.equal(done.code, 0, done.stderr)
    t.ok(readings() - before <= 3, `looked ${readings() - before} times`)
  })

  await t.test('a migration in one transaction makes gate look when it is over, and not in its middle', async t => {
    await psql(connection, ['-c', 'drop table if exists secrets.box', '-c', 'create table old_box (a int)'])
    const before = readings()
    const columns = Array.from({ length: 30 }, (_, at) => `alter table old_box add column c${at} int`)
    const steps = ['begin', ...columns.flatMap(each => [each, 'select a from old_box'])]
    const moved = ['alter table old_box rename to box', 'alter table box set schema secrets', 'commit']
    const done = await psql(
      connection,
      [...steps, ...moved, 'select 1', 'insert into secrets.box (a) values (1)'].flatMap(each => ['-c', each]),
    )
    t.match(done.stderr, /gate: Nobody writes there\./)
    t.ok(readings() - before <= 4, `looked ${readings() - before} times`)
    const chained = [
      'begin',
      'alter table secrets.box rename to c',
      'commit and chain',
      'insert into secrets.c values (1)',
    ]
    t.equal(
      (
        await psql(
          connection,
          [...chained, 'commit'].flatMap(each => ['-c', each]),
        )
      ).stderr,
      '',
    )
    const several = 'begin; alter table secrets.c rename to d; commit; alter table secrets.d rename to box'
    const again = await psql(connection, [
      '-c',
      several,
      '-c',
      'insert into box values (1)',
      '-c',
      'set search_path = secrets',
    ])
    t.match(again.stderr, /relation "box" does not exist|Nobody writes there/)
    const refused = await psql(connection, ['-c', 'set search_path = secrets', '-c', 'insert into box values (1)'])
    t.match(refused.stderr, /gate: Nobody writes there\./)
  })

  await t.test('a migration does not make gate log in for every statement, and nothing of it stays', async t => {
    const sessions = async (): Promise<number> => {
      const [row] = await world.postgres.query(`select sessions from pg_stat_database where datname = 'app'`)
      return Number(row?.[0])
    }
    const before = await sessions()
    const steps = Array.from({ length: 40 }, (_, at) => [
      '-c',
      `create table step_${at} (a int)`,
      '-c',
      `insert into step_${at} values (${at})`,
    ])
    const done = await psql(connection, steps.flat())
    t.equal(done.code, 0, done.stderr)
    t.ok((await sessions()) - before < 20, 'sessions of the server')
    await until('the end of all streams', async () => (await streams()) === 0)
  })
})
