// Bytes that no honest client sends, through the real port, relay and agent.

import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { dialTunnel } from '@gate/shared/websocket/dial'
import pg from 'pg'
import t from 'tap'
import { tokenOf } from '../support/approver.ts'
import { until } from '../support/until.ts'
import { client, errorFields, messages, types } from '../support/wire.ts'
import { openPolicy, startWorld, type World } from '../support/world.ts'

interface Raw extends AsyncDisposable {
  readonly socket: Socket
  received(): Buffer
  /** Counts what comes from now on instead of keeping it. */
  discard(): () => number
  /** Resolves when the other side has closed. */
  readonly closed: Promise<void>
  waitFor(test: (bytes: Buffer) => boolean): Promise<Buffer>
}

function raw(port: number, host = '127.0.0.1'): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let bytes = Buffer.alloc(0)
    const watchers = new Set<() => void>()
    let counted: number | undefined
    socket.on('data', chunk => {
      if (counted !== undefined) counted += chunk.length
      else bytes = Buffer.concat([bytes, chunk])
      for (const watcher of watchers) watcher()
    })
    const closed = new Promise<void>(done => {
      socket.on('close', () => done())
      socket.on('end', () => socket.end())
    })
    socket.once('error', reject)
    socket.once('connect', () =>
      resolve({
        socket,
        received: () => bytes,
        discard: () => {
          counted = 0
          return () => counted ?? 0
        },
        closed,
        waitFor: test =>
          new Promise((found, lost) => {
            const look = (): void => {
              if (!test(bytes)) return
              watchers.delete(look)
              found(bytes)
            }
            watchers.add(look)
            closed.then(
              () => (test(bytes) ? found(bytes) : lost(new Error(`closed after ${bytes.toString('latin1')}`))),
              lost,
            )
            look()
          }),
        [Symbol.asyncDispose]: async () => {
          socket.destroy()
        },
      }),
    )
  })
}

const whole = (bytes: Buffer): ReturnType<typeof messages> => {
  try {
    return messages(bytes)
  } catch {
    return []
  }
}
const isReady = (bytes: Buffer): boolean => whole(bytes).at(-1)?.type === 'Z'
const startup = client.startup({ user: 'alice', database: 'app' })

async function started(port: number): Promise<Raw> {
  const connection = await raw(port)
  connection.socket.write(startup)
  await connection.waitFor(isReady)
  return connection
}

