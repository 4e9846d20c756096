// JSON Patch (RFC 6902): operations that carry a field to where no mask names it, or ask whether it has a value. Pure.
import type { PathState, Paths } from './masking/paths.ts'
import { unescaped } from './members.ts'

/**
 * Whether a document is or holds a patch that copies, moves or tests one of these fields, wherever it is; few are, so they are
 * asked for then.
 */
export function carriesFields(document: unknown, fieldsOf: () => Paths | undefined): boolean {
  const operations = operationsIn(document)
  if (operations.length === 0) return false
  const fields = fieldsOf()
  return fields !== undefined && operations.some(operation => carries(operation, fields))
}

/** Objects that have an `op`: some services take a patch among other members, or one operation alone. */
function operationsIn(document: unknown): Record<string, unknown>[] {
  if (!isObject(document)) return []
  const below = Object.values(document).flatMap(operationsIn)
  return isOperation(document) ? [document, ...below] : below
}

/**
 * Whether a text that could not be read as a document may hold such an operation, as some target could read it: JSON with
 * comments or single quotes, in another charset. Words are enough: what stands between them is anybody's guess. Those that an
 * operation needs to be one must all be there.
 */
export function mayHoldPatch(bytes: Buffer): boolean {
  const raw = bytes.toString('latin1').replaceAll('\0', '')
  const text = unescaped(raw.replace(/(?<!\\)\\+(?:u00|x)(?=[0-9a-f]{2})/gi, '%')).replaceAll('\\', '')
  if (!text.includes('{') || !hasWord('op', text) || !hasWord('path', text)) return false
  return hasWord('test', text) || (hasWord('copy|move', text) && hasWord('from', text))
}

const hasWord = (words: string, text: string): boolean =>
  new RegExp(`(?<![a-z0-9_])(?:${words})(?![a-z0-9_])`, 'i').test(text)

const isOperation = (value: Record<string, unknown>): boolean =>
  Object.keys(value).some(name => name.toLowerCase() === 'op')

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** RFC 6902 section 4. Some servers take names of members and operations in any case. */
function carries(operation: Record<string, unknown>, fields: Paths): boolean {
  const values = (name: string): unknown[] =>
    Object.entries(operation).flatMap(([each, value]) => (each.toLowerCase() === name ? [value] : []))
  const does = (...names: string[]): boolean => values('op').some(op => names.includes(String(op).toLowerCase()))
  const places = (name: string): (PathState | undefined)[] =>
    values(name).flatMap(pointer => (typeof pointer === 'string' ? [placeOf(pointer, fields)] : []))
  if (does('copy', 'move') && places('from').some(isHidden)) return true
  const compared = values('value')
  return does('test') && places('path').some(place => holds(compared, place, fields))
}

const isHidden = (place: PathState | undefined): boolean => place === undefined || place.mask >= 0

/** Where a pointer leads (RFC 6901), with a slash before it or none, or as a fragment, which is encoded; undefined where that is in something hidden. An index has no name. */
function placeOf(pointer: string, fields: Paths): PathState | undefined {
  const names = (pointer.startsWith('#') ? unescaped(pointer.slice(1)) : pointer).split('/').filter(name => name !== '')
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
