// The API behind gate receipts and gate audit: checkpoints and proofs for everybody, the record itself for auditors.
import { GateError } from '@gate/shared/errors'
import type { Subject } from '@gate/shared/model'
import { MAX_KNOWN_TREES, type Receipt } from '@gate/shared/record/receipt'
import type { FastifyInstance, FastifyReply } from 'fastify'
import * as z from 'zod'
import type { Logins } from '../identity/logins.ts'
import { treeOrigin } from '../record/archive.ts'
import type { Recorder } from '../record/recorder.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { authenticated } from './api.ts'
import { drained } from './drained.ts'

/** Receipts in one answer; whoever has more asks again. */
const MAX_RECEIPTS = 100
/** How often a reader who waits hears that the relay is there. */
const HEARTBEAT_MS = 5_000

const sized = z.strictObject({ size: z.coerce.number().int().nonnegative().default(0) })
const wanted = z.strictObject({
  known: z
    .array(z.strictObject({ origin: z.string().max(512), size: z.int().nonnegative(), after: z.int().nonnegative() }))
    .max(MAX_KNOWN_TREES),
})
const ofTree = z.strictObject({ tree: z.string().max(512).optional() })
const followed = z.strictObject({
  from: z.coerce.number().int().positive().default(1),
  follow: z.enum(['true', 'false']).default('false'),
})
const TILE = /^tile\/(?:\d{1,2}|entries)\/(?:x\d{3}\/)*\d{3}(?:\.p\/\d{1,3})?$/

export interface RecordsApiContext {
  readonly store: Store
  readonly logins: Logins
  readonly recorder: Recorder
  readonly relay: string
  /** Groups whose members may read all of the record. */
  readonly auditors: readonly string[]
}

export function addRecords(app: FastifyInstance, context: RecordsApiContext): void {
  const { logins, recorder } = context
  app.get('/v1/records/checkpoint', async request => {
    await authenticated(logins, request)
    const { size } = sized.parse(request.query)
    return { verifier: recorder.verifier.text, ...(await recorder.consistency(size)) }
  })
  app.post('/v1/receipts', async request => {
    const { subject } = await authenticated(logins, request)
    const { known } = wanted.parse(request.body)
    // Whoever asks cannot know which of several relays answers.
    const { size, after } = known.find(({ origin }) => origin === recorder.verifier.name) ?? { size: 0, after: 0 }
    const ended = await endedSessions(context, subject, after)
    const receipts: Receipt[] = []
    for (const { id, last } of ended) receipts.push(...(await receiptOf(recorder, id, last)))
    return {
      receipts,
      after: ended.at(-1)?.endedMs ?? after,
      more: ended.length === MAX_RECEIPTS,
      verifier: recorder.verifier.text,
      trees: await treesOfStore(context),
      ...(await recorder.consistency(size)),
    }
  })
  app.get('/v1/receipts/elsewhere', async request => {
    const { subject } = await authenticated(logins, request)
    return { relays: await endedElsewhere(context, subject) }
  })
  app.get<{ Params: { '*': string } }>('/v1/records/log/*', async (request, reply) => {
    audits(context, (await authenticated(logins, request)).subject)
    const { tree } = ofTree.parse(request.query)
    // Parts of several trees put together would look like one that was tampered with.
    if (tree !== undefined && tree !== recorder.verifier.name)
      throw new GateError('ERR_GATE_CONFLICT', `this is the record ${recorder.verifier.name}, not ${tree}`, {
        hint: 'Several relays answer at this address: ask each at its own, or check a copy with --from.',
      })
    return sendPart(context, request.params['*'], reply)
  })
  app.get('/v1/records/events', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    audits(context, subject)
    const { from, follow } = followed.parse(request.query)
    recorder.append({ type: 'audit', by: subject.id, from })
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    try {
      await sendEvents(recorder, from, follow === 'true', reply.raw)
      reply.raw.end()
    } catch (thrown) {
      reply.raw.destroy(thrown as Error)
    }
    return reply
  })
}

function audits({ auditors }: RecordsApiContext, { groups }: Subject): void {
  if (groups.some(group => auditors.includes(group))) return
  throw new GateError('ERR_GATE_REFUSED', 'only auditors may read the whole record', {
    hint: 'relay.yaml names their groups: record.auditors.',
  })
}

