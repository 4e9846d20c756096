// The API behind gate reviews, grants and keys.
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { FastifyInstance } from 'fastify'
import * as z from 'zod'
import type { Approvals } from '../approval/approvals.ts'
import type { Grant } from '../approval/grants.ts'
import type { ApproverKey } from '../approval/keys.ts'
import { mayClose, type Review } from '../approval/reviews.ts'
import type { Logins } from '../identity/logins.ts'
import { authenticated } from './api.ts'

const listed = z.strictObject({ all: z.enum(['true', 'false']).default('false') })
const closing = z.strictObject({ note: z.string().min(1).max(1000) })
const newKey = z.strictObject({
  publicKey: z.string().max(256),
  signature: z.string().max(128),
  /** For people: where the key lives. */
  label: z.string().min(1).max(200),
})

export function addReviews(app: FastifyInstance, approvals: Approvals, logins: Logins, log: Log): void {
  app.get('/v1/reviews', async request => {
    const { subject } = await authenticated(logins, request)
    const { all } = listed.parse(request.query)
    return { reviews: (await approvals.reviews.list(subject, all === 'true')).map(each => review(subject, each)) }
  })
  app.post<{ Params: { id: string } }>('/v1/reviews/:id/close', async request => {
    const { subject } = await authenticated(logins, request)
    const { note } = closing.parse(request.body)
    await approvals.closeReview(subject, request.params.id, note)
    log.info('review.closed', { request: request.params.id, subject: subject.id })
    return { id: request.params.id, state: 'closed' }
  })
  app.get('/v1/grants', async request => {
    const { subject } = await authenticated(logins, request)
    const { all } = listed.parse(request.query)
    return { grants: (await approvals.grants.list(subject, all === 'true')).map(grant) }
  })
  app.delete<{ Params: { id: string } }>('/v1/grants/:id', async request => {
    const { subject } = await authenticated(logins, request)
    const revoked = await approvals.revokeGrant(subject, request.params.id)
    log.info('grant.revoked', { request: revoked.id, subject: subject.id, rule: revoked.rule })
    return grant(revoked)
  })
  addKeys(app, approvals, logins, log)
}

function addKeys(app: FastifyInstance, approvals: Approvals, logins: Logins, log: Log): void {
  app.get('/v1/keys', async request => {
    const { subject } = await authenticated(logins, request)
    return { keys: (await approvals.keys.list(subject)).map(key) }
  })
  app.post('/v1/keys', async (request, reply) => {
    const { subject } = await authenticated(logins, request)
    const { publicKey, signature, label } = newKey.parse(request.body)
    const made = await approvals.keys.register(subject, publicKey, signature, label)
    log.info('key.registered', { request: made.id, subject: subject.id })
    return reply.code(201).send(key(made))
  })
  app.delete<{ Params: { id: string } }>('/v1/keys/:id', async request => {
    const { subject } = await authenticated(logins, request)
    await approvals.keys.revoke(subject, request.params.id)
    log.info('key.revoked', { request: request.params.id, subject: subject.id })
    return { id: request.params.id, revoked: true }
  })
}

/** A review as the person sees it. */
export function review(subject: Subject, one: Review): object {
  return {
    ...one,
    state: one.closedMs === undefined ? 'open' : 'closed',
    closable: one.closedMs === undefined && mayClose(subject, one),
  }
}

function grant(one: Grant): object {
  return { ...one }
}

function key({ id, publicKey, label, createdMs, revokedMs }: ApproverKey): object {
  return { id, publicKey, label, createdMs, revokedMs }
}
