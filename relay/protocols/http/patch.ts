// Patches (RFC 6902, MongoDB's) that carry a field to where no mask names it, or ask whether it has a value. Pure.
import { eachInside, someMember } from './inside.ts'
import type { NamedFields } from './masking/body.ts'
import type { PathState, Paths } from './masking/paths.ts'
import { unescaped } from './members.ts'

/**
 * Whether a document is or holds a patch that copies, moves, renames or tests one of these fields, wherever it is; few are, so they are
 * asked for then.
 */
export function carriesFields(document: unknown, fieldsOf: () => NamedFields | undefined): boolean {
  const operations: Record<string, unknown>[] = []
  addOperations(document, operations)
  const references: string[] = []
  addReferences(document, references)
  if (operations.length === 0 && references.length === 0) return false
  const masked = fieldsOf()
  if (masked === undefined) return false
  const { fields, names, isAnchored } = masked
  const refers = (each: string): boolean => names.holds(each) || fields.belowText(fields.start, each).mask >= 0
  if (references.some(each => each === ANY_FIELD || (each === WHOLE ? isAnchored : refers(each)))) return true
  return operations.some(operation => carries(operation, masked))
}

/** Objects and arrays in each other that are looked into; a body is refused that has more, and in a text nobody reads more. */
const MAX_DEPTH = 256

