// The API behind gate sessions: which sessions there were, and what happened in one.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import { findSessions, type SessionFilter, type SessionRow } from '../history/find.ts'
import { sightOf } from '../history/targets.ts'
import { wordsOf } from '../history/terms.ts'
import type { Logins } from '../identity/logins.ts'
import type { Policy } from '../policy/decide.ts'
import type { StoredEvent } from '../record/events.ts'
import type { Recorder } from '../record/recorder.ts'
import type { Sessions } from '../session/sessions.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { authenticated } from './api.ts'
import { drained } from './drained.ts'
import { answerFromElsewhere } from './elsewhere.ts'

/** Words that one question may ask for. */
const MAX_WORDS = 20

const timeMs = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  target: z.string().max(63).optional(),
  task: z.string().max(200).optional(),
  user: z.string().max(256).optional(),
  action: z.string().max(64).optional(),
  rule: z.string().max(63).optional(),
  text: z.string().max(1000).optional(),
  sinceMs: timeMs.optional(),
  untilMs: timeMs.optional(),
})

export interface SessionsApiContext {
  readonly store: Store
  readonly logins: Logins
  readonly policy: () => Policy
  readonly recorder: Recorder
  readonly sessions: Sessions
  readonly relay: string
  /** The longest that a session can last. */
  readonly maximumMs: number
  readonly clock: Clock
  readonly log: Log
}

export function addSessions(app: FastifyInstance, context: SessionsApiContext): void {
  const { store, logins, policy, sessions } = context
  app.get('/v1/sessions', async request => {
    const { subject } = await authenticated(logins, request)
    const filter = filterOf(query.parse(request.query))
    const sight = await sightOf(store, policy(), subject)
    const found = await storeErrors(() => findSessions(store, filter, sight, context.maximumMs))
    return { sessions: found.map(row => summary(row, sessions)) }
  })
  app.get<{ Params: { id: string } }>('/v1/sessions/:id', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    const row = await visibleSession(context, subject, request.params.id)
    if (row.relay !== context.relay) return answerFromElsewhere(context, request, reply, row, '')
    recordView(context, subject, row)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    reply.raw.write(`${JSON.stringify({ session: summary(row, sessions) })}\n`)
    try {
      for await (const event of eventsOf(context, row)) {
        if (!reply.raw.write(`${JSON.stringify({ event })}\n`)) await drained(reply.raw)
        if (reply.raw.destroyed) return reply
      }
      reply.raw.end()
    } catch (thrown) {
      reply.raw.destroy(thrown as Error)
    }
    return reply
  })
}

/** @throws {GateError} ERR_GATE_USAGE when the text to look for has no word. */
function filterOf({ text, ...rest }: z.infer<typeof query>): SessionFilter {
  const words = text === undefined ? [] : wordsOf(text, MAX_WORDS)
  if (text !== undefined && words.length === 0)
    throw new GateError('ERR_GATE_USAGE', 'there is no word to look for: words have two letters or digits at least')
  return { ...rest, words }
}

/**
 * A session that the person may see, whichever relay has its record.
 * @throws {GateError} ERR_GATE_NOT_FOUND also for one that is none of their business.
 */
export async function visibleSession(
  { store, policy, relay, recorder }: SessionsApiContext,
  subject: Subject,
  id: string,
): Promise<SessionRow> {
  const row = await storeErrors(() =>
    store.db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst(),
  )
  if (row === undefined) throw (await deletedSession(store, id)) ?? noSession(id)
  if (!maySee(policy(), subject, row)) throw noSession(id)
  // Of another relay's record only that relay knows what it still has.
  if (row.relay === relay && row.last_event !== null && row.last_event < recorder.oldest)
    throw deletedByAge(`the events of ${row.id} were deleted by retention`)
  return row
}

/** What is said of a session that was deleted by age. Its id alone is known, and nobody who does not have it can guess it. */
async function deletedSession(store: Store, id: string): Promise<GateError | undefined> {
  const deleted = await storeErrors(() =>
    store.db.selectFrom('deleted_sessions').selectAll().where('id', '=', id).executeTakeFirst(),
  )
  if (deleted === undefined) return undefined
  const day = new Date(deleted.deleted_ms).toISOString().slice(0, 10)
  return deletedByAge(`the events of ${id} were deleted by retention on ${day} (record ${deleted.sequence})`)
}

function deletedByAge(what: string): GateError {
  return new GateError('ERR_GATE_NOT_FOUND', what, {
    hint: 'relay.yaml says how long they are kept: record.retention. A receipt of the session still holds.',
  })
}

export function noSession(id: string): GateError {
  return new GateError('ERR_GATE_NOT_FOUND', `there is no session ${id.slice(0, 40)} that you may see`, {
    hint: 'gate sessions lists those you may.',
  })
}

/** Looking at another person's session is written down before anything is shown. @throws {GateError} ERR_GATE_RECORD. */
export function recordView({ recorder }: SessionsApiContext, subject: Subject, row: SessionRow): void {
  if (row.subject_id !== subject.id) recorder.append({ type: 'view', session: row.id, by: subject.id })
}

/** What is recorded of a session up to now. What came after its end is who looked at it: that the store knows. */
export async function* eventsOf(
  { recorder, store, relay }: SessionsApiContext,
  row: SessionRow,
): AsyncGenerator<StoredEvent> {
  const last = row.last_event ?? recorder.sequence
  yield* recorder.read(row.id, row.first_event, last)
  const views = await storeErrors(() =>
    store.db
      .selectFrom('session_views')
      .selectAll()
      .where('session_id', '=', row.id)
      .where('relay', '=', relay)
      .where('sequence', '>', last)
      .orderBy('sequence')
      .execute(),
  )
  for (const { sequence, time_ms, by_id } of views)
    yield { sequence, timeMs: time_ms, body: { type: 'view', session: row.id, by: by_id } }
}

/** People see their own sessions; policy names who else does. */
export function maySee(policy: Policy, subject: Subject, row: SessionRow): boolean {
  return (
    row.subject_id === subject.id ||
    policy.mayView(subject, { name: row.target, protocol: row.protocol, labels: row.labels, options: {} })
  )
}

export function summary(row: SessionRow, sessions: Sessions): object {
  const counts = row.ended_ms === null ? (sessions.countsOf(row.id) ?? row) : row
  return {
    id: row.id,
    subject: { id: row.subject_id, email: row.email, groups: row.groups },
    target: row.target,
    protocol: row.protocol,
    agent: row.agent,
    relay: row.relay,
    task: row.task,
    reason: row.reason,
    program: row.program,
    clientAddress: row.client_address,
    startedMs: row.started_ms,
    endedMs: row.ended_ms,
    endCode: row.end_code,
    commands: counts.commands,
    refused: counts.refused,
    held: counts.held,
  }
}