t.test('broken bytes', async t => {
  await using world: World = await startWorld({ policy: openPolicy })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')

  await t.test('SSL and GSS requests are answered N, also both, and the start-up goes on', async t => {
    await using connection = await raw(gate.port)
    connection.socket.write(client.gssRequest)
    await connection.waitFor(bytes => bytes.toString() === 'N')
    connection.socket.write(client.sslRequest)
    await connection.waitFor(bytes => bytes.toString() === 'NN')
    connection.socket.write(startup)
    await connection.waitFor(bytes => isReady(bytes.subarray(2)))
    t.pass('ready')
  })

  const foreign: Readonly<Record<string, Buffer>> = {
    'an HTTP request': Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    'a TLS hello': Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, 0, 0, 0, 0, 0]),
    'a start-up packet of negative length': Buffer.from([255, 255, 255, 255, 0, 3, 0, 0]),
    'a start-up packet of 1 GB': Buffer.from([64, 0, 0, 0, 0, 3, 0, 0]),
    'a message that a client sends before its start-up': Buffer.from('X\0\0\0\x04', 'latin1'),
  }
  for (const [name, bytes] of Object.entries(foreign)) {
    await t.test(`${name}: closed without a word, as the server does`, async t => {
      for (const port of [world.postgres.port, gate.port]) {
        await using connection = await raw(port)
        connection.socket.write(Buffer.concat([bytes, startup]))
        await connection.closed
        t.equal(connection.received().toString('latin1'), '')
      }
    })
  }

  const fatal: Readonly<Record<string, Buffer>> = {
    'bytes sent along with an SSL request': Buffer.concat([client.sslRequest, startup]),
    'a start-up packet without a terminator': Buffer.from([0, 0, 0, 12, 0, 3, 0, 0, 65, 65, 65, 65]),
    'a start-up parameter given twice':
      client.startup({ user: 'alice' }).subarray(0, -1).length > 0 ? twice() : Buffer.alloc(0),
    'protocol 2.0': client.startup({ user: 'alice' }, 131_072),
    'a replication start-up': client.startup({ user: 'alice', database: 'app', replication: 'database' }),
    'a start-up with another role': client.startup({ user: 'alice', database: 'app', role: 'postgres' }),
    'a start-up whose options change the role': client.startup({
      user: 'alice',
      database: 'app',
      options: '-c role=postgres',
    }),
    'a start-up whose options hide that with a backslash': client.startup({
      user: 'alice',
      database: 'app',
      options: '-c session_\\authorization=postgres',
    }),
    'options that are no settings': client.startup({ user: 'alice', database: 'app', options: '-E -d 5' }),
  }
  for (const [name, bytes] of Object.entries(fatal)) {
    await t.test(`${name}: refused with a native error`, async t => {
      await using connection = await raw(gate.port)
      connection.socket.write(bytes)
      await connection.closed
      const answer = connection.received()
      const error = whole(answer[0] === 78 ? answer.subarray(1) : answer).find(({ type }) => type === 'E')
      t.ok(error, answer.toString('latin1'))
      if (error !== undefined) t.match(errorFields(error), { S: 'FATAL', C: /^(08P01|42501)$/ })
    })
  }

  await t.test('the `role` that hides behind a backslash did not slip through', async t => {
    const { body } = (await world.relay.events()).map(event => event as { body: { type: string } }).at(-1) ?? {
      body: { type: '' },
    }
    t.not(body.type, 'session.open')
  })

  const afterStart: Readonly<Record<string, Buffer>> = {
    'a message of negative length': Buffer.from('Q\xff\xff\xff\xff', 'latin1'),
    'a message of length 3': Buffer.from('S\0\0\0\x03', 'latin1'),
    'a message beyond 1 GB': Buffer.from('Q\x7f\xff\xff\xff', 'latin1'),
    'an unknown message': Buffer.from('!\0\0\0\x04', 'latin1'),
    'a second start-up packet': startup,
    'an SSL request in the middle of a session': client.sslRequest,
    'a password out of phase': Buffer.from('p\0\0\0\x05x', 'latin1'),
  }
  for (const [name, bytes] of Object.entries(afterStart)) {
    await t.test(`${name}: the session ends with a native error`, async t => {
      await using connection = await started(gate.port)
      const before = connection.received().length
      connection.socket.write(bytes)
      await connection.closed
      const error = whole(connection.received().subarray(before)).find(({ type }) => type === 'E')
      if (error === undefined) t.fail(connection.received().subarray(before).toString('latin1'))
      else t.match(errorFields(error), { S: 'FATAL', C: '08P01' })
    })
  }

  const malformed: Readonly<Record<string, Buffer>> = {
    'a Query whose text ends too early': Buffer.from('Q\0\0\0\x0eselect\0 1\0', 'latin1'),
    'a Query without an end': Buffer.from('Q\0\0\0\x0aselect', 'latin1'),
    'a Parse with lying counts': Buffer.from('P\0\0\0\x0f\0select\0\x7f\xff\0', 'latin1'),
    'a Parse whose text ends too early': Buffer.from("P\0\0\0\x12\0select '\0'\0\0\0", 'latin1'),
    'a Bind with a value longer than the message': Buffer.concat([
      client.parse('', 'select $1'),
      Buffer.from('B\0\0\0\x12\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0\0\0\0\0', 'latin1').subarray(0, 19),
    ]),
    'a Describe of neither statement nor portal': Buffer.from('D\0\0\0\x06x\0', 'latin1'),
    'an Execute with something behind it': Buffer.from('E\0\0\0\x0a\0\0\0\0\0x', 'latin1'),
    'a FunctionCall that ends too early': Buffer.from('F\0\0\0\x0a\0\0\x06\x1e\0\0', 'latin1'),
  }
  for (const [name, bytes] of Object.entries(malformed)) {
    await t.test(`${name}: an error as any other, and the session goes on`, async t => {
      const isSimple = /^[QF]/.test(bytes.toString('latin1'))
      const sent = [client.query('begin'), bytes, ...(isSimple ? [] : [client.sync]), client.query('rollback')]
      await using connection = await started(gate.port)
      const before = connection.received().length
      connection.socket.write(Buffer.concat([...sent, client.query("select 'lives'")]))
      await connection.waitFor(received => /lives/.test(received.toString('latin1')) && isReady(received))
      const answer = whole(connection.received().subarray(before))
      const [error] = answer.filter(({ type }) => type === 'E')
      t.match(errorFields(error ?? { type: '', body: Buffer.alloc(0) }), { S: 'ERROR', C: '08P01' })
      const seen = answer.map(({ type, body }) => (type === 'Z' ? `Z${body.toString('latin1')}` : type)).join('')
      t.match(seen, /^CZT1?EZECZITDCZI$/, 'with the transaction aborted, as by any error')
    })
  }

  await t.test('a length that never comes true keeps nothing but its own connection', async t => {
    await using stuck = await started(gate.port)
    stuck.socket.write(Buffer.from('d\x3f\xff\xff\xff', 'latin1'))
    await using other = await started(gate.port)
    const before = other.received().length
    other.socket.write(client.query('select 1'))
    await other.waitFor(bytes => isReady(bytes.subarray(before)))
    t.pass('others work')
  })

  await t.test("a cancel request with another's key, or none, cancels nothing and is closed", async t => {
    await using busy = await started(gate.port)
    const key = messages(busy.received()).find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8)
    const before = busy.received().length
    busy.socket.write(client.query("select pg_sleep(2), 'slept'"))
    for (const secret of [Buffer.from([1, 2, 3, 4]), Buffer.alloc(32), key.subarray(4, 7)]) {
      const request = await raw(gate.port)
      request.socket.write(client.cancel(key.readInt32BE(0), secret))
      await request.closed
    }
    const bob = await world.person('bob')
    await using bobs = await bob.connect('prod-db')
    const stolen = await raw(bobs.port)
    stolen.socket.write(client.cancel(key.readInt32BE(0), key.subarray(4)))
    await stolen.closed
    const answer = await busy.waitFor(bytes => isReady(bytes.subarray(before)))
    t.match(answer.subarray(before).toString('latin1'), /slept/)
  })

  await t.test('a cancel request whose sender closes at once cancels', async t => {
    for (let round = 0; round < 5; round += 1) {
      await using busy = await started(gate.port)
      const key = messages(busy.received()).find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8)
      const before = busy.received().length
      busy.socket.write(client.query('select pg_sleep(30)'))
      await wait(200)
      const sender = connect(gate.port, '127.0.0.1', () =>
        sender.write(client.cancel(key.readInt32BE(0), key.subarray(4)), () => sender.destroy()),
      )
      const answer = await busy.waitFor(bytes => isReady(bytes.subarray(before)))
      const error = messages(answer.subarray(before)).find(({ type }) => type === 'E')
      t.match(errorFields(error ?? { type: '', body: Buffer.alloc(0) }), { C: '57014' })
    }
  })

  await t.test('of a program that nobody saw the relay takes nothing else', async t => {
    const token = await tokenOf(alice, world.relay.url)
    const tunnel = await dialTunnel(
      `${world.relay.url.replace('http', 'ws')}/v1/connect`,
      { lost: 'ERR_GATE_CANCELLED' },
      { headers: { authorization: `Bearer ${token}` }, timeoutMs: 5_000 },
    )
    const wish = { token, target: 'prod-db', breakGlass: false, isPeerGone: true }
    const channel = tunnel.openChannel({ type: 'connect', ...wish })
    channel.onMessage = ({ type }) => t.equal(type, 'accepted')
    const answer: Buffer[] = []
    await channel.write(client.startup({ user: 'alice', database: 'app' }))
    for await (const bytes of channel) answer.push(bytes)
    t.match(Buffer.concat(answer).toString(), /^E[\s\S]*before gate saw whose it is/)
    tunnel.destroy()
  })

  await t.test('a cancel request that is answered hits nothing that the client sends from then on', async t => {
    await using connection = await started(gate.port)
    const key = messages(connection.received()).find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8)
    for (let round = 0; round < 10; round += 1) {
      const request = await raw(gate.port)
      request.socket.write(client.cancel(key.readInt32BE(0), key.subarray(4)))
      await request.closed
      const before = connection.received().length
      connection.socket.write(client.query("select pg_sleep(0.03), 'unhurt'"))
      await connection.waitFor(bytes => isReady(bytes.subarray(before)))
      t.match(connection.received().subarray(before).toString('latin1'), /unhurt/)
    }
  })

  await t.test('a cancel request hits what was sent before it, also where gate has not passed it on yet', async t => {
    await using connection = await started(gate.port)
    const key = messages(connection.received()).find(({ type }) => type === 'K')?.body ?? Buffer.alloc(8)
    const before = connection.received().length
    const locking = new pg.Client({ connectionString: world.postgres.url('app') })
    await locking.connect()
    // gate looks into the catalog for a table that it does not know, and has to wait.
    await locking.query('begin; lock table pg_catalog.pg_inherits')
    const looks = `select 1 from pg_locks where relation = 'pg_inherits'::regclass and not granted`
    connection.socket.write(client.query('select 1 from nowhere'))
    await until('the look into the catalog', async () => (await locking.query(looks)).rows.length > 0)
    const request = await raw(gate.port)
    request.socket.write(client.cancel(key.readInt32BE(0), key.subarray(4)))
    await request.closed
    await locking.end()
    const answer = await connection.waitFor(bytes => isReady(bytes.subarray(before)))
    const [error] = messages(answer.subarray(before))
    t.match(errorFields(error ?? { type: '', body: Buffer.alloc(0) }), { C: '57014' })
    connection.socket.write(client.query("select 'unhurt'"))
    await connection.waitFor(bytes => /unhurt/.test(bytes.toString('latin1')))
  })

  await t.test('the server never tells its real cancel key', async t => {
    await using connection = await started(gate.port)
    const key = messages(connection.received()).find(({ type }) => type === 'K')?.body
    const before = connection.received().length
    connection.socket.write(client.query('select pg_backend_pid()'))
    const answer = await connection.waitFor(bytes => isReady(bytes.subarray(before)))
    const pid = messages(answer.subarray(before))
      .find(({ type }) => type === 'D')
      ?.body.toString('utf8', 6)
    t.equal(String(key?.readInt32BE(0)), pid, 'the process id is the server’s, as programs expect')
    const sleeping = connection.received().length
    connection.socket.write(client.query('select pg_sleep(1)'))
    await using thief = await raw(world.postgres.port)
    thief.socket.write(client.cancel(Number(pid), key?.subarray(4) ?? Buffer.alloc(4)))
    await thief.closed
    const slept = await connection.waitFor(bytes => isReady(bytes.subarray(sleeping)))
    t.equal(types(slept.subarray(sleeping)), 'TDCZ', 'the secret means nothing to the server')
  })

  await t.test(
    'protocol 3.2 is spoken where the server speaks it, with longer cancel keys; newer versions and unknown options are negotiated',
    async t => {
      const speaks = world.postgres.version >= 18
      await using newer = await raw(gate.port)
      newer.socket.write(client.startup({ user: 'alice', database: 'app' }, 196_610))
      const answer = await newer.waitFor(isReady)
      t.equal(messages(answer).find(({ type }) => type === 'K')?.body.length, 4 + (speaks ? 32 : 4))
      const older = messages(answer).find(({ type }) => type === 'v')?.body
      t.equal(older?.toString('hex'), speaks ? undefined : '0003000000000000')
      await using future = await raw(gate.port)
      future.socket.write(client.startup({ user: 'alice', database: 'app', '_pq_.wish': 'on' }, 196_617))
      const [negotiation] = messages(await future.waitFor(isReady))
      t.equal(negotiation?.type, 'v')
      t.equal(negotiation?.body.readInt32BE(0), speaks ? 196_610 : 196_608)
      t.match(negotiation?.body.toString(), /_pq_\.wish/)
    },
  )

  await t.test('a client that stops reading a large result costs the relay no memory, and others go on', async t => {
    const rss = async (): Promise<number> =>
      Number(/VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${world.relay.process().pid}/status`, 'utf8'))?.[1]) / 1024
    await using lazy = await started(gate.port)
    const before = await rss()
    lazy.socket.pause()
    lazy.socket.write(client.query("select repeat('x', 1000) from generate_series(1, 300000)"))
    let most = 0
    for (let round = 0; round < 10; round += 1) {
      await using other = await started(gate.port)
      const seen = other.received().length
      other.socket.write(client.query('select 1'))
      await other.waitFor(bytes => isReady(bytes.subarray(seen)))
      most = Math.max(most, await rss())
    }
    t.ok(most - before < 100, `300 MB waited, the relay grew by ${Math.round(most - before)} MB`)
    const counted = lazy.discard()
    lazy.socket.resume()
    await new Promise<void>(resolve => {
      lazy.socket.on('data', () => {
        if (counted() > 299_000_000) resolve()
      })
    })
    t.pass('and gets all of it when it reads again')
  })
})

/** Two `application_name`s: a reader that takes the first and a server that takes the last would disagree. */
function twice(): Buffer {
  const body = Buffer.from('\0\x03\0\0user\0alice\0application_name\0a\0application_name\0b\0\0', 'latin1')
  const head = Buffer.alloc(4)
  head.writeInt32BE(body.length + 4)
  return Buffer.concat([head, body])
}
