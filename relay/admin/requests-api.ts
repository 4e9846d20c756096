// The API behind gate approve, deny, request and requests.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { targetName } from '@gate/shared/messages'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import type { Approvals } from '../approval/approvals.ts'
import type { ApprovalRequest, Decision } from '../approval/requests.ts'
import type { Agents } from '../egress/agents.ts'
import type { Logins } from '../identity/logins.ts'
import type { Policy } from '../policy/decide.ts'
import { authenticated } from './api.ts'
import { review } from './reviews-api.ts'

const which = z.strictObject({ which: z.enum(['decidable', 'mine', 'all']).default('decidable') })
const reason = z.string().min(1).max(1000)
const decision = z.strictObject({
  verdict: z.enum(['approve', 'deny']),
  reason: reason.optional(),
  /** For how long what the rule holds may be repeated. */
  grantMs: z.int().positive().optional(),
  publicKey: z.string().max(256),
  signature: z.string().max(128),
})
const wish = z.strictObject({ target: targetName, rule: z.string().max(63), grantMs: z.int().positive(), reason })
/** A list that is watched is sent at least this often, so that expiries show and dead connections are found. */
const WATCH_INTERVAL_MS = 2_000
const MAX_WATCHERS = 200

export interface RequestsContext {
  readonly approvals: Approvals
  readonly logins: Logins
  readonly agents: Agents
  readonly policy: () => Policy
  readonly now: () => number
  readonly log: Log
}

export function addRequests(app: FastifyInstance, context: RequestsContext): void {
  const { approvals, logins, now, log } = context
  app.get('/v1/requests', async request => {
    const { subject } = await authenticated(logins, request)
    const { which: list } = which.parse(request.query)
    return { nowMs: now(), requests: await summaries(approvals, subject, list) }
  })
  app.get<{ Params: { id: string } }>('/v1/requests/:id', async request => {
    const { subject } = await authenticated(logins, request)
    const found = await approvals.get(subject, request.params.id)
    return {
      nowMs: now(),
      ...summary(found.request, approvals.mayDecide(subject, found.request)),
      exact: found.request.exact,
      history: found.request.history,
      decisions: found.decisions.map(word),
    }
  })
  app.post<{ Params: { id: string } }>('/v1/requests/:id/decision', async request => {
    const { subject } = await authenticated(logins, request)
    const { verdict, reason, grantMs, publicKey, signature } = decision.parse(request.body)
    const { id } = request.params
    const { state } = await approvals.decide(subject, id, { verdict, reason, grantMs, publicKey, signature })
    log.info('request.decided', { request: id, subject: subject.id, effect: verdict })
    return { id, state }
  })
  app.post('/v1/requests', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    const made = await makeWish(context, subject, wish.parse(request.body))
    log.info('request.made', { request: made.id, subject: subject.id, rule: made.rule, target: made.target })
    return reply.code(201).send({ nowMs: now(), ...summary(made, false) })
  })
  addWatch(app, context)
}

/** @throws {GateError} ERR_GATE_NOT_FOUND when the person may not open the target, or no such rule holds anything for them. */
async function makeWish(
  { approvals, agents, policy }: RequestsContext,
  subject: Subject,
  { target: name, rule, grantMs, reason }: z.infer<typeof wish>,
): Promise<ApprovalRequest> {
  const target = await agents.target(name)
  const current = policy()
  if (current.refusesOpening(subject, target) !== undefined)
    throw new GateError('ERR_GATE_NOT_FOUND', `there is no target ${name} that you may open`)
  const [hold] = current.holds(subject, target, rule)
  if (hold === undefined) {
    const known = [...new Set(current.holds(subject, target).map(each => each.rule))]
    throw new GateError('ERR_GATE_NOT_FOUND', `no rule ${rule} holds anything for you on ${name}`, {
      hint: known.length === 0 ? 'No rule there does.' : `These do: ${known.join(', ')}.`,
    })
  }
  if (hold.grants === undefined)
    throw new GateError('ERR_GATE_FORBIDDEN', `rule ${rule} permits no grants`, {
      hint: 'Each command is asked about.',
    })
  if (grantMs > hold.grants.maxMs)
    throw new GateError('ERR_GATE_LIMIT', `rule ${rule} permits grants of at most ${hold.grants.maxMs / 1000} s`)
  return approvals.wish({ subject, target, hold, policy: current.version, reason, grantMs })
}

/** The list as one JSON line each time it changes, until the client goes or its login ends. */
function addWatch(app: FastifyInstance, { approvals, logins, now, log }: RequestsContext): void {
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
        const subject = watched.subject()
        const requests = await summaries(approvals, subject, list)
        const reviews =
          list === 'mine' ? [] : (await approvals.reviews.list(subject, false)).map(each => review(subject, each))
        const line = JSON.stringify({ requests, reviews })
        // With the time, which alone is no news.
        if (line !== last) reply.raw.write(`${JSON.stringify({ nowMs: now(), requests, reviews })}\n`)
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
    kind: request.kind,
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
    /** Of long commands lists have the beginning. */
    cut: request.isCut === true,
    parameters: operation.parameters,
    resources: operation.resources,
    rows: operation.rows,
    estimate: request.estimate,
    commandSha256: request.commandSha256,
    parametersSha256: request.parametersSha256,
    context: request.context,
    policy: request.policy,
    nonce: request.nonce,
    grantMs: request.grantMs,
    grantMaxMs: request.grantMaxMs,
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
    grantMs: made.grantMs,
    decidedMs: made.decidedMs,
    signed: made.signed,
  }
}
