// All connections of a gate connect share one tunnel, all streams of an agent another: what that gives, and what it must not cost.
import { connect } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { dialTunnel } from '@gate/shared/websocket/dial'
import pg from 'pg'
import t from 'tap'
import { tokenOf } from '../support/approver.ts'
import { freePort } from '../support/net.ts'
import { startWire } from '../support/relay-wire.ts'
import { failure } from '../support/tunnel.ts'
import { until } from '../support/until.ts'
import { client as wireClient } from '../support/wire.ts'
import { hasPsql, openPolicy, psql, startWorld } from '../support/world.ts'

const CLIENT = '/v1/connect'
const AGENT = '/v1/agent/data'

t.test('tunnels', { skip: hasPsql ? false : 'no psql on this machine' }, async t => {
  const [port, publicPort] = [await freePort(), await freePort()]
  await using wire = await startWire(publicPort, port)
  const more = 'limits: { connections_per_subject: 5 }'
  await using world = await startWorld({ policy: openPolicy, relay: { port, publicPort, more } })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  const open = async (): Promise<pg.Client> => {
    const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'alice', database: 'app' })
    client.on('error', () => {})
    await client.connect()
    return client
  }
  const answer = async (client: pg.Client): Promise<unknown> => (await client.query('select 42 as n')).rows[0]?.n

  const running = async (text: string): Promise<boolean> => {
    const count = `select count(*) from pg_stat_activity where query = '${text}' and state = 'active'`
    return (await world.postgres.query(count))[0]?.[0] === '1'
  }

  await t.test('one carries all connections of a gate connect, one all streams of an agent', async t => {
    const clients = await Promise.all([open(), open(), open()])
    t.same(await Promise.all(clients.map(answer)), [42, 42, 42])
    t.equal(wire.of(CLIENT).length, 1)
    t.equal(wire.of(AGENT).length, 1)
    await Promise.all(clients.map(client => client.end()))
    t.equal(wire.of(CLIENT).length, 1, 'and stays for the next one')
  })

  await t.test('a connection whose rows nobody reads holds up no other', async t => {
    const stuck = connect(gate.port, '127.0.0.1')
    stuck.write(wireClient.startup({ user: 'alice', database: 'app' }))
    await new Promise(resolve => stuck.once('data', resolve))
    stuck.write(wireClient.query("select repeat('x', 1000) from generate_series(1, 200000)"))
    stuck.pause()
    const waits = `select count(*) from pg_stat_activity where wait_event = 'ClientWrite'`
    await until('a server that waits to be read', async () => (await world.postgres.query(waits))[0]?.[0] === '1')
    const other = await open()
    for (let count = 0; count < 20; count += 1) t.equal(await answer(other), 42)
    const large = await other.query("select repeat('y', 1000) as y from generate_series(1, 20000)")
    t.equal(large.rows.length, 20_000)
    await other.end()
    stuck.destroy()
  })

  await t.test("a gate connect's that breaks ends its connections, and the next one dials again", async t => {
    const client = await open()
    const lost = failure(client.query('select pg_sleep(60)'))
    await until('the statement', () => running('select pg_sleep(60)'))
    t.equal(wire.cut(CLIENT), 1)
    t.match(await lost, { message: /Connection terminated|ECONNRESET|gate:/ })
    const done = await psql(gate, ['-At', '-c', 'select 42'])
    t.equal(done.stdout, '42\n')
  })

  await t.test("a gate connect's that fell silent is given up by the next connection", async t => {
    t.equal((await psql(gate, ['-At', '-c', 'select 42'])).stdout, '42\n')
    // Longer than ALIVE_MS in cli/tunnel.ts.
    await wait(1_100)
    t.equal(wire.silence(CLIENT), 1)
    const done = await psql(gate, ['-At', '-c', 'select 42'])
    t.equal(done.stdout, '42\n', done.stderr)
    t.equal((await psql(gate, ['-At', '-c', 'select 42'])).stdout, '42\n', 'and the one after uses the new one')
  })

  await t.test("an agent's that breaks ends its streams with a word, and it dials again by itself", async t => {
    const client = await open()
    const lost = failure(client.query('select pg_sleep(61)'))
    await until('the statement', () => running('select pg_sleep(61)'))
    t.equal(wire.cut(AGENT), 1)
    t.match(await lost, { message: /^gate: / })
    const done = await psql(gate, ['-At', '-c', 'select 42'])
    t.equal(done.stdout, '42\n', 'a connection that comes meanwhile waits for it')
    t.equal(wire.of(AGENT).length, 1)
  })

  await t.test('each connection in one shows a token of its own', async t => {
    const url = `${world.relay.url.replace('http', 'ws')}${CLIENT}`
    const token = await tokenOf(alice, world.relay.url)
    const options = { headers: { authorization: `Bearer ${token}` }, timeoutMs: 5_000 }
    const tunnel = await dialTunnel(url, { lost: 'ERR_GATE_CANCELLED' }, options)
    const wish = { type: 'connect', target: 'prod-db', breakGlass: false, isPeerGone: false } as const
    const refused = async (message: Parameters<typeof tunnel.openChannel>[0]): Promise<unknown> => {
      const channel = tunnel.openChannel(message)
      channel.onMessage = ({ type }) => t.equal(type, 'accepted')
      return new Promise(resolve => {
        channel.onFailure = resolve
      })
    }
    t.match(await refused({ ...wish, token: 'x'.repeat(43) }), { code: 'ERR_GATE_UNAUTHENTICATED' })
    t.match(await refused({ ...wish, token: '' }), { code: 'ERR_GATE_UNAUTHENTICATED' })
    t.match(await refused({ ...wish, token, task: 'x'.repeat(201) }), { code: 'ERR_GATE_LIMIT' })
    t.match(await refused({ ...wish, token, breakGlass: true }), { code: 'ERR_GATE_USAGE' })
    t.match(await refused({ ...wish, token, target: 'nothing-here' }), { code: 'ERR_GATE_NOT_FOUND' })
    t.match(await refused({ type: 'open', stream: 's', target: 'prod-db', parameters: {} }), {
      code: 'ERR_GATE_PROTOCOL',
    })
    t.equal(tunnel.open, true)
    tunnel.destroy()
    await tunnel.closed
  })

  await t.test('nobody gets one without a token, and nobody more than so many', async t => {
    const url = `${world.relay.url.replace('http', 'ws')}${CLIENT}`
    const dial = (token: string): ReturnType<typeof dialTunnel> =>
      dialTunnel(
        url,
        { lost: 'ERR_GATE_CANCELLED' },
        { headers: { authorization: `Bearer ${token}` }, timeoutMs: 5_000 },
      )
    t.match(await failure(dial('x'.repeat(43))), { code: 'ERR_GATE_UNAUTHENTICATED' })
    const token = await tokenOf(alice, world.relay.url)
    const tunnels = []
    for (let count = wire.of(CLIENT).length; count < 5; count += 1) tunnels.push(await dial(token))
    t.match(await failure(dial(token)), { code: 'ERR_GATE_LIMIT', message: /yours: 5/ })
    for (const tunnel of tunnels) tunnel.destroy()
    await Promise.all(tunnels.map(tunnel => tunnel.closed))
    await until('room for another', async () => {
      const another = await dial(token).catch(() => undefined)
      another?.destroy()
      return another !== undefined
    })
  })

  await t.test('a setting of a connection that is too long for the agent is its own trouble', async t => {
    const other = await open()
    const long = new pg.Client({
      host: '127.0.0.1',
      port: gate.port,
      user: 'alice',
      database: 'app',
      application_name: 'x'.repeat(5_000),
    })
    long.on('error', () => {})
    t.match(await failure(long.connect()), { message: /gate: .*application_name/ })
    t.equal(await answer(other), 42, 'the others go on')
    await other.end()
  })

  await t.test('who opens many connections at once leaves others theirs', async t => {
    const token = await tokenOf(alice, world.relay.url)
    const tunnel = await dialTunnel(
      `${world.relay.url.replace('http', 'ws')}${CLIENT}`,
      { lost: 'ERR_GATE_CANCELLED' },
      { headers: { authorization: `Bearer ${token}` }, timeoutMs: 5_000 },
    )
    const wish = {
      type: 'connect',
      token: 'x'.repeat(43),
      target: 'prod-db',
      breakGlass: false,
      isPeerGone: false,
    } as const
    const codes = Array.from({ length: 2_000 }, () => {
      const channel = tunnel.openChannel(wish)
      return new Promise<string>(resolve => {
        channel.onFailure = ({ code }) => resolve(code)
      })
    })
    const counted = (await Promise.all(codes)).filter(code => code === 'ERR_GATE_UNAUTHENTICATED').length
    t.ok(counted > 0 && counted < 500, `${counted} of them were looked up, and 5 at a time may be`)
    tunnel.destroy()
  })

  await t.test('a gate of before is told to be renewed', async t => {
    const url = `${world.relay.url.replace('http', 'ws')}/v1/connect/prod-db`
    const old = dialTunnel(url, { lost: 'ERR_GATE_CANCELLED' }, { headers: {}, timeoutMs: 5_000 })
    t.match(await failure(old), { code: 'ERR_GATE_PROTOCOL', hint: /Install the gate/ })
  })
})
