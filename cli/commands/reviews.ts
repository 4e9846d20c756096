// gate reviews, grants, revoke and keys.
import * as z from 'zod'
import { type App, connectApp } from '../app.ts'
import { approverKey, findKey, keySchema, renewKey } from '../approver-key.ts'
import { type ReviewView, reviewSchema } from '../request-view.ts'
import { oneLine, span, table } from '../text.ts'

export interface ListOptions {
  readonly all?: boolean
  readonly json?: boolean
}

const reviewList = z.object({ reviews: z.array(reviewSchema) })

export async function reviews(app: App, { all, json }: ListOptions): Promise<void> {
  await using connected = await connectApp(app)
  const path = `/v1/reviews?all=${all === true}`
  const token = await connected.credentials.token()
  const { reviews: found } = await connected.client.call({ method: 'GET', path, token }, reviewList)
  if (json === true) return app.print(JSON.stringify(found))
  if (found.length === 0) return app.note('There is nothing to review.')
  const now = app.clock.now()
  const rows = found.map(review => [
    review.id,
    review.state,
    oneLine(review.subject.email ?? review.subject.id, 30),
    review.target,
    review.session,
    `${span(now - review.openedMs)} ago`,
    oneLine(reviewText(review), Math.max(20, app.config.columns - 90)),
  ])
  app.print(table(['REVIEW', 'STATE', 'WHO', 'TARGET', 'SESSION', 'OPENED', 'REASON'], rows, app.style))
  if (found.some(review => review.closable))
    app.note(app.style.dim('gate sessions show SESSION, then gate reviews close REVIEW --note TEXT'))
}

function reviewText({ reason, note, closedBy }: ReviewView): string {
  return closedBy === undefined ? reason : `${reason} — ${closedBy.email ?? closedBy.id}: ${note ?? ''}`
}

export async function closeReview(
  app: App,
  id: string,
  { note, json }: { readonly note: string; readonly json?: boolean },
): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const path = `/v1/reviews/${encodeURIComponent(id)}/close`
  const answer = await connected.client.call(
    { method: 'POST', path, token, body: { note } },
    z.object({ id: z.string(), state: z.string() }),
  )
  if (json === true) return app.print(JSON.stringify(answer))
  app.print(`${app.style.good('✓ closed')} ${id}`)
}

const grant = z.object({
  id: z.string(),
  request: z.string(),
  subject: z.object({ id: z.string(), email: z.string().optional() }),
  target: z.string(),
  rule: z.string(),
  approvers: z.string(),
  createdMs: z.number(),
  expiresMs: z.number(),
  revokedMs: z.number().optional(),
  revokedBy: z.string().optional(),
})
const grantList = z.object({ grants: z.array(grant) })

export async function grants(app: App, { all, json }: ListOptions): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const path = `/v1/grants?all=${all === true}`
  const { grants: found } = await connected.client.call({ method: 'GET', path, token }, grantList)
  if (json === true) return app.print(JSON.stringify(found))
  if (found.length === 0) return app.note('There are no grants.')
  const now = app.clock.now()
  const rows = found.map(one => [
    one.id,
    oneLine(one.subject.email ?? one.subject.id, 30),
    one.target,
    one.rule,
    one.revokedMs !== undefined ? 'revoked' : one.expiresMs <= now ? 'over' : span(one.expiresMs - now),
    one.request,
  ])
  app.print(table(['GRANT', 'WHO', 'TARGET', 'RULE', 'LEFT', 'REQUEST'], rows, app.style))
  app.note(app.style.dim('gate revoke GRANT'))
}

export async function revoke(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const path = `/v1/grants/${encodeURIComponent(id)}`
  const answer = await connected.client.call({ method: 'DELETE', path, token }, grant)
  if (json === true) return app.print(JSON.stringify(answer))
  app.print(`${app.style.good('✓ revoked')} ${id}`)
}

const keyList = z.object({ keys: z.array(keySchema) })

export async function keys(app: App, { json }: ListOptions): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const { keys: found } = await connected.client.call({ method: 'GET', path: '/v1/keys', token }, keyList)
  const own = (await findKey(connected))?.id
  if (json === true) return app.print(JSON.stringify(found.map(key => ({ ...key, here: key.id === own }))))
  if (found.length === 0)
    return app.note('You have no key yet: the first decision makes one, and so does gate keys new.')
  const now = app.clock.now()
  const rows = found.map(key => [
    key.id,
    key.revokedMs === undefined ? 'good' : 'revoked',
    `${span(now - key.createdMs)} ago`,
    oneLine(key.label, 40),
    key.id === own ? 'this machine' : '',
    key.publicKey,
  ])
  app.print(table(['KEY', 'STATE', 'MADE', 'WHERE', '', 'PUBLIC KEY'], rows, app.style))
}

/** Makes this machine's key; with one there already that is good, says which it is. */
export async function newKey(
  app: App,
  { json, force }: { readonly json?: boolean; readonly force?: boolean },
): Promise<void> {
  await using connected = await connectApp(app)
  const known = await findKey(connected)
  const key = known !== undefined && force === true ? await renewKey(connected) : await approverKey(connected)
  if (json === true) return app.print(JSON.stringify({ id: key.id, publicKey: key.publicKey }))
  app.print(`${app.style.good('✓')} ${key.id} signs your decisions on this machine`)
  app.note(app.style.dim(`public key ${key.publicKey}`))
}

export async function revokeKey(app: App, id: string, { json }: { readonly json?: boolean }): Promise<void> {
  await using connected = await connectApp(app)
  const token = await connected.credentials.token()
  const path = `/v1/keys/${encodeURIComponent(id)}`
  await connected.client.call({ method: 'DELETE', path, token }, z.object({ id: z.string(), revoked: z.boolean() }))
  if ((await findKey(connected))?.id === id)
    app.note('This machine signs with that key: gate keys new --force makes another one.')
  if (json === true) return app.print(JSON.stringify({ id, revoked: true }))
  app.print(`${app.style.good('✓ revoked')} ${id}`)
}
