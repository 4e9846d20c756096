// One message of a WebSocket, masked: JSON, or several documents of it as hubs send them. Pure.
import { asGateError, GateError } from '@gate/shared/errors'
import { type BodyMasks, messageMasker } from './body.ts'
import { isBare, isJson } from './whole-text.ts'

/** Ends each document of SignalR's; in JSON itself it cannot stand. */
const SEPARATOR = '\x1e'

/**
 * What of a message may be shown. `text` is undefined where it is not sent as one.
 * @throws {GateError} ERR_GATE_REFUSED when it cannot be masked; what maskers throw of JSON.
 */
export function maskMessage(text: string | undefined, message: Buffer, masks: BodyMasks): Buffer {
  if (message.length === 0) return message
  if (text === undefined) throw unmaskable('the message is binary')
  if (isBare(text)) return message
  if (isJson(text)) return masked('application/json', message, masks)
  if (masks.fields === undefined) return masked('text/plain', message, masks)
  try {
    const documents = text.split(SEPARATOR).map(each => masked('application/x-ndjson', Buffer.from(each), masks))
    return Buffer.from(documents.map(each => each.toString('utf8')).join(SEPARATOR))
  } catch (thrown) {
    const cause = asGateError(thrown)
    if (cause.code === 'ERR_GATE_LIMIT') throw cause
    throw unmaskable('it is no JSON')
  }
}

function masked(type: string, message: Buffer, masks: BodyMasks): Buffer {
  const masker = messageMasker(type, masks)
  if ('unreadable' in masker) throw unmaskable(masker.unreadable)
  const first = masker.push(message)
  return Buffer.concat([first, masker.end()])
}

function unmaskable(why: string): GateError {
  return new GateError('ERR_GATE_REFUSED', `parts of messages are masked for you: ${why}`)
}
