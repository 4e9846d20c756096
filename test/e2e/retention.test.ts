// Deleting by age through a real relay: what is gone is gone, and everybody who asks is told so, and when.
import { createPrivateKey } from 'node:crypto'
import { existsSync } from 'node:fs'
import { appendFile, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { EventBody, StoredEvent } from '@gate/relay/record/events'
import { Recorder } from '@gate/relay/record/recorder'
import { silentLog } from '@gate/shared/log'
import { bundlePath, tilePath } from '@gate/shared/record/tiles'
import t from 'tap'
import { createHandClock } from '../support/clock.ts'
import { createCli, type RelayProcess, startRelay } from '../support/gate.ts'
import { type OidcProvider, startOidc } from '../support/oidc.ts'
import { until } from '../support/until.ts'
import { openPolicy } from '../support/world.ts'

const DAY_MS = 86_400_000
const OLD = 's_00000000o1d0'
const YOUNG = 's_0000000young'

/** A session of alice's with this many events between its first and its last. */
function session(oidc: OidcProvider, id: string, count: number): EventBody[] {
  const outcome = (_: unknown, index: number): EventBody => ({
    type: 'outcome',
    session: id,
    command: index + 1,
    status: `precious ${index}`,
  })
  return [
    {
      type: 'session.start',
      session: id,
      subject: { id: `${oidc.issuer}|alice`, email: 'alice@example.com', groups: ['engineers'] },
      target: 'prod-db',
      protocol: 'postgres',
      policy: 'p',
      client: {},
    },
    ...Array.from({ length: count }, outcome),
    { type: 'session.end', session: id, code: 'ended' },
  ]
}

/**
 * Gives a relay that is down a record of its own from before: one session of forty days ago, one of yesterday. Only the
 * clock with which it is written stands for time that has passed; key, name and files are the relay's.
 */
async function seedRecord(relay: RelayProcess, oidc: OidcProvider): Promise<string> {
  const state = join(relay.directory, 'state')
  const records = join(state, 'records')
  await rm(records, { recursive: true })
  const id = (await readFile(join(state, 'relay.id'), 'utf8')).trim()
  const key = createPrivateKey(await readFile(join(state, 'record.key'), 'utf8'))
  const clock = createHandClock(Date.now() - 40 * DAY_MS)
  const tree = { origin: `${new URL(relay.url).host}/${id}`, key }
  const recorder = await Recorder.open(records, tree, clock, silentLog)
  for (const body of session(oidc, OLD, 509)) recorder.append(body)
  if (recorder.sequence !== 512) throw new Error('expected two whole bundles')
  clock.setWallClock(Date.now() - DAY_MS)
  for (const body of session(oidc, YOUNG, 100)) recorder.append(body)
  await recorder.close()
  return records
}

t.test('events that are too old are deleted by a running relay, and whoever asks is told so', async t => {
  await using oidc = await startOidc()
  await using relay = await startRelay({ oidc, policy: openPolicy, more: 'record:\n  auditors: [dba]' })
  await relay.kill()
  const records = await seedRecord(relay, oidc)
  await relay.restart()
  await using alice = await createCli()
  await using bob = await createCli()
  await alice.login(relay, oidc, 'alice')
  await bob.login(relay, oidc, 'bob')

  const listed = async (): Promise<string[]> =>
    (JSON.parse((await alice.runInProcess('sessions', '--json')).stdout) as { id: string }[]).map(({ id }) => id)
  await until('both sessions', async () => (await listed()).length === 2)
  t.same(
    (await listed()).sort(),
    [OLD, YOUNG].sort(),
    'as long as nothing says how long events are kept they are there',
  )
  t.match((await alice.runInProcess('sessions', 'show', OLD)).stdout, 'precious 508')
  t.match((await alice.runInProcess('receipts')).stdout, /good[\s\S]*good/)

  await relay.kill()
  await appendFile(relay.config, '  retention: 30d\n')
  await relay.restart()
  await until(
    'the end of the old session',
    async () => !existsSync(join(records, bundlePath(1))) && !(await listed()).includes(OLD),
  )
  const today = new Date().toISOString().slice(0, 10)
  const tail = await bob.run('audit', 'tail')
  const events = tail.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as StoredEvent)
  t.equal(events[0]?.sequence, 513, 'an auditor reads from the first event that is left')
  const said = events.find(({ body }) => body.type === 'retention')
  t.match(said?.body, { first: 1, last: 512, count: 512, ageMs: 30 * DAY_MS })

  await t.test('nothing of them is left on the disk but hashes', async t => {
    t.notOk(existsSync(join(records, bundlePath(0))))
    t.ok(existsSync(join(records, tilePath(0, 0))))
    for (const entry of await readdir(records, { recursive: true, withFileTypes: true }))
      if (entry.isFile())
        t.notMatch(
          await readFile(join(entry.parentPath, entry.name), 'latin1'),
          OLD,
          `${entry.parentPath} ${entry.name}`,
        )
  })

  await t.test('gate audit verify says what was deleted, and passes', async t => {
    const verified = await bob.run('audit', 'verify')
    t.equal(verified.code, 0, verified.stdout + verified.stderr)
    t.match(verified.stdout, `records 1 to 512 were deleted by retention on ${today} (record ${said?.sequence})`)
    t.match(verified.stdout, /✓ \d+ records .* are as they were signed/)
  })

  await t.test('gate sessions says that it was deleted by retention, and when', async t => {
    for (const what of ['show', 'watch']) {
      const asked = await alice.runInProcess('sessions', what, OLD)
      t.equal(asked.code, 5, asked.stderr)
      t.match(asked.stderr, `the events of ${OLD} were deleted by retention on ${today} (record ${said?.sequence})`)
      t.notMatch(asked.stderr, /tampered|Error:|\n\s+at /)
      t.equal(asked.stdout, '')
    }
    t.match((await alice.runInProcess('sessions', 'show', YOUNG)).stdout, 'precious 99', 'what is young is there')
  })

  await t.test('receipts hold', async t => {
    const receipts = await alice.runInProcess('receipts')
    t.equal(receipts.code, 0, receipts.stderr)
    t.match(receipts.stdout, new RegExp(`${OLD}.*good`))
  })
})
