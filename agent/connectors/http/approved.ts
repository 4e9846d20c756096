// Requests on a target whose approvals the agent checks itself: read whole and compared before anything of them goes on.
import { commandSha256, parametersSha256 } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import { contentOf, overrideFields, requestText } from '@gate/shared/http-command'
import type { ApprovalGuard } from '../../approvals/guard.ts'
import type { AskedRequest } from './asked.ts'
import { wholeBody } from './body.ts'
import { canonical, valuesOf } from './headers.ts'

/** The relay does not ask people about longer bodies either. */
const MAX_APPROVED_BODY_BYTES = 1024 * 1024

const noParameters = parametersSha256([])

/**
 * Lets a request pass, or not. What it does the agent reads from its method, whatever the relay calls it. Gives the body
 * where it had to be read.
 * @throws {GateError} ERR_GATE_REFUSED, ERR_GATE_LIMIT for a body above 1 MiB that has to be approved.
 */
export async function approvedBody(
  request: AskedRequest,
  guard: ApprovalGuard,
  isUpgrade: boolean,
): Promise<Buffer | undefined> {
  const { method, path, fields } = request
  const next = guard.next([isUpgrade ? 'websocket' : method.toLowerCase()])
  const override = fields.find((name, at) => at % 2 === 0 && overrideFields.includes(canonical(name)))
  if (override !== undefined)
    throw new GateError('ERR_GATE_REFUSED', `the agent lets no request with ${override.toLowerCase()} pass here`)
  if (isUpgrade && guard.needs(['message']))
    throw new GateError('ERR_GATE_REFUSED', 'the agent cannot check the messages of a WebSocket, so it opens none here')
  if (!next.needsApproval) return undefined
  const body = request.body && (await wholeBody(request.body, MAX_APPROVED_BODY_BYTES, 'approved'))
  const field = (name: string): string | undefined => valuesOf(fields, name).join(', ') || undefined
  const text = requestText({ method, target: path, field, content: body && contentOf(body) })
  next.pass({ commandSha256: commandSha256(Buffer.from(text)), parametersSha256: noParameters })
  return body
}
