// What becomes of texts beside rows while values are masked for a person: errors, notices, notifications, settings. Pure.
import { A, type ErrorFields, message, parameterStatus, Reader } from './codec.ts'
import type { Detecting } from './detecting.ts'

/** How texts are guarded for a person from whom something is masked. */
export interface TextGuard {
  /** Replaces what policy's detectors find; null when nothing may be left of the text. Undefined when there are none. */
  readonly search: ((text: string) => string | null) | undefined
  /** Columns are masked: what others notify can be made of them, so payloads come empty. */
  readonly emptyPayloads: boolean
}

const TEXT_TYPE = 25
/** What the server alone says: severity, code, position, source line. Names of objects are also what RAISE makes of any text. */
const unsearched: ReadonlySet<string> = new Set(['S', 'V', 'C', 'P', 'F', 'L', 'R'])
const NOTHING_LEFT = 'text withheld by gate: it holds values that are masked for you'

export function textGuard(detecting: Detecting | undefined, masksColumns: boolean): TextGuard {
  const mask = detecting?.({ typeOid: TEXT_TYPE, format: 0 })
  const search = (text: string): string | null => {
    if (mask === undefined) return text
    const bytes = Buffer.from(text)
    const left = 'constant' in mask ? mask.constant : mask.compute(bytes)
    return left === bytes ? text : (left?.toString('utf8') ?? null)
  }
  return { search: mask === undefined ? undefined : search, emptyPayloads: masksColumns }
}

/** The error or notice with its texts searched; undefined when nothing was found in them. */
export function searchTexts(error: ErrorFields, { search }: TextGuard): ErrorFields | undefined {
  if (search === undefined) return undefined
  const kept = new Map(error)
  let found = false
  for (const [letter, text] of error) {
    if (unsearched.has(letter)) continue
    const left = search(text)
    if (left === text) continue
    found = true
    if (left !== null) kept.set(letter, left)
    else if (letter === 'M') kept.set(letter, NOTHING_LEFT)
    else kept.delete(letter)
  }
  return found ? kept : undefined
}

/** A NotificationResponse as the person may see it; undefined when it passes as it is. The channel is one that they chose. */
export function guardNotification(body: Buffer, guard: TextGuard): Buffer | undefined {
  const reader = new Reader(body)
  reader.int32()
  reader.cstring()
  const begin = reader.at
  const payload = reader.cstring().toString('utf8')
  reader.end()
  const left = guard.emptyPayloads ? '' : searched(payload, guard)
  return left === payload ? undefined : message(A, Buffer.concat([body.subarray(0, begin), Buffer.from(`${left}\0`)]))
}

/** A ParameterStatus as the person may see it; undefined when it passes as it is. */
export function guardParameterStatus(name: string, value: string, guard: TextGuard): Buffer | undefined {
  const left = searched(value, guard)
  return left === value ? undefined : parameterStatus(name, left)
}

function searched(text: string, { search }: TextGuard): string {
  return search === undefined ? text : (search(text) ?? '')
}
