// Finds sessions: by who, where, when, for what, and by what was done in them.
import { type Expression, type Selectable, type SelectQueryBuilder, type SqlBool, sql } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { actionTerm, ruleTerm, wordTerm } from './terms.ts'

export type SessionRow = Selectable<Schema['sessions']>

export interface SessionFilter {
  readonly target?: string | undefined
  readonly user?: string | undefined
  /** This task and its steps: MIG-42 is also MIG-42/3. */
  readonly task?: string | undefined
  readonly action?: string | undefined
  readonly rule?: string | undefined
  /** Words that all occur in the session's commands. */
  readonly words: readonly string[]
  /** Sessions that were open at some time between these. */
  readonly sinceMs?: number | undefined
  readonly untilMs?: number | undefined
  readonly limit: number
}

/** Whose sessions somebody may see: their own, and those with these targets. */
export interface Sight {
  readonly subject: string
  /** Keys of session_targets; undefined when it is all of them. */
  readonly targets: readonly string[] | undefined
}

/** How often a term occurs is counted up to here, to begin with the rarest. */
const MAX_COUNTED = 5_000

type Query = SelectQueryBuilder<Schema, 'sessions', object>

/** Sessions that match everything asked for, newest first. `maximumMs` is the longest that one can last. */
export async function findSessions(
  store: Store,
  filter: SessionFilter,
  sight: Sight,
  maximumMs: number,
): Promise<SessionRow[]> {
  const [rarest, ...others] = await byRarity(store, termsAsked(filter))
  let query: Query = store.db.selectFrom('sessions')
  // The index of terms has each term's sessions in the order of their beginnings: reading it backwards ends with the limit.
  if (rarest !== undefined)
    query = query
      .innerJoin('session_terms', 'session_terms.session_id', 'sessions.id')
      .where('session_terms.term', '=', rarest) as unknown as Query
  if (sight.targets?.length === 0) query = query.where('subject_id', '=', sight.subject)
  else if (sight.targets !== undefined) {
    const { targets, subject } = sight
    query = query.where(({ or, eb }) => or([eb('target_key', 'in', targets), eb('subject_id', '=', subject)]))
  }
  query = byPlace(query, filter)
  query = byTime(query, filter, maximumMs)
  for (const term of others) query = query.where(hasTerm(term))
  const started = rarest === undefined ? sql.ref('sessions.started_ms') : sql.ref('session_terms.started_ms')
  const id = rarest === undefined ? sql.ref('sessions.id') : sql.ref('session_terms.session_id')
  return query.selectAll('sessions').orderBy(started, 'desc').orderBy(id, 'desc').limit(filter.limit).execute()
}

/** The terms, beginning with the one that the fewest sessions have. */
async function byRarity(store: Store, terms: readonly string[]): Promise<string[]> {
  if (terms.length < 2) return [...terms]
  const { rows } = await sql<{ term: string; count: number }>`
    select asked.term, (select count(*) from (
      select from session_terms t where t.term = asked.term limit ${sql.lit(MAX_COUNTED)}) counted) as count
    from unnest(${terms}::text[]) asked (term)`.execute(store.db)
  return rows.sort((a, b) => a.count - b.count).map(({ term }) => term)
}

function byPlace(query: Query, { target, user, task }: SessionFilter): Query {
  let narrowed = query
  if (target !== undefined) narrowed = narrowed.where('target', '=', target)
  if (user !== undefined)
    narrowed = narrowed.where(({ or, eb }) =>
      or([eb(sql`lower(email)`, '=', user.toLowerCase()), eb('subject_id', '=', user)]),
    )
  if (task !== undefined) {
    const steps = `${task.replace(/[\\%_]/g, '\\$&')}/%`
    narrowed = narrowed.where(({ or, eb }) => or([eb('task', '=', task), eb('task', 'like', steps)]))
  }
  return narrowed
}

function byTime(query: Query, { sinceMs, untilMs }: SessionFilter, maximumMs: number): Query {
  let narrowed = query
  if (untilMs !== undefined) narrowed = narrowed.where('sessions.started_ms', '<=', untilMs)
  if (sinceMs !== undefined)
    narrowed = narrowed
      // None that began earlier can have been open still: so the index by start is enough.
      .where('sessions.started_ms', '>=', sinceMs - maximumMs)
      .where(({ or, eb }) => or([eb('ended_ms', 'is', null), eb('ended_ms', '>=', sinceMs)]))
  return narrowed
}

export function termsAsked({ action, rule, words }: SessionFilter): string[] {
  return [
    ...(action === undefined ? [] : [actionTerm(action)]),
    ...(rule === undefined ? [] : [ruleTerm(rule)]),
    ...words.map(wordTerm),
  ]
}

/**
 * Whether the session has this term too. A subquery with a limit stays one, looked up in the index for each session that
 * everything else leaves: as EXISTS it became a join of two long lists, which took seconds.
 */
function hasTerm(term: string): Expression<SqlBool> {
  return sql<SqlBool>`(select true from session_terms t where t.term = ${term}
    and t.started_ms = sessions.started_ms and t.session_id = sessions.id limit 1)`
}
