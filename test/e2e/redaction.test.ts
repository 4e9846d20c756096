// What gate writes down is no second copy of what it masks: every byte of the record, the store's tables and the log is searched.
import { execFile } from 'node:child_process'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { openStore } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { Decrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import pg from 'pg'
import t from 'tap'
import { callAs } from '../support/approver.ts'
import { programs } from '../support/gate.ts'
import {
  CANARY,
  canaryForms,
  redactionPolicy,
  redactionSql,
  staying,
  type Vanishing,
  vanishing,
} from '../support/redaction-statements.ts'
import { hasPsql, psql, startPsql, startWorld } from '../support/world.ts'

const run = promisify(execFile)

type Way = 'simple' | 'extended' | 'binary'

/** Runs a statement; what the server says to it does not matter. */
async function send(client: pg.Client, { sql, parameters }: Vanishing, way: Way): Promise<void> {
  const values = (parameters ?? []).map(value => (way === 'binary' ? Buffer.from(value) : value))
  const query = way === 'simple' ? sql : { text: sql, values, queryMode: 'extended' }
  const failed = await client.query(query as pg.QueryConfig).then(
    () => false,
    () => true,
  )
  if (failed) await client.query('rollback')
}

interface CommandEvent {
  readonly body: {
    readonly type: string
    readonly session: string
    readonly command: number
    readonly text: string
    readonly sameTextAs?: number
    readonly keyedSha256?: string
    readonly parameters?: readonly { readonly text: string | null }[]
  }
}

interface Said {
  readonly text: string
  /** The text, or the hash that stands for it, and the parameters. */
  readonly all: string
}

/** What is recorded of each command; a text that refers to an earlier one is looked up. */
function saidIn(events: readonly Record<string, unknown>[]): Said[] {
  const texts = new Map<string, string>()
  return (events as unknown as CommandEvent[])
    .filter(({ body }) => body.type === 'command' && body.text !== 'rollback')
    .map(({ body: { session, command, text: own, sameTextAs, keyedSha256 = '', parameters = [] } }) => {
      const text = sameTextAs === undefined ? own : (texts.get(`${session} ${sameTextAs}`) ?? '')
      texts.set(`${session} ${command}`, text)
      return { text, all: [text === '' ? keyedSha256 : text, ...parameters.map(each => each.text ?? '')].join('\n') }
    })
}

async function bytesIn(directory: string): Promise<string> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
  return (await Promise.all(files.map(file => readFile(file, 'latin1')))).join('\n')
}

/** Everything in the tables of the store. */
async function tablesOf(directory: string): Promise<string> {
  await using store = await openStore({ kind: 'embedded', directory }, systemClock, silentLog)
  const tables = ['sessions', 'requests', 'decisions', 'grants', 'reviews'] as const
  const rows = await Promise.all(tables.map(table => store.db.selectFrom(table).selectAll().execute()))
  return JSON.stringify(rows)
}

const foundIn = (haystack: string): string[] => canaryForms.filter(form => haystack.includes(form))

