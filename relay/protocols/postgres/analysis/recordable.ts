// A statement's text → what may be written down of it: as it is, or with constants replaced, for the room to choose by what is masked. Pure.
import type { Span } from '../../../mask/detectors/bytes.ts'
import { placeholderOf } from '../../../mask/placeholder.ts'
import { findRecorded } from '../../../mask/recorded.ts'
import { constantValue } from './constants.ts'
import { readTokens, type Token } from './lexer.ts'
import type { Meeting, Meetings } from './meeting.ts'
import { joined, MAX_CHOICES, merge, type Piece, pieces, type Replacement, trimmed } from './pieces.ts'

/** Of longer statements the beginning is prepared; no more of one is recorded. */
export const PREPARED_BYTES = 40 * 1024
/** Texts in texts: the body of a function in DO, a comment in that. Deeper ones are replaced whole. */
const MAX_DEPTH = 3

export interface Recordable {
  /** The text where nothing masked is in reach; undefined when it is the statement's own. */
  readonly clear: string | undefined
  /** The text where something masked is in reach. */
  readonly pieces: readonly Piece[]
  /** The statement is longer than what was prepared. */
  readonly isCut: boolean
  /** What parameters meet, $1 first; undefined where that is not known. */
  readonly parameters: readonly (readonly Meeting[] | undefined)[]
  readonly introduced: ReadonlySet<string>
  readonly together: readonly (readonly string[])[]
}

/** Of texts that hold no constant. */
export const plainText: Recordable = {
  clear: undefined,
  pieces: [],
  isCut: false,
  parameters: [],
  introduced: new Set(),
  together: [],
}

/** What of a statement has to vanish whatever is masked. */
export interface Surrounding {
  /** Every constant: it is about passwords, or a function of keys or connections is called. */
  readonly hidesAll: boolean
  /** Its dollar-quoted constant is a program in SQL or PL/pgSQL. */
  readonly hasBody: boolean
}

const decoder = new TextDecoder('utf-8')

/** Prepares the statement that stands at `start` in a text whose constants meet `meetings`. */
export function recordableOf(
  text: Uint8Array,
  start: number,
  length: number,
  meetings: Meetings,
  surrounding: Surrounding,
  key: Uint8Array,
): Recordable {
  const isCut = length > PREPARED_BYTES
  const bytes = text.subarray(start, start + Math.min(length, PREPARED_BYTES))
  const own = new Map([...meetings.constants].map(([place, meeting]) => [place - start, meeting]))
  const composer = new Composer(bytes, key, { ...surrounding, meetings: own, depth: 0 })
  // The parser read it, so the lexer must; where it does not, nothing it says can be relied on.
  if (!composer.isWhole && !isCut) return hidden(bytes, key)
  const { always, all } = composer.replacements()
  const isOwn = !isCut && always.length === 0 && !surrounding.hidesAll
  const clear = (): Piece[] => (surrounding.hidesAll ? pieces(bytes, all, always, key) : pieces(bytes, always, [], key))
  const last = Math.max(0, ...meetings.parameters.keys())
  return {
    clear: isOwn ? undefined : joined(clear(), key).trim(),
    pieces: trimmed(pieces(bytes, all, always, key)),
    isCut,
    parameters: Array.from({ length: Math.min(last, MAX_CHOICES) }, (_, index) => meetings.parameters.get(index + 1)),
    introduced: meetings.introduced,
    together: meetings.together,
  }
}

function hidden(bytes: Uint8Array, key: Uint8Array): Recordable {
  const placeholder = placeholderOf(key, bytes)
  return { ...plainText, clear: placeholder, pieces: [placeholder] }
}

/**
 * A text that cannot be parsed, with every constant replaced; undefined when it has no whole constants and comments either.
 * Of a text that is `cut`, the last one need not be whole.
 */
export function hideConstants(text: Uint8Array, key: Uint8Array, cut = false): string | undefined {
  const bytes = text.subarray(0, PREPARED_BYTES)
  const composer = new Composer(bytes, key, { hidesAll: true, hasBody: false, meetings: new Map(), depth: 0 })
  if (!composer.isWhole && !cut && text.length <= PREPARED_BYTES) return undefined
  // 'O'Brien': what stands right behind a constant was meant to be part of it.
  if (composer.hasNeighbours) return undefined
  const { all, always } = composer.replacements()
  return joined(pieces(bytes, all, always, key), key).trim()
}

function replaced(bytes: Uint8Array, { start, end }: Span, key: Uint8Array): Replacement {
  return { start, end, by: { placeholder: placeholderOf(key, bytes.subarray(start, end)) }, meeting: undefined }
}

class Composer {
  readonly #bytes: Uint8Array
  readonly #key: Uint8Array
  readonly #how: Surrounding & { readonly meetings: ReadonlyMap<number, Meeting>; readonly depth: number }
  readonly #tokens: readonly Token[]
  readonly isWhole: boolean

  constructor(
    bytes: Uint8Array,
    key: Uint8Array,
    how: Surrounding & { readonly meetings: ReadonlyMap<number, Meeting>; readonly depth: number },
  ) {
    this.#bytes = bytes
    this.#key = key
    this.#how = how
    const { tokens, unterminated } = readTokens(bytes)
    this.#tokens = tokens
    this.isWhole = unterminated === undefined
  }

