// The API behind gate approve, deny and requests.
import { asGateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { Approvals } from '../approval/approvals.ts'
import type { ApprovalRequest, Decision } from '../approval/requests.ts'
import type { Logins } from '../identity/logins.ts'
import { authenticated } from './api.ts'

const which = z.strictObject({ which: z.enum(['decidable', 'mine', 'all']).default('decidable') })
const decision = z.strictObject({
  verdict: z.enum(['approve', 'deny']),
  reason: z.string().min(1).max(1000).optional(),
})
/** A list that is watched is sent at least this often, so that expiries show and dead connections are found. */
const WATCH_INTERVAL_MS = 2_000
const MAX_WATCHERS = 200

export function addRequests(app: FastifyInstance, approvals: Approvals, logins: Logins, log: Log): void {
  app.get('/v1/requests', async request => {
    const { subject } = await authenticated(logins, request)
    const { which: list } = which.parse(request.query)
    return { requests: await summaries(approvals, subject, list) }
  })
  app.get<{ Params: { id: string } }>('/v1/requests/:id', async request => {
    const { subject } = await authenticated(logins, request)
    const found = await approvals.get(subject, request.params.id)
    return {
      ...summary(found.request, approvals.mayDecide(subject, found.request)),
      decisions: found.decisions.map(word),
    }
  })
  app.post<{ Params: { id: string } }>('/v1/requests/:id/decision', async request => {
    const { subject } = await authenticated(logins, request)
    const { verdict, reason } = decision.parse(request.body)
    const state = await approvals.decide(subject, request.params.id, verdict, reason)
    log.info('request.decided', { request: request.params.id, subject: subject.id, effect: verdict })
    return { id: request.params.id, state }
  })
  addWatch(app, approvals, logins, log)
}

/** The list as one JSON line each time it changes, until the client goes or its login ends. */
function addWatch(app: FastifyInstance, approvals: Approvals, logins: Logins, log: Log): void {
  let watchers = 0
  app.get('/v1/requests/watch', async (request, reply) => {
    const login = await authenticated(logins, request)
    const { which: list } = which.parse(request.query)
    if (watchers >= MAX_WATCHERS)
      return reply.code(503).send({ code: 'ERR_GATE_LIMIT', message: 'too many lists are watched' })
    watchers += 1
    const watched = logins.watch(login)
    reply.hijack()
    reply.raw.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' })
    let last = ''
    let sending = false
    const send = async (): Promise<void> => {
      // A client that does not read gets the newest list when it does again, not every one in between.
      if (sending || reply.raw.writableNeedDrain) return
      sending = true
      try {
        const line = JSON.stringify({ requests: await summaries(approvals, watched.subject(), list) })
        if (line !== last) reply.raw.write(`${line}\n`)
        else reply.raw.write('\n')
        last = line
      } catch (thrown) {
        log.warn('requests.watch-failed', { error: thrown })
        reply.raw.end(`${JSON.stringify({ error: asGateError(thrown).toJSON() })}\n`)
      } finally {
        sending = false
      }
    }
    const subscription = approvals.watch(() => void send())
    const timer = setInterval(() => void send(), WATCH_INTERVAL_MS)
    watched.signal.addEventListener('abort', () =>
      reply.raw.end(`${JSON.stringify({ error: asGateError(watched.signal.reason).toJSON() })}\n`),
    )
    reply.raw.on('close', () => {
      watchers -= 1
      clearInterval(timer)
      subscription[Symbol.dispose]()
      watched[Symbol.dispose]()
    })
    await send()
    return reply
  })
}

async function summaries(
  approvals: Approvals,
  subject: Subject,
  list: 'decidable' | 'mine' | 'all',
): Promise<object[]> {
  const requests = await approvals.list(subject, list)
  return requests.map(request => summary(request, approvals.mayDecide(subject, request)))
}

function summary(request: ApprovalRequest, decidable: boolean): object {
  const { operation } = request
  return {
    id: request.id,
    state: request.state,
    subject: request.subject,
    target: request.target,
    protocol: request.protocol,
    task: request.task,
    reason: request.reason,
    rule: request.rule,
    approvers: request.approvers,
    action: operation.action,
    text: operation.text,
    parameters: operation.parameters,
    resources: operation.resources,
    rows: operation.rows,
    commandHash: request.commandHash,
    session: request.session,
    createdMs: request.createdMs,
    expiresMs: request.expiresMs,
    settledMs: request.settledMs,
    decidable: decidable && request.state === 'waiting',
  }
}

function word(made: Decision): object {
  return {
    by: { id: made.by.id, email: made.by.email },
    verdict: made.verdict,
    reason: made.reason,
    decidedMs: made.decidedMs,
  }
}
