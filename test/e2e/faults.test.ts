// What goes wrong around a connection: what the user sees, and that nothing is lost.
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { createCli, programs, startAgent, startRelay } from '../support/gate.ts'
import { freePort } from '../support/net.ts'
import { startOidc } from '../support/oidc.ts'
import { startPostgres } from '../support/postgres.ts'
import { run, start } from '../support/process.ts'
import { until } from '../support/until.ts'
import {
  hasPsql,
  makeDatabase,
  openPolicy,
  psql,
  SERVICE_PASSWORD,
  samplePolicy,
  sampleSql,
  startPsql,
  startWorld,
  targetYaml,
} from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'

t.test('lost agents, lost relays, lost targets', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy, embedded: true })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const sleeping = async (seconds: number): Promise<boolean> =>
    (
      await world.postgres.query(
        `select count(*) from pg_stat_activity where query = 'select pg_sleep(${seconds})' and state = 'active'`,
        'app',
      )
    )[0]?.[0] !== '0'

  await t.test('an unknown target is an error at once', async t => {
    const done = await alice.run('connect', 'nothing-here')
    t.equal(done.code, 5)
    t.match(done.stderr, /there is no target nothing-here that you may open/)
  })

  await t.test('a wrong database name is refused with the right one', async t => {
    const done = await psql({ ...gate, database: 'postgres' }, ['-c', 'select 1'])
    t.equal(done.code, 2)
    t.match(done.stderr, /FATAL: {2}gate: prod-db is the database app, not postgres/)
    t.equal(
      (await psql({ ...gate, database: 'alice' }, ['-At', '-c', 'select current_database()'])).stdout,
      'app\n',
      'no name means the one that is there',
    )
  })

  await t.test('an agent that dies in mid-statement ends the statement with a clear error', async t => {
    await using waiting = startPsql(gate, ['-c', 'select pg_sleep(61)'])
    await until('the statement that sleeps', () => sleeping(61))
    await world.agent.kill('SIGKILL')
    const done = await waiting.finished()
    t.not(done.code, 0)
    t.match(done.stderr, /FATAL: {2}gate: the (tunnel|agent|connection)/)
  })

  await t.test('an agent that is stopped says so', async t => {
    await world.agent.restart()
    await using waiting = startPsql(gate, ['-c', 'select pg_sleep(62)'])
    await until('the statement that sleeps', () => sleeping(62))
    t.equal((await world.agent.kill('SIGTERM')).code, 0)
    const done = await waiting.finished()
    t.not(done.code, 0)
    t.match(done.stderr, /FATAL: {2}gate: the agent is going down/)
  })

  await t.test('without an agent the target is listed as offline and connecting says why', async t => {
    t.match((await alice.run('targets')).stdout, /prod-db +postgres +offline/)
    const done = await psql(gate, ['-c', 'select 1'])
    t.equal(done.code, 2)
    t.match(done.stderr, /FATAL: {2}gate: no agent that serves prod-db is online/)
    t.match(done.stderr, /gate targets/)
  })

  await t.test('the agent comes back by itself and the same port works again', async t => {
    await world.agent.restart()
    t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
  })

  await t.test(
    'a relay that is killed in mid-statement: psql ends, the port stays, and says at once that no relay is there',
    async t => {
      await using waiting = startPsql(gate, ['-c', 'select pg_sleep(62)'])
      await until('the statement that sleeps', () => sleeping(62))
      await world.relay.kill('SIGKILL')
      const done = await waiting.finished()
      t.not(done.code, 0)
      t.match(done.stderr, /server closed the connection unexpectedly|FATAL/)
      const offline = await psql(gate, ['-c', 'select 1'])
      t.equal(offline.code, 2)
      t.match(offline.stderr, /FATAL: {2}gate: the relay http:\S+ cannot be reached/)
      t.match(gate.process.stderr(), /cannot reach the relay/)
      await world.relay.restart()
      await world.agent.process().waitFor(/uplink\.lost[\s\S]*uplink\.ready/)
      const again = await psql(gate, ['-At', '-c', 'select 1'])
      t.equal(again.stdout, '1\n', again.stderr)
    },
  )

  await t.test('the record survived the kill: every line is whole and in order', async t => {
    const events = await world.relay.events()
    t.same(
      events.map(({ sequence }) => sequence),
      events.map((_, index) => index + 1),
    )
  })

  await t.test('a relay that is told to stop says goodbye in the protocol', async t => {
    await using waiting = startPsql(gate, ['-c', 'select pg_sleep(63)'])
    await until('the statement that sleeps', () => sleeping(63))
    const stopped = await world.relay.kill('SIGTERM')
    t.equal(stopped.code, 0)
    t.match((await waiting.finished()).stderr, /FATAL: {2}gate: the relay is going down/)
    await world.relay.restart()
  })
})

