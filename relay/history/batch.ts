// One batch of recorded events into the tables that sessions are found by, in one transaction.
import { type Kysely, sql } from 'kysely'
import type { EventBody, StoredEvent } from '../record/events.ts'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import { rememberTarget, targetKey } from './targets.ts'
import type { Tally } from './terms.ts'

/** That a session was deleted by age is known this long; after that there is no such session. */
const DELETED_KNOWN_MS = 365 * 86_400_000
/** Terms that one statement writes. */
const TERMS_PER_STATEMENT = 2_000

export interface Batch {
  readonly relay: string
  readonly events: readonly StoredEvent[]
  /** What is added to the counts of sessions. */
  readonly tallies: ReadonlyMap<string, Tally>
  /** New terms by session. */
  readonly terms: ReadonlyMap<string, readonly string[]>
  /** Everything up to this event is known once the batch is written; undefined where there is more to come of what is before. */
  readonly position: number | undefined
  /** Read from the record, so that rows of sessions may be missing too. */
  readonly repairing: boolean
}

/** The newest event that the store knows of this relay's record; 0 when none. */
export async function readPosition(store: Store, relay: string): Promise<number> {
  const row = await store.db
    .selectFrom('record_positions')
    .select('sequence')
    .where('relay', '=', relay)
    .executeTakeFirst()
  return row?.sequence ?? 0
}

/** Writes a batch and returns how many terms it had. */
export function writeBatch(store: Store, batch: Batch): Promise<number> {
  return store.db.transaction().execute(async db => {
    // The answer to a COMMIT can be lost, and the batch comes once more.
    if (!(await moveTo(db, batch))) return 0
    if (batch.repairing) await restoreSessions(db, batch)
    await addTallies(db, batch.tallies)
    // Afterwards: of sessions that are over nothing is counted any more.
    if (batch.repairing) await restoreEnds(db, batch)
    await addViews(db, batch)
    await forgetDeleted(db, batch)
    return addTerms(db, batch.terms)
  })
}

/** Whether it was not there yet. */
async function moveTo(db: Kysely<Schema>, { relay, position }: Batch): Promise<boolean> {
  if (position === undefined) return true
  const moved = await db
    .insertInto('record_positions')
    .values({ relay, sequence: position })
    .onConflict(conflict =>
      conflict.column('relay').doUpdateSet({ sequence: position }).where('record_positions.sequence', '<', position),
    )
    .returning('sequence')
    .executeTakeFirst()
  return moved !== undefined
}

/** The record has no more than this. */
export async function setBack(store: Store, relay: string, sequence: number): Promise<void> {
  await store.db.updateTable('record_positions').set({ sequence }).where('relay', '=', relay).execute()
}

async function addTerms(db: Kysely<Schema>, terms: Batch['terms']): Promise<number> {
  const pairs = [...terms].flatMap(([session, found]) => found.map(term => [term, session] as const))
  for (let at = 0; at < pairs.length; at += TERMS_PER_STATEMENT) {
    const some = pairs.slice(at, at + TERMS_PER_STATEMENT)
    await sql`insert into session_terms (term, started_ms, session_id)
      select new.term, sessions.started_ms, sessions.id
      from unnest(${some.map(([term]) => term)}::text[], ${some.map(([, session]) => session)}::text[]) new (term, id)
      join sessions on sessions.id = new.id
      on conflict do nothing`.execute(db)
  }
  return pairs.length
}

/** Counts of sessions that are still open; the end of a session brings its own. */
async function addTallies(db: Kysely<Schema>, tallies: Batch['tallies']): Promise<void> {
  if (tallies.size === 0) return
  const all = [...tallies.values()]
  // One statement for all sessions: an embedded store takes a millisecond for each.
  await sql`update sessions
    set commands = sessions.commands + new.commands, refused = sessions.refused + new.refused, held = sessions.held + new.held
    from unnest(${[...tallies.keys()]}::text[], ${all.map(({ commands }) => commands)}::int[],
      ${all.map(({ refused }) => refused)}::int[], ${all.map(({ held }) => held)}::int[]) new (id, commands, refused, held)
    where sessions.id = new.id and (sessions.ended_ms is null or sessions.end_code = 'lost')`.execute(db)
}

