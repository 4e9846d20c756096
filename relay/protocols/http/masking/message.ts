// One message of a WebSocket, masked: JSON, or several documents of it as hubs send them. Pure.
import { asGateError, GateError } from '@gate/shared/errors'
import { type BodyMasks, messageMasker } from './body.ts'
import { JsonMasker } from './json-masker.ts'
import { JsonSearch } from './json-search.ts'
import type { BodyMasker } from './masker.ts'
import { isBare, isJson, type WholeText } from './whole-text.ts'

/**
 * What Socket.IO has before the JSON of a message: the types of its packets, a namespace, and the number of an answer
 * (`42/admin,7["event",…]`). Bytes that are announced (`451-[…]`) would follow as a binary message.
 */
const packet = /^\d{1,2}(?:\/[\w/-]{0,64},)?\d{0,6}(?=[{[])/
/** How much of a text stands before what a packet holds; nothing of what is none. */
export const packetStart = (text: string): number => packet.exec(text)?.[0].length ?? 0

/** What it says before it goes on over a WebSocket. */
const probe = '3probe'

/**
 * What of a message may be shown. `said` is undefined where it is not sent as a text.
 * @throws {GateError} ERR_GATE_REFUSED when it cannot be masked; what maskers throw of JSON.
 */
export function maskMessage(said: WholeText | undefined, message: Buffer, masks: BodyMasks): Buffer {
  if (message.length === 0) return message
  if (said === undefined) throw unmaskable('the message is binary')
  if (isBare(said.text) || said.text === probe) return message
  if (said.isJson) return masked('application/json', message, masks)
  if (masks.fields === undefined) return masked('text/plain', message, masks)
  const length = packetStart(said.text)
  if (length > 0 && isJson(said.text.slice(length))) {
    const before = masked('text/plain', message.subarray(0, length), {
      ...masks,
      fields: undefined,
      anywhere: undefined,
    })
    return Buffer.concat([before, masked('application/json', message.subarray(length), masks)])
  }
  try {
    return whole(severalMasker(masks), message)
  } catch (thrown) {
    const cause = asGateError(thrown)
    if (cause.code === 'ERR_GATE_LIMIT') throw cause
    throw unmaskable('it is no JSON')
  }
}

/** One masker for all of them: separators are a byte each, and a masker for what is between any two would take seconds. */
function severalMasker({ anywhere, searches }: BodyMasks): JsonMasker {
  return new JsonMasker(anywhere, 'separated', searches.length === 0 ? undefined : new JsonSearch(searches))
}

function masked(type: string, message: Buffer, masks: BodyMasks): Buffer {
  const masker = messageMasker(type, masks)
  if ('unreadable' in masker) throw unmaskable(masker.unreadable)
  return whole(masker, message)
}

function whole(masker: BodyMasker, message: Buffer): Buffer {
  const first = masker.push(message)
  return Buffer.concat([first, masker.end()])
}

function unmaskable(why: string): GateError {
  return new GateError('ERR_GATE_REFUSED', `parts of messages are masked for you: ${why}`)
}
