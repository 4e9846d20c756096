// The form of one recorded line, and the hash chain through all of them. Pure.
import { hash as digest } from 'node:crypto'
import { GateError } from '@gate/shared/errors'
import { type EventBody, eventBody, type StoredEvent } from './events.ts'

/** The chain starts from here. */
export const GENESIS = '0'.repeat(64)

const HASH_FIELD = ',"hash":"'
const HASH_TAIL_LENGTH = HASH_FIELD.length + 64 + 2

/** SHA-256 over the previous line's hash and this line without its own. */
function chainHash(previous: string, head: string): string {
  // In one call: it takes half as long as a Hash object, and every event needs it.
  return digest('sha256', previous + head, 'hex')
}

export interface Line {
  /** One JSON object and a newline. */
  readonly text: string
  readonly hash: string
}

export function formatLine(sequence: number, timeMs: number, body: EventBody, previous: string): Line {
  const head = `{"sequence":${sequence},"timeMs":${timeMs},"body":${JSON.stringify(body)}`
  const hash = chainHash(previous, head)
  return { text: `${head}${HASH_FIELD}${hash}"}\n`, hash }
}

/**
 * Reads one line back and checks its hash and number.
 * @throws {GateError} ERR_GATE_RECORD naming what is wrong.
 */
export function parseLine(
  line: string,
  expectedSequence: number,
  previous: string,
): { event: StoredEvent; hash: string } {
  const head = line.slice(0, -HASH_TAIL_LENGTH)
  const tail = line.slice(-HASH_TAIL_LENGTH)
  const hash = tail.slice(HASH_FIELD.length, -2)
  if (!tail.startsWith(HASH_FIELD) || !tail.endsWith('"}')) throw damaged(expectedSequence, 'has no hash')
  if (chainHash(previous, head) !== hash) throw damaged(expectedSequence, 'was changed, or one before it is missing')
  const event = parseEvent(line)
  if (event.sequence !== expectedSequence) throw damaged(expectedSequence, `is numbered ${event.sequence}`)
  return { event, hash }
}

/** Reads one line without checking the chain. @throws {GateError} ERR_GATE_RECORD when it is no event. */
export function parseEvent(line: string): StoredEvent {
  try {
    const value = JSON.parse(line) as { sequence: number; timeMs: number; body: unknown }
    return { sequence: value.sequence, timeMs: value.timeMs, body: eventBody.parse(value.body) }
  } catch (cause) {
    throw new GateError('ERR_GATE_RECORD', 'a recorded line is no event', { cause })
  }
}

function damaged(sequence: number, what: string): GateError {
  return new GateError('ERR_GATE_RECORD', `record ${sequence} ${what}`)
}
