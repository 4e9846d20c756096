// Values in PostgreSQL's binary format → the text that they are written as. Pure.
import { isUtf8 } from 'node:buffer'

/** OIDs in src/include/catalog/pg_type.dat. */
const textTypes: ReadonlySet<number> = new Set([18, 19, 25, 114, 142, 1042, 1043])
const BYTEA = 17
const JSONB = 3802

/** Days and microseconds are counted from 2000-01-01: src/include/datatype/timestamp.h. */
const EPOCH_MS = 946_684_800_000
const DAY_MS = 86_400_000

/** Four decimal digits in each: src/backend/utils/adt/numeric.c. */
const NUMERIC_DIGITS = 4
const NUMERIC_HEADER_BYTES = 8
const NUMERIC_NEGATIVE = 0x4000
/** Longer ones keep their bytes. */
const MAX_NUMERIC_GROUPS = 300

const fixed: Readonly<Record<number, readonly [bytes: number, read: (value: Buffer) => string | undefined]>> = {
  16: [1, value => (value[0] === 0 ? 'f' : 't')],
  20: [8, value => String(value.readBigInt64BE())],
  21: [2, value => String(value.readInt16BE())],
  23: [4, value => String(value.readInt32BE())],
  26: [4, value => String(value.readUInt32BE())],
  700: [4, value => String(Number(value.readFloatBE().toPrecision(7)))],
  701: [8, value => String(value.readDoubleBE())],
  1082: [4, value => day(EPOCH_MS + value.readInt32BE() * DAY_MS)],
  1114: [8, value => moment(value.readBigInt64BE())],
  1184: [8, value => moment(value.readBigInt64BE(), '+00')],
  2950: [16, value => value.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')],
}

/** The text of a value of this type, as PostgreSQL writes it; undefined for types that are not known, and for what is none of it. */
export function binaryText(value: Buffer, type: number): string | undefined {
  if (textTypes.has(type)) return isUtf8(value) ? value.toString('utf8') : undefined
  if (type === JSONB) return value[0] === 1 ? value.toString('utf8', 1) : undefined
  if (type === BYTEA) return `\\x${value.toString('hex')}`
  if (type === 1700) return numeric(value)
  const known = fixed[type]
  return known !== undefined && known[0] === value.length ? known[1](value) : undefined
}

function day(ms: number): string | undefined {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(0, 10)
}

function moment(microseconds: bigint, zone = ''): string | undefined {
  const date = new Date(EPOCH_MS + Number(microseconds / 1000n))
  if (Number.isNaN(date.getTime())) return undefined
  const [days = '', time = ''] = date.toISOString().split('T')
  const fraction = String(((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '')
  return `${days} ${time.slice(0, 8)}${fraction === '' ? '' : `.${fraction}`}${zone}`
}

function numeric(value: Buffer): string | undefined {
  if (value.length < NUMERIC_HEADER_BYTES) return undefined
  const groups = value.readUInt16BE(0)
  const weight = value.readInt16BE(2)
  const sign = value.readUInt16BE(4)
  if (groups > MAX_NUMERIC_GROUPS || Math.abs(weight) > MAX_NUMERIC_GROUPS) return undefined
  if (value.length !== NUMERIC_HEADER_BYTES + groups * 2 || (sign !== 0 && sign !== NUMERIC_NEGATIVE)) return undefined
  const group = (place: number): string =>
    (place >= 0 && place < groups ? String(value.readUInt16BE(NUMERIC_HEADER_BYTES + place * 2)) : '0').padStart(
      NUMERIC_DIGITS,
      '0',
    )
  let whole = ''
  for (let place = 0; place <= weight; place += 1) whole += group(place)
  let fraction = ''
  for (let place = Math.min(weight + 1, 0); place < 0; place += 1) fraction += '0000'
  for (let place = Math.max(weight + 1, 0); place < groups; place += 1) fraction += group(place)
  const decimals = fraction.replace(/0+$/, '')
  const text = `${whole.replace(/^0+(?=\d)/, '') || '0'}${decimals === '' ? '' : `.${decimals}`}`
  return sign === NUMERIC_NEGATIVE ? `-${text}` : text
}