/** Sessions of this person that ended on this relay since then, the oldest first. */
async function endedSessions(
  { store, relay }: RecordsApiContext,
  subject: Subject,
  after: number,
): Promise<{ id: string; endedMs: number; last: number }[]> {
  const rows = await storeErrors(() =>
    store.db
      .selectFrom('sessions')
      .select(['id', 'ended_ms', 'last_event'])
      .where('subject_id', '=', subject.id)
      .where('relay', '=', relay)
      .where('ended_ms', '>=', after)
      .where('last_event', 'is not', null)
      .orderBy('ended_ms')
      .limit(MAX_RECEIPTS)
      .execute(),
  )
  return rows.map(({ id, ended_ms: endedMs, last_event: last }) => ({ id, endedMs: endedMs ?? 0, last: last ?? 0 }))
}

/** The names of the trees of all relays that share the store. */
async function treesOfStore({ store }: RecordsApiContext): Promise<string[]> {
  const relays = await storeErrors(() => store.db.selectFrom('relays').select(['id', 'url']).orderBy('id').execute())
  return relays.map(({ id, url }) => treeOrigin(url, id))
}

/** Relays that have receipts for this person too; each gives those of the sessions that ran on it. */
async function endedElsewhere(
  { store, relay }: RecordsApiContext,
  subject: Subject,
): Promise<{ relay: string; url: string | null; sessions: number }[]> {
  const rows = await storeErrors(() =>
    store.db
      .selectFrom('sessions')
      .leftJoin('relays', 'relays.id', 'sessions.relay')
      .select(({ fn }) => ['sessions.relay', 'relays.url', fn.countAll<number>().as('sessions')])
      .where('subject_id', '=', subject.id)
      .where('sessions.relay', '!=', relay)
      .where('last_event', 'is not', null)
      .groupBy(['sessions.relay', 'relays.url'])
      .orderBy('sessions.relay')
      .execute(),
  )
  return rows.map(row => ({ ...row, sessions: Number(row.sessions) }))
}

/** None when the session's end could not be recorded: the log has said so. */
async function receiptOf(recorder: Recorder, session: string, last: number): Promise<Receipt[]> {
  try {
    return [await recorder.receipt(session, last)]
  } catch (thrown) {
    if (thrown instanceof GateError && thrown.code === 'ERR_GATE_NOT_FOUND') return []
    throw thrown
  }
}

/** A file of the log, as C2SP's tlog-tiles names it. */
async function sendPart({ recorder }: RecordsApiContext, path: string, reply: FastifyReply): Promise<FastifyReply> {
  const isPart = path === 'checkpoint' || TILE.test(path)
  const bytes = isPart ? await recorder.part(path) : undefined
  if (bytes === undefined) throw new GateError('ERR_GATE_NOT_FOUND', 'the log has no such part')
  return reply
    .type(path === 'checkpoint' ? 'text/plain; charset=utf-8' : 'application/octet-stream')
    .header('cache-control', 'no-store')
    .send(bytes)
}

/** Sends every event from a number on; with `follow` also those to come, until the reader goes. A slow one is read for slowly. */
async function sendEvents(
  recorder: Recorder,
  from: number,
  follow: boolean,
  out: NodeJS.WritableStream & { readonly destroyed?: boolean },
): Promise<void> {
  let next = Math.max(from, recorder.oldest)
  let wake = (): void => {}
  using _watching = recorder.watch(() => wake())
  do {
    const until = recorder.sequence
    for await (const line of recorder.lines(next, until)) {
      if (!out.write(`${line}\n`)) await drained(out)
      if (out.destroyed === true) return
      next += 1
    }
    if (!follow) return
    if (recorder.sequence < next) {
      // An empty line shows that the relay is there.
      out.write('\n')
      await new Promise<void>(resolve => {
        const done = (): void => {
          clearTimeout(timer)
          out.off('close', done)
          resolve()
        }
        const timer = setTimeout(done, HEARTBEAT_MS)
        wake = done
        out.once('close', done)
      })
    }
  } while (out.destroyed !== true)
}
