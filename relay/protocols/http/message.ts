// One message of a WebSocket → an Operation: what policy and people see of it. Pure.
import { isUtf8 } from 'node:buffer'
import { GateError } from '@gate/shared/errors'
import type { Deny, Obligation, Operation } from '@gate/shared/model'
import { type Body, readBody } from './body.ts'
import { documentIn } from './document.ts'
import { masksFields, namedFields } from './masking/body.ts'
import { packetStart } from './masking/message.ts'
import { askedOf } from './names-in.ts'
import { ofBody, ofContent, unknownIn } from './operation.ts'
import { asksOtherNames, deny, patchRefusal, persistedRefusal } from './perform.ts'

export type Direction = 'sent' | 'received'

export interface Message {
  /** Undefined for bytes that are no text: many servers read text from binary messages as well. */
  readonly text: string | undefined
  readonly bytes: number
  /** What the client's message says; undefined where it cannot be read, and of the target's. */
  readonly body: Body | undefined
  /** Of the client's: what a packet of Socket.IO or the like holds. Rules are not told of it; undefined where it is none. */
  readonly packet: Body | undefined
}

export function readMessage(direction: Direction, bytes: Buffer): Message {
  const text = isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : undefined
  if (direction === 'received' || text === undefined)
    return { text, bytes: bytes.length, body: undefined, packet: undefined }
  const start = documentStart(text)
  const packet = start === 0 ? undefined : bodyOf(Buffer.from(text.slice(start)))
  return { text, bytes: bytes.length, body: bodyOf(bytes), packet }
}

/** Brackets at which a document behind other signs may begin; more are in no protocol's head. */
const MAX_STARTS = 4

/**
 * Where a document begins that has something before it, as Socket.IO and others have it; 0 where none does. A client may write
 * before it what gate would not take for a packet, and its service does.
 */
function documentStart(text: string): number {
  const known = packetStart(text)
  if (known > 0 || /^\s*[[{]/.test(text)) return known
  const starts = [...text.slice(0, MAX_HEAD_LENGTH).matchAll(/[[{]/g)].slice(0, MAX_STARTS)
  return starts.find(({ index }) => documentIn(text.slice(index)) !== undefined)?.index ?? 0
}

/** What stands before a document is no longer. */
const MAX_HEAD_LENGTH = 1_024

function bodyOf(bytes: Buffer): Body | undefined {
  try {
    return readBody('application/json', bytes, '')
  } catch (thrown) {
    // JSON that is read in different ways: rules cannot know what the target reads.
    if (thrown instanceof GateError) return undefined
    throw thrown
  }
}

export function messageOperation(
  path: string,
  route: string,
  direction: Direction,
  { text, bytes, body }: Message,
): Operation {
  const none: readonly string[] = []
  const isSent = direction === 'sent'
  const read = body?.facts.bodyKind === 'json' ? body : undefined
  return {
    protocol: 'http',
    action: 'message',
    resources: [{ kind: 'path', name: path, mode: isSent ? 'write' : 'read' }],
    text: text ?? `(${bytes} bytes)`,
    parameters: [],
    writes: isSent,
    routine: true,
    facts: {
      method: 'GET',
      path,
      route,
      query: none,
      parameters: none,
      headers: none,
      contentType: '',
      bodyKind: read?.facts.bodyKind ?? (text === undefined ? 'other' : 'none'),
      bodyBytes: bytes,
      bodyFields: read?.facts.bodyFields ?? none,
      graphqlType: read?.facts.graphqlType ?? '',
      graphqlNames: read?.facts.graphqlNames ?? none,
      graphqlFields: read?.facts.graphqlFields ?? none,
      direction,
    },
    document: read?.document ?? null,
    ...unknownOf(text, isSent, body),
  }
}

/**
 * What rules cannot know of it. Text that is no JSON and has no brace holds no members and no GraphQL; with one it may to others
 * (`42["event",{…}]`, comments).
 */
function unknownOf(text: string | undefined, isSent: boolean, body: Body | undefined): Pick<Operation, 'unknown'> {
  if (text === undefined) return { unknown: isSent ? ofBody : ['text'] }
  if (isSent && body?.isKnown === true) return unknownIn(body, true)
  if (!isSent || (body?.facts.bodyKind === 'other' && !text.includes('{'))) return {}
  return { unknown: ofContent }
}

/** Why a message must not be sent where fields are masked: answers would hold them under other names. */
export function renamingRefusal(
  obligations: readonly Obligation[],
  routes: readonly string[],
  direction: Direction,
  { bytes, body: whole, packet }: Message,
): Deny | undefined {
  const body = packet?.facts.bodyKind === 'json' ? packet : whole
  if (direction === 'received' || bytes === 0 || !masksFields(obligations, routes)) return undefined
  if (body?.isPersisted === true) return persistedRefusal
  if (
    body !== undefined &&
    asksOtherNames(
      body,
      askedOf(() => namedFields(obligations, routes)),
    )
  )
    return deny(
      'fields are masked for you, and the message asks for one of them under another name',
      'Ask for it as it is.',
    )
  if (body?.renames?.() === false && body.mayRename?.() !== true) return patchRefusal(obligations, routes, body)
  return deny(
    'fields are masked for you, and the message may ask for some under other names',
    'Leave out its aliases, and @stream.',
  )
}
