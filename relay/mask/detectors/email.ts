// E-mail addresses, with letters of any script, also with the @ written as %40 or \u0040. Pure.
import {
  type Bytes,
  byteAt,
  characterTable,
  code,
  type Detector,
  isAlphanumeric,
  isIn,
  isLetter,
  startsAt,
  textOf,
} from './bytes.ts'

/** An address has 64 bytes before the @ (RFC 5321, 4.5.3.1.1); more are taken with it rather than left to be read. */
const LOCAL_BYTES = 128
const DOMAIN_BYTES = 255
const LABEL_BYTES = 63
const DOT = code('.')

/** What people and providers use of RFC 5322's atext; `=`, `/`, `?` and `&` would pull in the URL around an address. */
const localSigns = characterTable("._%+-'~!#$")
/** May stand inside an address, but at its beginning belongs to the text around. */
const notFirst = characterTable(".%-'~!#$")

/** Names of files, as in `icon@2x.png`: none of them is a top-level domain. */
const fileEndings = new Set(
  'png jpg jpeg gif svg webp ico css scss js mjs cjs jsx ts tsx json yaml yml html htm xml txt md pdf csv log min map'.split(
    ' ',
  ),
)

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/**
 * The length of the letter outside ASCII at `at`, 0 when there is none. Latin-1's signs, general punctuation and CJK's
 * punctuation are no letters: they stand around addresses, not in them.
 */
function letterLength(bytes: Bytes, at: number): number {
  const lead = byteAt(bytes, at)
  if (lead < 0xc3 || lead > 0xed || !isContinuation(byteAt(bytes, at + 1))) return 0
  if (lead < 0xe0) return 2
  const second = byteAt(bytes, at + 1)
  if (!isContinuation(byteAt(bytes, at + 2)) || lead === 0xe2) return 0
  if (lead === 0xe3 && second === 0x80) return 0
  // Overlong forms and surrogates are no characters.
  return (lead === 0xe0 && second < 0xa0) || (lead === 0xed && second > 0x9f) ? 0 : 3
}

/** The length of the letter outside ASCII that ends before `at`. */
function letterLengthBefore(bytes: Bytes, at: number): number {
  if (byteAt(bytes, at - 1) < 0x80) return 0
  if (letterLength(bytes, at - 2) === 2) return 2
  return letterLength(bytes, at - 3) === 3 ? 3 : 0
}

/** Where the part before the @ begins; `at` itself when there is none. */
function localStart(bytes: Bytes, at: number): number {
  let start = at
  while (at - start < LOCAL_BYTES) {
    const byte = byteAt(bytes, start - 1)
    const step = isAlphanumeric(byte) || isIn(localSigns, byte) ? 1 : letterLengthBefore(bytes, start)
    if (step === 0) break
    start -= step
  }
  while (start < at && isIn(notFirst, byteAt(bytes, start))) start += 1
  return start
}

/** `scheme://user:password@host`: who logs in where, which the detector of secrets looks at. */
function isUserinfo(bytes: Bytes, start: number): boolean {
  for (let at = start - 1; at > start - LOCAL_BYTES; at -= 1) {
    const byte = byteAt(bytes, at)
    if (byte === 0x2f) return startsAt(bytes, at - 2, '://')
    if (byte !== 0x3a && !isAlphanumeric(byte) && !isIn(localSigns, byte)) return false
  }
  return false
}

/** A top-level domain: letters, or punycode, and no ending of files. */
function isTopLevel(bytes: Bytes, start: number, end: number): boolean {
  if (end - start < 2) return false
  if (startsAt(bytes, start, 'xn--')) return true
  for (let at = start; at < end; at += 1) {
    const byte = byteAt(bytes, at)
    if (!isLetter(byte) && byte < 0x80) return false
  }
  return !fileEndings.has(textOf(bytes, start, end).toLowerCase())
}

/** The end of the longest run of labels from `at` that ends in a top-level domain; 0 when there is none. */
function domainEnd(bytes: Bytes, at: number): number {
  let label = at
  let end = 0
  let labels = 0
  for (let place = at; place - at <= DOMAIN_BYTES; ) {
    const byte = byteAt(bytes, place)
    const step = isAlphanumeric(byte) || byte === 0x2d ? 1 : letterLength(bytes, place)
    if (step > 0) {
      place += step
      continue
    }
    if (place === label || place - label > LABEL_BYTES) break
    labels += 1
    const last = lastOfLabel(bytes, label, place)
    if (labels > 1 && isTopLevel(bytes, label, last)) end = last
    if (byte !== DOT) break
    place += 1
    label = place
  }
  return end
}

/** A label does not end in a dash; the dash behind an address belongs to the sentence. */
function lastOfLabel(bytes: Bytes, label: number, end: number): number {
  let last = end
  while (last > label && byteAt(bytes, last - 1) === 0x2d) last -= 1
  return last
}

/** How many bytes the @ at `at` takes and where it begins: `@`, or the digits in `%40` and `\u0040`. */
function sign(bytes: Bytes, at: number): { start: number; end: number } | undefined {
  const byte = byteAt(bytes, at)
  if (byte === code('@')) return { start: at, end: at + 1 }
  if (byte === code('4') && startsAt(bytes, at - 1, '%40')) return { start: at - 1, end: at + 2 }
  if (byte === code('0') && startsAt(bytes, at - 2, '\\u0040')) return { start: at - 2, end: at + 4 }
  return undefined
}

export const email: Detector = {
  triggers: '@04',
  find(bytes, at) {
    const found = sign(bytes, at)
    if (found === undefined) return undefined
    const start = localStart(bytes, found.start)
    if (start === found.start || isUserinfo(bytes, start)) return undefined
    const end = domainEnd(bytes, found.end)
    return end === 0 ? undefined : { start, end }
  },
}
