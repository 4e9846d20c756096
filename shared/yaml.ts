// Configuration files: YAML in, checked values out, and every mistake with its file, line and column.
import { type Document, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import type * as z from 'zod'
import { GateError } from './errors.ts'

/** Larger files are a mistake; a policy of 1,000 rules has about 200 kB. */
const MAX_FILE_BYTES = 4 * 1024 * 1024

export interface Located {
  /** `file:line:column` of a value, by its path in the document. */
  locate(path: readonly PropertyKey[]): string
}

/**
 * Parses and checks a YAML 1.2 text. Keys that stand twice or are no plain values, merge keys and more than 100 aliases are errors.
 * @throws {GateError} ERR_GATE_CONFIG naming every mistake as `file:line:column: path: what`.
 */
export function parseYaml<T>(file: string, text: string, schema: z.ZodType<T>): { value: T } & Located {
  if (Buffer.byteLength(text) > MAX_FILE_BYTES) {
    throw new GateError('ERR_GATE_CONFIG', `${file}:1:1: larger than ${MAX_FILE_BYTES} bytes`)
  }
  const lines = new LineCounter()
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset)
    return `${file}:${line}:${col}`
  }
  const { document, faults } = read(file, text, lines)
  if (faults.length > 0) throw configError(faults.map(([offset, what]) => `${at(offset)}: ${what}`))
  const locate = (path: readonly PropertyKey[]): string => {
    for (let depth = path.length; depth > 0; depth -= 1) {
      const node = document.getIn(path.slice(0, depth), true)
      if (isNode(node)) return at(startOf(node))
    }
    return `${file}:1:1`
  }
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${file}:1:1: too many aliases`, { cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return { value: parsed.data, locate }
  throw configError(
    flatten(parsed.error.issues).map(
      issue => `${locate(issue.path)}: ${issue.path.map(String).join('.') || 'document'}: ${issue.message}`,
    ),
  )
}

type Fault = [offset: number, what: string]

function read(file: string, text: string, lineCounter: LineCounter): { document: Document; faults: Fault[] } {
  try {
    const document = parseDocument(text, { lineCounter, uniqueKeys: isSameKey, merge: false, prettyErrors: false })
    const faults = [...document.errors, ...document.warnings].map((fault): Fault => [fault.pos[0], fault.message])
    return { document, faults: faults.length > 0 ? faults : ownFaults(document) }
  } catch (cause) {
    // The parser recurses: what is nested thousands of levels deep ends its stack.
    throw new GateError('ERR_GATE_CONFIG', `${file}:1:1: cannot be parsed`, { cause })
  }
}

/** Keys become names: `1` and `"1"` are one. */
function isSameKey(a: unknown, b: unknown): boolean {
  return isScalar(a) && isScalar(b) && String(a.value ?? '') === String(b.value ?? '')
}

/** What YAML allows and a configuration does not. */
function ownFaults(document: Document): Fault[] {
  const faults: Fault[] = []
  // In YAML 1.1 `no` is false and `<<` merges.
  if (document.directives?.yaml.version === '1.1') faults.push([0, 'YAML 1.1 is not spoken here'])
  visit(document, {
    Pair: (_, { key }) => {
      if (!isScalar(key)) faults.push([startOf(key), 'a key is a single value'])
      // Checks of foreign keys leave it out, and a condition would be lost without a word.
      else if (key.value === '__proto__') faults.push([startOf(key), '__proto__ is no key'])
    },
    Alias: (_, alias) => {
      if (alias.resolve(document) === undefined) faults.push([startOf(alias), `nothing is named &${alias.source}`])
    },
  })
  return faults
}

function startOf(node: unknown): number {
  const range = typeof node === 'object' && node !== null && 'range' in node ? node.range : undefined
  return Array.isArray(range) ? Number(range[0]) : 0
}

type Issue = z.core.$ZodIssue

/** Of a union, the alternative that got furthest says best what is wrong. */
function flatten(issues: readonly Issue[]): Issue[] {
  return issues.flatMap(issue => {
    if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue]
    const deepest = [...issue.errors].sort((a, b) => depth(b) - depth(a))[0] ?? []
    return flatten(deepest.map(inner => ({ ...inner, path: [...issue.path, ...inner.path] }) as Issue))
  })
}

function depth(issues: readonly Issue[]): number {
  return Math.max(0, ...issues.map(issue => issue.path.length))
}

/** Each mistake is one line, whatever the keys and values that it quotes. */
export function configError(mistakes: readonly string[]): GateError {
  return new GateError('ERR_GATE_CONFIG', mistakes.map(oneLine).join('\n'))
}

/** Control characters as JavaScript writes them: those of a terminal could show something else. */
function oneLine(mistake: string): string {
  return mistake.replace(/[\p{Cc}\u2028\u2029]/gu, character => {
    const code = character.charCodeAt(0).toString(16).padStart(4, '0')
    return character === '\n' ? '\\n' : `\\u${code}`
  })
}
