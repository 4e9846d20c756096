// The API behind gate sessions watch: one session's events while it runs, to whoever may see them, until it ends.
import type { ServerResponse } from 'node:http'
import { asGateError, GateError } from '@gate/shared/errors'
import type { FastifyInstance } from 'fastify'
import type { SessionRow } from '../history/find.ts'
import type { StoredEvent } from '../record/events.ts'
import { authenticated } from './api.ts'
import { drained } from './drained.ts'
import { answerFromElsewhere } from './elsewhere.ts'
import { maySee, recordView, type SessionsApiContext, summary, visibleSession } from './sessions-api.ts'

const MAX_WATCHERS = 200
/** What a watcher has not read yet; beyond it they are dropped. */
const MAX_UNREAD_BYTES = 1024 * 1024
/** Rights are looked at this often, and a line is sent that shows that the relay is there. */
const INTERVAL_MS = 2_000
/** A watcher that is dropped has this long to read why. */
const LAST_WORDS_MS = 5_000

export function addSessionWatch(app: FastifyInstance, context: SessionsApiContext): void {
  let watchers = 0
  app.get<{ Params: { id: string } }>('/v1/sessions/:id/watch', async (request, reply) => {
    const login = await authenticated(context.logins, request)
    const row = await visibleSession(context, login.subject, request.params.id)
    if (row.relay !== context.relay) return answerFromElsewhere(context, request, reply, row, '/watch')
    if (watchers >= MAX_WATCHERS) throw new GateError('ERR_GATE_LIMIT', `${watchers} sessions are watched already`)
    recordView(context, login.subject, row)
    const watched = context.logins.watch(login)
    watchers += 1
    reply.raw.once('close', () => {
      watchers -= 1
      watched[Symbol.dispose]()
    })
    reply.hijack()
    const watch = new SessionWatch(context, row, reply.raw)
    watched.signal.addEventListener('abort', () => watch.drop(asGateError(watched.signal.reason)))
    await watch.run(() => maySee(context.policy(), watched.subject(), row))
    return reply
  })
}

class SessionWatch {
  readonly #context: SessionsApiContext
  readonly #row: SessionRow
  readonly #out: ServerResponse
  /** What came while the past was being sent; undefined when that is done. */
  #queue: string[] | undefined = []
  #queuedBytes = 0
  #endQueued = false
  #over = false

  constructor(context: SessionsApiContext, row: SessionRow, out: ServerResponse) {
    this.#context = context
    this.#row = row
    this.#out = out
  }

  async run(mayStill: () => boolean): Promise<void> {
    const { recorder, sessions } = this.#context
    const subscription = recorder.watch(event => this.#take(event))
    const last = recorder.sequence
    const timer = setInterval(() => {
      if (!mayStill()) this.drop(new GateError('ERR_GATE_FORBIDDEN', 'you may not see this session any more'))
      else if (!this.#over && !this.#out.writableNeedDrain) this.#out.write('\n')
    }, INTERVAL_MS)
    this.#out.once('close', () => {
      clearInterval(timer)
      subscription[Symbol.dispose]()
      this.#over = true
    })
    this.#out.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    this.#out.write(`${JSON.stringify({ session: summary(this.#row, sessions) })}\n`)
    try {
      for await (const event of recorder.read(this.#row.id, this.#row.first_event, last)) {
        if (this.#over) return
        if (!this.#out.write(lineOf(event))) await drained(this.#out)
        if (event.body.type === 'session.end') return this.#end()
      }
    } catch (thrown) {
      return this.drop(asGateError(thrown, 'ERR_GATE_RECORD', 'the record cannot be read'))
    }
    const queued = this.#queue ?? []
    this.#queue = undefined
    for (const line of queued) if (!this.#over) this.#out.write(line)
    if (this.#endQueued) this.#end()
  }

  /** On the way of a command: it only hands the line on. */
  #take(event: StoredEvent): void {
    if (this.#over || !('session' in event.body) || event.body.session !== this.#row.id) return
    const line = lineOf(event)
    if (this.#out.writableLength + this.#queuedBytes + line.length > MAX_UNREAD_BYTES)
      return this.drop(new GateError('ERR_GATE_LIMIT', 'you read more slowly than the session goes on'))
    if (this.#queue !== undefined) {
      this.#queue.push(line)
      this.#endQueued ||= event.body.type === 'session.end'
      this.#queuedBytes += line.length
      return
    }
    this.#queuedBytes = 0
    this.#out.write(line)
    if (event.body.type === 'session.end') this.#end()
  }

  #end(): void {
    this.#over = true
    this.#out.end()
  }

  /** Says why nothing more comes, and goes. */
  drop(error: GateError): void {
    if (this.#over) return
    this.#over = true
    this.#context.log.info('session.watcher-dropped', { session: this.#row.id, code: error.code })
    this.#out.end(`${JSON.stringify({ error: error.toJSON() })}\n`)
    setTimeout(() => this.#out.destroy(), LAST_WORDS_MS).unref()
  }
}

function lineOf(event: StoredEvent): string {
  return `${JSON.stringify({ event })}\n`
}
