// Disks that fail and relays that are killed, with real processes: no command is executed without its record.
// The disk's failures are simulated where Node calls the system (test/support/failing-disk.ts); a full one is in faults.test.ts.
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import t from 'tap'
import type { DiskTrouble } from '../support/failing-disk.ts'
import type { RelayProcess } from '../support/gate.ts'
import type { PostgresServer } from '../support/postgres.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import { hasPsql, openPolicy, psql, startPsql, startWorld } from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'

interface Recorded {
  readonly sequence: number
  readonly body: { readonly type: string; readonly text?: string }
}

const recordedIn = async (relay: RelayProcess): Promise<Recorded[]> => (await relay.events()) as unknown as Recorded[]

/** The marks, such as `m17_`, of the commands that are recorded. */
async function marksIn(relay: RelayProcess): Promise<Set<string>> {
  const texts = (await recordedIn(relay)).flatMap(({ body }) => (body.type === 'command' ? [body.text ?? ''] : []))
  return new Set(texts.flatMap(text => text.match(/m\d+_/g) ?? []))
}

/** PostgreSQL logs every statement that it is given. */
const logged = { log_statement: 'all' }

function marksAt(postgres: PostgresServer): Set<string> {
  const executed = postgres
    .log()
    .split('\n')
    .filter(line => /LOG: {2}(statement|execute [^:]*):/.test(line))
  return new Set(executed.flatMap(line => line.match(/m\d+_/g) ?? []))
}

const inOrder = (events: readonly Recorded[]): boolean => events.every(({ sequence }, index) => sequence === index + 1)

t.test('a disk that fails or does not answer', { skip }, async t => {
  await using directory = await temporaryDirectory('disk')
  const control = join(directory.path, 'trouble')
  const disk = (how: DiskTrouble): Promise<void> => writeFile(control, how)
  await disk('')
  const preload = new URL('../support/failing-disk.js', import.meta.url).href
  const env = { NODE_OPTIONS: `--import=${preload}`, GATE_TEST_DISK: control }
  await using world = await startWorld({
    embedded: true,
    policy: openPolicy,
    relay: { env },
    postgres: { settings: logged },
  })
  const { relay, postgres } = world
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  await using session = startPsql(gate, ['-At', '-v', 'VERBOSITY=verbose'])
  const say = (text: string): boolean | undefined => session.child.stdin?.write(text)
  say("create table counted (n int);\nselect 'ready';\n")
  await session.waitFor(/ready/)
  let mark = 0
  const insert = (): string => {
    mark += 1
    return `insert into counted values (${mark}) /* m${mark}_ */;\n`
  }
  const counted = async (): Promise<number> =>
    Number((await postgres.query('select count(*) from counted', 'app'))[0]?.[0])

  for (const how of ['write', 'torn'] as const) {
    await t.test(`with ${how}: nothing is executed, and work goes on when the disk is well again`, async t => {
      const before = await counted()
      const refusedBefore = session.stderr().split('58030').length
      await disk(how)
      for (let index = 0; index < 10; index += 1) say(insert())
      say(`\\echo done ${how}\n`)
      await session.waitFor(new RegExp(`^done ${how}$`, 'm'))
      t.equal(await counted(), before)
      t.equal(session.stderr().split('58030').length - refusedBefore, 10)
      t.match(
        session.stderr(),
        /ERROR: {2}58030: gate: the record cannot be written \(EIO\), so the command was not run/,
      )
      await disk('')
      say(`${insert()}select 'well after ${how}';\n`)
      await session.waitFor(new RegExp(`^well after ${how}$`, 'm'))
      t.equal(await counted(), before + 1)
      const recorded = await marksIn(relay)
      t.same(
        [...marksAt(postgres)].filter(each => !recorded.has(each)),
        [],
        'what was executed is recorded',
      )
      t.ok(inOrder(await recordedIn(relay)), 'no line is missing or torn')
    })
  }

  await t.test('with sync: what was to be on the disk first is not executed, in any session', async t => {
    const before = await counted()
    await disk('sync')
    for (let index = 0; index < 5; index += 1) {
      const done = await psql(gate, ['-v', 'VERBOSITY=verbose', '-c', insert()])
      t.not(done.code, 0)
      t.match(done.stderr, /gate: the record cannot be written \(EIO\)/)
    }
    t.equal(await counted(), before)
    await disk('')
    // What the disk failed to keep may first have to be kept elsewhere.
    await until('a record that can be written', async () => (await psql(gate, ['-c', insert()])).code === 0)
    t.equal(await counted(), before + 1)
    t.ok(inOrder(await recordedIn(relay)))
  })

  await t.test('a disk that does not answer: what writes waits for it, and is executed when it does', async t => {
    const before = await counted()
    await disk('stuck')
    say(insert())
    const waiting = `m${mark}_`
    await until('what waits, in the record', async () => (await marksIn(relay)).has(waiting))
    t.equal((await psql(gate, ['-Atc', "select 'read'"])).stdout, 'read\n', 'reading goes on meanwhile')
    t.notOk(marksAt(postgres).has(waiting))
    t.equal(await counted(), before)
    await disk('')
    say("select 'answered';\n")
    await session.waitFor(/^answered$/m)
    t.equal(await counted(), before + 1)
    t.ok(marksAt(postgres).has(waiting))
  })

  await t.test(
    'a relay that is killed after it recorded and before it forwarded: recorded, never executed',
    async t => {
      const before = await counted()
      await disk('stuck')
      say(insert())
      const waiting = `m${mark}_`
      await until('what waits, in the record', async () => (await marksIn(relay)).has(waiting))
      await relay.kill('SIGKILL')
      await disk('')
      await relay.restart()
      t.ok((await marksIn(relay)).has(waiting))
      t.notOk(marksAt(postgres).has(waiting))
      t.equal(await counted(), before)
      t.ok(inOrder(await recordedIn(relay)))
    },
  )
})

