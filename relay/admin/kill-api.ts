// The API behind gate sessions kill.
import { GateError } from '@gate/shared/errors'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import { askKill } from '../session/kills.ts'
import { storeErrors } from '../store/store.ts'
import { authenticated } from './api.ts'
import { maySee, noSession, type SessionsApiContext } from './sessions-api.ts'

/** The answer waits so long for the session's end. */
const WAIT_MS = 4_000
const LOOK_MS = 100

const body = z.strictObject({ reason: z.string().min(1).max(1000) })

export function addKill(app: FastifyInstance, context: SessionsApiContext): void {
  const { store, logins, policy, clock, log } = context
  app.post<{ Params: { id: string } }>('/v1/sessions/:id/kill', async request => {
    const { subject } = await authenticated(logins, request)
    const { reason } = body.parse(request.body)
    const { id } = request.params
    const row = await storeErrors(() =>
      store.db.selectFrom('sessions').selectAll().where('id', '=', id).executeTakeFirst(),
    )
    const target = { name: row?.target ?? '', protocol: row?.protocol ?? '', labels: row?.labels ?? {}, options: {} }
    const may = row !== undefined && (row.subject_id === subject.id || policy().mayOperate(subject, target))
    if (row === undefined || !(may || maySee(policy(), subject, row))) throw noSession(id)
    if (!may)
      throw new GateError('ERR_GATE_FORBIDDEN', `you may look at ${id}, not end it`, {
        hint: `Policy names the operators of ${row.target}.`,
      })
    if (row.ended_ms !== null) throw new GateError('ERR_GATE_CONFLICT', `${id} has ended already`)
    await askKill(store, row, { id: subject.id, email: subject.email }, reason, clock.now())
    log.info('session.kill-asked', { session: id, subject: subject.id, relay: row.relay })
    const ended = async (): Promise<boolean> =>
      (
        await storeErrors(() =>
          store.db.selectFrom('sessions').select('ended_ms').where('id', '=', id).executeTakeFirst(),
        )
      )?.ended_ms !== null
    for (let waited = 0; waited < WAIT_MS; waited += LOOK_MS) {
      if (await ended()) return { id, state: 'ended', relay: row.relay }
      await clock.sleep(LOOK_MS)
    }
    return { id, state: 'asked', relay: row.relay }
  })
}
