// A constant of SQL text → the value that it stands for: escapes undone, the parts of a continued string joined. Pure.
import { canonicalNumber } from '../../../mask/placeholder.ts'
import type { Token } from './lexer.ts'

const utf8 = new TextDecoder('utf-8')

/** The value of a constant as text; of a string the characters that it stands for, of a number its shortest form. */
export function constantValue(bytes: Uint8Array, token: Token, unicodeEscape = '\\'): string {
  const source = utf8.decode(bytes.subarray(token.start, token.end))
  if (token.kind === 'number') return canonicalNumber(source)
  if (token.form === '$') {
    const delimiter = source.indexOf('$', 1) + 1
    return source.slice(delimiter, Math.max(delimiter, source.length - delimiter))
  }
  const inner = innerOf(source)
  if (token.kind === 'bits') return token.form === 'x' ? `x${inner.toLowerCase()}` : inner
  if (token.form === 'e') return undoBackslashes(inner)
  return token.form === 'u' ? undoUnicode(inner, unicodeEscape) : inner
}

/** What stands between the quotes, with the parts of a continued string joined and doubled quotes made one. */
function innerOf(source: string): string {
  const escapes = /^[eE]/.test(source)
  const pieces: string[] = []
  let at = source.indexOf("'") + 1
  let from = at
  while (at < source.length) {
    const character = source[at]
    if (escapes && character === '\\') at += 2
    else if (character !== "'") at += 1
    else if (source[at + 1] === "'") {
      pieces.push(source.slice(from, at + 1))
      at += 2
      from = at
    } else {
      pieces.push(source.slice(from, at))
      from = continued(source, at + 1)
      at = from
    }
  }
  if (from < source.length) pieces.push(source.slice(from))
  return pieces.join('')
}

/** Past the quote that opens the next part of a string, behind blanks and comments, which may hold quotes themselves. */
function continued(source: string, from: number): number {
  let at = from
  while (at < source.length && source[at] !== "'") {
    if (!source.startsWith('--', at)) at += 1
    else while (at < source.length && source[at] !== '\n' && source[at] !== '\r') at += 1
  }
  return at + 1
}

const simpleEscapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

/** Backslash escapes of E''. Octal and \x ones are bytes, which together are UTF-8. */
function undoBackslashes(inner: string): string {
  const bytes = inner.replace(
    /\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))|[^\\]+/gsu,
    (whole, u4?: string, u8?: string, hex?: string, octal?: string, other?: string) => {
      if (u4 !== undefined || u8 !== undefined) return `\0{${u4 ?? u8}}`
      if (hex !== undefined) return byteText(Number.parseInt(hex, 16))
      if (octal !== undefined) return byteText(Number.parseInt(octal, 8) & 0xff)
      if (other !== undefined) return Buffer.from(simpleEscapes[other] ?? other, 'utf8').toString('latin1')
      return Buffer.from(whole, 'utf8').toString('latin1')
    },
  )
  // Surrogates come in two escapes, so they are undone last, all at once.
  return Buffer.from(bytes, 'latin1')
    .toString('utf8')
    .replace(/(?:\0\{[0-9a-fA-F]+\})+/g, run => fromCodes(run.matchAll(/[0-9a-fA-F]{4,8}/g)))
}

const byteText = (byte: number): string => String.fromCharCode(byte)

function fromCodes(codes: Iterable<RegExpMatchArray>): string {
  return [...codes]
    .map(([digits]) => {
      const code = Number.parseInt(digits, 16)
      if (code > 0x10ffff) return '\ufffd'
      return code > 0xffff ? String.fromCodePoint(code) : String.fromCharCode(code)
    })
    .join('')
}

function undoUnicode(inner: string, mark: string): string {
  const one = `\\u{${(mark.codePointAt(0) ?? 0x5c).toString(16)}}`
  return inner
    .replace(new RegExp(`${one}${one}`, 'gu'), '\0')
    .replace(new RegExp(`(?:${one}(?:[0-9a-fA-F]{4}|\\+[0-9a-fA-F]{6}))+`, 'gu'), run =>
      fromCodes(run.matchAll(/[0-9a-fA-F]{6}|[0-9a-fA-F]{4}/g)),
    )
    .replaceAll('\0', mark)
}
