// An approval request as the relay's API shows it, and a decision on it, signed over exactly what was shown.
import { commandSha256, statementBytes, statementOf, type Word } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import * as z from 'zod'
import type { Connected } from './app.ts'
import { approverKey } from './approver-key.ts'

const parameter = z.object({
  text: z.string().nullable(),
  bytes: z.number(),
  format: z.string(),
  type: z.string().optional(),
})

export const requestSchema = z.object({
  id: z.string(),
  kind: z.enum(['command', 'grant']),
  state: z.enum(['waiting', 'approved', 'used', 'denied', 'expired', 'withdrawn']),
  subject: z.object({ id: z.string(), email: z.string().optional(), groups: z.array(z.string()) }),
  target: z.string(),
  protocol: z.string(),
  task: z.string().optional(),
  reason: z.string().optional(),
  rule: z.string(),
  approvers: z.string(),
  action: z.string(),
  text: z.string(),
  /** The text is only the beginning, as in lists. */
  cut: z.boolean(),
  parameters: z.array(parameter),
  resources: z.array(z.object({ kind: z.string(), name: z.string(), mode: z.string() })),
  /** Rows that are written and locked, and not committed before somebody approves. */
  rows: z.number().optional(),
  /** What the target expects the command to do. */
  estimate: z.object({ rows: z.number(), detail: z.string() }).optional(),
  commandSha256: z.string().optional(),
  parametersSha256: z.string().optional(),
  context: z.record(z.string(), z.string()),
  policy: z.string(),
  nonce: z.string(),
  grantMs: z.number().optional(),
  grantMaxMs: z.number().optional(),
  session: z.string().optional(),
  createdMs: z.number(),
  expiresMs: z.number(),
  settledMs: z.number().optional(),
  decidable: z.boolean(),
})
export type RequestView = z.infer<typeof requestSchema>

export const requestDetail = requestSchema.extend({
  /** The relay's clock: only it says what has expired. */
  nowMs: z.number(),
  exact: z.object({ command: z.string(), parameters: z.string() }).optional(),
  history: z.array(
    z.object({
      command: z.number(),
      action: z.string(),
      text: z.string(),
      effect: z.enum(['allow', 'deny', 'hold']),
      status: z.string().optional(),
    }),
  ),
  decisions: z.array(
    z.object({
      by: z.object({ id: z.string(), email: z.string().optional() }),
      verdict: z.string(),
      reason: z.string().optional(),
      grantMs: z.number().optional(),
      decidedMs: z.number(),
    }),
  ),
})
export type RequestDetail = z.infer<typeof requestDetail>

export const reviewSchema = z.object({
  id: z.string(),
  session: z.string(),
  subject: z.object({ id: z.string(), email: z.string().optional() }),
  target: z.string(),
  reason: z.string(),
  approvers: z.array(z.string()),
  state: z.enum(['open', 'closed']),
  closable: z.boolean(),
  openedMs: z.number(),
  closedMs: z.number().optional(),
  closedBy: z.object({ id: z.string(), email: z.string().optional() }).optional(),
  note: z.string().optional(),
})
export type ReviewView = z.infer<typeof reviewSchema>

export const requestList = z.object({ nowMs: z.number(), requests: z.array(requestSchema) })
export const watchedList = requestList.extend({ reviews: z.array(reviewSchema) })

const decided = z.object({ id: z.string(), state: z.string() })

/**
 * A request whole, with everything that a decision on it is about.
 * @throws {GateError} ERR_GATE_PROTOCOL when the relay shows another command than the one that would be signed for.
 */
export async function fetchRequest({ client, credentials }: Connected, id: string): Promise<RequestDetail> {
  const path = `/v1/requests/${encodeURIComponent(id)}`
  const request = await client.call({ method: 'GET', path, token: await credentials.token() }, requestDetail)
  // When it is over, its command is gone, and nothing can be signed any more.
  if (request.kind === 'command' && isOpen(request)) checkShown(request)
  return request
}

const isOpen = ({ state }: RequestView): boolean => state === 'waiting' || state === 'approved'

function checkShown({ id, text, exact, commandSha256: command, parametersSha256: parameters }: RequestDetail): void {
  const same =
    exact !== undefined &&
    exact.command === text &&
    commandSha256(Buffer.from(exact.command)) === command &&
    commandSha256(Buffer.from(exact.parameters, 'base64')) === parameters
  if (!same)
    throw new GateError('ERR_GATE_PROTOCOL', `the relay shows another command than the one that ${id} is about`)
}

/** Signs a word on a request that was fetched whole, and sends it. */
export async function sendDecision(
  connected: Connected,
  request: RequestDetail,
  word: Word,
): Promise<z.infer<typeof decided>> {
  const { client, credentials } = connected
  if (request.kind === 'command') {
    // What a signature would be over can be shown only as long as the request is open.
    if (!isOpen(request)) throw new GateError('ERR_GATE_CONFLICT', `${request.id} is ${request.state} already`)
    checkShown(request)
  }
  const key = await approverKey(connected)
  const signature = key.sign(statementBytes(statementOf(request, word)))
  const { verdict, reason, grantMs } = word
  const body = {
    verdict,
    ...(reason === undefined ? {} : { reason }),
    ...(grantMs === undefined ? {} : { grantMs }),
    publicKey: key.publicKey,
    signature,
  }
  const path = `/v1/requests/${encodeURIComponent(request.id)}/decision`
  return client.call({ method: 'POST', path, token: await credentials.token(), body }, decided)
}
