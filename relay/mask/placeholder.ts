// What stands in the record in the place of a value that is masked for somebody. Pure.
import { hkdfSync } from 'node:crypto'
import { hashText } from './values.ts'

const KEY_BYTES = 32
const KEY_LABEL = 'gate record placeholders v1'

/** The key of placeholders. It is not that of `with: hash`, so that what people are shown cannot be looked up in the record. */
export function placeholderKey(maskKey: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', maskKey, new Uint8Array(0), KEY_LABEL, KEY_BYTES))
}

/** Equal values have equal placeholders; without the key nobody can try values out. */
export function placeholderOf(key: Uint8Array, value: Uint8Array | string): string {
  return `‹redacted:${hashText(key, typeof value === 'string' ? Buffer.from(value, 'utf8') : value)}›`
}

/** Longer digits stay as they are. */
const MAX_NUMBER_LENGTH = 1_000

/** `0x1F`, `31`, `3_1` and `31.0` are the same number. */
export function canonicalNumber(source: string): string {
  if (/^[1-9]\d*$/.test(source)) return source
  const plain = source.replaceAll('_', '').toLowerCase()
  if (plain.length > MAX_NUMBER_LENGTH) return plain
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/s.exec(plain) ?? []
  const minus = sign === '-' ? '-' : ''
  if (/^0(?:x[0-9a-f]+|o[0-7]+|b[01]+)$/.test(rest)) return `${minus}${BigInt(rest)}`
  const [, whole = '', fraction = ''] = /^(\d*)(?:\.(\d*))?$/.exec(rest) ?? ['', rest, undefined]
  const short = whole.replace(/^0+(?=\d)/, '') || '0'
  const decimals = fraction.replace(/0+$/, '')
  return `${minus}${short}${decimals === '' ? '' : `.${decimals}`}`
}

const isNumber = (text: string): boolean => text.length <= MAX_NUMBER_LENGTH && /^[-+]?(?:\d+\.?\d*|\.\d+)$/.test(text)

/** The placeholder of a value as text: a number in any of its forms has one. */
export function recordedPlaceholder(key: Uint8Array, text: string): string {
  return placeholderOf(key, isNumber(text) ? canonicalNumber(text) : text)
}
