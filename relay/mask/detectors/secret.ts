// Values after tell-tale names (`password=`, `token:`, `"secret": "…"`) and passwords in URLs. Pure.
import {
  type Bytes,
  byteAt,
  characterTable,
  code,
  type Detector,
  isAlphanumeric,
  isBlank,
  isIn,
  isQuote,
  type Span,
  startsAt,
  textOf,
} from './bytes.ts'
import { looksSecret } from './secret-value.ts'

const NAME_BYTES = 48
const BLANKS = 4
/** How much of a value is looked at; all of it is taken. */
const JUDGED_BYTES = 256
const USERINFO_BYTES = 256

const BACKSLASH = code('\\')
const DOUBLE_QUOTE = code('"')
const EQUALS = code('=')
const COLON = code(':')
const GREATER = code('>')

const endings =
  /(?:passw(?:or)?d|passwort|kennwort|passphrase|pwd|secret|token|apikey|accesskey|secretkey|privatekey|authkey|accountkey|signingkey|encryptionkey|masterkey|sharedkey|sharedaccesskey|secretaccesskey|credentials?|authorization|senha|contrasena|motdepasse|clientsecret|webhooksecret)$/
const shortName = /(?:^|[^A-Za-z])[Pp]ass$|[a-z]Pass$|PASS$/

/** The last two letters of all these names: most texts before a colon are given up by them. */
const lastPairs = new Set(
  [...'rd wd rt se et en ey al ls on ha na ss'.split(' ')].map(pair => (code(pair) << 8) | pair.charCodeAt(1)),
)

/** The name that ends before `at`, quotes and blanks left out; empty when there is none. */
function nameBefore(bytes: Bytes, at: number): string {
  let end = at
  while (at - end < BLANKS && isBlank(byteAt(bytes, end - 1))) end -= 1
  if (isQuote(byteAt(bytes, end - 1))) end -= byteAt(bytes, end - 2) === BACKSLASH ? 2 : 1
  if (!lastPairs.has(((byteAt(bytes, end - 2) | 0x20) << 8) | byteAt(bytes, end - 1) | 0x20)) return ''
  let start = end
  while (end - start < NAME_BYTES) {
    const byte = byteAt(bytes, start - 1)
    if (!isAlphanumeric(byte) && byte !== 0x5f && byte !== 0x2d && byte !== 0x2e) break
    start -= 1
  }
  return textOf(bytes, start, end)
}

function isTellTale(name: string): boolean {
  if (name.length < 3) return false
  return endings.test(name.toLowerCase().replace(/[-_.]/g, '')) || shortName.test(name)
}

/** Where the value begins after `=`, `:`, `=>`, `:=` or `<name>`, and the quote it stands in, 0 for none. */
function valueStart(bytes: Bytes, operator: number): { start: number; quote: number } {
  let start = operator + 1
  const next = byteAt(bytes, start)
  const first = byteAt(bytes, operator)
  if ((first === EQUALS && next === GREATER) || (first === COLON && next === EQUALS)) start += 1
  const limit = start + BLANKS
  while (start < limit && isBlank(byteAt(bytes, start))) start += 1
  const escaped = byteAt(bytes, start) === BACKSLASH && isQuote(byteAt(bytes, start + 1))
  const quote = byteAt(bytes, escaped ? start + 1 : start)
  return isQuote(quote) ? { start: start + (escaped ? 2 : 1), quote } : { start, quote: 0 }
}

/** `Authorization: Bearer …`: the scheme says how, not what. */
function schemeEnd(bytes: Bytes, start: number): number {
  const scheme = /^(?:bearer|basic|token|apikey|digest) +/i.exec(textOf(bytes, start, start + 12))?.[0]
  return start + (scheme?.length ?? 0)
}

const afterBare = characterTable(' \t\r\n,;&<>()[]{}|\\')

/** What follows a string in JSON: then the quote before it was its end and not the beginning of a value. */
const afterString = characterTable(',:}] \t\r\n')

/**
 * Whether the value is over at `at`. A backslash before a quote ends a value in escaped quotes, and a double quote ends
 * whatever it stands in, since in JSON nothing may go beyond the string.
 */
function ends(bytes: Bytes, at: number, quote: number): boolean {
  const byte = byteAt(bytes, at)
  if (at >= bytes.length || byte === 0) return true
  if (quote === 0) return isIn(afterBare, byte) || isQuote(byte)
  if (byte === quote || byte === DOUBLE_QUOTE || byte === 0x0a) return true
  return byte === BACKSLASH && byteAt(bytes, at + 1) === quote
}

function named(bytes: Bytes, at: number): Span | undefined {
  if (!isTellTale(nameBefore(bytes, at))) return undefined
  const { start: begun, quote } = valueStart(bytes, at)
  if (quote === DOUBLE_QUOTE && (begun >= bytes.length || isIn(afterString, byteAt(bytes, begun)))) return undefined
  const start = schemeEnd(bytes, begun)
  let end = start
  while (end - start < JUDGED_BYTES && !ends(bytes, end, quote)) end += 1
  if (!looksSecret(textOf(bytes, start, end))) return undefined
  while (!ends(bytes, end, quote)) end += 1
  return { start, end }
}

/** `scheme://user:password@host` */
function inUrl(bytes: Bytes, at: number): Span | undefined {
  let colon = 0
  for (let place = at + 3; place - at < USERINFO_BYTES; place += 1) {
    const byte = byteAt(bytes, place)
    if (byte === code('@')) return colon > 0 && place > colon + 1 ? { start: colon + 1, end: place } : undefined
    if (byte === COLON && colon === 0) colon = place
    // `{` and `<` make a placeholder, `*` is masked already.
    if (byte <= 0x20 || isQuote(byte) || '/?#<>{}*'.includes(String.fromCharCode(byte))) return undefined
  }
  return undefined
}

export const secret: Detector = {
  triggers: ':=>',
  find(bytes, at) {
    return startsAt(bytes, at, '://') ? inUrl(bytes, at) : named(bytes, at)
  },
}
