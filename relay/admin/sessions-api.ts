// The API behind gate sessions: which sessions there were, and what happened in one.
import { GateError } from '@gate/shared/errors'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import type { Selectable } from 'kysely'
import { z } from 'zod'
import type { Logins } from '../identity/logins.ts'
import type { Policy } from '../policy/decide.ts'
import type { Recorder } from '../record/recorder.ts'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { authenticated } from './api.ts'

/** Sessions looked through for one answer. */
const MAX_SCANNED = 5_000

const query = z.strictObject({
  limit: z.coerce.number().int().min(1).max(1000).default(50),
  target: z.string().max(63).optional(),
  task: z.string().max(200).optional(),
  user: z.string().max(256).optional(),
})

export interface SessionsApiContext {
  readonly store: Store
  readonly logins: Logins
  readonly policy: () => Policy
  readonly recorder: Recorder
  readonly relay: string
}

type Row = Selectable<Schema['sessions']>

export function addSessions(app: FastifyInstance, context: SessionsApiContext): void {
  const { store, logins, policy } = context
  app.get('/v1/sessions', async request => {
    const { subject } = await authenticated(logins, request)
    const wanted = query.parse(request.query)
    const rows = await storeErrors(() => {
      let select = store.db.selectFrom('sessions').selectAll()
      if (wanted.target !== undefined) select = select.where('target', '=', wanted.target)
      if (wanted.task !== undefined) select = select.where('task', '=', wanted.task)
      if (wanted.user !== undefined) select = select.where('email', '=', wanted.user)
      return select.orderBy('started_ms', 'desc').limit(MAX_SCANNED).execute()
    })
    return {
      sessions: rows
        .filter(row => maySee(policy(), subject, row))
        .slice(0, wanted.limit)
        .map(summary),
    }
  })
  app.get<{ Params: { id: string } }>('/v1/sessions/:id', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    const row = await storeErrors(() =>
      store.db.selectFrom('sessions').selectAll().where('id', '=', request.params.id).executeTakeFirst(),
    )
    if (row === undefined || !maySee(policy(), subject, row)) {
      throw new GateError(
        'ERR_GATE_NOT_FOUND',
        `there is no session ${request.params.id.slice(0, 40)} that you may see`,
        {
          hint: 'gate sessions lists those you may.',
        },
      )
    }
    if (row.relay !== context.relay)
      throw new GateError('ERR_GATE_NOT_FOUND', `the record of ${row.id} is on relay ${row.relay}`)
    // Looking at another person's session is written down before anything is shown.
    if (row.subject_id !== subject.id) context.recorder.append({ type: 'view', session: row.id, by: subject.id })
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    reply.raw.write(`${JSON.stringify({ session: summary(row) })}\n`)
    try {
      for await (const event of context.recorder.read(row.id, row.first_event, undefined)) {
        if (!reply.raw.write(`${JSON.stringify({ event })}\n`)) await drained(reply.raw)
      }
      reply.raw.end()
    } catch (thrown) {
      reply.raw.destroy(thrown as Error)
    }
    return reply
  })
}

function drained(stream: NodeJS.WritableStream): Promise<void> {
  return new Promise(resolve => {
    stream.once('drain', resolve)
    stream.once('close', resolve)
  })
}

/** People see their own sessions; policy names who else does. */
function maySee(policy: Policy, subject: Subject, row: Row): boolean {
  return (
    row.subject_id === subject.id ||
    policy.mayView(subject, { name: row.target, protocol: row.protocol, labels: row.labels, options: {} })
  )
}

function summary(row: Row): object {
  return {
    id: row.id,
    subject: { id: row.subject_id, email: row.email, groups: row.groups },
    target: row.target,
    protocol: row.protocol,
    agent: row.agent,
    task: row.task,
    reason: row.reason,
    program: row.program,
    startedMs: row.started_ms,
    endedMs: row.ended_ms,
    endCode: row.end_code,
    commands: row.commands,
    refused: row.refused,
    held: row.held,
  }
}