t.test('a target that is down, or refuses the service identity', { skip }, async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await using postgres = await startPostgres()
  await makeDatabase(postgres, sampleSql)
  const nobody = await freePort()
  await using _agent = await startAgent({
    relay,
    targets: [
      targetYaml({ host: '127.0.0.1', port: nobody }, 'down'),
      targetYaml(postgres, 'refusing').replace('TARGET_PASSWORD', 'WRONG_PASSWORD'),
    ].join('\n'),
    env: { TARGET_PASSWORD: SERVICE_PASSWORD, WRONG_PASSWORD: 'not-the-password' },
  })
  await using alice = await createCli()
  await alice.login(relay, oidc, 'alice')
  await using down = await alice.connect('down')
  await using refusing = await alice.connect('refusing')
  const unreachable = await psql(down, ['-c', 'select 1'])
  t.match(unreachable.stderr, /FATAL: {2}gate: the agent cannot reach down \(ECONNREFUSED\)/)
  const refused = await psql(refusing, ['-c', 'select 1'])
  t.match(refused.stderr, /FATAL: {2}gate: refusing refused gate's service identity/)
  t.match(refused.stderr, /The target said: password authentication failed for user "gate_service"/)
  t.notMatch(refused.stderr + relay.process().stderr(), /not-the-password/)
})

t.test('when nobody approves in time the command is refused and never ran', { skip }, async t => {
  await using world = await startWorld({ policy: samplePolicy.replace('expires: 60s', 'expires: 2s') })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const done = await psql(gate, ['-c', 'delete from orders'])
  t.equal(done.code, 1)
  t.match(done.stderr, /ERROR: {2}gate: nobody decided in time \(1 of dba\)/)
  t.same(await world.postgres.query('select count(*) from orders', 'app'), [['1000']])
  const mine = JSON.parse((await alice.run('requests', '--mine', '--json')).stdout) as { state: string }[]
  t.same(
    mine.map(({ state }) => state),
    ['expired'],
  )

  await t.test('a policy file with an error leaves the old policy in force and says where the error is', async t => {
    await world.relay.writePolicy(samplePolicy.replace('op.hasWhere', 'op.hasWear'))
    const [line] = await world.relay.process().waitFor(/"event":"policy\.refused".*|.*"event":"policy\.refused"/)
    t.match(line, /policy\.yaml:\d+:\d+: targets\.0\.rules\.2\.when: No such key: hasWear/)
    t.match((await psql(gate, ['-c', 'drop table orders'])).stderr, /Schema changes go through migrations/)
    const checked = await run(process.execPath, [programs.relay, '--config', world.relay.config, 'check'])
    t.equal(checked.code, 2)
    t.match(checked.stderr, /policy\.yaml:\d+:\d+: .*hasWear/)
  })

  await t.test('a new policy binds open connections from the next command on', async () => {
    await using open = startPsql(gate, ['-At'])
    open.child.stdin?.write("select 'before';\n")
    await open.waitFor(/before/)
    await world.relay.writePolicy(samplePolicy.replace('Schema changes go', 'Changes of schema go'))
    await world.relay.process().waitFor(/policy\.loaded[\s\S]*policy\.refused[\s\S]*policy\.loaded/)
    open.child.stdin?.write('drop table orders;\n')
    await open.waitFor(/Changes of schema go through migrations/)
  })
})

