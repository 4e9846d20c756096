// What stands in the place of a masked field: in JSON a value of its type where that can be, elsewhere text. Pure.

import { recordedPlaceholder } from '../../../mask/placeholder.ts'
import { hashBytes, hashText, partialText, REDACTED_TEXT } from '../../../mask/values.ts'

/** How values are masked; `placeholder` is what the record has. */
export type FieldMask =
  | { readonly with: 'redact' | 'partial' | 'null' }
  | { readonly with: 'hash' | 'placeholder'; readonly key: Uint8Array }
  | { readonly with: 'fixed'; readonly value: string }

export type JsonKind = 'string' | 'number' | 'boolean' | 'object' | 'array'

const [QUOTE, OPEN_ARRAY, LETTER_F, LETTER_T, OPEN_OBJECT] = [0x22, 0x5b, 0x66, 0x74, 0x7b]

/** What a valid value is that begins with this byte, and is not null. */
export function kindOf(byte: number): JsonKind {
  if (byte === QUOTE) return 'string'
  if (byte === OPEN_OBJECT) return 'object'
  if (byte === OPEN_ARRAY) return 'array'
  return byte === LETTER_T || byte === LETTER_F ? 'boolean' : 'number'
}

/** Longer numbers are hashed as they are written. */
const MAX_CANONICAL_LENGTH = 1_000

/** Digits that a double holds exactly, so that every reader gets the same number. */
const HASHED_NUMBER_BITS = 53n

const redactedJson: Readonly<Record<JsonKind, Buffer>> = {
  string: Buffer.from(JSON.stringify(REDACTED_TEXT)),
  number: Buffer.from('0'),
  boolean: Buffer.from('false'),
  object: Buffer.from('{}'),
  array: Buffer.from('[]'),
}
const NULL = Buffer.from('null')

const numberForm = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/** `1`, `1.0`, `10e-1` are one number. The text is a valid number of JSON. */
export function canonicalJsonNumber(text: string): string {
  if (text.length > MAX_CANONICAL_LENGTH) return text
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const short = digits.replace(/0+$/, '')
  if (short === '') return '0'
  const power = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - short.length)
  if (power === 0n) return `${sign}${short}`
  // Up to here a number is written out, so that it equals the same number in a text.
  if (power > 0n && power <= 40n) return `${sign}${short}${'0'.repeat(Number(power))}`
  if (power < 0n && power >= -40n) {
    const places = Number(-power)
    const padded = short.padStart(places + 1, '0')
    return `${sign}${padded.slice(0, -places)}.${padded.slice(-places)}`
  }
  return `${sign}${short}e${power}`
}

/** Whether the value itself has to be kept to mask it. */
export function needsValue(mask: FieldMask, kind: JsonKind): boolean {
  switch (mask.with) {
    case 'hash':
      return kind !== 'boolean'
    case 'placeholder':
      return true
    case 'partial':
      return kind === 'string'
    default:
      return false
  }
}

/** The text of a string as it stands in a valid document. */
export function textOfString(raw: Buffer): string {
  return JSON.parse(raw.toString('utf8'))
}

/** JSON in the place of `raw`, which is not null and is empty when it is not needed. */
export function maskedJson(mask: FieldMask, kind: JsonKind, raw: Buffer): Buffer {
  switch (mask.with) {
    case 'redact':
      return redactedJson[kind]
    case 'null':
      return NULL
    case 'fixed':
      return kind === 'number' && numberForm.test(mask.value) ? Buffer.from(mask.value) : quoted(mask.value)
    case 'partial':
      return kind === 'string' ? quoted(partialText(textOfString(raw))) : redactedJson[kind]
    case 'hash':
      return hashedJson(mask.key, kind, raw)
    case 'placeholder':
      return quoted(recordedPlaceholder(mask.key, plainText(kind, raw)))
  }
}

function quoted(text: string): Buffer {
  return Buffer.from(JSON.stringify(text))
}

function hashedJson(key: Uint8Array, kind: JsonKind, raw: Buffer): Buffer {
  if (kind === 'boolean') return redactedJson.boolean
  if (kind === 'number') {
    const digest = hashBytes(key, Buffer.from(canonicalJsonNumber(raw.toString('latin1'))))
    return Buffer.from(String(digest.readBigUInt64BE() >> (64n - HASHED_NUMBER_BITS)))
  }
  return quoted(hashText(key, kind === 'string' ? Buffer.from(textOfString(raw)) : raw))
}

function plainText(kind: JsonKind, raw: Buffer): string {
  if (kind === 'string') return textOfString(raw)
  const text = raw.toString('utf8')
  return kind === 'number' ? canonicalJsonNumber(text) : text
}

/** Text in the place of text: cells, values of forms, headers. */
export function maskedText(mask: FieldMask, text: string): string {
  switch (mask.with) {
    case 'redact':
      return REDACTED_TEXT
    case 'null':
      return ''
    case 'fixed':
      return mask.value
    case 'partial':
      return partialText(text)
    case 'hash':
      return hashText(mask.key, Buffer.from(text))
    case 'placeholder':
      return recordedPlaceholder(mask.key, text)
  }
}
