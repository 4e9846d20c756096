// The story's end: what the record says of it, and logging out.
import { type Actor, type Cast, said, TARGET } from './actor.ts'
import { hasAll, logIn } from './check-arrival.ts'
import type { Step } from './report.ts'

const SETTLED_MS = 10_000

export async function lookBack(cast: Cast): Promise<void> {
  await list(cast)
  await readRecords(cast)
  await leave(cast)
}

const idsOf = (text: string): string[] => [...text.matchAll(/^(\S+_\S+) /gm)].map(([, id = '']) => id)

async function list(cast: Cast): Promise<void> {
  const { report, alice, bob, carol } = cast
  await report.step('each lists the sessions that there were', async step => {
    for (const actor of [alice, carol]) {
      const own = await ended(actor, step, 'sessions', '--limit', '200')
      const others = cast.everybody.filter(other => other !== actor).map(({ player }) => player.person.email)
      step.must(
        `${actor.name} sees the ${actor.sessions} sessions that were ${actor.name}'s, and nobody else's`,
        idsOf(own).length === actor.sessions && !others.some(email => own.includes(email)),
      )
    }
    const all = await ended(bob, step, 'sessions', '--limit', '200')
    const sum = cast.everybody.reduce((total, { sessions }) => total + sessions, 0)
    step.must(`bob, who may look at them, sees all ${sum}`, idsOf(all).length === sum)
  })
}

/** The list, as soon as no session in it is open any more: the relay hears a moment later that a client has gone. */
async function ended(actor: Actor, step: Step, ...args: string[]): Promise<string> {
  const deadline = performance.now() + SETTLED_MS
  for (;;) {
    const running = actor.start('gate', ...args)
    const { stdout } = await running.finished()
    if (!/ open /.test(stdout) || performance.now() > deadline) {
      step.show(actor.name, `gate ${args.join(' ')}`, running.transcript())
      return stdout
    }
  }
}

async function readRecords(cast: Cast): Promise<void> {
  const { report, bob } = cast
  await report.step('bob reads the record of every session', async step => {
    const listed = idsOf((await bob.start('gate', 'sessions', '--limit', '200').finished()).stdout)
    const shown = new Map<string, string>()
    const read = async (ids: readonly string[]): Promise<void> => {
      for (const id of ids) shown.set(id, (await bob.start('gate', 'sessions', 'show', id).finished()).stdout)
    }
    const half = Math.ceil(listed.length / 2)
    await Promise.all([read(listed.slice(0, half)), read(listed.slice(half))])
    const held = [...shown].find(
      ([, text]) => text.includes(` on ${TARGET}`) && text.includes('held for') && text.includes('approved'),
    ) ?? ['', '']
    step.show('bob', `gate sessions show ${held[0]}`, held[1])
    step.must(
      'a session shows the hold, who approved, and how many rows it was',
      hasAll(held[1], ['held for 1 of dba', 'approved by bob@example.com', '20000']),
    )
    const [cancelled = ''] = [...shown.values()].filter(text => text.includes('pg_sleep'))
    step.must("alice's Ctrl-C is in the record too", hasAll(cancelled, ['cancelled', '57014']))
    const missing = cast.ran.filter(({ who, sql, mark }) => !find([...shown.values()], who, sql, mark))
    for (const { who, sql, mark } of missing) step.must(`there is ${who}'s ${sql} with ${mark}`, false)
    step.must(`all ${cast.ran.length} statements of this story are there, each with its decision`, missing.length === 0)
    step.must(
      'what was compared with a masked column is not: a hash stands in its place',
      ![...shown.values()].some(text => text.includes('jonas%')) &&
        [...shown.values()].some(text => text.includes("LIKE '‹redacted:")),
    )
  })
  await report.step("carol tries to read one of alice's", async step => {
    const listed = (await bob.start('gate', 'sessions', '--user', 'alice@example.com').finished()).stdout
    const [id = 'none'] = idsOf(listed)
    const refused = await cast.carol.types(step, 'gate', 'sessions', 'show', id)
    step.must(
      'for her there is no such session',
      refused.code !== 0 && refused.stdout === '' && refused.stderr.includes('there is no session'),
    )
  })
}

/** Constants that meet masked columns are not recorded as they were sent. */
const withoutConstants = (text: string): string => text.replace(/'[^']*'/g, "'…'")

/** Whether one of the records has the statement, as this person's, with this mark. */
function find(records: readonly string[], who: string, sql: string, mark: string): boolean {
  return records.some(text => {
    const [heading = '', ...lines] = text.split('\n')
    return (
      heading.includes(`${who}@example.com`) &&
      lines.some(line => line.includes(` ${mark} `) && withoutConstants(line).includes(`  ${withoutConstants(sql)}`))
    )
  })
}

async function leave(cast: Cast): Promise<void> {
  const { report, alice } = cast
  await report.step('alice logs out', async step => {
    const out = await alice.types(step, 'gate', 'logout')
    step.must('she is logged out', out.code === 0 && out.stdout.includes('logged out'))
    const refused = await alice.sql(step, 'SELECT 1')
    step.must(
      'her open port answers the SQL client in its own way, and says what to do',
      refused.code === 2 && hasAll(said(refused), ['FATAL', 'your login has ended', 'gate login']),
    )
    const connect = await alice.types(step, 'gate', 'connect', TARGET)
    step.must('no new port can be opened: exit code 3', connect.code === 3 && connect.stderr.includes('gate login'))
    const others = await cast.bob.sql(step, 'SELECT 1 AS still_here')
    step.must('bob works on', others.code === 0 && others.stdout.includes('still_here'))
  })
  await logIn(cast, alice, 'again')
  await report.step('the port that alice still has open works again; then she closes it', async step => {
    const rows = await alice.sql(step, 'SELECT 1 AS welcome_back')
    step.must('her SQL client gets in', rows.code === 0 && rows.stdout.includes('welcome_back'))
    alice.connecting?.kill('SIGINT')
    const closed = await alice.connecting?.finished()
    step.show('alice', '(Ctrl-C in gate connect)', '')
    step.must('gate connect ends with exit code 0', closed?.code === 0)
    const refused = await alice.sql(step, 'SELECT 1')
    step.must('its port is closed', refused.code === 2 && /refused/i.test(said(refused)))
  })
}
