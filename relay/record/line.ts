// The form of one recorded event: a line of JSON, which is also one leaf of the relay's tree. Pure.
import { GateError } from '@gate/shared/errors'
import { type EventBody, eventBody, type StoredEvent } from './events.ts'

/** The line of an event, without its end. It has no raw control characters, and no lone surrogates: JSON.stringify escapes them. */
export function formatLine(sequence: number, timeMs: number, body: EventBody): string {
  const json = body.type === 'command' ? formatCommand(body) : JSON.stringify(body)
  return `{"sequence":${sequence},"timeMs":${timeMs},"body":${json}}`
}

type CommandBody = Extract<EventBody, { type: 'command' }>

/** What is the same whenever one statement runs, with its JSON. */
interface Repeated extends Pick<CommandBody, 'action' | 'text' | 'resources' | 'decision' | 'policy'> {
  readonly json: string
}

/** By the facts of commands: whoever has them from before has the rest from before as well, and nobody changes it. */
const repeated = new WeakMap<CommandBody['facts'], Repeated>()

/** What most commands have; one that has more is written out by itself. */
const commonKeys: readonly (keyof CommandBody)[] = [
  ...([
    'type',
    'session',
    'command',
    'action',
    'text',
    'parameters',
    'resources',
    'facts',
    'decision',
    'policy',
  ] as const),
]
const common: ReadonlySet<string> = new Set(commonKeys)

/** A command's JSON, of which only the number and the parameters are written anew when the same statement runs again. */
function formatCommand(body: CommandBody): string {
  for (const key in body) if (!common.has(key)) return JSON.stringify(body)
  const { session, command, parameters } = body
  const values = parameters === undefined ? '' : `,"parameters":${JSON.stringify(parameters)}`
  return `{"type":"command","session":${JSON.stringify(session)},"command":${command}${values},${repeatedJson(body)}}`
}

function repeatedJson({ action, text, resources, facts, decision, policy }: CommandBody): string {
  const known = repeated.get(facts)
  const isSame =
    known?.text === text &&
    known.resources === resources &&
    known.decision === decision &&
    known.action === action &&
    known.policy === policy
  if (isSame) return known.json
  const json = JSON.stringify({ action, text, resources, facts, decision, policy }).slice(1, -1)
  repeated.set(facts, { action, text, resources, decision, policy, json })
  return json
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
