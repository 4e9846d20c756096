// JSON that all parsers read in one way, and what they differ in. Pure.
import { GateError } from '@gate/shared/errors'
import { someInside } from './inside.ts'

const MAX_DEPTH = 64

/** Whether no number lost digits: parsers differ in what they make of such. */
export function isExact(document: unknown): boolean {
  if (typeof document === 'number') return Math.abs(document) <= Number.MAX_SAFE_INTEGER
  if (typeof document !== 'object' || document === null) return true
  return !someInside(document, each => !isExact(each))
}

/** Whether an object has two names that differ in case alone: some parsers take them for one. */
export function hasTwins(document: unknown): boolean {
  if (typeof document !== 'object' || document === null) return false
  if (Array.isArray(document)) return document.some(hasTwins)
  const names = new Set<string>()
  for (const name in document) {
    const plain = name.toUpperCase().toLowerCase()
    if (names.has(plain) || hasTwins((document as Readonly<Record<string, unknown>>)[name])) return true
    names.add(plain)
  }
  return false
}

/** Undefined when it is no JSON. @throws {GateError} ERR_GATE_PROTOCOL for what parsers read in different ways. */
export function readJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch {
    return undefined
  }
  checkNames(text)
  return value
}

/**
 * Looks at a document: of a name that stands twice in one object some parsers take the first value, others the last.
 * @throws {GateError} ERR_GATE_PROTOCOL for that, and for one that is nested too deep.
 */
export function checkNames(text: string): void {
  const open: (Set<string> | undefined)[] = []
  let isName = false
  for (let at = 0; at < text.length; ) {
    const sign = text[at] ?? ''
    if (sign === '{' || sign === '[') open.push(sign === '{' ? new Set() : undefined)
    else if (sign === '}' || sign === ']') open.pop()
    if (open.length > MAX_DEPTH)
      throw new GateError('ERR_GATE_PROTOCOL', `a body nested deeper than ${MAX_DEPTH} levels`)
    if (sign !== '"') {
      if (sign === '{' || sign === ',') isName = true
      at += 1
      continue
    }
    const found = text.slice(at, endOfString(text, at))
    at += found.length
    const names = open.at(-1)
    if (!isName || names === undefined) continue
    isName = false
    const name = JSON.parse(found) as string
    if (names.has(name)) throw new GateError('ERR_GATE_PROTOCOL', 'an object in the body has two members of one name')
    names.add(name)
  }
}

/** Behind the closing quote of the string that begins at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  return end + 1
}
