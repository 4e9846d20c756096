// Approvals against everything that can go wrong: real people, relay, agent and database.
import { createHash } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import { signBytes, statementBytes, statementOf } from '@gate/shared/approval'
import t from 'tap'
import { callAs, keptSigner, newSigner } from '../support/approver.ts'
import { type AgentProcess, type Cli, startAgent } from '../support/gate.ts'
import { startHttpService } from '../support/http-target.ts'
import { startPostgres } from '../support/postgres.ts'
import type { Running } from '../support/process.ts'
import { hasPsql, psql, SERVICE_PASSWORD, startPsql, startWorld, targetYaml, type World } from '../support/world.ts'

const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['dba'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['dba', 'support'] },
]

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers, dba] }
    viewers: [dba]
    rules:
      - { name: everything, allow: [engineers, dba] }
      - name: deletes
        when: op.action == "delete"
        hold: { approvers: "1 of dba", expires: 60s, grants: { max: 10m } }
      - name: drops
        when: op.action == "drop"
        hold: { approvers: "2 of dba", expires: 60s }
      - { name: quick, when: op.action == "truncate", hold: { approvers: "1 of dba", expires: 2s } }
`
const sql = 'create table t (id int primary key); insert into t select g from generate_series(1, 100) g'
const more = 'limits: { waiting_requests_per_subject: 1000, connections_per_subject: 1000 }'

interface Held {
  readonly id: string
  readonly running: Running
}

/** Starts a command that is held, and gives the request's id. */
async function hold(port: number, statement: string): Promise<Held> {
  const running = startPsql({ port }, ['-At', '-c', statement])
  const [, id = ''] = await running.waitFor(/request (r_[a-z0-9]+)/)
  return { id, running }
}

const count = async (world: World): Promise<string> =>
  (await world.postgres.query('select count(*) from t', 'app'))[0]?.[0] ?? ''

t.test('approvals that go wrong', { skip: hasPsql ? false : 'no psql' }, async t => {
  await using world = await startWorld({ policy, sql, oidc: { people }, relay: { more } })
  const [alice, bob, carol] = await Promise.all([world.person('alice'), world.person('bob'), world.person('carol')])
  await using gate = await alice.connect('prod-db')

  const api = (cli: Cli, method: string, path: string, body?: object) =>
    callAs(cli, world.relay.url, method, path, body)

  await t.test('a decided, withdrawn, expired or foreign request cannot be approved', async t => {
    const decided = await hold(gate.port, 'delete from t where id = 1')
    t.equal((await bob.runInProcess('approve', decided.id)).code, 0)
    t.equal((await decided.running.finished()).stdout, 'DELETE 1\n')
    for (const cli of [bob, carol]) {
      const again = await cli.runInProcess('approve', decided.id)
      t.equal(again.code, 6)
      t.match(again.stderr, 'is used already')
    }
    const withdrawn = await hold(gate.port, 'delete from t where id = 2')
    withdrawn.running.kill('SIGINT')
    t.match((await withdrawn.running.finished()).stderr, 'canceling statement due to user request')
    t.equal((await bob.runInProcess('approve', withdrawn.id)).code, 6)
    const expired = await hold(gate.port, 'truncate t')
    t.match((await expired.running.finished()).stderr, 'nobody decided in time')
    t.equal((await bob.runInProcess('approve', expired.id)).code, 6)
    const mine = await hold(gate.port, 'delete from t where id = 3')
    const own = await alice.runInProcess('approve', mine.id)
    t.equal(own.code, 4)
    t.match(own.stderr, 'nobody decides their own request')
    t.equal((await bob.runInProcess('approve', 'r_000000000000')).code, 5)
    t.equal((await bob.runInProcess('deny', mine.id, '--reason', 'no')).code, 0)
    t.match((await mine.running.finished()).stderr, 'bob@example.com denied it: no')
    t.equal(await count(world), '99')
  })

  await t.test('whoever watches requests sees them come and go', async t => {
    await using watching = bob.start(['requests', '--watch', '--json'])
    const held = await hold(gate.port, 'delete from t where id = 1000')
    await watching.waitFor(new RegExp(`"id":"${held.id}".*"state":"waiting"|"state":"waiting".*"id":"${held.id}"`))
    t.equal((await bob.runInProcess('approve', held.id)).code, 0)
    await watching.waitFor(new RegExp(`"id":"${held.id}","state":"gone"|"id":"${held.id}".*"state":"used"`))
    t.equal((await held.running.finished()).stdout, 'DELETE 0\n')
    await using reading = bob.start(['requests', '--watch'])
    const ends = [
      { word: ['approve'], said: /approved by bob@example\.com: alice@example\.com prod-db delete from t/ },
      { word: ['deny', '--reason', 'not today'], said: /denied by bob@example\.com \(not today\): alice/ },
      { word: [], said: /withdrawn by who asked: alice/ },
    ]
    for (const { word, said } of ends) {
      const asked = await hold(gate.port, 'delete from t where id = 1000')
      await reading.waitFor(new RegExp(`^\\d\\d:\\d\\d:\\d\\dZ ${asked.id} waiting alice@example`, 'm'))
      const [verdict, ...more] = word
      if (verdict === undefined) asked.running.kill('SIGINT')
      else t.equal((await bob.runInProcess(verdict, asked.id, ...more)).code, 0)
      await reading.waitFor(new RegExp(`Z ${asked.id} ${said.source}`, 'm'))
      await asked.running.finished()
    }
    reading.kill('SIGINT')
    t.match(await reading.finished(), { code: 0, stderr: '' })
  })

  await t.test('a signature that was altered, replayed, or made with another key counts for nothing', async t => {
    const first = await hold(gate.port, 'delete from t where id = 4')
    const second = await hold(gate.port, 'delete from t where id = 5')
    const detail = async (id: string) => (await api(bob, 'GET', `/v1/requests/${id}`)).body as never
    const word = { verdict: 'approve', reason: undefined, grantMs: undefined } as const
    const { key: own, publicKey } = await keptSigner(bob)
    const signed = signBytes(statementBytes(statementOf(await detail(first.id), word)), own)
    const post = (id: string, body: object) =>
      api(bob, 'POST', `/v1/requests/${id}/decision`, { verdict: 'approve', publicKey, signature: signed, ...body })
    t.equal((await post(second.id, {})).status, 403, 'replayed for another request')
    t.equal((await post(first.id, { reason: 'added later' })).status, 403, 'altered')
    t.equal((await post(first.id, { grantMs: 60_000 })).status, 403, 'made a grant')
    const stranger = newSigner()
    t.equal((await post(first.id, { publicKey: stranger.publicKey })).status, 403, 'not registered')
    t.equal((await post(first.id, { signature: '' })).status, 403)
    t.equal((await post(first.id, {})).status, 200, 'the right one')
    t.equal((await first.running.finished()).stdout, 'DELETE 1\n')
    t.equal((await post(first.id, {})).status, 409, 'twice')
    t.equal((await bob.runInProcess('deny', second.id, '--reason', 'x')).code, 0)
    await second.running.finished()
  })

  await t.test('a revoked key signs nothing any more, and a new one does', async t => {
    const held = await hold(gate.port, 'delete from t where id = 6')
    t.equal((await carol.runInProcess('keys', 'new')).code, 0)
    const [key] = JSON.parse((await carol.runInProcess('keys', '--json')).stdout) as { id: string; here: boolean }[]
    t.ok(key?.here)
    t.equal((await carol.runInProcess('keys', 'revoke', key?.id ?? '')).code, 0)
    const refused = await carol.runInProcess('approve', held.id)
    t.equal(refused.code, 4)
    t.match(refused.stderr, /was revoked[\s\S]*gate keys new/)
    t.equal((await carol.runInProcess('keys', 'new', '--force')).code, 0)
    t.equal((await carol.runInProcess('approve', held.id)).code, 0)
    t.equal((await held.running.finished()).stdout, 'DELETE 1\n')
    t.equal((await bob.runInProcess('keys', 'revoke', key?.id ?? '')).code, 5, "somebody else's")
  })

  await t.test('two who approve at once are two, and one person is one', async t => {
    const held = await hold(gate.port, 'drop table if exists nothing')
    const ends = await Promise.all([bob.runInProcess('approve', held.id), carol.runInProcess('approve', held.id)])
    t.same(
      ends.map(({ code }) => code),
      [0, 0],
    )
    t.match((await held.running.finished()).stdout, 'DROP TABLE')
    const one = await hold(gate.port, 'drop table if exists nothing')
    t.match((await bob.runInProcess('approve', one.id)).stdout, 'it still waits')
    t.equal((await bob.runInProcess('approve', one.id)).code, 6)
    one.running.kill('SIGINT')
    await one.running.finished()
  })

  await t.test('who loses the group before the quorum is filled does not count', async t => {
    const held = await hold(gate.port, 'drop table if exists nothing')
    t.equal((await carol.runInProcess('approve', held.id)).code, 0)
    await world.oidc.setGroups('carol', ['support'])
    const login = await carol.login(world.relay, world.oidc, 'carol')
    t.equal(login.code, 0, login.stderr)
    t.match(
      (await bob.runInProcess('approve', held.id)).stdout,
      'it still waits',
      'one of the two is not in the group any more',
    )
    t.equal((await carol.runInProcess('approve', held.id)).code, 5, 'and sees nothing of it')
    held.running.kill('SIGINT')
    await held.running.finished()
    await world.oidc.setGroups('carol', ['dba', 'support'])
    t.equal((await carol.login(world.relay, world.oidc, 'carol')).code, 0)
  })

  await t.test('a statement of a megabyte is shown whole to whoever decides, and signed whole', async t => {
    const long = `delete from t where id = 7 -- ${'x'.repeat(1_000_000)}`
    const running = startPsql({ port: gate.port }, ['-At', '-f', '-'])
    running.child.stdin?.end(`${long}\n;\n`)
    const [, id = ''] = await running.waitFor(/request (r_[a-z0-9]+)/)
    const [listed] = JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as {
      text: string
      cut: boolean
    }[]
    t.ok(listed?.cut && listed.text.length === 400)
    const { body } = await api(bob, 'GET', `/v1/requests/${id}`)
    const exact = body['exact'] as { command: string }
    t.equal(createHash('sha256').update(exact.command).digest('hex'), body['commandSha256'])
    t.equal((await bob.runInProcess('approve', id)).code, 0)
    t.match((await running.finished()).stdout, 'DELETE 1')
  })

  await t.test('a thousand requests wait, are listed, and each can be decided', async t => {
    const wish = { target: 'prod-db', rule: 'deletes', grantMs: 60_000, reason: 'many' }
    for (let made = 0; made < 1_000; made += 50)
      await Promise.all(Array.from({ length: 50 }, () => api(alice, 'POST', '/v1/requests', wish)))
    const refused = await api(alice, 'POST', '/v1/requests', wish)
    t.equal(refused.body['code'], 'ERR_GATE_LIMIT')
    const listed = JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as { id: string }[]
    t.equal(listed.length, 1_000)
    t.equal((await bob.runInProcess('deny', listed.at(-1)?.id ?? '', '--reason', 'x')).code, 0)
    t.equal((await bob.runInProcess('approve', listed[0]?.id ?? '', '--for', '30s')).code, 0)
    const granted = await psql({ port: gate.port }, ['-At', '-c', 'delete from t where id = 8'])
    t.equal(granted.stdout, 'DELETE 1\n', granted.stderr)
    const grants = JSON.parse((await alice.runInProcess('grants', '--json')).stdout) as { id: string }[]
    t.equal((await alice.runInProcess('revoke', grants[0]?.id ?? '')).code, 0, 'a person gives a grant back')
  })

  await t.test('a relay that is killed while it holds runs nothing', async t => {
    const before = await count(world)
    await alice.runInProcess('requests')
    const dropped = await world.postgres.query("select count(*) from pg_tables where tablename = 't'", 'app')
    t.same(dropped, [['1']])
    const held = startPsql({ port: gate.port }, ['-At', '-c', 'drop table t'])
    await held.waitFor(/request r_[a-z0-9]+/)
    await world.relay.kill('SIGKILL')
    t.not((await held.finished()).code, 0)
    await world.relay.restart()
    t.equal(await count(world), before)
    const after = JSON.parse((await alice.runInProcess('requests', '--mine', '--json')).stdout) as {
      action: string
      state: string
    }[]
    t.equal(after.filter(request => request.action === 'drop').at(-1)?.state, 'withdrawn')
  })
})

/** The file keychain of a test's home. */
t.test('a store that is lost while something is held means no', { skip: hasPsql ? false : 'no psql' }, async t => {
  await using storage = await startPostgres()
  await storage.query('create database gate')
  await using world = await startWorld({ policy, sql, oidc: { people }, relay: { store: storage.url('gate') } })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const held = await hold(gate.port, 'delete from t')
  await storage[Symbol.asyncDispose]()
  const done = await held.running.finished()
  t.not(done.code, 0)
  t.match(done.stderr, /store does not answer/)
  t.equal(await count(world), '100')
})

t.test('an agent with keys of its own believes no relay', { skip: hasPsql ? false : 'no psql' }, async t => {
  await using world = await startWorld({
    policy: policy.replace('name: drops', 'name: drops\n        for: { groups: [nobody] }'),
    sql,
    oidc: { people },
  })
  const [alice, bob] = await Promise.all([world.person('alice'), world.person('bob')])
  const { publicKey } = JSON.parse((await bob.runInProcess('keys', 'new', '--json')).stdout) as { publicKey: string }
  const guarded = async (name: string, key: string): Promise<AgentProcess> =>
    startAgent({
      relay: world.relay,
      name,
      targets: targetYaml(
        world.postgres,
        name,
        `    require_approval: [drop, delete]\n    approver_keys: ["${key}"]\n`,
      ),
      env: { TARGET_PASSWORD: SERVICE_PASSWORD },
    })
  await using _careful = await guarded('careful-db', publicKey)
  await using _other = await guarded('other-db', newSigner().publicKey)
  await using careful = await alice.connect('careful-db')
  await using other = await alice.connect('other-db')

  await t.test('what needs no approval passes, in every form', async t => {
    const done = await psql(
      { port: careful.port },
      ['-At'],
      'select 1;\nprepare p as select $1::int;\nexecute p(2);\nbegin; insert into t values (1000); commit;\n\\d t\n',
    )
    t.equal(done.code, 0, done.stderr)
    t.match(done.stdout, '1\nPREPARE\n2\nBEGIN\nINSERT 0 1\nCOMMIT\n')
    t.match(
      (await psql({ port: careful.port }, ['-At', '-c', 'nonsense'])).stderr,
      'syntax error',
      'errors are the server’s own',
    )
  })

  await t.test('a relay whose policy lets it pass unasked is not believed', async t => {
    const refused = await psql({ port: careful.port }, ['-At', '-c', 'drop table t'])
    t.not(refused.code, 0)
    t.match(refused.stderr, /the agent lets drop on careful-db pass only when approved/)
    t.equal(await count(world), '101')
  })

  await t.test('a signature by a key of its list is believed, once and for that command', async t => {
    for (const text of ['delete from t where id = 1', 'delete from t where id = 2']) {
      const held = await hold(careful.port, text)
      t.equal((await bob.runInProcess('approve', held.id)).code, 0)
      const done = await held.running.finished()
      t.equal(done.stdout, 'DELETE 1\n', done.stderr)
    }
  })

  await t.test('of HTTP the agent reads method, path and body itself', async t => {
    await using service = await startHttpService()
    const targets = `  - name: careful-api
    protocol: http
    labels: { env: prod }
    url: http://127.0.0.1:${service.port}
    require_approval: [delete, put]
    approver_keys: ["${publicKey}"]
