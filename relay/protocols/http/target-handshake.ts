// A handshake as it goes to the target, and what the target says to it.
import type { IncomingMessage } from 'node:http'
import { errorFromBody, GateError } from '@gate/shared/errors'
import type { FieldList } from './fields.ts'
import { respelled, type Spelling } from './spelling.ts'
import { type AnswerHead, answerHeadOf } from './way.ts'

/** An answer instead of a WebSocket is passed on with a body up to this length, */
const MAX_REFUSAL_BYTES = 64 * 1024
/** which has to come within this time. */
const REFUSAL_TIMEOUT_MS = 10_000

export interface Handshake {
  readonly path: string
  readonly fields: FieldList
  readonly spelling: Spelling
  /** Subprotocols, of which the target may choose one. */
  readonly protocols: readonly string[]
  /** Whether the client may have a body, should the target answer with one. */
  readonly isBodyWanted: boolean
  readonly signal: AbortSignal
  /** Of the longest message. */
  readonly messageBytes: number
}

export interface Refused extends AnswerHead {
  readonly socket: undefined
  /** Undefined where it is not wanted, too long or too late. */
  readonly body: Buffer | undefined
}

/** The fields as the library takes them. */
export function headersOf({ fields, spelling, protocols }: Handshake): Record<string, string> {
  const headers = new Map<string, readonly string[]>()
  for (const [name, value] of respelled(fields, spelling)) headers.set(name, [...(headers.get(name) ?? []), value])
  if (protocols.length > 0) headers.set('sec-websocket-protocol', protocols)
  return Object.fromEntries([...headers].map(([name, values]) => [name, values.join(', ')]))
}

/**
 * The subprotocol that a target chose, if any. The library would take none for a fault, where one was offered; so it is not
 * told of them at all, neither before nor now.
 */
export function chosenBy({ headers }: IncomingMessage, protocols: readonly string[]): string | undefined {
  const protocol = headers['sec-websocket-protocol']
  if (protocol === undefined) return undefined
  if (!protocols.includes(protocol))
    throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'the target chose a subprotocol that was not offered')
  delete headers['sec-websocket-protocol']
  return protocol
}

/** What an answer says, whatever it is. */
export function saidBy({ statusCode = 0, statusMessage = '', rawHeaders }: IncomingMessage): AnswerHead {
  return answerHeadOf(statusCode, statusMessage, rawHeaders)
}

/** An answer that is no WebSocket. @throws {GateError} what the agent could not do. */
export async function refusedBy(response: IncomingMessage, isBodyWanted: boolean): Promise<Refused> {
  const code = response.headers['gate-error']
  if (typeof code === 'string') throw errorFromBody({ code, message: 'the agent could not open the WebSocket' })
  return { ...saidBy(response), socket: undefined, body: isBodyWanted ? await bodyOf(response) : undefined }
}

async function bodyOf(response: IncomingMessage): Promise<Buffer | undefined> {
  const late = setTimeout(() => response.destroy(), REFUSAL_TIMEOUT_MS)
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of response) {
      chunks.push(chunk as Buffer)
      length += (chunk as Buffer).length
      if (length > MAX_REFUSAL_BYTES) return undefined
    }
    return response.complete ? Buffer.concat(chunks) : undefined
  } catch {
    return undefined
  } finally {
    clearTimeout(late)
  }
}