t.test('a taken port is said, with the way out', async t => {
  await using world = await startWorld({ policy: openPolicy, embedded: true })
  const alice = await world.person('alice')
  const port = await freePort()
  const taker = createServer().listen(port, '127.0.0.1')
  t.teardown(() => taker.close())
  const done = await alice.run('connect', 'prod-db', '--port', String(port))
  t.equal(done.code, 8)
  t.match(done.stderr, new RegExp(`port ${port} on 127\\.0\\.0\\.1 cannot be opened`))
  t.match(done.stderr, /--port/)
  await using first = await alice.connect('prod-db')
  await using again = alice.start(['connect', 'prod-db', '--port', '0', '--json'])
  const [, other] = await again.waitFor(/"port":(\d+)/)
  t.not(Number(other), first.port, '0 is any free port')
  first.process.kill('SIGINT')
  t.equal((await first.process.finished()).code, 0)
  await using third = await alice.connect('prod-db')
  t.equal(third.port, first.port, 'the same target has the same port every time')
})

t.test(
  'a disk that takes no more: nothing runs that is not recorded, and work goes on when there is room again',
  { skip },
  async t => {
    await using oidc = await startOidc()
    await using postgres = await startPostgres()
    await makeDatabase(postgres, sampleSql)
    await postgres.query('create database gate_store')
    // The store is on the server: then the record is the only file that the relay writes, and a limit on file sizes meets it alone.
    await using relay = await startRelay({ oidc, policy: openPolicy, store: postgres.url('gate_store') })
    await using _agent = await startAgent({
      relay,
      targets: targetYaml(postgres),
      env: { TARGET_PASSWORD: SERVICE_PASSWORD },
    })
    t.teardown(() => {
      if (t.passing()) return
      const { exitCode, signalCode } = relay.process().child
      t.comment(`relay ${exitCode} ${signalCode}: ${relay.process().stderr().slice(-4000)}`)
    })
    await using alice = await createCli()
    await alice.login(relay, oidc, 'alice')
    await using gate = await alice.connect('prod-db')
    await using session = startPsql(gate, ['-At', '-v', 'VERBOSITY=verbose'])
    session.child.stdin?.write("create table counted (n int);\nselect 'ready';\n")
    await session.waitFor(/ready/)
    const records = join(relay.directory, 'state', 'records')
    const { size } = await sizeOf(records)
    const limit = size + 20_000
    const { code, stderr } = await run('prlimit', ['--pid', String(relay.process().pid), `--fsize=${limit}:unlimited`])
    t.equal(code, 0, stderr)
    for (let n = 0; n < 100; n += 1)
      session.child.stdin?.write(`insert into counted values (${n}) /* ${'x'.repeat(500)} */;\n`)
    session.child.stdin?.write('\\echo done\n')
    await session.waitFor(/^done$/m)
    t.match(
      session.stderr(),
      /ERROR: {2}58030: gate: the record cannot be written \(EFBIG\), so the command was not run/,
    )
    const ran = Number((await postgres.query('select count(*) from counted', 'app'))[0]?.[0])
    const refused = session.stderr().split('58030').length - 1
    t.ok(ran > 0 && refused > 0 && ran + refused === 100, `${ran} ran, ${refused} were refused`)
    await run('prlimit', ['--pid', String(relay.process().pid), '--fsize=unlimited:unlimited'])
    session.child.stdin?.write("insert into counted values (1000);\nselect 'again';\n")
    await session.waitFor(/again/)
    const events = (await relay.events()) as { sequence: number; body: { type: string; action?: string } }[]
    t.same(
      events.map(({ sequence }) => sequence),
      events.map((_, index) => index + 1),
      'no line is missing or torn',
    )
    t.equal(
      events.filter(({ body }) => body.type === 'command' && body.action === 'insert').length,
      ran + 1,
      'exactly what ran is recorded',
    )
  },
)

async function sizeOf(directory: string): Promise<{ size: number }> {
  const { readdir, stat } = await import('node:fs/promises')
  const [name = ''] = await readdir(directory)
  return stat(join(directory, name))
}

t.test('two relays on one state directory: the second does not start', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy })
  await using second = start(process.execPath, [programs.relay, '--config', relay.config, 'start'])
  const done = await second.finished()
  t.equal(done.code, 6)
  t.match(done.stderr, /another relay runs in/)
  await relay.kill('SIGKILL')
  await relay.restart()
  t.pass('after a kill the next one starts at once')
  const text = await readFile(relay.config, 'utf8')
  t.match(text, /issuers/)
})
