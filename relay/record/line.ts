// The form of one recorded event: a line of JSON, which is also one leaf of the relay's tree. Pure.
import { GateError } from '@gate/shared/errors'
import { type EventBody, eventBody, type StoredEvent } from './events.ts'

/** The line of an event, without its end. It has no raw control characters, and no lone surrogates: JSON.stringify escapes them. */
export function formatLine(sequence: number, timeMs: number, body: EventBody): string {
  return `{"sequence":${sequence},"timeMs":${timeMs},"body":${JSON.stringify(body)}}`
}

/**
 * Reads a line back.
 * @throws {GateError} ERR_GATE_RECORD when it is no event, or not the one with that number.
 */
export function parseLine(line: string, expectedSequence: number): StoredEvent {
  const event = parseEvent(line, `record ${expectedSequence}`)
  if (event.sequence !== expectedSequence)
    throw new GateError('ERR_GATE_RECORD', `record ${expectedSequence} is numbered ${event.sequence}`)
  return event
}

/** Reads a line back, whatever its number. @throws {GateError} ERR_GATE_RECORD when it is no event. */
export function parseEvent(line: string, name = 'a recorded line'): StoredEvent {
  try {
    const value = JSON.parse(line) as { sequence: number; timeMs: number; body: unknown }
    return { sequence: value.sequence, timeMs: value.timeMs, body: eventBody.parse(value.body) }
  } catch (cause) {
    throw new GateError('ERR_GATE_RECORD', `${name} is no event`, { cause })
  }
}

/** What the line of every event of a session contains; looking for it first spares reading the others'. */
export function sessionMark(session: string): string {
  return `"session":${JSON.stringify(session)}`
}