/** Kills of the relay in the midst of work. */
const KILLS = 3
const PEOPLE_AT_ONCE = 3
const LONGEST_DELAY_MS = 400

t.test('a relay that is killed at any moment has recorded everything that was executed', { skip }, async t => {
  await using world = await startWorld({ embedded: true, policy: openPolicy, postgres: { settings: logged } })
  const { relay, postgres, agent } = world
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  await postgres.query('set role gate_service; create table counted (n int)', 'app')
  let mark = 0
  const executed: number[] = []
  for (let kill = 0; kill < KILLS; kill += 1) {
    const sessions = Array.from({ length: PEOPLE_AT_ONCE }, () => {
      const session = startPsql(gate, ['-At'])
      for (let index = 0; index < 2_000; index += 1) {
        mark += 1
        session.child.stdin?.write(
          index % 2 === 0
            ? `select 'began' /* m${mark}_ */;\n`
            : `insert into counted values (${mark}) /* m${mark}_ */;\n`,
        )
      }
      session.child.stdin?.end()
      return session
    })
    await Promise.all(sessions.map(session => session.waitFor(/began/)))
    await wait(Math.random() * LONGEST_DELAY_MS)
    const lost = agent.process().waitFor(new RegExp(`(uplink\\.lost[\\s\\S]*){${kill + 1}}uplink\\.ready`))
    await relay.kill('SIGKILL')
    await Promise.all(sessions.map(session => session.finished()))
    await relay.restart()
    await lost
    const recorded = await marksIn(relay)
    const ran = marksAt(postgres)
    t.same(
      [...ran].filter(each => !recorded.has(each)),
      [],
      `kill ${kill + 1}: ${ran.size} executed, all recorded`,
    )
    t.ok(inOrder(await recordedIn(relay)))
    executed.push(ran.size)
  }
  t.ok(
    (executed[0] ?? 0) > 0 && executed.every((count, index) => count > (executed[index - 1] ?? 0)),
    'each kill met work',
  )
  t.ok((executed.at(-1) ?? 0) < mark, 'and cut some of it off')
})

t.test('a store that is lost is filled again from the record', { skip }, async t => {
  await using world = await startWorld({ embedded: true })
  const { relay, oidc } = world
  const alice = await world.person('alice')
  {
    await using gate = await alice.connect('prod-db', '--task', 'MIG-9')
    await psql(gate, ['-c', "select 'precious'", '-c', 'drop table users'])
  }
  const list = async (...args: string[]): Promise<unknown[]> => {
    const found = JSON.parse((await alice.runInProcess('sessions', '--json', ...args)).stdout) as Record<
      string,
      unknown
    >[]
    // The record has its own times, a moment apart.
    return found.map(({ startedMs: _startedMs, endedMs: _endedMs, ...rest }) => rest)
  }
  const before = await list()
  await relay.kill()
  await rm(join(relay.directory, 'state', 'store'), { recursive: true })
  await relay.restart()
  t.equal((await alice.login(relay, oidc, 'alice')).code, 0, 'logins are gone')
  t.same(await list(), before)
  t.match(await list('--text', 'precious', '--task', 'MIG-9'), [{ commands: 2, refused: 1 }])
})