/** A text that is JSON itself, and may hold an operation. */
function innerPatch(text: string): unknown {
  if (!/^\s*[[{]/.test(text) || !/op|\\u00/i.test(text)) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A field of what is there, as expressions of MongoDB have it: `"$email"`, `"$$ROOT.email"`. */
const reference = /^\${1,2}(?:(?:ROOT|CURRENT)\.)?([\p{L}_][\p{L}\p{N}_.-]*)$/u

/** Code, and what makes names of fields values, may be about any of them. */
const anyField = ['$objectToArray', '$function', '$accumulator', 'mapReduce', 'mapreduce']
const ANY_FIELD = '$'
/** All of a document, which comes to be in something else then. */
const WHOLE = '$$'
const whole = /^\$\$(?:ROOT|CURRENT)$/

/** Names of fields that a document refers to, or that its `$rename` gives others, go to those that are known. */
function addReferences(document: unknown, known: string[], depth = 0): void {
  if (typeof document === 'string') {
    if (!document.startsWith('$')) return
    const name = whole.test(document) ? WHOLE : reference.exec(document)?.[1]
    if (name !== undefined) known.push(name)
    return
  }
  if (!isObject(document) || depth === MAX_DEPTH) return
  if (!Array.isArray(document)) addAsked(document, known)
  eachInside(document, each => addReferences(each, known, depth + 1))
}

function addAsked(document: Readonly<Record<string, unknown>>, known: string[]): void {
  if (isObject(document['$rename'])) for (const name of Object.keys(document['$rename'])) known.push(name)
  const { $getField: got } = document
  if (got !== undefined) known.push(gotIn(got))
  if (anyField.some(name => document[name] !== undefined)) known.push(ANY_FIELD)
}

/** The name that `$getField` has; any where it is computed. */
function gotIn(got: unknown): string {
  if (typeof got === 'string') return got.startsWith('$') ? ANY_FIELD : got
  if (!isObject(got)) return ANY_FIELD
  const { field, $literal: literal } = got
  if (typeof literal === 'string') return literal
  return field === undefined ? ANY_FIELD : gotIn(field)
}

/** Documents in texts of each other that are looked into; what is deeper nobody reads as a patch. */
const MAX_TEXTS = 16

/**
 * Objects that have an `op` go to those that are known: some services take a patch among other members, as a text or as what
 * it is, or one operation alone.
 */
function addOperations(document: unknown, known: Record<string, unknown>[], texts = 0, depth = 0): void {
  if (typeof document === 'string') {
    if (texts < MAX_TEXTS) addOperations(innerPatch(document), known, texts + 1)
    return
  }
  if (!isObject(document) || depth === MAX_DEPTH) return
  if (!Array.isArray(document) && isOperation(document)) known.push(document)
  eachInside(document, each => addOperations(each, known, texts, depth + 1))
}

/**
 * Whether a text that could not be read as a document may hold such an operation, as some target could read it: JSON with
 * comments or single quotes, in another charset. Words are enough: what stands between them is anybody's guess. Those that an
 * operation needs to be one must all be there.
 */
export function mayHoldPatch(bytes: Buffer): boolean {
  const text = withoutEscapes(bytes)
  if (!text.includes('{') || !hasWord('op', text) || !hasWord('path', text)) return false
  return hasWord('test', text) || (hasWord('copy|move', text) && hasWord('from', text))
}

/** What may stand between a name, its colon and its value, in a text whose runs of blanks are one: comments, short and few. */
const between = '(?:[ \\n]|/\\*[^*]{0,100}\\*/|//[^\\n]{0,100}\\n){0,8}'
/** What gives an operation its name, as JSON and what is like it have it. */
const operation = new RegExp(`(?<![a-z0-9_])op["'\`]?${between}:${between}["'\`]?(?:copy|move|test)(?![a-z0-9_])`, 'i')

/** The same of parts, of which some may be files: words alone would be found in many of those. */
export function mayHoldOperation(bytes: Buffer): boolean {
  const text = withoutEscapes(bytes)
  if (!text.includes('{') || !hasWord('path', text)) return false
  return operation.test(text.replace(/\s+/g, blanks => (blanks.includes('\n') ? '\n' : ' ')))
}

/** Text with its escapes undone, in a charset that has ASCII in its place or with NULs between. */
function withoutEscapes(bytes: Buffer): string {
  const raw = bytes.toString('latin1').replaceAll('\0', '')
  return unescaped(raw.replace(/(?<!\\)\\+(?:u00|x)(?=[0-9a-f]{2})/gi, '%')).replaceAll('\\', '')
}

const hasWord = (words: string, text: string): boolean =>
  new RegExp(`(?<![a-z0-9_])(?:${words})(?![a-z0-9_])`, 'i').test(text)

const isOperation = (value: Record<string, unknown>): boolean =>
  someMember(value, name => name.length === 2 && name.toLowerCase() === 'op')

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null

/** RFC 6902 section 4. Some servers take names of members and operations in any case. */
function carries(operation: Record<string, unknown>, { fields, names }: NamedFields): boolean {
  const values = (name: string): unknown[] =>
    Object.entries(operation).flatMap(([each, value]) => (each.toLowerCase() === name ? [value] : []))
  const does = (...names: string[]): boolean => values('op').some(op => names.includes(String(op).toLowerCase()))
  const places = (name: string): (PathState | undefined)[] =>
    values(name).flatMap(pointer => (typeof pointer === 'string' ? [placeOf(pointer, fields)] : []))
  if (does('copy', 'move')) {
    if (places('from').some(isHidden)) return true
    const to = values('path').map(pointer => namesIn(String(pointer)).join('/'))
    if (values('from').some(pointer => leavesPattern(namesIn(String(pointer)), to, names))) return true
  }
  const compared = values('value')
  return does('test') && places('path').some(place => holds(compared, place, fields))
}

const isHidden = (place: PathState | undefined): boolean => place === undefined || place.mask >= 0

/** Whether what is around a field goes where no pattern would find it. Elements of one list may change places. */
function leavesPattern(from: readonly string[], to: readonly string[], names: Paths): boolean {
  const last = from.at(-1)
  return last !== undefined && names.holds(last) && !to.every(each => each === from.join('/'))
}

/** The names of a pointer (RFC 6901), with a slash before it or none, or as a fragment, which is encoded. An index has none. */
function namesIn(pointer: string): string[] {
  const written = pointer.startsWith('#') ? unescaped(pointer.slice(1)) : pointer
  const names = written.split('/').filter(name => !/^(?:\d*|-)$/.test(name))
  return names.map(each => each.replaceAll('~1', '/').replaceAll('~0', '~'))
}

/** Where a pointer leads; undefined where that is in something hidden. */
function placeOf(pointer: string, fields: Paths): PathState | undefined {
  let place = fields.start
  for (const name of namesIn(pointer)) {
    if (place.mask >= 0) return undefined
    place = fields.belowText(place, name)
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
