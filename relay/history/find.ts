// Finds sessions: by who, where, when, for what, and by what was done in them.
import { type RawBuilder, type Selectable, type SqlBool, sql } from 'kysely'
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

/** How many sessions have something is counted up to here, to begin with what the fewest have. */
const MAX_COUNTED = 500
/** Of a term fewer are looked at: from the beginning of the last of them it is known how dense they are. */
const MAX_TERM_COUNTED = 100

type Condition = RawBuilder<SqlBool>
type Column = RawBuilder<unknown>
/** When a session began, as far as that is asked for. */
type Bounds = (started: Column) => Condition
/** All else that is asked for, of the session with this beginning and id. */
type Rest = (started: Column, id: Column) => Condition

/** Something asked for that narrows the search down: a term, or a condition on the row of a session. */
type Way = { readonly term: string } | { readonly condition: Condition }

/**
 * Sessions that match everything asked for, newest first. `maximumMs` is the longest that one can last.
 *
 * What the fewest sessions have is read in order, and all else looked up for each of them until there are enough. The planner
 * is left no choice in this: it does not know which words meet in one session, and where it guessed wrong a list took seconds.
 */
export async function findSessions(
  store: Store,
  filter: SessionFilter,
  sight: Sight,
  maximumMs: number,
): Promise<SessionRow[]> {
  const bounds = (started: Column): Condition => startedBetween(started, filter, maximumMs)
  const terms = termsAsked(filter).map((term): Way => ({ term }))
  const conditions = conditionsOf(filter, sight).map((condition): Way => ({ condition }))
  const ways = await byNarrowness(store, [...terms, ...conditions], bounds)
  const { best } = ways
  // What most sessions fail is looked up first.
  const others = ways.sorted.filter(way => way !== best)
  const rest = (started: Column, id: Column): Condition =>
    all([...others.map(way => lookUp(way, started, id)), openSince(filter)])
  const { rows } = await queryOf(best, bounds, rest, filter.limit).execute(store.db)
  return rows
}

function queryOf(best: Way | undefined, bounds: Bounds, rest: Rest, limit: number): RawBuilder<SessionRow> {
  if (best === undefined) return byTime(bounds, rest, limit)
  return 'term' in best ? byTerm(best.term, bounds, rest, limit) : byCondition(best.condition, bounds, rest, limit)
}

const column = (name: string): Column => sql.ref(name)
const STARTED = column('sessions.started_ms')
const ID = column('sessions.id')

function byTime(bounds: Bounds, rest: Rest, limit: number): RawBuilder<SessionRow> {
  return sql<SessionRow>`select * from sessions where ${bounds(STARTED)} and ${rest(STARTED, ID)}
    order by started_ms desc, id desc limit ${limit}`
}

/** The index of terms has each term's sessions in the order of their beginnings: read backwards, it ends with the limit. */
function byTerm(term: string, bounds: Bounds, rest: Rest, limit: number): RawBuilder<SessionRow> {
  return sql<SessionRow>`select sessions.* from session_terms had
    cross join lateral (select * from sessions s where s.id = had.session_id limit 1) sessions
    where had.term = ${term} and ${bounds(column('had.started_ms'))}
      and ${rest(column('had.started_ms'), column('had.session_id'))}
    order by had.started_ms desc, had.session_id desc limit ${limit}`
}

/** `offset 0` keeps the inner query apart: it is few rows, whatever the planner thinks of them together with the rest. */
function byCondition(condition: Condition, bounds: Bounds, rest: Rest, limit: number): RawBuilder<SessionRow> {
  return sql<SessionRow>`select * from (
      select * from sessions where ${condition} and ${bounds(STARTED)}
      order by started_ms desc, id desc offset 0) sessions
    where ${rest(STARTED, ID)} order by started_ms desc, id desc limit ${limit}`
}

interface Ways {
  /** The way to begin with. */
  readonly best: Way | undefined
  readonly sorted: readonly Way[]
}

/**
 * Ways by how many sessions they lead to, the fewest first; among those that many lead to the sparsest term. None is the
 * best where there are conditions alone and many sessions meet them: what is known of a session's own row the planner
 * judges well.
 */
