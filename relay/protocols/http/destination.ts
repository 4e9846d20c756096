// The second path of COPY and MOVE (RFC 4918 section 10.3): read, decided, recorded and sent on exactly as the first. Pure.
import { asGateError, GateError } from '@gate/shared/errors'
import type { FieldList, Fields } from './fields.ts'
import { type KeptInPaths, type Location, readLocation, targetOf } from './location.ts'

const methods: ReadonlySet<string> = new Set(['COPY', 'MOVE'])

/**
 * Reads the Destination of a request; undefined where none is asked for.
 * @throws {GateError} ERR_GATE_PROTOCOL, ERR_GATE_LIMIT for one that would be refused as a request's own target, and for one
 * on another host.
 */
export function readDestination(method: string, fields: Fields, keeps: KeptInPaths): Location | undefined {
  const written = fields.one('destination')
  if (written === undefined || !methods.has(method)) return undefined
  const location = readIn('Destination', () => readLocation(written, keeps))
  if (location.authority !== undefined && location.authority !== fields.one('host')?.toLowerCase())
    throw new GateError('ERR_GATE_PROTOCOL', 'Destination is on another host than the request', {
      hint: 'Write it as a path, or with the host and port that the request is sent to.',
    })
  return location
}

/** Reads the path that a field holds. @throws {GateError} what `read` throws, with the field's name. */
export function readIn<Read>(field: string, read: () => Read): Read {
  try {
    return read()
  } catch (thrown) {
    const { code, message, hint } = asGateError(thrown)
    const why = `${message}, in its ${field}`
    throw new GateError(code, why, { cause: thrown, ...(hint === undefined ? {} : { hint }) })
  }
}

/** The fields with the Destination that was decided: the path alone, which the agent puts behind the service's address. */
export function withDestination(fields: FieldList, destination: Location | undefined): FieldList {
  if (destination === undefined) return fields
  return fields.map(([name, value]) => [name, name === 'destination' ? targetOf(destination) : value])
}
