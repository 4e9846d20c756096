// Measures how long the list of sessions takes when the index knows a million events, in the embedded store. See README.md beside this file.
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findSessions, type SessionFilter, type Sight } from '@gate/relay/history/find'
import { SessionIndexer } from '@gate/relay/history/indexer'
import type { EventSource } from '@gate/relay/history/source'
import type { EventBody, StoredEvent } from '@gate/relay/record/events'
import { openStore } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { quantile } from './statistics.ts'

const COMMANDS_PER_SESSION = 24
/** A start, an open, each command with its outcome, an end. */
const EVENTS_PER_SESSION = 2 * COMMANDS_PER_SESSION + 3
const SESSION_MS = 10 * 60_000
const EVERY_MS = 90_000
const MAXIMUM_MS = 12 * 3_600_000

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write('node scripts/dist/bench/sessions.js [--events 1000000] [--rounds 100] [--json]\n')
  process.exit(0)
}

const sessionCount = Math.ceil(Number(values.events) / EVENTS_PER_SESSION)
const lastMs = Date.now()
const firstMs = lastMs - sessionCount * EVERY_MS
const pick = <T>(list: readonly T[], index: number): T => list[index % list.length] as T

const people = Array.from({ length: 200 }, (_, index) => `person${index}@example.com`)
const targets = Array.from({ length: 40 }, (_, index) => `target-${index}`)
const tables = Array.from({ length: 300 }, (_, index) => `table_${index}`)
const actions = ['select', 'select', 'select', 'insert', 'update', 'delete']

function text(session: number, command: number): { action: string; text: string } {
  const table = pick(tables, session * 7 + command * 13)
  const action = pick(actions, session + command)
  const literal = session * COMMANDS_PER_SESSION + command
  if (action === 'insert')
    return { action, text: `insert into ${table} (id, name) values (${literal}, 'name ${literal % 5000}')` }
  if (action === 'update') return { action, text: `update ${table} set state = 'done' where id = ${literal}` }
  if (action === 'delete') return { action, text: `delete from ${table} where id = ${literal}` }
  return {
    action,
    text: `select id, name, state from ${table} t join orders o on o.${table}_id = t.id where t.id = ${literal}`,
  }
}

/** A record of so many sessions, made up as it is read. */
function madeUp(): EventSource {
  return {
    sequence: sessionCount * EVENTS_PER_SESSION,
    watch: () => ({ [Symbol.dispose]: () => {} }),
    readFrom: async function* () {
      for (let session = 0; session < sessionCount; session += 1) yield* eventsOf(session)
    },
  }
}

function* eventsOf(index: number): Generator<StoredEvent> {
  const session = `s_${String(index).padStart(12, '0')}`
  const started = firstMs + index * EVERY_MS
  let sequence = index * EVENTS_PER_SESSION
  const event = (afterMs: number, body: EventBody): StoredEvent => {
    sequence += 1
    return { sequence, timeMs: started + afterMs, body }
  }
  const email = pick(people, index * 31)
  yield event(0, {
    type: 'session.start',
    session,
    subject: { id: `https://login.example.com|${email}`, email, groups: ['engineers'] },
    target: pick(targets, index * 3),
    protocol: 'postgres',
    ...(index % 3 === 0 ? { task: `MIG-${index % 500}/${index % 7}` } : {}),
    policy: 'p',
    client: { program: 'psql' },
  })
  yield event(1, { type: 'session.open', session, agent: 'agent', target: {} })
  for (let command = 1; command <= COMMANDS_PER_SESSION; command += 1) {
    const made = text(index, command)
    const refused = index % 50 === 0 && command === 3
    yield event(command * 1000, {
      type: 'command',
      session,
      command,
      ...made,
      resources: [],
      facts: {},
      decision: { effect: refused ? 'deny' : 'allow', rule: refused ? 'never' : pick(['reads', 'writes'], command) },
      policy: 'p',
    })
    yield event(command * 1000 + 3, { type: 'outcome', session, command, status: 'OK' })
  }
  yield event(SESSION_MS, { type: 'session.end', session, code: 'ended' })
}