  get hasNeighbours(): boolean {
    return this.#tokens.some((token, index) => {
      const before = this.#tokens[index - 1]
      return isText(before) && before?.end === token.start && token.kind !== 'comment'
    })
  }

  /** What is replaced always, and what is where something masked is in reach; each in order, without overlaps. */
  replacements(): { always: Replacement[]; all: Replacement[] } {
    const always: Replacement[] = []
    const all: Replacement[] = []
    for (const [index, token] of this.#tokens.entries()) {
      if (token.kind === 'comment') this.#comment(token, all)
      else if (token.kind === 'string' || token.kind === 'bits' || token.kind === 'number')
        this.#constant(token, index, always, all)
    }
    const found = findRecorded(this.#bytes) ?? []
    const outside = found.map(span => replaced(this.#bytes, span, this.#key))
    return { always: merge(always, outside), all: merge(all, outside) }
  }

  #constant(token: Token, index: number, always: Replacement[], all: Replacement[]): void {
    const signed = this.#bytes[token.start - 1] === 0x2d && this.#how.meetings.has(token.start - 1)
    const start = signed ? token.start - 1 : token.start
    const meeting = this.#how.meetings.get(start)
    const value = this.#value(token, index)
    const by = { value: signed ? `-${value}` : value }
    const whole: Replacement = { start, end: token.end, by, meeting }
    const body = this.#how.hasBody && token.form === '$' && this.#how.depth < MAX_DEPTH
    if (body) {
      const inner = this.#inner(token, value)
      all.push({ ...whole, by: inner === undefined ? by : { placeholder: inner.all }, meeting: undefined })
      if (inner?.always !== undefined) always.push({ ...whole, by: { placeholder: inner.always } })
      else if (inner === undefined) always.push(whole)
      return
    }
    if (meeting !== 'nothing') all.push(whole)
    if (this.#isSecret(token, index, value)) always.push({ ...whole, meeting: undefined })
  }

  #value(token: Token, index: number): string {
    const word = token.form === 'u' ? this.#tokens[index + 1] : undefined
    const mark =
      word?.kind === 'word' && this.#text(word).toLowerCase() === 'uescape' ? this.#tokens[index + 2] : undefined
    return constantValue(this.#bytes, token, mark === undefined ? '\\' : constantValue(this.#bytes, mark) || '\\')
  }

  #text({ start, end }: Span): string {
    return decoder.decode(this.#bytes.subarray(start, end))
  }

  /** A program in a constant: its own constants are replaced. Undefined when it cannot be read. */
  #inner(token: Token, value: string): { all: string; always: string | undefined } | undefined {
    const bytes = Buffer.from(value, 'utf8')
    const how = { hidesAll: false, hasBody: true, meetings: new Map<number, Meeting>(), depth: this.#how.depth + 1 }
    const composer = new Composer(bytes, this.#key, how)
    if (!composer.isWhole) return undefined
    const { always, all } = composer.replacements()
    const source = this.#text(token)
    const delimiter = source.slice(0, source.indexOf('$', 1) + 1)
    const quoted = (text: string): string => `${delimiter}${text}${delimiter}`
    return {
      all: quoted(joined(pieces(bytes, all, always, this.#key), this.#key)),
      always: always.length === 0 ? undefined : quoted(joined(pieces(bytes, always, [], this.#key), this.#key)),
    }
  }

  /** Comments can hold what was a part of the statement before. */
  #comment(token: Token, all: Replacement[]): void {
    const isLine = this.#bytes[token.start] === 0x2d
    const start = token.start + 2
    const end = isLine || token.end - 2 < start ? token.end : token.end - 2
    const bytes = this.#bytes.subarray(start, end)
    const composer = new Composer(bytes, this.#key, {
      hidesAll: false,
      hasBody: false,
      meetings: new Map(),
      depth: MAX_DEPTH,
    })
    if (this.#how.depth >= MAX_DEPTH || !composer.isWhole) {
      all.push(replaced(this.#bytes, { start, end }, this.#key))
      return
    }
    for (const inner of composer.replacements().all)
      all.push({ ...inner, start: inner.start + start, end: inner.end + start })
  }

  #isSecret(token: Token, index: number, value: string): boolean {
    if (isSecretWord(this.#wordBefore(index))) return true
    if (token.kind === 'string' && holdsSecret(value)) return true
    const source = this.#text(token)
    const hidden = source.includes(value) ? undefined : findRecorded(Buffer.from(value, 'utf8'))
    if (hidden !== undefined) return true
    const hex = /^\\?x((?:[0-9a-f]{2})+)$/i.exec(value)?.[1]
    return hex !== undefined && findRecorded(Buffer.from(hex, 'hex')) !== undefined
  }

  #wordBefore(index: number): string {
    for (let at = index - 1; at >= 0; at -= 1) {
      const token = this.#tokens[at]
      if (token?.kind === 'comment') continue
      return token?.kind === 'word' || token?.kind === 'name' ? this.#text(token) : ''
    }
    return ''
  }
}

function isText(token: Token | undefined): boolean {
  return token?.kind === 'string' || token?.kind === 'bits'
}

/** PASSWORD '…', OPTIONS (password '…'), password = '…' */
function isSecretWord(word: string): boolean {
  return /^"?(?:\w*_)?(?:password|passwd|passphrase|sslpassword|secret|api_?key|access_?key|private_?key)"?$/i.test(
    word,
  )
}

/** Connection strings, URLs with a password, and commands in constants that set one. */
function holdsSecret(value: string): boolean {
  if (/(?:password|passwd|pwd|secret)["']?\s{0,9}[=:]/i.test(value)) return true
  if (/\bpassword\s{1,9}'/i.test(value)) return true
  return /:\/\/[^\s/@:]{0,256}:[^\s@/]{1,256}@/.test(value)
}
