// Masks over plain text: what is left of a value. Pure; every protocol's room uses these.
import { createHmac } from 'node:crypto'

/** What a redacted text shows. Always the same, so that neither length nor shape of the value is told. */
export const REDACTED_TEXT = '****'

/** Hex digits of a hashed text: 64 bits, enough to join on, few enough to read. */
const HASH_DIGITS = 16

/** Shorter values would be given away by their two ends. */
const SHORTEST_PARTIAL = 6

/** Other texts with an @ are no addresses: what follows their last dot may be all that there is to hide. */
const address = /^[^\s@]+@[^\s@]+$/
const topLevel = /(?<=[^@])\.\p{L}{2,24}$/u
/** With the dot, and what stands before it: a domain that is a dot and letters has no name to hide them. */
const LONGEST_TOP_LEVEL = 26

/**
 * Keeps what people recognise a value by: the first letter and the top-level domain of an e-mail address, the last four
 * digits of a card, the first and last character of anything else of at least 6 characters. Middles always have one length.
 */
export function partialText(value: string): string {
  if (address.test(value))
    return `${firstCharacter(value)}***@***${topLevel.exec(value.slice(-LONGEST_TOP_LEVEL))?.[0] ?? ''}`
  const digits = value.replace(/\D/g, '')
  if (digits.length >= 12 && digits.length <= 19 && /^[\d -]+$/.test(value)) return `**** **** **** ${digits.slice(-4)}`
  const characters = [...value.slice(0, 2), ...value.slice(-2)]
  // Counted in characters: three emoji have six UTF-16 units.
  if ([...value.slice(0, 2 * SHORTEST_PARTIAL)].length < SHORTEST_PARTIAL) return REDACTED_TEXT
  return `${characters[0]}****${characters.at(-1)}`
}

function firstCharacter(value: string): string {
  return String.fromCodePoint(value.codePointAt(0) ?? 42)
}

/** A keyed hash: equal values stay equal, and without the key nobody can try values out. */
export function hashBytes(key: Uint8Array, value: Uint8Array): Buffer {
  return createHmac('sha256', key).update(value).digest()
}

export function hashText(key: Uint8Array, value: Uint8Array): string {
  return hashBytes(key, value).toString('hex').slice(0, HASH_DIGITS)
}
