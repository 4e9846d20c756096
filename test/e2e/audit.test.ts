// Whether the record is what it was, with real parts: receipts, checkpoints that agents keep, auditors, and a record that was cut off.
import { cp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { tokenOf } from '../support/approver.ts'
import { type Cli, programs } from '../support/gate.ts'
import { run } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'
import { until } from '../support/until.ts'
import { hasPsql, openPolicy, psql, startPsql, startWorld, type World } from '../support/world.ts'

const skip = hasPsql ? false : 'no psql on this machine'
const more = 'record: { auditors: [auditors] }'
const people = [
  { id: 'alice', email: 'alice@example.com', name: 'Alice', groups: ['engineers'] },
  { id: 'bob', email: 'bob@example.com', name: 'Bob', groups: ['engineers'] },
  { id: 'carol', email: 'carol@example.com', name: 'Carol', groups: ['auditors'] },
]
const recordsOf = ({ relay }: World): string => join(relay.directory, 'state', 'records')

/** How many records the newest checkpoint signs. */
async function signedSize(world: World): Promise<number> {
  const [, size] = (await readFile(join(recordsOf(world), 'checkpoint'), 'utf8')).split('\n')
  return Number(size)
}

/** Runs one statement in a session of its own, as scripts do. */
async function session(cli: Cli, statement: string): Promise<void> {
  const done = await cli.run('connect', 'prod-db', '--port', '0', '--', 'psql', '-XAt', '-c', statement)
  t.equal(done.code, 0, done.stderr)
}

interface ListedReceipt {
  readonly session: string
  readonly events: number
  readonly trouble?: string
}

t.test('receipts and audits', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy, oidc: { people }, relay: { more } })
  const [alice, bob, carol] = await Promise.all([world.person('alice'), world.person('bob'), world.person('carol')])
  const receiptsOf = async (cli: Cli): Promise<ListedReceipt[]> =>
    JSON.parse((await cli.runInProcess('receipts', '--json')).stdout) as ListedReceipt[]

  await t.test('everybody keeps receipts of their own sessions', async t => {
    t.match((await alice.run('receipts')).stderr, /no receipts yet/)
    for (const statement of ['select 1', 'select 2', 'select 3']) await session(alice, statement)
    await session(bob, 'select 4')
    const own = await receiptsOf(alice)
    t.equal(own.length, 3)
    t.ok(own.every(({ events, trouble }) => events >= 4 && trouble === undefined))
    t.equal((await receiptsOf(bob)).length, 1)
    t.match(
      (await alice.runInProcess('receipts')).stdout,
      /^SESSION +ENDED +EVENTS +RECORD +RECEIPT\ns_\w{12} +.* good$/m,
    )
    const first = own[0]?.session ?? ''
    const [directory = ''] = await readdir(join(alice.home, 'receipts'))
    const file = join(alice.home, 'receipts', directory, `${first}.json`)
    await writeFile(file, (await readFile(file, 'utf8')).replace('session.end', 'session.eND'))
    const broken = await alice.run('receipts')
    t.equal(broken.code, 9)
    t.match(broken.stdout, new RegExp(`${first} .*is not in the tree`))
    await rm(file)
  })

  await t.test('auditors check the whole record from where they are, others may not', async t => {
    const refused = await alice.run('audit', 'verify')
    t.equal(refused.code, 4)
    t.match(refused.stderr, /only auditors may read the whole record/)
    t.equal((await alice.runInProcess('audit', 'tail')).code, 4)
    t.match((await carol.runInProcess('audit', 'key')).stdout, /^127\.0\.0\.1:\d+\/relay_\w+\+[0-9a-f]{8}\+\S+\n$/)
    const authorization = `Bearer ${await tokenOf(carol, world.relay.url)}`
    const parts = `${world.relay.url}/v1/records/log/checkpoint`
    t.equal((await fetch(parts, { headers: { authorization } })).status, 200)
    const elsewhere = await fetch(`${parts}?tree=gate.example.com%2Frelay_1`, { headers: { authorization } })
    t.match(await elsewhere.json(), { code: 'ERR_GATE_CONFLICT' }, 'parts of another record are not taken for its own')
    const good = await carol.run('audit', 'verify')
    t.equal(good.code, 0, good.stderr + good.stdout)
    t.match(good.stdout, /✓ \d+ records of 127\.0\.0\.1:\d+\/relay_\w+ are as they were signed/)
    const seen = (await world.relay.events()).map(event => (event['body'] as { type: string }).type)
    t.ok(seen.includes('audit') === false, 'a check reads hashes and records; only reading events is an event')
  })

  await t.test('auditors follow every event, from where they were', async t => {
    const all = (await carol.runInProcess('audit', 'tail')).stdout.trim().split('\n')
    const numbers = all.map(line => (JSON.parse(line) as { sequence: number }).sequence)
    t.same(
      numbers,
      numbers.map((_, index) => index + 1),
    )
    t.match(all.at(-1), '"type":"audit"', 'that she reads is the newest')
    await using tail = carol.start(['audit', 'tail', '--from', String(numbers.length + 1), '--follow'])
    await tail.waitFor(/"type":"audit"/)
    await using gate = await alice.connect('prod-db', '--port', '0')
    t.equal((await psql(gate, ['-Atc', "select 'followed'"])).code, 0)
    await tail.waitFor(/select 'followed'[\s\S]*"type":"session.end"/)
    tail.kill('SIGINT')
    await tail.finished()
    const since = tail.stdout().trim().split('\n')
    t.equal((JSON.parse(since[0] ?? '{}') as { sequence: number }).sequence, numbers.length + 1)
    t.equal((await carol.runInProcess('audit', 'tail', '--from', 'x')).code, 2)
  })

  await t.test('a copy is checked offline, by anyone with the key, and says which record was changed', async t => {
    const key = (await carol.runInProcess('audit', 'key')).stdout.trim()
    await using copy = await temporaryDirectory('copy')
    const { length } = await world.relay.events()
    await until('a checkpoint of all of it', async () => (await signedSize(world)) >= length)
    await cp(recordsOf(world), copy.path, { recursive: true })
    const nobody = { GATE_HOME: join(copy.path, 'nobody'), GATE_KEYCHAIN: 'file' }
    const verify = (...args: string[]) =>
      run(process.execPath, [programs.gate, 'audit', 'verify', '--from', copy.path, ...args], { env: nobody })
    const good = await verify('--key', key)
    t.equal(good.code, 0, good.stderr)
    t.equal((await verify()).code, 2, 'without a key nothing is believed')
    const entries = join(copy.path, 'tile', 'entries', '000.p')
    const [part = ''] = (await readdir(entries)).sort((a, b) => Number(b) - Number(a))
    const text = await readFile(join(entries, part), 'latin1')
    await writeFile(join(entries, part), text.replace("select 'followed'", "select 'FOLLOWED'"), 'latin1')
    const bad = await verify('--key', key, '--json')
    t.equal(bad.code, 9)
    const { good: isGood, findings } = JSON.parse(bad.stdout) as {
      good: boolean
      findings: { record: number; what: string }[]
    }
    t.equal(isGood, false)
    const events = (await world.relay.events()) as { sequence: number; body: { text?: string } }[]
    const changed = events.find(({ body }) => body.text === "select 'followed'")?.sequence
    t.same(findings, [{ record: changed, what: `record ${changed} was changed` }])
  })
})

