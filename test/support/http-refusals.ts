// Why a request would be refused where fields are masked, as the relay finds it out: without a relay.
import { commandOf, readHead } from '@gate/relay/protocols/http/request'
import type { Gate } from '@gate/relay/protocols/protocol'
import type { Obligation } from '@gate/shared/model'
import { fields } from './masking.ts'

export interface Requested {
  readonly method: string
  /** What a URL may not hold is escaped. */
  readonly target: string
  readonly type?: string
  readonly body?: string | Buffer
}

/** The reason; undefined for a request that passes. With routes, masks are about these alone. */
export function refusalOf(
  { method, target, type, body = '' }: Requested,
  patterns: readonly string[],
  routes: readonly string[] = [],
): string | undefined {
  const bytes = Buffer.isBuffer(body) ? body : Buffer.from(body)
  const escaped = target.replaceAll(/[ "{}<>|^`\n]/g, encodeURIComponent)
  const raw = ['Host', 'localhost', ...(type === undefined ? [] : ['Content-Type', type])]
  const head = readHead({ method, target: escaped, raw, isUpgrade: false }, 'x', { keepsPathParameters: true })
  const content = { start: bytes, isWhole: true, length: bytes.length }
  const masks: Obligation[] = [{ ...fields(patterns), routes }]
  const gate = { routes: [], recordFields: masks, headers: [] } as unknown as Gate
  const { command } = commandOf(head, content, gate, Buffer.alloc(32))
  return (command.refusal ?? command.perform?.(masks))?.reason
}
