// What every room owes, asked of each that the registry has: real processes, a real client of each protocol.
import { createProtocols } from '@gate/relay/protocols/registry'
import { Cleanup } from '@gate/shared/cleanup'
import { systemClock } from '@gate/shared/clock'
import pg from 'pg'
import t from 'tap'
import { Agent, fetch } from 'undici'
import { peopleOf, startAgent, startRelay } from '../support/gate.ts'
import { startHttpService } from '../support/http-target.ts'
import { collectLog } from '../support/log.ts'
import { startOidc } from '../support/oidc.ts'
import { startPostgres } from '../support/postgres.ts'
import { until } from '../support/until.ts'
import { makeDatabase, SERVICE_PASSWORD, targetYaml } from '../support/world.ts'

const policy = `
targets:
  - match: { labels: { env: prod } }
    allow: { groups: [engineers] }
    viewers: [dba]
    operators: [dba]
    rules:
      - { name: everything, allow: [engineers] }
      - { name: never, when: 'op.action in ["truncate", "delete"]', deny: "That is never done." }
      - name: asked
        when: op.action in ["update", "put"]
        hold: { approvers: "1 of dba", expires: 60s }
`

/** What a client got: what the target answered, or a refusal in its protocol's own words. */
type Outcome = { readonly answered: string } | { readonly refused: string }

/** The same deeds in each protocol. */
interface Room {
  readonly target: string
  read(port: number): Promise<Outcome>
  /** What the rule `never` refuses. */
  forbidden(port: number): Promise<Outcome>
  /** What the rule `asked` holds. */
  held(port: number): Promise<Outcome>
  /** How often the held command ran at the target. */
  ran(): Promise<number>
  /** Stays until it is ended. */
  long(port: number): Promise<Outcome>
}

const cleanup = new Cleanup()
t.teardown(() => cleanup[Symbol.asyncDispose]())
const [postgres, oidc, service] = await Promise.all([startPostgres(), startOidc(), startHttpService()])
for (const each of [postgres, oidc, service]) cleanup.use(each)
await makeDatabase(postgres, 'create table t (n int); insert into t values (0)')
const relay = cleanup.use(await startRelay({ oidc, policy }))
const targets = `${targetYaml(postgres)}
  - { name: billing-api, protocol: http, labels: { env: prod }, url: "http://127.0.0.1:${service.port}" }`
cleanup.use(await startAgent({ relay, targets, env: { TARGET_PASSWORD: SERVICE_PASSWORD } }))

async function sql(port: number, text: string): Promise<Outcome> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'alice', database: 'app' })
  client.on('error', () => {})
  try {
    await client.connect()
    return { answered: JSON.stringify((await client.query(text)).rows) }
  } catch (thrown) {
    const { message, hint = '', detail = '' } = thrown as pg.DatabaseError
    return { refused: [message, detail, hint].join('\n') }
  } finally {
    await client.end().catch(() => {})
  }
}

async function http(port: number, method: string, path: string): Promise<Outcome> {
  // A connection of its own, like a program's: a session that stays open is then the one whose request is still running.
  const dispatcher = new Agent()
  try {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, dispatcher })
    const text = await answer.text()
    return answer.headers.get('content-type') === 'application/problem+json' ? { refused: text } : { answered: text }
  } catch (thrown) {
    return { refused: `broken: ${String((thrown as Error).cause ?? thrown)}` }
  } finally {
    await dispatcher.destroy()
  }
}

const rooms: Readonly<Record<string, Room>> = {
  postgres: {
    target: 'prod-db',
    read: port => sql(port, 'select n from t'),
    forbidden: port => sql(port, 'truncate t'),
    held: port => sql(port, 'update t set n = n + 1'),
    ran: async () => Number((await postgres.query('select n from t', 'app'))[0]?.[0]),
    long: port => sql(port, 'select pg_sleep(60)'),
  },
  http: {
    target: 'billing-api',
    read: port => http(port, 'GET', '/customers'),
    forbidden: port => http(port, 'DELETE', '/customers'),
    held: port => http(port, 'PUT', '/customers'),
    ran: async () => service.asked.filter(({ method }) => method === 'PUT').length,
    long: port => http(port, 'GET', '/never'),
  },
}

const person = peopleOf(cleanup, relay, oidc)
const [alice, bob] = [await person('alice'), await person('bob')]

const waiting = async (): Promise<string | undefined> =>
  (JSON.parse((await bob.runInProcess('requests', '--json')).stdout) as { id: string }[])[0]?.id

const protocols = createProtocols({ statementBytes: 1_000_000, maskKey: new Uint8Array(32) }, systemClock, collectLog())
t.teardown(() => Promise.all(protocols.map(protocol => protocol[Symbol.asyncDispose]())))

t.same(Object.keys(rooms).sort(), protocols.map(({ name }) => name).sort(), 'every room of the registry is asked here')

for (const [name, room] of Object.entries(rooms)) {
  t.test(name, async t => {
    await using connection = await alice.connect(room.target)
    const { port } = connection
    const events = async (): Promise<string> => JSON.stringify(await relay.events())

    t.match(await room.read(port), { answered: /\S/ }, 'what is allowed reaches the target')
    t.match(await room.forbidden(port), { refused: /That is never done/ }, 'a refusal in the protocol’s own words')
    t.match(await room.forbidden(port), { refused: /never/ }, 'with the rule’s name')
    t.match(await events(), '"rule":"never"', 'and it is recorded')

    const before = await room.ran()
    const held = room.held(port)
    const request = await until('a request', waiting)
    t.equal(await room.ran(), before, 'what is held has not run')
    t.equal((await bob.runInProcess('approve', request)).code, 0)
    t.match(await held, { answered: /\S/ })
    t.equal(await room.ran(), before + 1, 'approved, it runs once')
    const denied = room.held(port)
    const second = await until('a request', waiting)
    t.equal((await bob.runInProcess('deny', second, '--reason', 'not today')).code, 0)
    t.match(await denied, { refused: /not today/ })
    t.equal(await room.ran(), before + 1, 'denied, it does not')

    const long = room.long(port)
    const running = await until('an open session', async () => {
      const listed = await bob.runInProcess('sessions', '--target', room.target, '--json')
      const open = (JSON.parse(listed.stdout) as { id: string; endedMs: number | null; commands: number }[]).find(
        each => each.endedMs === null && each.commands > 0,
      )
      return open?.id
    })
    t.equal((await bob.runInProcess('sessions', 'kill', running, '--reason', 'too long')).code, 0)
    t.match(await long, { refused: /too long|broken/ }, 'a kill ends it')

    const locked = await bob.runInProcess('lock', 'target', room.target, '--reason', 'maintenance')
    t.equal(locked.code, 0, locked.stderr)
    t.match(await room.read(port), { refused: /maintenance/ }, 'a lock is said')
    const [lock] = JSON.parse((await bob.runInProcess('locks', '--json')).stdout) as { id: string }[]
    t.equal((await bob.runInProcess('unlock', lock?.id ?? '')).code, 0)
    t.match(await room.read(port), { answered: /\S/ }, 'and unlocked')
  })
}

t.test('without a relay every room says so in its own words', async t => {
  const open = await Promise.all(
    Object.values(rooms).map(async room => ({ room, connection: await alice.connect(room.target) })),
  )
  await relay.kill('SIGKILL')
  for (const { room, connection } of open) {
    t.match(await room.read(connection.port), { refused: /relay/ }, room.target)
    await connection[Symbol.asyncDispose]()
  }
})