t.test('nothing that is masked for anybody is written down', { skip: hasPsql ? false : 'no psql' }, async t => {
  await using world = await startWorld({
    embedded: true,
    policy: redactionPolicy,
    sql: redactionSql,
    relay: { log: 'debug' },
  })
  const [alice, bob] = await Promise.all([world.person('alice'), world.person('bob')])
  const records = join(world.relay.directory, 'state', 'records')
  {
    await using gate = await alice.connect('prod-db')
    const client = new pg.Client({ host: '127.0.0.1', port: gate.port, user: 'alice', database: 'app' })
    await client.connect()
    let before = 0
    for (const statement of vanishing) {
      const ways: Way[] = statement.parameters === undefined ? ['simple', 'extended'] : ['extended', 'binary']
      for (const way of ways) {
        await send(client, statement, way)
        const events = saidIn(await world.relay.events())
        const said = events
          .slice(before)
          .map(({ all }) => all)
          .join('\n')
        before = events.length
        t.ok(said.length > 0, `${way}: ${statement.sql}: recorded`)
        t.same(foundIn(said), [], `${way}: ${statement.sql}: ${said}`)
        for (const kept of statement.kept ?? []) t.match(said, kept, `${way}: ${statement.sql}`)
      }
    }
    for (const statement of staying) {
      await send(client, statement, statement.parameters === undefined ? 'simple' : 'extended')
      const events = saidIn(await world.relay.events())
      const said = events.slice(before)
      before = events.length
      t.equal(said.at(-1)?.text, statement.sql, `${statement.sql}: recorded as it was sent`)
      for (const kept of statement.kept ?? []) t.ok(said.at(-1)?.all.split('\n').includes(kept), statement.sql)
    }

    await client.end()

    await t.test('a value is found by its placeholder, and psql is none the wiser', async t => {
      const own = await psql({ port: gate.port }, ['-Atc', "select count(*) from customers where email = 'mail-7'"])
      t.equal(own.stdout, '1\n', own.stderr)
      const options = ['--config', world.relay.config, 'hash', 'mail-7']
      const { stdout } = await run(process.execPath, [programs.relay, ...options])
      t.match(stdout, /^‹redacted:[0-9a-f]{16}›\n$/)
      const [last] = saidIn(await world.relay.events()).slice(-1)
      t.equal(last?.text, `select count(*) from customers where email = '${stdout.trim()}'`)
    })

    await t.test('approvers see the exact command, until it is settled', async t => {
      const held = startPsql({ port: gate.port }, ['-Atc', `delete from customers /* '${CANARY}' */`])
      const [, id = ''] = await held.waitFor(/request (r_[a-z0-9]+)/)
      const shown = async () => JSON.stringify((await callAs(bob, world.relay.url, 'GET', `/v1/requests/${id}`)).body)
      t.match(await shown(), CANARY)
      t.match((await bob.run('approve', id)).stderr, CANARY)
      t.match((await held.finished()).stdout, /DELETE/)
      const after = await shown()
      t.notMatch(after, CANARY)
      t.match(after, /delete from customers/)
      t.match(await bob.run('deny', id, '--reason', 'too late'), { code: /[1-9]/, stderr: /is used already/ })
    })
  }
  const log = world.relay.process().stderr()
  await world.relay.kill()
  t.same(foundIn(await bytesIn(records)), [], 'nothing in the files of the record')
  t.same(foundIn(log), [], 'nothing in the log')
  t.same(
    foundIn(await tablesOf(join(world.relay.directory, 'state', 'store'))),
    [],
    'nothing in the tables of the store',
  )
})

t.test(
  'with record: full, the recipients read what was sent, and nobody else',
  { skip: hasPsql ? false : 'no psql' },
  async t => {
    const identity = await generateX25519Identity()
    const more = `record: { recipients: [${await identityToRecipient(identity)}], event_bytes: 600 }`
    const policy = redactionPolicy.replace('    rules:', '    record: full\n    rules:')
    await using world = await startWorld({ embedded: true, policy, sql: redactionSql, relay: { more, log: 'debug' } })
    const alice = await world.person('alice')
    await using gate = await alice.connect('prod-db')
    const sql = `select id from customers where email = '${CANARY}' or name in (${"'x', ".repeat(200)}'y')`
    t.equal((await psql({ port: gate.port }, ['-Atc', sql])).code, 0)
    const events = (await world.relay.events()) as { body: { type: string; sealed?: string; cutFrom?: number } }[]
    const [event] = events.filter(({ body }) => body.type === 'command').slice(-1)
    t.match(event?.body, { cutFrom: sql.length, keyedSha256: /^[0-9a-f]{64}$/ })
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity)
    const opened = await decrypter.decrypt(Buffer.from(event?.body.sealed ?? '', 'base64'), 'text')
    t.same(JSON.parse(opened), { text: sql, parameters: [] })
    t.same(foundIn(JSON.stringify(events)), [])
    const unsealed = { config: world.relay.config, wrong: join(world.relay.directory, 'unsealed.yaml') }
    await writeFile(unsealed.wrong, (await readFile(unsealed.config, 'utf8')).replace(/^record: .*$/m, ''))
    const checked = run(process.execPath, [programs.relay, '--config', unsealed.wrong, 'check'])
    t.match(
      await checked.then(String, String),
      /policy\.yaml:\d+:\d+: targets\.0\.record: record: full needs record\.recipients/,
    )
  },
)