async function byNarrowness(store: Store, ways: readonly Way[], bounds: Bounds): Promise<Ways> {
  const [only] = ways
  if (ways.length < 2) return { best: only !== undefined && 'term' in only ? only : undefined, sorted: ways }
  const looks = ways.map((way, index) => sql`(${newestOf(way, bounds)}) ${sql.ref(`way${index}`)}`)
  const looked = ways.map((_, index) => sql`to_json(${sql.ref(`way${index}`)}) ${sql.ref(`way${index}`)}`)
  const { rows } = await sql<Record<string, Sparseness>>`
    select ${sql.join(looked)} from ${sql.join(looks, sql` cross join `)}`.execute(store.db)
  const sorted = ways
    .map((way, index) => {
      const seen = rows[0]?.[`way${index}`] ?? { count: MAX_COUNTED, since: 0 }
      return { way, ...seen, count: 'term' in way && seen.count === MAX_TERM_COUNTED ? MAX_COUNTED : seen.count }
    })
    .sort((a, b) => a.count - b.count || a.since - b.since)
  const [first] = sorted
  const isBest = first !== undefined && !('condition' in first.way && first.count >= MAX_COUNTED)
  return { best: isBest ? first.way : undefined, sorted: sorted.map(({ way }) => way) }
}

interface Sparseness {
  /** Up to MAX_COUNTED, of a term up to MAX_TERM_COUNTED. */
  readonly count: number
  /** When the oldest of those that were counted began; of a condition the end of time, since they are not the newest. */
  readonly since: number
}

/** The order makes it an index scan: without it all of a common term's rows were fetched before the first was counted. */
function newestOf(way: Way, bounds: Bounds): RawBuilder<Sparseness> {
  if ('condition' in way)
    return sql`select count(*) as count, ${sql.lit(Number.MAX_SAFE_INTEGER)} as since
      from (select from sessions where ${way.condition} and ${bounds(STARTED)} limit ${sql.lit(MAX_COUNTED)}) counted`
  return sql`select count(*) as count, coalesce(min(started_ms), 0) as since
    from (select started_ms from session_terms had where had.term = ${way.term} and ${bounds(column('had.started_ms'))}
      order by had.started_ms desc, had.session_id desc limit ${sql.lit(MAX_TERM_COUNTED)}) counted`
}

/** Conditions on rows of sessions that an index can answer. */
function conditionsOf({ target, user, task }: SessionFilter, { targets, subject }: Sight): Condition[] {
  const steps = `${(task ?? '').replace(/[\\%_]/g, '\\$&')}/%`
  return [
    ...(targets === undefined
      ? []
      : targets.length === 0
        ? [sql<SqlBool>`subject_id = ${subject}`]
        : [sql<SqlBool>`(target_key in (${sql.join(targets)}) or subject_id = ${subject})`]),
    ...(target === undefined ? [] : [sql<SqlBool>`target = ${target}`]),
    ...(user === undefined ? [] : [sql<SqlBool>`(lower(email) = ${user.toLowerCase()} or subject_id = ${user})`]),
    ...(task === undefined ? [] : [sql<SqlBool>`(task = ${task} or task like ${steps})`]),
  ]
}

const all = (conditions: readonly Condition[]): Condition =>
  conditions.length === 0 ? sql<SqlBool>`true` : sql<SqlBool>`${sql.join(conditions, sql` and `)}`

/** None that began earlier than that can have been open still: so what is in the order of beginnings is enough. */
function startedBetween(started: Column, { sinceMs, untilMs }: SessionFilter, maximumMs: number): Condition {
  return all([
    ...(untilMs === undefined ? [] : [sql<SqlBool>`${started} <= ${untilMs}`]),
    ...(sinceMs === undefined ? [] : [sql<SqlBool>`${started} >= ${sinceMs - maximumMs}`]),
  ])
}

function openSince({ sinceMs }: SessionFilter): Condition {
  return sinceMs === undefined ? all([]) : sql<SqlBool>`(ended_ms is null or ended_ms >= ${sinceMs})`
}

/**
 * Whether a session has it too. A subquery with a limit stays one, looked up in the index for each session that everything
 * else leaves: as EXISTS it became a join of two long lists, which took seconds.
 */
function lookUp(way: Way, started: Column, id: Column): Condition {
  if ('condition' in way) return way.condition
  return sql<SqlBool>`(select true from session_terms t where t.term = ${way.term}
    and t.started_ms = ${started} and t.session_id = ${id} limit 1)`
}

export function termsAsked({ action, rule, words }: SessionFilter): string[] {
  return [
    ...(action === undefined ? [] : [actionTerm(action)]),
    ...(rule === undefined ? [] : [ruleTerm(rule)]),
    ...words.map(wordTerm),
  ]
}
