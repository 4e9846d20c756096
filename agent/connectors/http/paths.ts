// Paths as the service has them: behind the target's base path, and never above it. Pure.
import { GateError } from '@gate/shared/errors'
import { type RawHeaders, valuesOf } from './headers.ts'
import type { Place } from './redirects.ts'

/**
 * The path and query at the service.
 * @throws {GateError} ERR_GATE_PROTOCOL for anything but a path, and for one that climbs out of the base path.
 */
export function pathAt({ basePath }: Place, url: string): string {
  if (!url.startsWith('/') || url.includes('#'))
    throw new GateError('ERR_GATE_PROTOCOL', 'the request does not ask for a path')
  const [path = ''] = url.split('?', 1)
  const climbs = path.split(/[/\\]|%2f|%5c/i).some(segment => /^(\.|%2e){2}($|;)/i.test(segment))
  if (basePath !== '' && climbs)
    throw new GateError('ERR_GATE_PROTOCOL', "the request's path goes up, and the target has a base path")
  return basePath + url
}

const withTwoPaths: ReadonlySet<string> = new Set(['COPY', 'MOVE'])

/**
 * The headers with the Destination of COPY and MOVE at the service: as a URL, since older servers take nothing else
 * (RFC 2518 section 9.3), and one with another host than Host is another server's to them.
 * @throws {GateError} ERR_GATE_PROTOCOL as pathAt does.
 */
export function withDestinationAt(place: Place, method: string, headers: RawHeaders): RawHeaders {
  if (!withTwoPaths.has(method) || valuesOf(headers, 'destination').length === 0) return headers
  return headers.map((value, at) => {
    const isDestination = at % 2 === 1 && headers[at - 1]?.toLowerCase() === 'destination'
    return isDestination ? place.origin + pathAt(place, value) : value
  })
}
