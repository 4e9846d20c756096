// An approval request as the relay's API shows it.
import { z } from 'zod'
import type { Connected } from './app.ts'

const parameter = z.object({ text: z.string().nullable(), bytes: z.number(), format: z.string() })

export const requestSchema = z.object({
  id: z.string(),
  state: z.enum(['waiting', 'approved', 'denied', 'expired', 'withdrawn']),
  subject: z.object({ id: z.string(), email: z.string().optional(), groups: z.array(z.string()) }),
  target: z.string(),
  protocol: z.string(),
  task: z.string().optional(),
  reason: z.string().optional(),
  rule: z.string(),
  approvers: z.string(),
  action: z.string(),
  text: z.string(),
  parameters: z.array(parameter),
  resources: z.array(z.object({ kind: z.string(), name: z.string(), mode: z.string() })),
  /** Rows that are written and locked, and not committed before somebody approves. */
  rows: z.number().optional(),
  commandHash: z.string(),
  session: z.string(),
  createdMs: z.number(),
  expiresMs: z.number(),
  settledMs: z.number().optional(),
  decidable: z.boolean(),
})
export type RequestView = z.infer<typeof requestSchema>

export const requestList = z.object({ requests: z.array(requestSchema) })

const decided = z.object({ id: z.string(), state: z.string() })

export async function sendDecision(
  { client, credentials }: Connected,
  id: string,
  verdict: 'approve' | 'deny',
  reason: string | undefined,
): Promise<z.infer<typeof decided>> {
  const body = { verdict, ...(reason === undefined ? {} : { reason }) }
  const path = `/v1/requests/${encodeURIComponent(id)}/decision`
  return client.call({ method: 'POST', path, token: await credentials.token(), body }, decided)
}
