// Masked values in PostgreSQL's own types, text and binary: what a client gets can always be parsed as the column's type. Pure.
import type { MaskObligation } from '@gate/shared/model'
import { hashBytes, hashText, partialText, REDACTED_TEXT } from '../../mask/values.ts'

/**
 * A masked value: always the same bytes (null is SQL NULL), or computed from the clear ones. NULL stays NULL unless it is
 * hidden: whether something computed is NULL can tell of what it was computed from (`nullif(substr(email, 1, 1), 'a')`).
 */
export type ValueMask =
  | { readonly constant: Buffer | null; readonly hidesNull?: boolean }
  | { readonly compute: (value: Buffer) => Buffer | null }

const TEXT_FORMAT = 0

/** OIDs of src/include/catalog/pg_type.dat whose values are plain text in both formats. */
const textTypes = new Set([18, 19, 25, 705, 1042, 1043])
const integerBytes: ReadonlyMap<number, number> = new Map([
  [21, 2],
  [23, 4],
  [20, 8],
  [26, 4],
])
const UUID = 2950

interface Redacted {
  readonly text: string
  readonly binary: Buffer
}

const zeros = (count: number): Buffer => Buffer.alloc(count)

/** Microseconds from 2000-01-01, PostgreSQL's epoch, to 1970-01-01. */
const UNIX_EPOCH_US = -946_684_800_000_000n

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** Empty array: no dimensions, no nulls, element type. */
const emptyArray = (element: number): Redacted => ({ text: '{}', binary: Buffer.concat([zeros(8), int32(element)]) })

/** A neutral value of each type; types that are not here become NULL, which every type has. */
const neutral: ReadonlyMap<number, Redacted> = new Map([
  [16, { text: 'f', binary: zeros(1) }],
  [17, { text: '\\x', binary: zeros(0) }],
  [20, { text: '0', binary: zeros(8) }],
  [21, { text: '0', binary: zeros(2) }],
  [23, { text: '0', binary: zeros(4) }],
  [26, { text: '0', binary: zeros(4) }],
  [700, { text: '0', binary: zeros(4) }],
  [701, { text: '0', binary: zeros(8) }],
  [1700, { text: '0', binary: zeros(8) }],
  [1082, { text: '1970-01-01', binary: int32(-10_957) }],
  [1083, { text: '00:00:00', binary: zeros(8) }],
  [1266, { text: '00:00:00+00', binary: zeros(12) }],
  [1114, { text: '1970-01-01 00:00:00', binary: int64(UNIX_EPOCH_US) }],
  [1184, { text: '1970-01-01 00:00:00+00', binary: int64(UNIX_EPOCH_US) }],
  [1186, { text: '00:00:00', binary: zeros(16) }],
  [UUID, { text: '00000000-0000-0000-0000-000000000000', binary: zeros(16) }],
  [114, { text: '{}', binary: Buffer.from('{}') }],
  [3802, { text: '{}', binary: Buffer.from('\x01{}') }],
  [142, { text: '', binary: zeros(0) }],
  [869, { text: '0.0.0.0', binary: Buffer.from([2, 32, 0, 4, 0, 0, 0, 0]) }],
  [1000, emptyArray(16)],
  [1005, emptyArray(21)],
  [1007, emptyArray(23)],
  [1016, emptyArray(20)],
  [1009, emptyArray(25)],
  [1015, emptyArray(1043)],
  [1231, emptyArray(1700)],
  [2951, emptyArray(UUID)],
])

export function redacted(typeOid: number, format: number): Buffer | null {
  if (textTypes.has(typeOid)) return Buffer.from(REDACTED_TEXT)
  const value = neutral.get(typeOid)
  if (value === undefined) return null
  return format === TEXT_FORMAT ? Buffer.from(value.text) : value.binary
}

/** How a column of this type is masked in this format. */
export function valueMask(mask: MaskObligation, typeOid: number, format: number, key: Uint8Array): ValueMask {
  switch (mask.with) {
    case 'null':
      return { constant: null }
    case 'fixed':
      return { constant: fixed(mask.fixed ?? '', typeOid, format) }
    case 'partial':
      if (textTypes.has(typeOid)) return { compute: value => Buffer.from(partialText(value.toString('utf8'))) }
      return { constant: redacted(typeOid, format) }
    case 'hash':
      return hashed(typeOid, format, key)
    default:
      return { constant: redacted(typeOid, format) }
  }
}

/** A fixed text fits text columns and, when it is a number, number columns; elsewhere the value is NULL. */
function fixed(value: string, typeOid: number, format: number): Buffer | null {
  if (textTypes.has(typeOid)) return Buffer.from(value)
  const size = integerBytes.get(typeOid)
  if (size !== undefined && /^-?\d{1,18}$/.test(value)) {
    const bytes = int64(BigInt(value)).subarray(8 - size)
    const fits = BigInt.asIntN(size * 8, BigInt(value)) === BigInt(value)
    if (fits) return format === TEXT_FORMAT ? Buffer.from(String(BigInt(value))) : bytes
  }
  if (format === TEXT_FORMAT && [700, 701, 1700].includes(typeOid) && /^-?\d{1,18}(?:\.\d{1,18})?$/.test(value))
    return Buffer.from(value)
  return null
}

/** Text becomes hex digits, integers another integer of their size, UUIDs another UUID; other types cannot hold a hash. */
function hashed(typeOid: number, format: number, key: Uint8Array): ValueMask {
  if (textTypes.has(typeOid)) return { compute: value => Buffer.from(hashText(key, value)) }
  const size = integerBytes.get(typeOid)
  if (size !== undefined) {
    return {
      compute: value => {
        // Both formats of one number have one hash.
        const number =
          format === TEXT_FORMAT
            ? value.toString('latin1')
            : String(BigInt.asIntN(size * 8, BigInt(`0x${value.toString('hex') || '0'}`)))
        const digest = hashBytes(key, Buffer.from(number)).readBigUInt64BE() >> BigInt(65 - size * 8)
        return format === TEXT_FORMAT ? Buffer.from(String(digest)) : int64(digest).subarray(8 - size)
      },
    }
  }
  if (typeOid === UUID) {
    return {
      compute: value => {
        const clear = format === TEXT_FORMAT ? Buffer.from(value.toString('latin1').replaceAll('-', ''), 'hex') : value
        const digest = hashBytes(key, clear).subarray(0, 16)
        const hex = digest.toString('hex')
        return format === TEXT_FORMAT ? Buffer.from(hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')) : digest
      },
    }
  }
  return { constant: redacted(typeOid, format) }
}
