// The story gate is made for, with real processes: login, a masked column, a refused DROP, a held DELETE, the record.
import t from 'tap'
import { hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

t.test(
  'an engineer works, a colleague approves, and everything is written down',
  { skip: hasPsql ? false : 'no psql on this machine' },
  async t => {
    await using world = await startWorld({ embedded: true })
    const alice = await world.person('alice')
    const bob = await world.person('bob')
    const carol = await world.person('carol')
    await using forAlice = await alice.connect('prod-db', '--task', 'MIG-42/3', '--reason', 'clean up ünïcode')
    await using forCarol = await carol.connect('prod-db')

    await t.test('a masked column shows its mask to those it is masked for, and its values to the others', async t => {
      const masked = await psql(forCarol, ['-At', '-c', 'select id, email from customers order by id limit 2'])
      t.equal(masked.stdout, '1|****\n2|****\n')
      t.notMatch(masked.stdout + masked.stderr, /secret/)
      const clear = await psql(forAlice, ['-At', '-c', 'select email from customers where id = 1'])
      t.equal(clear.stdout, 'user1@secret.example\n')
    })

    await t.test('a refused DROP TABLE says which rule and why, and the table is still there', async t => {
      const refused = await psql(forAlice, ['-v', 'VERBOSITY=verbose', '-c', 'drop table orders'])
      t.equal(refused.code, 1)
      t.match(refused.stderr, /ERROR: {2}42501: gate: Schema changes go through migrations\./)
      t.match(refused.stderr, /Rule never refused it/)
      t.same(await world.postgres.query("select count(*) from pg_class where relname = 'orders'", 'app'), [['1']])
    })

    await t.test('after a refusal the transaction is as if the server had refused', async t => {
      const { stdout, stderr } = await psql(
        forAlice,
        ['-At'],
        'begin;\nselect 1;\ndrop table orders;\nselect 2;\nrollback;\nselect 3;\n',
      )
      t.match(stderr, /current transaction is aborted/)
      t.match(stdout, /BEGIN\n1\nROLLBACK\n3\n/)
    })

    await t.test('a DELETE without WHERE waits for a colleague and then runs', async t => {
      await using held = startPsql(forAlice, ['-c', 'delete from orders'])
      const [, id = ''] = await held.waitFor(/waiting for approval by 1 of dba, request (r_[a-z0-9]+)/)
      t.match(held.stderr(), new RegExp(`gate approve ${id}`))
      t.same(await world.postgres.query('select count(*) from orders', 'app'), [['1000']], 'nothing ran yet')
      const own = await alice.run('approve', id)
      t.equal(own.code, 4, 'nobody approves their own request')
      t.match(own.stderr, /nobody decides their own request/)
      t.equal((await carol.run('approve', id)).code, 5, 'it is none of her business')
      const [waiting] = JSON.parse((await bob.run('requests', '--json')).stdout) as Record<string, unknown>[]
      t.match(waiting, {
        id,
        text: 'delete from orders',
        target: 'prod-db',
        task: 'MIG-42/3',
        reason: 'clean up ünïcode',
        rule: 'wide-writes',
        decidable: true,
      })
      const approved = await bob.run('approve', id, '--json')
      t.match(JSON.parse(approved.stdout), { id, verdict: 'approve', state: 'approved' })
      const done = await held.finished()
      t.equal(done.stdout, 'DELETE 1000\n')
      t.same(await world.postgres.query('select count(*) from orders', 'app'), [['0']])
      t.equal((await bob.run('approve', id)).code, 6, 'an approval works once')
    })

    await t.test('a denied one says who said no and why, and did not run', async t => {
      await using held = startPsql(forAlice, ['-c', "update users set login = 'x'"])
      const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
      t.equal((await bob.run('deny', id)).code, 2, 'a denial has a reason')
      t.equal((await bob.run('deny', id, '--reason', 'not on a Friday')).code, 0)
      const done = await held.finished()
      t.match(done.stderr, /bob@example\.com denied it: not on a Friday/)
      t.same(await world.postgres.query("select count(*) from users where login = 'x'", 'app'), [['0']])
    })

    await t.test('Ctrl-C withdraws a held command', async t => {
      await using held = startPsql(forAlice, ['-c', 'delete from users'])
      const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
      held.kill('SIGINT')
      const done = await held.finished()
      t.match(done.stderr, /canceling statement due to user request/)
      const late = await bob.run('approve', id)
      t.equal(late.code, 6)
      t.match(late.stderr, /withdrawn/)
      t.same(await world.postgres.query('select count(*) from users', 'app'), [['50']])
    })

    await t.test('a client that disappears withdraws its request', async t => {
      const held = startPsql(forAlice, ['-c', 'delete from users'])
      const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
      held.kill('SIGKILL')
      await held.finished()
      let late = await bob.run('approve', id)
      for (let tries = 0; late.code === 0 && tries < 1; tries += 1) late = await bob.run('approve', id)
      t.equal(late.code, 6)
      t.same(await world.postgres.query('select count(*) from users', 'app'), [['50']])
    })

    await t.test('gate sessions finds every statement with its decision, its approval and its outcome', async t => {
      const sessions = JSON.parse((await alice.run('sessions', '--task', 'MIG-42/3', '--json')).stdout) as {
        id: string
        target: string
        endedMs: number | null
      }[]
      t.ok(sessions.length >= 6)
      const texts: string[] = []
      for (const { id, target } of sessions) {
        t.equal(target, 'prod-db')
        texts.push((await alice.run('sessions', 'show', id)).stdout)
      }
      const all = texts.join('\n')
      t.match(all, /✓ +\d+ {2}select email from customers where id = 1/)
      t.match(all, /✗ +\d+ {2}drop table orders — refused by never: Schema changes go through migrations\./)
      t.match(all, /held for 1 of dba/)
      t.match(all, /approved by bob@example\.com/)
      t.match(all, /→ DELETE 1000, 1000 rows/)
      t.match(all, /denied by bob@example\.com: not on a Friday/)
    })

    await t.test('a person sees their own sessions, a viewer sees all, and looking is written down', async t => {
      const carols = JSON.parse((await carol.run('sessions', '--json')).stdout) as {
        id: string
        subject: { email: string }
      }[]
      t.ok(carols.every(({ subject }) => subject.email === 'carol@example.com'))
      const bobs = JSON.parse((await bob.run('sessions', '--json')).stdout) as {
        id: string
        subject: { email: string }
      }[]
      const hers = bobs.find(({ subject }) => subject.email === 'carol@example.com')
      t.ok(hers)
      t.equal((await alice.run('sessions', 'show', hers?.id ?? '')).code, 5)
      t.equal((await bob.run('sessions', 'show', hers?.id ?? '')).code, 0)
      const events = await world.relay.events()
      t.ok(
        events.some(
          ({ body }) =>
            (body as { type: string; session: string }).type === 'view' &&
            (body as { session: string }).session === hers?.id,
        ),
      )
    })

    await t.test('no record holds a token, and every command was recorded before its outcome', async t => {
      const events = (await world.relay.events()) as {
        sequence: number
        body: { type: string; session: string; command: number }
      }[]
      const commands = new Set<string>()
      for (const { body } of events) {
        const key = `${body.session} ${body.command}`
        if (body.type === 'command') commands.add(key)
        if (body.type === 'outcome') t.ok(commands.has(key), `${key} was recorded first`)
      }
      const logs = world.relay.process().stderr() + world.agent.process().stderr()
      t.notMatch(logs, /eyJ|secret\.example|service-secret/, 'neither tokens nor values nor passwords are logged')
    })
  },
)
