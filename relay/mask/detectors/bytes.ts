// What every detector works on: bytes, classes of bytes, and the words that stand before a place. Pure.

/** Only index and length are used, so that tests can count what is read. Any bytes: what is not ASCII is just no digit. */
export type Bytes = ArrayLike<number>

export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * Finds one kind of value around a place that looks like it. Reads a bounded number of bytes each way, or what it then
 * returns as found, so that a whole scan is linear in the value whatever the value holds. `*` ends everything: what is
 * masked already is neither found nor context.
 */
export interface Detector {
  /** The characters at which `find` is asked; of a run of digits only the first. */
  readonly triggers: string
  /** At a digit it is asked only where a long number begins, see `beginsLongNumber`: most digits in a text are in short ones. */
  readonly longNumbers?: true
  find(bytes: Bytes, at: number): Span | undefined
}

/** The character that stands for what is masked. */
export const STAR = 0x2a
export const DIGITS = '0123456789'

/** NUL outside of the value: it belongs to no class. */
export function byteAt(bytes: Bytes, at: number): number {
  return at >= 0 && at < bytes.length ? (bytes[at] ?? 0) : 0
}

export const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
export const isUpper = (byte: number): boolean => byte >= 0x41 && byte <= 0x5a
export const isLower = (byte: number): boolean => byte >= 0x61 && byte <= 0x7a
export const isLetter = (byte: number): boolean => isLower(byte | 0x20)
export const isAlphanumeric = (byte: number): boolean => isDigit(byte) || isLetter(byte)
export const isHex = (byte: number): boolean => isDigit(byte) || (isAlphanumeric(byte) && (byte | 0x20) <= 0x66)
/** The alphabet of base64url, and of most tokens. */
export const isTokenByte = (byte: number): boolean => isAlphanumeric(byte) || byte === 0x2d || byte === 0x5f
export const isQuote = (byte: number): boolean =>
  byte === 0x22 || byte === 0x27 || byte === 0x60 || byte === INNER_QUOTE
export const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09

/** Stands for a quote inside a JSON string while its escapes are undone, so that it does not look like the string's end. */
export const INNER_QUOTE = 0x01

export const code = (character: string): number => character.charCodeAt(0)

/** A set of characters as a table: looked into for nearly every byte. */
export function characterTable(characters: string): Uint8Array {
  const table = new Uint8Array(256)
  for (const character of characters) table[code(character)] = 1
  return table
}

export const isIn = (table: Uint8Array, byte: number): boolean => table[byte] === 1

/** The bytes as characters of Latin-1; for short pieces. */
export function textOf(bytes: Bytes, start: number, end: number): string {
  let text = ''
  for (let at = start; at < end; at += 1) text += String.fromCharCode(byteAt(bytes, at))
  return text
}

/** Whether `text`, ASCII, stands at `at`. */
export function startsAt(bytes: Bytes, at: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    if (byteAt(bytes, at + index) !== text.charCodeAt(index)) return false
  }
  return true
}

/** How many digits follow each other from `at`; stops counting at `limit`. */
export function digitRun(bytes: Bytes, at: number, limit: number): number {
  let count = 0
  while (count < limit && isDigit(byteAt(bytes, at + count))) count += 1
  return count
}

const LONG_NUMBER = 7
const numberSigns = characterTable(' -./()')

/** Whether at least seven digits follow, with at most three characters between two of them that can stand inside a number. */
export function beginsLongNumber(bytes: Bytes, at: number): boolean {
  let digits = 0
  let between = 0
  for (let place = at; digits < LONG_NUMBER && between <= 3; place += 1) {
    const byte = byteAt(bytes, place)
    if (isDigit(byte)) {
      digits += 1
      between = 0
    } else if (isIn(numberSigns, byte)) between += 1
    else return false
  }
  return digits === LONG_NUMBER
}

/** How far back a word can speak about a value, and how many words are heard. */
const CONTEXT_BYTES = 48
const CONTEXT_WORDS = 4

/** Where one field ends and another begins: a word on the other side speaks about something else. */
const fieldEnds = characterTable(',;{}[]|*\n\r')

/** The words before `at` in the same field, nearest first, in lower case; letters only, so `phone_number` is two. */
export function wordsBefore(bytes: Bytes, at: number): string[] {
  const words: string[] = []
  let word = ''
  for (let place = at - 1; place >= at - CONTEXT_BYTES && words.length < CONTEXT_WORDS; place -= 1) {
    const byte = byteAt(bytes, place)
    if (isLetter(byte)) {
      word = String.fromCharCode(byte | 0x20) + word
      continue
    }
    if (word !== '') words.push(word)
    word = ''
    if (place < 0 || isIn(fieldEnds, byte)) break
  }
  return words
}
