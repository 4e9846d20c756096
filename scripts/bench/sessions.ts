// Measures how long the list of sessions takes when the index knows a million events, in the embedded store. See README.md beside this file.
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { findSessions, type SessionFilter, type Sight } from '@gate/relay/history/find'
import { SessionIndexer } from '@gate/relay/history/indexer'
import type { EventSource } from '@gate/relay/history/source'
import type { EventBody, StoredEvent } from '@gate/relay/record/events'
import { openStore, type Store } from '@gate/relay/store/store'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { quantile } from './statistics.ts'

const COMMANDS_PER_SESSION = 24
/** A start, an open, each command with its outcome, an end. */
const EVENTS_PER_SESSION = 2 * COMMANDS_PER_SESSION + 3
const SESSION_MS = 10 * 60_000
const EVERY_MS = 90_000
const MAXIMUM_MS = 12 * 3_600_000
const TARGET_MS = 50
/** Combinations that are shown. */
const SLOWEST = 12

const { values } = parseArgs({
  options: {
    events: { type: 'string', default: '1000000' },
    rounds: { type: 'string', default: '100' },
    combinations: { type: 'boolean', default: false },
    directory: { type: 'string' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(
    'node scripts/dist/bench/sessions.js [--events 1000000] [--rounds 100] [--combinations] [--directory DIRECTORY] [--json]\n' +
      '--combinations asks with every combination of filters too, in a tenth of the rounds; --directory keeps the store and uses it again\n',
  )
  process.exit(0)
}

const sessionCount = Math.ceil(Number(values.events) / EVENTS_PER_SESSION)
/** The same in every run, so that a store that was kept can be asked again. */
const lastMs = Date.UTC(2026, 0, 1)
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

/** Values of one session, so that any of them together find it; and some that no session has together. */
const some = 12_345 % sessionCount
const parts: readonly (readonly [string, Partial<SessionFilter>])[][] = [
  [['--target', { target: pick(targets, some * 3) }]],
  [['--user', { user: pick(people, some * 31) }]],
  [['--task', { task: `MIG-${some % 500}` }]],
  [['--action', { action: 'delete' }]],
  [
    ['--rule common', { rule: 'writes' }],
    ['--rule rare', { rule: 'never' }],
  ],
  [
    ['--text common', { words: ['orders'] }],
    ['--text table', { words: [pick(tables, some * 7 + 13)] }],
    ['--text three', { words: ['delete', 'state', pick(tables, some * 7 + 26)] }],
    ['--text never', { words: [pick(tables, 0), pick(tables, 1)] }],
  ],
  [
    ['--since', { sinceMs: lastMs - 24 * 3_600_000 }],
    ['--until', { untilMs: firstMs + some * EVERY_MS + SESSION_MS }],
  ],
]

/** Every choice of at most one from each part. */
function combinations(): [string, SessionFilter][] {
  let all: [string, SessionFilter][] = [['', base]]
  for (const part of parts)
    all = all.flatMap(([name, filter]): [string, SessionFilter][] => [
      [name, filter],
      ...part.map(([more, value]): [string, SessionFilter] => [`${name} ${more}`.trim(), { ...filter, ...value }]),
    ])
  return all
}

interface Timed {
  readonly name: string
  readonly found: number
  readonly p50: number
  readonly p95: number
  /** Of the CPU time that this process took meanwhile, the store's thread included: what a quiet machine would make one wait. */
  readonly cpu95: number
}

async function time(store: Store, name: string, filter: SessionFilter, sight: Sight, rounds: number): Promise<Timed> {
  const times: number[] = []
  const cpu: number[] = []
  let found = 0
  for (let round = 0; round < rounds; round += 1) {
    const used = process.cpuUsage()
    const start = performance.now()
    found = (await findSessions(store, filter, sight, MAXIMUM_MS)).length
    times.push(performance.now() - start)
    const { user, system } = process.cpuUsage(used)
    cpu.push((user + system) / 1000)
  }
  return { name, found, p50: quantile(times, 0.5), p95: quantile(times, 0.95), cpu95: quantile(cpu, 0.95) }
}

const table = (rows: readonly Timed[]): string =>
  `| question | found | p50 | p95 | CPU, p95 |\n|---|---|---|---|---|\n${rows
    .map(
      ({ name, found, p50, p95, cpu95 }) =>
        `| ${name} | ${found} | ${p50.toFixed(1)} ms | ${p95.toFixed(1)} ms | ${cpu95.toFixed(1)} ms |\n`,
    )
    .join('')}`

const directory = values.directory ?? join(tmpdir(), `gate-bench-sessions-${process.pid}`)
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
  const results: Timed[] = []
  for (const [name, filter, sight] of questions)
    results.push(await time(store, name, filter, sight(keys), Number(values.rounds)))
  const combined: Timed[] = []
  const sights: readonly [string, Sight][] = [
    ['all', everything],
    ['three targets', { ...own, targets: keys.slice(0, 3) }],
    ['own', own],
  ]
  for (const [name, filter] of values.combinations ? combinations() : [])
    for (const [seen, sight] of sights)
      combined.push(await time(store, `${name} (${seen})`, filter, sight, Math.ceil(Number(values.rounds) / 10)))
  combined.sort((a, b) => b.cpu95 - a.cpu95)
  if (values.json)
    process.stdout.write(`${JSON.stringify({ sessionCount, terms: count, fillMs, results, combined })}\n`)
  else {
    const events = sessionCount * EVENTS_PER_SESSION
    const rate = Math.round(events / (fillMs / 1000))
    process.stdout.write(
      `${events} events, ${sessionCount} sessions, ${count} terms; indexed in ${(fillMs / 1000).toFixed(0)} s (${rate} events/s)\n\n${table(results)}`,
    )
    const missed = combined.filter(({ p95 }) => p95 >= TARGET_MS).length
    const missedCpu = combined.filter(({ cpu95 }) => cpu95 >= TARGET_MS).length
    if (combined.length > 0)
      process.stdout.write(
        `\n${combined.length} combinations, ${missed} at ${TARGET_MS} ms or more at p95, ${missedCpu} of CPU; the slowest by that:\n\n${table(combined.slice(0, SLOWEST))}`,
      )
  }
} finally {
  await store[Symbol.asyncDispose]()
  if (values.directory === undefined) await rm(directory, { recursive: true, force: true })
}
