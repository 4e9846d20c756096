// Drivers of five languages do the same things directly and through gate, with nothing masked and nothing refused: what
// they see is the same.
import t, { type Test } from 'tap'
import { driver, drivers, type Program } from '../../support/drivers.ts'
import { run } from '../../support/process.ts'
import { direct, openPolicy, type PsqlTarget, SERVICE_PASSWORD, startWorld } from '../../support/world.ts'

/** Fewer would mean that a script stopped half-way without saying so. */
const LEAST_HABITS = 20
const SCRIPT_TIMEOUT_MS = 120_000

interface Line {
  readonly habit: string
  readonly saw: unknown
  /** The script itself went wrong. */
  readonly failed?: string
}

async function transcript(program: Program, target: PsqlTarget): Promise<Line[]> {
  const env = {
    ...program.env,
    PGHOST: '127.0.0.1',
    PGPORT: String(target.port),
    // The agent logs in with this name, so that is what gate's clients are to the server in any case.
    PGUSER: 'gate_service',
    PGPASSWORD: SERVICE_PASSWORD,
    PGDATABASE: 'app',
    LC_ALL: 'C.UTF-8',
  }
  const done = await run(program.program, program.args, { env }, SCRIPT_TIMEOUT_MS)
  if (done.code !== 0) throw new Error(`${program.program} ended with ${done.code}: ${done.stderr.slice(-4000)}`)
  return done.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as Line)
}

async function compare(t: Test, name: string, program: Program, straight: PsqlTarget, gate: PsqlTarget): Promise<void> {
  const without = await transcript(program, straight)
  const through = new Map((await transcript(program, gate)).map(line => [line.habit, line]))
  for (const line of without) {
    t.equal(line.failed, undefined, `${name}, ${line.habit}: works without gate`)
    t.same(through.get(line.habit), line, `${name}, ${line.habit}: the same through gate`)
  }
  t.ok(without.length >= LEAST_HABITS, `${without.length} habits`)
}

t.test('drivers through gate', async t => {
  const installed = new Map(drivers.map(each => [each.name, driver(each)]))
  await using world = await startWorld({
    policy: openPolicy,
    postgres: { settings: { max_prepared_transactions: '5' } },
  })
  const alice = await world.person('alice')
  await using gate = await alice.connect('prod-db')
  for (const [name, program] of installed) {
    await t.test(`${name} does not notice gate`, async t => {
      const found = await program
      if (typeof found === 'string') {
        process.stderr.write(`SKIPPED: ${name} is not tested through gate (${found})\n`)
        t.pass('not to be had here', { skip: `${name}: ${found}` })
        return
      }
      await compare(t, name, found, direct(world.postgres), gate)
    })
  }
})
