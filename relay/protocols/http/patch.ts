// JSON Patch (RFC 6902): operations that carry a field to where no mask names it, or ask whether it has a value. Pure.
import type { PathState, Paths } from './masking/paths.ts'

/** Whether a document is a patch that copies, moves or tests one of these fields, wherever it is. */
export function carriesFields(document: unknown, fields: Paths | undefined): boolean {
  if (!Array.isArray(document) || fields === undefined) return false
  return document.some(operation => isObject(operation) && carries(operation, fields))
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** RFC 6902 section 4. */
function carries({ op, from, path, value }: Record<string, unknown>, fields: Paths): boolean {
  if (op === 'copy' || op === 'move') return typeof from === 'string' && isHidden(placeOf(from, fields))
  if (op !== 'test' || typeof path !== 'string') return false
  return holds(value, placeOf(path, fields), fields)
}

const isHidden = (place: PathState | undefined): boolean => place === undefined || place.mask >= 0

/** Where a pointer leads (RFC 6901); undefined where that is in something hidden. An index has no name. */
function placeOf(pointer: string, fields: Paths): PathState | undefined {
  const names = pointer.split('/').slice(1)
  let place = fields.start
  for (const name of names.map(each => each.replaceAll('~1', '/').replaceAll('~0', '~'))) {
    if (place.mask >= 0) return undefined
    if (!/^(?:\d+|-)$/.test(name)) place = fields.belowText(place, name)
  }
  return place
}

/** Whether a value that is compared has a field that is hidden. */
function holds(value: unknown, place: PathState | undefined, fields: Paths): boolean {
  if (place === undefined || place.mask >= 0) return true
  if (Array.isArray(value)) return value.some(each => holds(each, place, fields))
  return (
    isObject(value) && Object.entries(value).some(([name, each]) => holds(each, fields.belowText(place, name), fields))
  )
}
