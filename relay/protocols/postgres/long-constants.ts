// Long constants of a simple query, read as parameters: what clients write into the text instead of binding it. Pure.
import { isUtf8 } from 'node:buffer'
import { readTokens, type Token } from './analysis/lexer.ts'
import type { Analysis } from './analysis/read.ts'
import type { BoundValue } from './questions.ts'

/** Constants from this size on are taken out. */
const LONG_CONSTANT_BYTES = 1024
const TEXT_FORMAT = 0
const QUOTE = 0x27
const BACKSLASH = 0x5c

/** A text in which parameters stand for its long constants, and their values. */
export interface ShortenedQuery {
  readonly text: string
  readonly parameters: readonly BoundValue[]
}

/**
 * Puts parameters in the place of long constants, so that the rest can be analysed: of a parameter nothing is taken for granted,
 * and where the grammar wants a constant there is a syntax error. Undefined when the rest has more than `maximumBytes`, when
 * the text is no UTF-8, has parameters itself or does not end, or when a constant is written in another form than clients' libraries do
 * (`''`, and `E''` with backslashes that stand for themselves: PQescapeLiteral of libpq).
 */
export function shorten(bytes: Buffer, maximumBytes: number): ShortenedQuery | undefined {
  if (!isUtf8(bytes)) return undefined
  const { tokens, unterminated } = readTokens(bytes, { longBytes: LONG_CONSTANT_BYTES, maximumBytes })
  if (unterminated !== undefined) return undefined
  const pieces: Buffer[] = []
  const parameters: BoundValue[] = []
  let from = 0
  for (const token of tokens) {
    const { kind, start, end } = token
    if (kind === 'parameter') return undefined
    if (kind !== 'string' || end - start < LONG_CONSTANT_BYTES) continue
    const value = contentOf(bytes, token)
    if (value === undefined) return undefined
    parameters.push({ format: TEXT_FORMAT, value })
    pieces.push(bytes.subarray(from, start), Buffer.from(` $${parameters.length} `))
    from = end
  }
  pieces.push(bytes.subarray(from))
  const shortened = Buffer.concat(pieces)
  return shortened.length > maximumBytes ? undefined : { text: shortened.toString('utf8'), parameters }
}

/** Undefined where a quote or a backslash stands for anything else than itself: also between the parts of a continued constant. */
function contentOf(bytes: Buffer, { form, start, end }: Token): Buffer | undefined {
  if (form !== '' && form !== 'e') return undefined
  const last = end - 1
  if (form === '' && bytes.indexOf(QUOTE, start + 1) === last) return bytes.subarray(start + 1, last)
  const value = Buffer.allocUnsafe(end - start)
  let length = 0
  for (let at = start + (form === 'e' ? 2 : 1); at < last; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE || (byte === BACKSLASH && form === 'e')) {
      at += 1
      if (at >= last || bytes[at] !== byte) return undefined
    }
    value[length] = byte
    length += 1
  }
  return value.subarray(0, length)
}

const holders: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])

/** Whether it is one statement in which a parameter stands for a value, as in one that is bound. */
export function holdsValues(analysis: Analysis): boolean {
  if (!('statements' in analysis)) return false
  const [only, second] = analysis.statements
  return only !== undefined && second === undefined && holders.has(only.node) && only.naming === undefined
}
