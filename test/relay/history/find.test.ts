// Finding sessions by several things at once: whichever of them the search begins with, the answer is the same.
import { findSessions, type SessionFilter, type Sight } from '@gate/relay/history/find'
import { actionTerm, ruleTerm, wordTerm } from '@gate/relay/history/terms'
import type { Store } from '@gate/relay/store/store'
import { sql } from 'kysely'
import t from 'tap'
import { startStore } from '../../support/store.ts'

/** More than the search counts of anything. */
const SESSIONS = 1_500
const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
/** Of the combinations one in so many is asked. */
const STEP = 23
const FIRST_MS = Date.UTC(2030, 0, 1)
const MAXIMUM_MS = 12 * HOUR_MS

interface Made {
  readonly id: string
  readonly startedMs: number
  readonly endedMs: number | null
  readonly subject: string
  readonly email: string
  readonly target: string
  readonly task: string | null
  readonly terms: ReadonlySet<string>
}

const every = (index: number, step: number, term: string): string[] => (index % step === 0 ? [term] : [])

/** Of each thing that can be asked for, something that all sessions have, many, few, and a pair that never meets. */
const made: readonly Made[] = Array.from({ length: SESSIONS }, (_, index): Made => {
  // Two of each moment, so that the id decides.
  const startedMs = FIRST_MS + Math.floor(index / 2) * MINUTE_MS
  const person = index % 70 === 0 ? 'rare' : 'usual'
  return {
    id: `s_${String((index * 7919) % SESSIONS).padStart(5, '0')}`,
    startedMs,
    endedMs: index % 50 === 0 ? null : startedMs + (index % 9) * HOUR_MS,
    subject: `i|${person}`,
    email: `${person}@Example.com`,
    target: index % 11 === 0 ? 'small-db' : 'large-db',
    task: index % 13 === 0 ? 'MIG-4' : index % 13 === 1 ? 'MIG-4/2' : index % 13 === 2 ? 'MIG-42' : null,
    terms: new Set([
      wordTerm('select'),
      ...every(index, 2, wordTerm('even')),
      ...every(index + 1, 2, wordTerm('odd')),
      ...every(index, 40, wordTerm('seldom')),
      ...every(index, 3, actionTerm('delete')),
      ...every(index, 60, actionTerm('drop')),
      ...every(index + 1, 3, ruleTerm('writes')),
      ...every(index, 90, ruleTerm('never')),
    ]),
  }
})

async function fill(store: Store): Promise<void> {
  const of = (value: (each: Made) => unknown): unknown[] => made.map(value)
  await sql`insert into sessions (id, login_id, subject_id, email, groups, target, protocol, labels, relay, task, started_ms,
      ended_ms, first_event, target_key)
    select id, 'l', subject, email, '[]', target, 'postgres', '{}', 'relay_1', task, started, ended, 1, target
    from unnest(${of(each => each.id)}::text[], ${of(each => each.subject)}::text[], ${of(each => each.email)}::text[],
      ${of(each => each.target)}::text[], ${of(each => each.task)}::text[], ${of(each => each.startedMs)}::bigint[],
      ${of(each => each.endedMs)}::bigint[]) made (id, subject, email, target, task, started, ended)`.execute(store.db)
  const pairs = made.flatMap(({ id, startedMs, terms }) => [...terms].map(term => [term, startedMs, id] as const))
  await sql`insert into session_terms (term, started_ms, session_id)
    select * from unnest(${pairs.map(([term]) => term)}::text[], ${pairs.map(([, ms]) => ms)}::bigint[],
      ${pairs.map(([, , id]) => id)}::text[])`.execute(store.db)
}