`
    await using _agent = await startAgent({ relay: world.relay, name: 'careful-api', targets, env: {} })
    await using api = await alice.connect('careful-api')
    const ask = (method: string, path: string, body?: string): Promise<Response> =>
      fetch(`http://127.0.0.1:${api.port}${path}`, { method, ...(body === undefined ? {} : { body }) })
    t.equal((await ask('GET', '/echo')).status, 200)
    t.equal((await ask('POST', '/echo', 'x')).status, 200)
    const unasked = await ask('PUT', '/echo', 'x')
    t.match(
      [unasked.status, ((await unasked.json()) as { detail: string }).detail],
      [403, 'the agent lets put on careful-api pass only when approved'],
      'the policy lets it pass, the agent does not',
    )
    const requests = async (): Promise<{ id: string }[]> =>
      JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as { id: string }[]
    const deleted = ask('DELETE', '/echo?all=1', '{"a":"ä"}')
    let [waiting] = await requests()
    for (; waiting === undefined; [waiting] = await requests()) await wait(50)
    t.equal((await bob.runInProcess('approve', waiting.id)).code, 0)
    t.equal((await deleted).status, 200)
    t.same(
      service.asked.map(({ method, url, body }) => `${method} ${url} ${body}`),
      ['GET /echo ', 'POST /echo x', 'DELETE /echo?all=1 {"a":"ä"}'],
    )
  })

  await t.test('a signature by another key is not', async t => {
    const held = await hold(other.port, 'delete from t where id = 3')
    t.equal((await bob.runInProcess('approve', held.id)).code, 0)
    const done = await held.running.finished()
    t.not(done.code, 0)
    t.match(done.stderr, /the agent lets delete on other-db pass only when approved/)
    t.same(await world.postgres.query('select count(*) from t where id = 3', 'app'), [['1']])
  })
})