const base: SessionFilter = { words: [], limit: 50 }
const everything: Sight = { subject: 'https://login.example.com|viewer', targets: undefined }
const own: Sight = { subject: 'https://login.example.com|person31@example.com', targets: [] }

const questions: readonly [string, SessionFilter, (keys: readonly string[]) => Sight][] = [
  ['no filter', base, () => everything],
  ['own sessions', base, () => own],
  ['who sees three of forty targets', base, keys => ({ ...own, targets: keys.slice(0, 3) })],
  ['--target', { ...base, target: 'target-7' }, () => everything],
  ['--user', { ...base, user: 'person62@example.com' }, () => everything],
  ['--task', { ...base, task: 'MIG-33' }, () => everything],
  ['--action delete', { ...base, action: 'delete' }, () => everything],
  ['--rule never', { ...base, rule: 'never' }, () => everything],
  ['--rule that never was', { ...base, rule: 'nowhere' }, () => everything],
  ['--since 2h', { ...base, sinceMs: lastMs - 2 * 3_600_000 }, () => everything],
  [
    '--since --until an old hour',
    { ...base, sinceMs: firstMs + 7_200_000, untilMs: firstMs + 10_800_000 },
    () => everything,
  ],
  ['--text, a common word', { ...base, words: ['orders'] }, () => everything],
  ['--text, a table', { ...base, words: ['table_77'] }, () => everything],
  ['--text, one literal', { ...base, words: ['4711'] }, () => everything],
  ['--text, three words', { ...base, words: ['delete', 'table_77', 'state'] }, () => everything],
  ['--text, two words that never meet', { ...base, words: ['4711', 'table_299', '9999'] }, () => everything],
  [
    '--text --user --rule',
    { ...base, words: ['table_77'], user: 'person31@example.com', rule: 'writes' },
    () => everything,
  ],
]

const directory = join(tmpdir(), `gate-bench-sessions-${process.pid}`)
const store = await openStore({ kind: 'embedded', directory }, systemClock, silentLog)
try {
  const begun = performance.now()
  await using indexer = await SessionIndexer.start(store, 'relay_bench', madeUp(), systemClock, silentLog)
  await indexer.caughtUp()
  const fillMs = performance.now() - begun
  const { count } = await store.db
    .selectFrom('session_terms')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .executeTakeFirstOrThrow()
  // The made-up store knows no targets, so sessions have the keys of targets without labels.
  const keys = (await store.db.selectFrom('session_targets').select('key').execute()).map(({ key }) => key)
  const results = []
  for (const [name, filter, sight] of questions) {
    const times: number[] = []
    let found = 0
    for (let round = 0; round < Number(values.rounds); round += 1) {
      const start = performance.now()
      found = (await findSessions(store, filter, sight(keys), MAXIMUM_MS)).length
      times.push(performance.now() - start)
    }
    results.push({ name, found, p50: quantile(times, 0.5), p95: quantile(times, 0.95) })
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ sessionCount, terms: count, fillMs, results })}\n`)
  else {
    const rate = Math.round((sessionCount * EVENTS_PER_SESSION) / (fillMs / 1000))
    process.stdout.write(
      `${sessionCount * EVENTS_PER_SESSION} events, ${sessionCount} sessions, ${count} terms; indexed in ${(fillMs / 1000).toFixed(0)} s (${rate} events/s)\n\n| question | found | p50 | p95 |\n|---|---|---|---|\n`,
    )
    for (const { name, found, p50, p95 } of results)
      process.stdout.write(`| ${name} | ${found} | ${p50.toFixed(1)} ms | ${p95.toFixed(1)} ms |\n`)
  }
} finally {
  await store[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
}