t.test('a record whose end is cut off shows to everybody who kept a checkpoint', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy, oidc: { people }, relay: { more } })
  const alice = await world.person('alice')
  await session(alice, 'select 1')
  await alice.runInProcess('receipts')
  await using saved = await temporaryDirectory('saved')
  await world.relay.kill('SIGTERM')
  await cp(recordsOf(world), saved.path, { recursive: true })
  await world.relay.restart()
  await world.agent.process().waitFor(/uplink\.lost[\s\S]*uplink\.ready/)
  await session(alice, "select 'what nobody shall see'")
  t.equal((await alice.runInProcess('receipts')).code, 0)
  const state = join(world.agent.directory, 'state', 'checkpoints.json')
  await world.relay.kill('SIGTERM')
  await world.relay.restart()
  await world.agent.process().waitFor(/(uplink\.ready[\s\S]*){3}/)
  // The newest checkpoint that the relay has signed by now is the one that the agent asked for.
  const size = await signedSize(world)
  await until('a checkpoint at the agent', async () => {
    const text = await readFile(state, 'utf8').catch(() => '')
    return Number(/\\n(\d+)\\n/.exec(text)?.[1]) >= size
  })

  await world.relay.kill('SIGTERM')
  await rm(recordsOf(world), { recursive: true })
  await cp(saved.path, recordsOf(world), { recursive: true })
  await world.relay.restart()
  await world.agent.process().waitFor(/record\.not-trusted/)
  t.match(world.agent.process().stderr(), /the tree has \d+ records, and had \d+ before/)
  const mine = await alice.runInProcess('receipts')
  t.equal(mine.code, 9)
  t.match(mine.stderr, /the tree (has \d+ records, and had \d+ before|of \d+ did not grow out of)/)
  const use = await alice.run('connect', 'prod-db', '--port', '0', '--', 'psql', '-XAtc', 'select 1')
  t.match(use.stderr, /the tree (has \d+ records, and had \d+ before|of \d+ did not grow out of)/)
  t.equal(use.code, 0, 'work goes on; who watches over the relay is told')
  const verify = await alice.run('audit', 'verify', '--from', recordsOf(world), '--checkpoint', state)
  t.equal(verify.code, 9)
  t.match(verify.stdout, /its end was cut off|are not those of a checkpoint that was kept/)
})

t.test('a relay that dies at once loses no record that a command ran with', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy, oidc: { people }, relay: { more } })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db', '--port', '0')
  await world.postgres.query('create table counted (n int); grant all on counted to gate_service', 'app')
  for (let round = 0; round < 3; round += 1) {
    await using busy = startPsql(gate, ['-XAt'])
    for (let n = 0; n < 400; n += 1)
      busy.child.stdin?.write(`insert into counted values (${round * 1000 + n}) returning 'in', n;\n`)
    await busy.waitFor(new RegExp(`in\\|${round * 1000 + 20 + round * 30}\\b`))
    await world.relay.kill('SIGKILL')
    await world.relay.restart()
    const rows = await world.postgres.query('select n from counted', 'app')
    const events = (await world.relay.events()) as { body: { type: string; text?: string } }[]
    const recorded = new Set(
      events.flatMap(({ body }) => (body.type === 'command' ? [/values \((\d+)\)/.exec(body.text ?? '')?.[1]] : [])),
    )
    t.ok(rows.length > 0)
    t.same(
      rows.filter(([n]) => !recorded.has(n ?? '')),
      [],
      'everything that ran is recorded',
    )
    await until('the agent', async () => (await alice.runInProcess('targets')).stdout.includes('online'))
  }
  await session(alice, 'select 1')
  const verified = await alice.run('audit', 'verify', '--from', recordsOf(world))
  t.equal(verified.code, 0, verified.stdout + verified.stderr)
})