async function addViews(db: Kysely<Schema>, { relay, events }: Batch): Promise<void> {
  const views = events.flatMap(({ sequence, timeMs, body }) =>
    body.type === 'view' ? [{ session_id: body.session, relay, sequence, time_ms: timeMs, by_id: body.by }] : [],
  )
  if (views.length === 0) return
  await db
    .insertInto('session_views')
    .values(views)
    .onConflict(conflict => conflict.doNothing())
    .execute()
}

/**
 * What the record no longer has cannot be shown: sessions all of whose events were deleted by age leave the lists, words and
 * all. Their ids stay for a time, with nothing else of them, so that whoever asks for one is told.
 */
async function forgetDeleted(db: Kysely<Schema>, { relay, events }: Batch): Promise<void> {
  const event = events.findLast(({ body }) => body.type === 'retention')
  if (event?.body.type !== 'retention') return
  const { sequence, timeMs } = event
  const { last } = event.body
  await db
    .deleteFrom('deleted_sessions')
    .where('deleted_ms', '<', timeMs - DELETED_KNOWN_MS)
    .execute()
  await sql`insert into deleted_sessions (id, relay, sequence, deleted_ms)
    select id, relay, ${sequence}, ${timeMs} from sessions where relay = ${relay} and last_event <= ${last}
    on conflict do nothing`.execute(db)
  const gone = db.selectFrom('sessions').select('id').where('relay', '=', relay).where('last_event', '<=', last)
  await db.deleteFrom('session_terms').where('session_id', 'in', gone).execute()
  await db.deleteFrom('session_views').where('session_id', 'in', gone).execute()
  await db.deleteFrom('sessions').where('relay', '=', relay).where('last_event', '<=', last).execute()
}

/** Makes rows of sessions that the store has lost, from what the record says of them. */
async function restoreSessions(db: Kysely<Schema>, { relay, events }: Batch): Promise<void> {
  for (const event of events) {
    const { body } = event
    if (body.type === 'session.start') await restoreStart(db, relay, event, body)
    else if (body.type === 'session.open')
      await db.updateTable('sessions').set({ agent: body.agent }).where('id', '=', body.session).execute()
  }
}

async function restoreEnds(db: Kysely<Schema>, { events }: Batch): Promise<void> {
  const ends = events.flatMap(({ sequence, timeMs, body }) =>
    body.type === 'session.end' ? [{ session: body.session, code: body.code, sequence, timeMs }] : [],
  )
  if (ends.length === 0) return
  await sql`update sessions set ended_ms = new.ended_ms, end_code = new.end_code, last_event = new.last_event
    from unnest(${ends.map(({ session }) => session)}::text[], ${ends.map(({ timeMs }) => timeMs)}::bigint[],
      ${ends.map(({ code }) => code)}::text[], ${ends.map(({ sequence }) => sequence)}::bigint[])
      new (id, ended_ms, end_code, last_event)
    where sessions.id = new.id and (sessions.ended_ms is null or sessions.end_code = 'lost')`.execute(db)
}

/** A target's labels are not in the record: those it has now stand for them, and without any the person alone sees the session. */
async function restoreStart(
  db: Kysely<Schema>,
  relay: string,
  { sequence, timeMs }: StoredEvent,
  {
    session,
    subject,
    target,
    protocol,
    task,
    reason,
    client,
    clientAddress,
  }: Extract<EventBody, { type: 'session.start' }>,
): Promise<void> {
  const known = await db.selectFrom('targets').select('labels').where('name', '=', target).executeTakeFirst()
  const labels = known?.labels ?? {}
  const key = targetKey({ name: target, protocol, labels })
  await rememberTarget(db, { name: target, protocol, labels })
  await db
    .insertInto('sessions')
    .values({
      id: session,
      login_id: '',
      subject_id: subject.id,
      email: subject.email ?? null,
      groups: JSON.stringify(subject.groups),
      target,
      protocol,
      labels: JSON.stringify(labels),
      agent: null,
      relay,
      task: task ?? null,
      reason: reason ?? null,
      program: client['program'] ?? null,
      client_address: clientAddress ?? null,
      started_ms: timeMs,
      ended_ms: null,
      end_code: null,
      first_event: sequence,
      last_event: null,
      target_key: key,
    })
    .onConflict(conflict => conflict.doNothing())
    .execute()
}