/** The same, word by word as it is documented. */
function expected(filter: SessionFilter, sight: Sight): string[] {
  const { target, user, task, action, rule, words, sinceMs, untilMs, limit } = filter
  const matches = (each: Made): boolean =>
    (sight.targets === undefined || sight.targets.includes(each.target) || sight.subject === each.subject) &&
    (target === undefined || each.target === target) &&
    (user === undefined || each.email.toLowerCase() === user.toLowerCase() || each.subject === user) &&
    (task === undefined || each.task === task || each.task?.startsWith(`${task}/`) === true) &&
    (action === undefined || each.terms.has(actionTerm(action))) &&
    (rule === undefined || each.terms.has(ruleTerm(rule))) &&
    words.every(word => each.terms.has(wordTerm(word))) &&
    (untilMs === undefined || each.startedMs <= untilMs) &&
    (sinceMs === undefined ||
      (each.startedMs >= sinceMs - MAXIMUM_MS && (each.endedMs === null || each.endedMs >= sinceMs)))
  const found = made.filter(matches)
  found.sort((a, b) => b.startedMs - a.startedMs || (a.id < b.id ? 1 : -1))
  return found.slice(0, limit).map(({ id }) => id)
}

const choices: readonly (readonly Partial<SessionFilter>[])[] = [
  [{}, { target: 'large-db' }, { target: 'small-db' }],
  [{}, { user: 'usual@example.com' }, { user: 'i|rare' }],
  [{}, { task: 'MIG-4' }],
  [{}, { action: 'delete' }, { action: 'drop' }],
  [{}, { rule: 'writes' }, { rule: 'never' }, { rule: 'nowhere' }],
  [
    {},
    { words: ['select'] },
    { words: ['select', 'even'] },
    { words: ['select', 'seldom'] },
    { words: ['even', 'odd'] },
  ],
  [
    {},
    { sinceMs: FIRST_MS + 9 * HOUR_MS },
    { untilMs: FIRST_MS + 3 * HOUR_MS },
    { sinceMs: FIRST_MS + 2 * HOUR_MS, untilMs: FIRST_MS + 3 * HOUR_MS },
  ],
]

const sights: readonly Sight[] = [
  { subject: 'i|rare', targets: undefined },
  { subject: 'i|rare', targets: [] },
  { subject: 'i|rare', targets: ['small-db'] },
]

const store = await startStore()
t.teardown(() => store[Symbol.asyncDispose]())
await fill(store)

t.test('whatever is asked for together finds the newest that match, in their order', async t => {
  let filters: readonly SessionFilter[] = [{ words: [], limit: 20 }]
  for (const part of choices) filters = filters.flatMap(filter => part.map(more => ({ ...filter, ...more })))
  const wrong: unknown[] = []
  let some = 0
  let asked = 0
  // All of them take minutes. No part has a number of choices that the step divides by: so all choices meet in what is asked.
  for (let index = 0; index < filters.length; index += STEP) {
    const filter = filters[index] as SessionFilter
    const sight = sights[index % sights.length] as Sight
    const found = (await findSessions(store, filter, sight, MAXIMUM_MS)).map(({ id }) => id)
    const right = expected(filter, sight)
    asked += 1
    if (right.length > 0) some += 1
    if (found.join() !== right.join()) wrong.push({ filter, sight, found, right })
  }
  t.same(wrong.slice(0, 3), [])
  t.ok(some > asked / 10, `${some} of ${asked} find something`)
})

t.test('rows are read as they were written, whichever way they were found', async t => {
  const [id = ''] = expected({ words: ['seldom'], limit: 1 }, sights[0] as Sight)
  const row = made.find(each => each.id === id)
  for (const filter of [{ words: ['seldom'] }, { words: ['seldom', 'select'] }, { words: [], user: row?.subject }]) {
    const rows = await findSessions(store, { ...filter, limit: 2_000 }, sights[0] as Sight, MAXIMUM_MS)
    t.match(
      rows.find(each => each.id === id),
      { id, started_ms: row?.startedMs, ended_ms: row?.endedMs ?? null, target: row?.target, groups: [], labels: {} },
    )
  }
})
