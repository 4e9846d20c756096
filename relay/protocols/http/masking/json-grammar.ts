// What strings, numbers and words of JSON look like, byte by byte and across any cut (RFC 8259). Pure.
import { GateError } from '@gate/shared/errors'

export const QUOTE = 0x22
export const BACKSLASH = 0x5c
const LETTER_U = 0x75

const table = (characters: string): Uint8Array => {
  const entries = new Uint8Array(256)
  for (const character of characters) entries[character.charCodeAt(0)] = 1
  return entries
}

export const blanks = table(' \t\n\r')
const hexDigits = table('0123456789abcdefABCDEF')
const escapes = table('"\\/bfnrtu')

/** What stands for itself in a string. Whether it is UTF-8 is looked at elsewhere. */
export const plain: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte >= 0x20 && byte !== QUOTE && byte !== BACKSLASH ? 1 : 0,
)

export function brokenJson(what: string): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the body is not valid JSON: ${what}`)
}

/** How far into an escape a string is: 0 outside, 1 behind the backslash, 2 to 5 before a hex digit. */
export interface StringScan {
  escape: number
  /** Whether there was one; for whoever begins a string to set. */
  hasEscapes: boolean
}

/**
 * Follows a string from anywhere inside it; gives the place behind its closing quote, -1 when it goes on.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL
 */
export function scanString(bytes: Buffer, from: number, scan: StringScan): number {
  const length = bytes.length
  let at = from
  let inEscape = scan.escape
  while (at < length) {
    if (inEscape === 0) {
      while (at < length && plain[bytes[at] ?? 0] === 1) at += 1
      if (at === length) break
    }
    const byte = bytes[at] ?? 0
    at += 1
    if (inEscape === 0) {
      if (byte === QUOTE) return at
      if (byte !== BACKSLASH) throw brokenJson('a control character in a string')
      inEscape = 1
      scan.hasEscapes = true
    } else if (inEscape === 1) {
      if (escapes[byte] !== 1) throw brokenJson('an escape that does not exist')
      inEscape = byte === LETTER_U ? 2 : 0
    } else {
      if (hexDigits[byte] !== 1) throw brokenJson('an escape without its four digits')
      inEscape = inEscape === 5 ? 0 : inEscape + 1
    }
  }
  scan.escape = inEscape
  return -1
}

/** States of a number: how it may go on. In the order of the table below. */
const numberStates = ['start', 'minus', 'zero', 'whole', 'point', 'fraction', 'e', 'sign', 'exponent'] as const
type NumberState = (typeof numberStates)[number]
const ENDED = 255
const CLASSES = 7
const OTHER = 6

const numberClasses = new Uint8Array(256).fill(OTHER)
for (const [index, characters] of ['0', '123456789', '-', '+', '.', 'eE'].entries())
  for (const character of characters) numberClasses[character.charCodeAt(0)] = index

const numberSteps = new Uint8Array(numberStates.length * CLASSES).fill(ENDED)
function step(from: NumberState, characters: string, to: NumberState): void {
  for (const character of characters) {
    const entry = numberStates.indexOf(from) * CLASSES + (numberClasses[character.charCodeAt(0)] ?? OTHER)
    numberSteps[entry] = numberStates.indexOf(to)
  }
}
for (const from of ['start', 'minus'] as const) {
  step(from, '0', 'zero')
  step(from, '1', 'whole')
}
step('start', '-', 'minus')
step('whole', '01', 'whole')
for (const from of ['zero', 'whole'] as const) step(from, '.', 'point')
for (const from of ['point', 'fraction'] as const) step(from, '01', 'fraction')
for (const from of ['zero', 'whole', 'fraction'] as const) step(from, 'e', 'e')
step('e', '+-', 'sign')
for (const from of ['e', 'sign', 'exponent'] as const) step(from, '01', 'exponent')

const complete = Uint8Array.from(numberStates, state =>
  ['zero', 'whole', 'fraction', 'exponent'].includes(state) ? 1 : 0,
)

export interface NumberScan {
  number: number
}

/**
 * Follows a number; gives the place behind it, -1 when it may go on.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL
 */
export function scanNumber(bytes: Buffer, from: number, scan: NumberScan): number {
  let state = scan.number
  for (let at = from; at < bytes.length; at += 1) {
    const next = numberSteps[state * CLASSES + (numberClasses[bytes[at] ?? 0] ?? OTHER)] ?? ENDED
    if (next === ENDED) {
      scan.number = state
      requireNumber(scan)
      return at
    }
    state = next
  }
  scan.number = state
  return -1
}

/** @throws {GateError} ERR_GATE_TARGET_PROTOCOL when a number cannot end here. */
export function requireNumber(scan: NumberScan): void {
  if (complete[scan.number] !== 1) throw brokenJson('a number that is none')
}

const words: ReadonlyMap<number, Buffer> = new Map(
  ['true', 'false', 'null'].map(word => [word.charCodeAt(0), Buffer.from(word)]),
)

/** The word that begins with this byte. @throws {GateError} ERR_GATE_TARGET_PROTOCOL */
export function wordOf(byte: number): Buffer {
  const word = words.get(byte)
  if (word === undefined) throw brokenJson('something that is no value')
  return word
}

/** The place behind the word that stands there; -1 when there is none, or not all of it. */
export function wordAt(bytes: Buffer, at: number): number {
  const word = words.get(bytes[at] ?? 0)
  if (word === undefined || at + word.length > bytes.length) return -1
  for (let next = 1; next < word.length; next += 1) if (bytes[at + next] !== word[next]) return -1
  return at + word.length
}

/** How much of a word was read. */
export interface WordScan {
  word: Buffer
  wordAt: number
}

/**
 * Follows a word; gives the place behind it, -1 when it goes on.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL
 */
export function scanWord(bytes: Buffer, from: number, scan: WordScan): number {
  let at = from
  while (at < bytes.length && scan.wordAt < scan.word.length) {
    if (bytes[at] !== scan.word[scan.wordAt]) throw brokenJson('something that is no value')
    at += 1
    scan.wordAt += 1
  }
  return scan.wordAt === scan.word.length ? at : -1
}

/** Where one is within a token of any kind. */
export type Scan = StringScan & NumberScan & WordScan
