// SQL text → its constants, comments and names, by the rules of PostgreSQL's own lexer. Pure; time is linear in the text.

/** @see src/backend/parser/scan.l, whose rule names stand beside what follows them here. */
export interface Token {
  readonly kind: 'string' | 'bits' | 'number' | 'comment' | 'name' | 'word' | 'parameter'
  /** Places in bytes; the prefix and all parts of a continued string are part of it. */
  readonly start: number
  readonly end: number
  /** Of a string: `''`, `E''`, `U&''` or `$$`; of bits: `b` or `x`. */
  readonly form: '' | 'e' | 'u' | '$' | 'b' | 'x'
}

export interface Tokens {
  readonly tokens: readonly Token[]
  /** Where a constant, comment or name begins that does not end; undefined when the text is whole. */
  readonly unterminated: number | undefined
}

const QUOTE = 0x27
const DOUBLE_QUOTE = 0x22
const BACKSLASH = 0x5c
const DOLLAR = 0x24
const DASH = 0x2d
const STAR = 0x2a
const SLASH = 0x2f
const DOT = 0x2e
const AMPERSAND = 0x26
const UNDERSCORE = 0x5f
const NEWLINE = 0x0a
const RETURN = 0x0d

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
/** ident_start: letters, bytes of other scripts, the underscore. */
const isStart = (byte: number): boolean =>
  (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || byte >= 0x80 || byte === UNDERSCORE
const isContinued = (byte: number): boolean => isStart(byte) || isDigit(byte) || byte === DOLLAR
/** space: `[ \t\n\r\f\v]` */
const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
const isNewline = (byte: number): boolean => byte === NEWLINE || byte === RETURN
const lower = (byte: number): number => byte | 0x20

/** Ends the reading where the text without its long constants is longer than this. */
export interface Limit {
  /** Constants from this size on are long. */
  readonly longBytes: number
  readonly maximumBytes: number
}

const unlimited: Limit = { longBytes: Number.POSITIVE_INFINITY, maximumBytes: Number.POSITIVE_INFINITY }

/**
 * Reads all tokens of a text. What is none of them (operators, punctuation) is left out. Beyond a limit the text counts as unterminated.
 * `plain` says how `''` is read: `escaped` where standard_conforming_strings is off.
 */
export function readTokens(bytes: Uint8Array, limit: Limit = unlimited, plain: Plain = 'doubled'): Tokens {
  return new Lexer(bytes, plain).run(limit)
}

/** What does not close: a doubled quote; that and one behind a backslash (E''); neither (bits). */
type Inside = 'doubled' | 'escaped' | 'bare'
type Plain = Exclude<Inside, 'bare'>

class Lexer {
  readonly #bytes: Uint8Array
  readonly #plain: Plain
  readonly #tokens: Token[] = []
  #at = 0
  #unterminated: number | undefined

  constructor(bytes: Uint8Array, plain: Plain) {
    this.#bytes = bytes
    this.#plain = plain
  }

  #byte(at: number): number {
    return this.#bytes[at] ?? 0
  }

  run({ longBytes, maximumBytes }: Limit): Tokens {
    let short = 0
    while (this.#at < this.#bytes.length && this.#unterminated === undefined) {
      const from = this.#at
      this.#next()
      if (this.#at - from < longBytes) short += this.#at - from
      if (short > maximumBytes) this.#unterminated ??= from
    }
    return { tokens: this.#tokens, unterminated: this.#unterminated }
  }

  #push(kind: Token['kind'], start: number, end: number | undefined, form: Token['form'] = ''): void {
    this.#tokens.push({ kind, start, end: end ?? this.#bytes.length, form })
    if (end === undefined) this.#unterminated = start
    this.#at = end ?? this.#bytes.length
  }

  #next(): void {
    const start = this.#at
    const byte = this.#byte(start)
    const after = this.#byte(start + 1)
    if (byte === QUOTE) this.#push('string', start, this.#quoted(start, this.#plain))
    else if (byte === DOUBLE_QUOTE) this.#push('name', start, this.#closing(start + 1, DOUBLE_QUOTE, 'doubled'))
    else if (byte === DASH && after === DASH) this.#push('comment', start, this.#lineEnd(start))
    else if (byte === SLASH && after === STAR) this.#push('comment', start, this.#commentEnd(start))
    else if (byte === DOLLAR) this.#dollar(start)
    else if (isDigit(byte) || (byte === DOT && isDigit(after))) this.#push('number', start, this.#numberEnd(start))
    else if (isStart(byte)) this.#word(start, lower(byte), after)
    // dot_dot: what follows it is no fraction.
    else if (byte === DOT && after === DOT) this.#at += 2
    else this.#at += 1
  }

  /** xbstart, xhstart, xestart, xusstart, xuistart; otherwise an identifier. N'…' is the word N and a string, as there. */
  #word(start: number, first: number, after: number): void {
    const third = this.#byte(start + 2)
    if (after === QUOTE && first === 0x65) this.#push('string', start, this.#quoted(start + 1, 'escaped'), 'e')
    else if (after === QUOTE && first === 0x62) this.#push('bits', start, this.#quoted(start + 1, 'bare'), 'b')
    else if (after === QUOTE && first === 0x78) this.#push('bits', start, this.#quoted(start + 1, 'bare'), 'x')
    else if (first === 0x75 && after === AMPERSAND && third === QUOTE)
      this.#push('string', start, this.#quoted(start + 2, 'doubled'), 'u')
    else if (first === 0x75 && after === AMPERSAND && third === DOUBLE_QUOTE)
      this.#push('name', start, this.#closing(start + 3, DOUBLE_QUOTE, 'doubled'), 'u')
    else {
      let end = start + 1
      while (isContinued(this.#byte(end)) && end < this.#bytes.length) end += 1
      this.#push('word', start, end)
    }
  }

  /** The end of a string whose first quote is at `open`, with everything that continues it on later lines (quotecontinue). */
  #quoted(open: number, inside: Inside): number | undefined {
    let end = this.#closing(open + 1, QUOTE, inside)
    for (;;) {
      const next: number | undefined = end === undefined ? undefined : this.#continuation(end)
      if (next === undefined) return end
      end = this.#closing(next + 1, QUOTE, inside)
    }
  }

  /** Past the closing quote. */
  #closing(from: number, quote: number, inside: Inside): number | undefined {
    for (let at = from; at < this.#bytes.length; at += 1) {
      const byte = this.#bytes[at]
      if (inside === 'escaped' && byte === BACKSLASH) at += 1
      else if (byte === quote) {
        if (inside === 'bare' || this.#byte(at + 1) !== quote || at + 1 >= this.#bytes.length) return at + 1
        at += 1
      }
    }
    return undefined
  }

  /** The quote that continues a string: there is at least one newline before it, and else only blanks and `--` comments. */
  #continuation(end: number): number | undefined {
    let at = end
    let newline = false
    while (at < this.#bytes.length) {
      const byte = this.#byte(at)
      if (isSpace(byte)) {
        newline ||= isNewline(byte)
        at += 1
      } else if (byte === DASH && this.#byte(at + 1) === DASH) at = this.#lineEnd(at)
      else return byte === QUOTE && newline ? at : undefined
    }
    return undefined
  }

  #lineEnd(start: number): number {
    let end = start
    while (end < this.#bytes.length && !isNewline(this.#byte(end))) end += 1
    return end
  }

  /** Block comments nest. */
  #commentEnd(start: number): number | undefined {
    let depth = 0
    for (let at = start; at < this.#bytes.length; at += 1) {
      const byte = this.#bytes[at]
      const after = this.#byte(at + 1)
      if (byte === SLASH && after === STAR) {
        depth += 1
        at += 1
      } else if (byte === STAR && after === SLASH) {
        depth -= 1
        at += 1
        if (depth === 0) return at + 1
      }
    }
    return undefined
  }

  /** `$1` (param), `$tag$…$tag$` (dolqdelim), or a lone dollar. */
  #dollar(start: number): void {
    let end = start + 1
    if (isDigit(this.#byte(end))) {
      while (isDigit(this.#byte(end))) end += 1
      this.#push('parameter', start, end)
      return
    }
    if (isStart(this.#byte(end))) while (isStart(this.#byte(end)) || isDigit(this.#byte(end))) end += 1
    if (this.#byte(end) !== DOLLAR) {
      this.#at += 1
      return
    }
    const delimiter = this.#bytes.subarray(start, end + 1)
    const close = Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length).indexOf(
      delimiter,
      end + 1,
    )
    this.#push('string', start, close === -1 ? undefined : close + delimiter.length, '$')
  }

  /** decinteger, hexinteger, octinteger, bininteger, numeric, real, with underscores; letters after them belong to it (junk). */
  #numberEnd(start: number): number {
    let at = start
    const digits = (isOne: (byte: number) => boolean): void => {
      while (isOne(this.#byte(at)) || (this.#byte(at) === UNDERSCORE && isOne(this.#byte(at + 1)))) at += 1
    }
    const base = this.#byte(start) === 0x30 ? lower(this.#byte(start + 1)) : 0
    if (base === 0x78 || base === 0x6f || base === 0x62) {
      at += 2
      digits(byte => isDigit(byte) || (lower(byte) >= 0x61 && lower(byte) <= 0x66))
    } else {
      digits(isDigit)
      // `1..10` is two numbers and an operator of PL/pgSQL (numericfail).
      if (this.#byte(at) === DOT && this.#byte(at + 1) !== DOT) {
        at += 1
        digits(isDigit)
      }
      const sign = this.#byte(at + 1) === 0x2b || this.#byte(at + 1) === DASH ? 1 : 0
      if (lower(this.#byte(at)) === 0x65 && isDigit(this.#byte(at + 1 + sign))) {
        at += 1 + sign
        digits(isDigit)
      }
    }
    while (isContinued(this.#byte(at)) && this.#byte(at) !== DOLLAR) at += 1
    return at
  }
}
