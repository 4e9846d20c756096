// Sessions whose record another relay of the same store has: that one is asked, as the person who asks, and its answer handed on.
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { SessionRow } from '../history/find.ts'
import { type Store, storeErrors } from '../store/store.ts'

/** Which relay asks: the one that is asked answers itself or not at all, so no question goes in circles. */
const ASKED_BY = 'gate-asked-by'
/** The other relay begins its answer within that time. */
const ANSWER_MS = 10_000

export interface ElsewhereContext {
  readonly store: Store
  /** This relay. */
  readonly relay: string
  readonly log: Log
}

/** Notes where this relay is reached, for the others of its store. @throws {GateError} ERR_GATE_STORE. */
export async function rememberRelay(store: Store, id: string, url: string, nowMs: number): Promise<void> {
  await storeErrors(() =>
    store.db
      .insertInto('relays')
      .values({ id, url, started_ms: nowMs })
      .onConflict(conflict => conflict.column('id').doUpdateSet({ url, started_ms: nowMs }))
      .execute(),
  )
}

/**
 * Answers a question for a session, or for what happens in it (`/watch`), with what the relay says that has the session's record. That one knows the person by the same token, asks its own
 * policy, and records that they look.
 * @throws {GateError} ERR_GATE_NOT_FOUND, which names that relay, when it cannot be asked.
 */
export async function answerFromElsewhere(
  { store, relay, log }: ElsewhereContext,
  request: FastifyRequest,
  reply: FastifyReply,
  row: SessionRow,
  what: '' | '/watch',
): Promise<FastifyReply> {
  const known = await storeErrors(() =>
    store.db.selectFrom('relays').select('url').where('id', '=', row.relay).executeTakeFirst(),
  )
  if (known === undefined || request.headers[ASKED_BY] !== undefined) throw onOther(row, known?.url, relay)
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  const late = setTimeout(() => gone.abort(), ANSWER_MS)
  let answer: Response
  try {
    answer = await fetch(new URL(`/v1/sessions/${row.id}${what}`, known.url), {
      headers: { authorization: request.headers.authorization ?? '', [ASKED_BY]: relay },
      redirect: 'error',
      signal: gone.signal,
    })
  } catch (cause) {
    log.warn('relay.not-reached', { relay: row.relay, url: known.url, error: cause })
    throw onOther(row, known.url, relay, cause)
  } finally {
    clearTimeout(late)
  }
  reply.hijack()
  reply.raw.writeHead(answer.status, {
    'content-type': answer.headers.get('content-type') ?? 'application/json',
    'cache-control': 'no-store',
  })
  if (answer.body === null) reply.raw.end()
  // When either side goes, so does the other: the client sees an answer that ends early, as it would from that relay.
  else await pipeline(Readable.fromWeb(answer.body as never), reply.raw).catch(() => reply.raw.destroy())
  return reply
}

function onOther({ id, relay }: SessionRow, url: string | undefined, own: string, cause?: unknown): GateError {
  const where = url === undefined ? relay : `${relay} at ${url}`
  return new GateError('ERR_GATE_NOT_FOUND', `the record of ${id} is on relay ${where}, which ${own} cannot ask`, {
    cause,
    hint:
      url === undefined ? 'That relay has not run since.' : `gate login --relay ${url} asks it directly, if it runs.`,
  })
}
