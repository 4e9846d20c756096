// Following and stopping what runs, with real processes and two relays: kill, lock, unlock, watch, and who may.
import { get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import t from 'tap'
import { tokenOf } from '../support/approver.ts'
import { createCli, startRelay } from '../support/gate.ts'
import { startPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['dba'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['security'] },
]

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba] }
    viewers: [dba, security]
    operators: [dba]
    rules: [{ name: everything, allow: [engineers, dba] }]
`

type Event = { body: { type: string; session?: string; by?: unknown; reason?: string; lock?: string; code?: string } }

/** One address in front of several relays; `to` is the port of the one that gets new connections. */
async function startBalancer(first: number): Promise<AsyncDisposable & { readonly port: number; to: number }> {
  const balancer = { to: first }
  const server = createServer(incoming => {
    const outgoing = connect(balancer.to, '127.0.0.1')
    for (const socket of [incoming, outgoing]) socket.on('error', () => socket.destroy())
    incoming.pipe(outgoing)
    outgoing.pipe(incoming)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return Object.assign(balancer, {
    port,
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => server.close(() => resolve())),
  })
}

t.test('stopping', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  await using storage = await startPostgres()
  await storage.query('create database gate')
  const more = 'operators: [security]'
  await using world = await startWorld({ policy, oidc: { people }, relay: { store: storage.url('gate'), more } })
  // A second relay of the same installation: no agent dials it, and people ask it to stop what runs on the first.
  await using second = await startRelay({ oidc: world.oidc, policy, store: storage.url('gate'), more })
  const alice = await world.person('alice')
  const bob = await world.person('bob')
  const carol = await world.person('carol')
  await using bobElsewhere = await createCli()
  t.equal((await bobElsewhere.login(second, world.oidc, 'bob')).code, 0)
  await using gate = await alice.connect('prod-db', '--task', 'MIG-1')

  /** A psql that waits for input, in a session that is running. */
  const open = async (marker: string) => {
    const client = startPsql(gate, ['-At'])
    client.child.stdin?.write(`select '${marker}';\n`)
    await client.waitFor(new RegExp(marker))
    const sessions = JSON.parse((await alice.runInProcess('sessions', '--json')).stdout) as {
      id: string
      endedMs: null | number
    }[]
    const id = sessions.find(({ endedMs }) => endedMs === null)?.id ?? ''
    return { client, id, [Symbol.asyncDispose]: () => client[Symbol.asyncDispose]() }
  }
  const eventsOf = async (id: string) =>
    ((await world.relay.events()) as unknown as Event[]).map(({ body }) => body).filter(({ session }) => session === id)
  /** psql notices a lost connection when it next sends something. */
  const cutOff = async (client: ReturnType<typeof startPsql>): Promise<string> => {
    client.child.stdin?.end("select 'never';\n")
    const done = await client.finished()
    t.notMatch(done.stdout, /never/)
    return done.stderr
  }

  await t.test('an open session has counts in the list while it runs', async t => {
    await using running = await open('counted')
    const [row] = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as object[]
    t.match(row, { id: running.id, endedMs: null, commands: 1, refused: 0 })
  })

  await t.test('an operator ends a session: its client is told by whom and why, and it is recorded', async t => {
    await using running = await open('killed')
    const done = await bob.runInProcess('sessions', 'kill', running.id, '--reason', 'wrong database')
    t.equal(done.code, 0, done.stderr)
    t.match(done.stdout, /✓ ended s_/)
    t.match(await cutOff(running.client), /FATAL: {2}gate: bob@example\.com ended this session: wrong database/)
    const events = await eventsOf(running.id)
    t.match(
      events.filter(({ type }) => type === 'kill' || type === 'session.end'),
      [
        { type: 'kill', by: { email: 'bob@example.com' }, reason: 'wrong database' },
        { type: 'session.end', code: 'ERR_GATE_KILLED' },
      ],
    )
    t.match(
      (await alice.runInProcess('sessions', 'show', running.id)).stdout,
      /✗ +ended by bob@example\.com: wrong database/,
    )
    t.equal(
      (await bob.runInProcess('sessions', 'kill', running.id, '--reason', 'again')).code,
      6,
      'it has ended already',
    )
  })

  await t.test('a command that is running is cut off too', async t => {
    await using client = startPsql(gate, ['-c', 'select pg_sleep(60)'])
    const id = await until('the session that runs a command', async () => {
      const found = JSON.parse((await bob.runInProcess('sessions', '--json')).stdout) as {
        id: string
        endedMs: number | null
        commands: number
      }[]
      return found.find(({ endedMs, commands }) => endedMs === null && commands === 1)?.id
    })
    t.equal((await bob.runInProcess('sessions', 'kill', id, '--reason', 'too long')).code, 0)
    t.match((await client.finished()).stderr, /FATAL: {2}gate: bob@example\.com ended this session: too long/)
  })

  await t.test('people end their own sessions; who may only look, or nothing, may not', async t => {
    await using running = await open('own')
    const viewer = await carol.runInProcess('sessions', 'kill', running.id, '--reason', 'x')
    t.equal(viewer.code, 4)
    t.match(viewer.stderr, /you may look at s_\w+, not end it/)
    t.equal((await alice.runInProcess('sessions', 'kill', running.id)).code, 2, 'not without a reason')
    t.equal((await alice.runInProcess('sessions', 'kill', 's_000000000000', '--reason', 'x')).code, 5)
    t.equal((await alice.runInProcess('sessions', 'kill', running.id, '--reason', 'mine')).code, 0)
    t.match(await cutOff(running.client), /alice@example\.com ended this session: mine/)
  })

  await t.test('a session is followed, shown and ended from another relay than the one it runs on', async t => {
    await using running = await open('elsewhere')
    await using watching = bobElsewhere.start(['sessions', 'watch', running.id])
    await watching.waitFor(/✓ +1 {2}select 'elsewhere'/)
    running.client.child.stdin?.write('select 40 + 2;\n')
    await watching.waitFor(/✓ +2 {2}select 40 \+ 2/)
    const shown = await bobElsewhere.runInProcess('sessions', 'show', running.id)
    t.equal(shown.code, 0, shown.stderr)
    t.match(shown.stdout, /select 'elsewhere'/)
    const views = async (): Promise<Event['body'][]> =>
      (await eventsOf(running.id)).filter(({ type }) => type === 'view')
    t.equal((await views()).length, 2, 'who looks is recorded where the session is')
    const here = ((await second.events()) as unknown as Event[]).filter(({ body }) => body.session === running.id)
    t.same(here, [], 'and only there')
    const done = await bobElsewhere.runInProcess('sessions', 'kill', running.id, '--reason', 'from afar', '--json')
    t.match(JSON.parse(done.stdout), { id: running.id, state: 'ended' })
    t.match(await cutOff(running.client), /bob@example\.com ended this session: from afar/)
    const followed = await watching.finished()
    t.equal(followed.code, 0, followed.stderr)
    t.match(followed.stdout, /from afar[\s\S]*ended/)
    const exported = await bobElsewhere.run('sessions', 'export', running.id, '--format', 'jsonl')
    t.match(exported.stdout, /"type":"session\.start"[\s\S]*"type":"session\.end"/)
  })

  await t.test('a session is followed while it runs, until it ends, and looking is recorded first', async t => {
    await using running = await open('followed')
    await using watching = bob.start(['sessions', 'watch', running.id])
    await watching.waitFor(/✓ +1 {2}select 'followed'/)
    running.client.child.stdin?.write('select 40 + 2;\n')
    await watching.waitFor(/✓ +2 {2}select 40 \+ 2/)
    await watching.waitFor(/→ SELECT 1, 1 row/)
    running.client.child.stdin?.end()
    const done = await watching.finished()
    t.equal(done.code, 0)
    t.match(done.stdout, /ended\n$/)
    const views = (await eventsOf(running.id)).filter(({ type }) => type === 'view')
    t.equal(views.length, 1)
    t.match(done.stdout, /looked at by/)
    const past = await bob.run('sessions', 'watch', running.id)
    t.equal(past.code, 0, 'of one that is over, watching shows the end')
    t.match(past.stdout, /select 'followed'[\s\S]*ended\n$/)
  })

  await t.test('a watcher may watch only what they may see, and Ctrl-C stops it alone', async t => {
    await using running = await open('private')
    await using own = alice.start(['sessions', 'watch', running.id, '--json'])
    await own.waitFor(/"event"/)
    own.kill('SIGINT')
    t.equal((await own.finished()).code, 0)
    running.client.child.stdin?.write("select 'still' || 'there';\n")
    await running.client.waitFor(/stillthere/)
    t.notOk(
      (await eventsOf(running.id)).some(({ type }) => type === 'view'),
      'looking at one’s own is no news',
    )
  })

  await t.test('a watcher who does not read is dropped with a word, and the session goes on', async t => {
    await using running = await open('busy')
    const token = await tokenOf(bob, world.relay.url)
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const path = `${world.relay.url}/v1/sessions/${running.id}/watch`
      get(path, { headers: { authorization: `Bearer ${token}` } }, resolve).on('error', reject)
    })
    t.equal(response.statusCode, 200)
    response.pause()
    // Far more than the sockets of both sides and the relay's own limit hold.
    for (let number = 0; number < 600; number += 1)
      running.client.child.stdin?.write(`select ${number} /* ${'x'.repeat(60_000)} */;\n`)
    running.client.child.stdin?.write("select 'still' || 'here';\n")
    await world.relay.process().waitFor(/"code":"ERR_GATE_LIMIT","event":"session\.watcher-dropped"/)
    let last = ''
    for await (const chunk of response.setEncoding('utf8')) last = (last + (chunk as string)).slice(-1000)
    t.match(
      last,
      /\{"error":\{"code":"ERR_GATE_LIMIT","message":"you read more slowly than the session goes on"\}\}\n$/,
    )
    await running.client.waitFor(/stillhere/)
  })

  await t.test('a locked person is cut off everywhere and gets nothing until unlocked', async t => {
    await using running = await open('locked')
    t.equal(
      (await bob.runInProcess('lock', 'user', 'alice@example.com', '--reason', 'x')).code,
      4,
      'operators of a target lock that',
    )
    const locked = await carol.run(
      'lock',
      'user',
      'Alice@Example.com',
      '--reason',
      'stolen laptop',
      '--until',
      '2h',
      '--json',
    )
    t.equal(locked.code, 0, locked.stderr)
    const { id } = JSON.parse(locked.stdout) as { id: string }
    t.match(
      await cutOff(running.client),
      /FATAL: {2}gate: user alice@example\.com is locked until \S+ by carol@example\.com: stolen laptop/,
    )
    t.match(
      (await eventsOf(running.id)).filter(({ type }) => type === 'kill' || type === 'session.end'),
      [
        { type: 'kill', lock: id, reason: 'stolen laptop' },
        { type: 'session.end', code: 'ERR_GATE_LOCKED' },
      ],
    )
    const refused = await psql(gate, ['-c', 'select 1'])
    t.match(refused.stderr, /is locked/)
    t.equal((await alice.runInProcess('sessions')).code, 4)
    t.equal((await alice.runInProcess('unlock', id)).code, 4, 'nobody unlocks themselves')
    await using again = await createCli()
    const login = await again.login(world.relay, world.oidc, 'alice')
    t.equal(login.code, 4)
    t.match(login.stderr, /ERR_GATE_LOCKED/)
    t.match(
      (await carol.runInProcess('locks')).stdout,
      new RegExp(`${id} +user +alice@example\\.com .* carol@example\\.com +stolen laptop`),
    )
    t.equal(
      (await carol.runInProcess('lock', 'user', 'alice@example.com', '--reason', 'x')).code,
      6,
      'one lock is enough',
    )
    t.equal((await carol.runInProcess('unlock', id)).code, 0)
    t.equal((await carol.runInProcess('unlock', id)).code, 5)
    t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
    const events = (await world.relay.events()) as unknown as Event[]
    t.match(
      events.map(({ body }) => body).filter(({ type }) => type === 'lock' || type === 'unlock'),
      [
        { type: 'lock', lock: id },
        { type: 'unlock', lock: id },
      ],
    )
  })

  await t.test('a locked target takes nobody, also when it was locked on another relay', async t => {
    await using running = await open('target')
    const locked = await bobElsewhere.runInProcess('lock', 'target', 'prod-db', '--reason', 'restoring', '--json')
    t.equal(locked.code, 0, locked.stderr)
    t.match(await cutOff(running.client), /target prod-db is locked by bob@example\.com: restoring/)
    t.match((await psql(gate, ['-c', 'select 1'])).stderr, /FATAL: {2}gate: target prod-db is locked/)
    t.equal((await carol.runInProcess('lock', 'target', 'prod-bd', '--reason', 'x')).code, 5, 'a slip of the pen')
    t.equal((await bob.runInProcess('unlock', (JSON.parse(locked.stdout) as { id: string }).id)).code, 0)
    t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
  })

  await t.test('a locked agent is let go, refused when it comes back, and serves again when unlocked', async t => {
    await using running = await open('agent')
    const locked = await carol.runInProcess('lock', 'agent', 'agent-one', '--reason', 'compromised', '--json')
    t.equal(locked.code, 0, locked.stderr)
    t.match(await cutOff(running.client), /agent agent-one is locked by carol@example\.com: compromised/)
    await world.relay.process().waitFor(/is locked.*"event":"agent\.refused"/)
    t.match((await psql(gate, ['-c', 'select 1'])).stderr, /no agent that serves prod-db is online/)
    t.equal((await carol.runInProcess('unlock', (JSON.parse(locked.stdout) as { id: string }).id)).code, 0)
    await world.agent.process().waitFor(/uplink\.ready[\s\S]*uplink\.ready/)
    t.equal((await psql(gate, ['-At', '-c', 'select 1'])).stdout, '1\n')
  })

  await t.test('a lock ends by itself when its time is over', async t => {
    t.equal((await carol.runInProcess('lock', 'target', 'prod-db', '--reason', 'briefly', '--until', '2s')).code, 0)
    t.match((await psql(gate, ['-c', 'select 1'])).stderr, /is locked until/)
    await until('the end of the lock', async () => (await psql(gate, ['-At', '-c', 'select 1'])).stdout === '1\n')
    t.equal((await carol.runInProcess('locks')).stdout, '')
    t.equal((await carol.runInProcess('lock', 'target', 'prod-db', '--reason', 'x', '--until', '2020-01-01')).code, 2)
    t.equal((await carol.runInProcess('lock', 'planet', 'earth', '--reason', 'x')).code, 2)
  })

  await t.test('receipts come from the relay that a session was on, and the other one says which that is', async t => {
    await using aliceElsewhere = await createCli()
    t.equal((await aliceElsewhere.login(second, world.oidc, 'alice')).code, 0)
    const asked = await aliceElsewhere.runInProcess('receipts')
    t.equal(asked.code, 0, asked.stderr)
    t.match(asked.stderr, /There are no receipts yet/)
    t.match(
      asked.stderr,
      new RegExp(`\\d+ of your sessions ended on relay_\\w+ at ${world.relay.url}: their receipts come from`),
    )
    const own = await alice.runInProcess('receipts')
    t.match(own.stdout, /^s_\w+ .* good$/m)
    t.notMatch(own.stderr, /ended on/)
  })

  await t.test(
    'behind one address each relay is held to its own record, and one that is none of theirs to the ones kept',
    async t => {
      const [first, other] = [world.relay.port, second.port]
      await using balancer = await startBalancer(first)
      await using both = await createCli()
      t.equal((await both.login({ url: `http://127.0.0.1:${balancer.port}` }, world.oidc, 'alice')).code, 0)
      const receipts = await both.runInProcess('receipts')
      t.match(receipts.stdout, /^s_\w+ .* good$/m)
      t.notMatch(receipts.stderr, /another relay answers/)
      for (const [port, isNew] of [
        [other, true],
        [first, false],
      ] as const) {
        balancer.to = port
        const asked = await both.runInProcess('receipts')
        t.equal(asked.code, 0, asked.stderr)
        t.equal(asked.stdout.split('\n').length, receipts.stdout.split('\n').length)
        t.equal(
          /another relay answers at http\S+ its record 127\.0\.0\.1:\d+\/relay_\w+ is kept/.test(asked.stderr),
          isNew,
        )
      }
      await using stranger = await startRelay({ oidc: world.oidc, policy })
      balancer.to = stranger.port
      t.equal((await both.login({ url: `http://127.0.0.1:${balancer.port}` }, world.oidc, 'alice')).code, 0)
      const alarm = await both.runInProcess('receipts')
      t.equal(alarm.code, 9, alarm.stderr)
      t.match(alarm.stderr, /the record is signed with .*, and was with /)
    },
  )

  await t.test('of a session on a relay that is down another says where its record is', async t => {
    const [ended] = JSON.parse((await bobElsewhere.runInProcess('sessions', '--json')).stdout) as {
      id: string
      relay: string
    }[]
    const headers = { authorization: `Bearer ${await tokenOf(bobElsewhere, second.url)}`, 'gate-asked-by': 'relay_x' }
    const circle = await fetch(`${second.url}/v1/sessions/${ended?.id}`, { headers })
    t.equal(circle.status, 404, 'who is asked by a relay asks no other one')
    await world.relay.kill()
    for (const what of ['show', 'watch']) {
      const asked = await bobElsewhere.runInProcess('sessions', what, ended?.id ?? '')
      t.equal(asked.code, 5)
      t.match(
        asked.stderr,
        `the record of ${ended?.id} is on relay ${ended?.relay} at ${world.relay.url}, which relay_`,
      )
      t.match(asked.stderr, `gate login --relay ${world.relay.url}`)
    }
    await world.relay.restart()
    t.equal((await bobElsewhere.runInProcess('sessions', 'show', ended?.id ?? '')).code, 0)
  })

  await t.test('with the store gone nobody can know of locks, so new connections are refused', async t => {
    await storage.stop()
    const refused = await psql(gate, ['-c', 'select 1'])
    t.not(refused.code, 0)
    t.match(refused.stderr, /the store does not answer|cannot be reached/)
  })
})
