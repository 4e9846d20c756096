// What is told outward when people are needed: its kinds and its body. Secrets and values of columns never leave in it. Pure.
import * as z from 'zod'
import type { ApprovalRequest } from '../approval/requests.ts'
import type { Review } from '../approval/reviews.ts'
import { compileDetectors } from '../mask/detectors.ts'

export const noticeKinds = [
  'request.waiting',
  'request.settled',
  'grant.revoked',
  'glass.broken',
  'review.closed',
] as const
export type NoticeKind = (typeof noticeKinds)[number]

const who = z.strictObject({ id: z.string(), email: z.string().optional() })

/** The JSON body of a webhook, and what a command hook reads on its standard input. */
export const noticeBody = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  kind: z.enum(noticeKinds),
  /** ISO 8601, UTC. */
  time: z.string(),
  relay: z.string(),
  target: z.string(),
  who,
  /** Cleared of what looks like a secret. */
  reason: z.string().optional(),
  task: z.string().optional(),
  request: z
    .strictObject({
      id: z.string(),
      kind: z.enum(['command', 'grant']),
      rule: z.string(),
      approvers: z.string(),
      state: z.string(),
      expires: z.string(),
      /** What it would do, and to which tables, files or routes: never its text, since that can hold values. */
      action: z.string(),
      resources: z.array(z.string()),
      rows: z.int().optional(),
      decide: z.string(),
    })
    .optional(),
  grant: z.strictObject({ id: z.string(), rule: z.string(), expires: z.string() }).optional(),
  review: z.strictObject({ id: z.string(), session: z.string(), state: z.enum(['open', 'closed']) }).optional(),
})
export type Notice = z.infer<typeof noticeBody>

/** Free text that people typed, and names such as paths: what looks like a secret in it goes nowhere. */
const clearOfSecrets = compileDetectors(
  ['credit-card', 'us-ssn', 'iban', 'api-key', 'jwt', 'private-key', 'secret', 'email', 'phone'],
  { with: 'redact' },
)
const MAX_RESOURCES = 50
const MAX_TEXT_LENGTH = 500

function cleared(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const bytes = Buffer.from(text.slice(0, MAX_TEXT_LENGTH))
  return (clearOfSecrets(bytes) ?? bytes).toString('utf8')
}

interface Made {
  readonly id: string
  readonly relay: string
  readonly timeMs: number
}

const iso = (timeMs: number): string => new Date(timeMs).toISOString()

/** People are asked, or have answered. */
export function requestNotice(
  { id, relay, timeMs }: Made,
  kind: 'request.waiting' | 'request.settled',
  request: ApprovalRequest,
): Notice {
  const { operation } = request
  return {
    version: 1,
    id,
    kind,
    time: iso(timeMs),
    relay,
    target: request.target,
    who: person(request.subject),
    ...texts(request),
    request: {
      id: request.id,
      kind: request.kind,
      rule: request.rule,
      approvers: request.approvers,
      state: request.state,
      expires: iso(request.expiresMs),
      action: operation.action,
      resources: operation.resources.slice(0, MAX_RESOURCES).map(({ name }) => cleared(name) ?? ''),
      ...(operation.rows === undefined ? {} : { rows: operation.rows }),
      decide: `gate approve ${request.id}`,
    },
  }
}

/** Somebody broke the glass, or somebody has looked at what they did. */
export function reviewNotice(
  { id, relay, timeMs }: Made,
  kind: 'glass.broken' | 'review.closed',
  review: Review,
): Notice {
  return {
    version: 1,
    id,
    kind,
    time: iso(timeMs),
    relay,
    target: review.target,
    who: person(review.subject),
    ...texts({ reason: review.reason, task: undefined }),
    review: { id: review.id, session: review.session, state: kind === 'review.closed' ? 'closed' : 'open' },
  }
}

/** Somebody took a grant back. */
export function grantNotice(
  { id, relay, timeMs }: Made,
  grant: {
    readonly id: string
    readonly subject: { readonly id: string; readonly email: string | undefined }
    readonly target: string
    readonly rule: string
    readonly expiresMs: number
  },
): Notice {
  return {
    version: 1,
    id,
    kind: 'grant.revoked',
    time: iso(timeMs),
    relay,
    target: grant.target,
    who: person(grant.subject),
    grant: { id: grant.id, rule: grant.rule, expires: iso(grant.expiresMs) },
  }
}

function person({ id, email }: { readonly id: string; readonly email: string | undefined }): Notice['who'] {
  return { id, ...(email === undefined ? {} : { email }) }
}

function texts({
  reason,
  task,
}: {
  reason: string | undefined
  task?: string | undefined
}): Pick<Notice, 'reason' | 'task'> {
  const clearedReason = cleared(reason)
  const clearedTask = cleared(task)
  return {
    ...(clearedReason === undefined ? {} : { reason: clearedReason }),
    ...(clearedTask === undefined ? {} : { task: clearedTask }),
  }
}

/** One line for people, as chat shows it. */
export function sentence(notice: Notice): string {
  const name = notice.who.email ?? notice.who.id
  const { request, review, grant } = notice
  switch (notice.kind) {
    case 'request.waiting':
      return request?.kind === 'grant'
        ? `${name} asks for a grant under ${request.rule} on ${notice.target}: ${request.decide}`
        : `${name} waits to ${request?.action} ${request?.resources.join(', ')} on ${notice.target} (${request?.rule}, ${request?.approvers}): ${request?.decide}`
    case 'request.settled':
      return `${request?.id} of ${name} on ${notice.target} is ${request?.state}`
    case 'grant.revoked':
      return `the grant ${grant?.id} of ${name} under ${grant?.rule} on ${notice.target} was taken back`
    case 'glass.broken':
      return `${name} broke the glass on ${notice.target}: gate reviews (${review?.id})`
    case 'review.closed':
      return `the review ${review?.id} of ${name} on ${notice.target} is closed`
  }
}
