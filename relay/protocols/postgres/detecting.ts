// The second net: values in clear columns that look like cards, e-mail addresses, keys, … Pure.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import { compileDetectors, compileFinder, type Replacement } from '../../mask/detectors.ts'
import { compileJsonDetectors } from '../../mask/json.ts'
import type { Field } from './bodies.ts'
import { redacted, type ValueMask } from './mask-values.ts'

/** What searches the values of a column; undefined for types that hold no text. */
export type Detecting = (field: Pick<Field, 'typeOid' | 'format'>) => ValueMask | undefined

/** No type's OID: of a value of whatever type. */
export const UNKNOWN_TYPE = 0

type Search = (value: Buffer) => Buffer | null

const BINARY = 1
/** OIDs of src/include/catalog/pg_type.dat: types that are their text in both formats. */
const texts = new Set([19, 25, 142, 705, 1042, 1043, 1790, 2275])
const JSON_OID = 114
const JSONB = 3802
const INET = 869
const CIDR = 650
/**
 * Types that hold no text, and arrays, ranges and multiranges of them. Every other type is searched, also those that are not
 * known: forgotten here is searched in vain, forgotten there is shown.
 */
const withoutText = new Set([
  // bool, bytea, a single "char"; integers, floats, numeric, money
  ...[16, 1000, 17, 1001, 18, 20, 1016, 21, 1005, 22, 1006, 23, 1007, 700, 1021, 701, 1022, 1700, 1231, 790, 791],
  // oid, oidvector, tid, xid, xid8, cid, pg_lsn, snapshots
  ...[26, 1028, 30, 1013, 27, 1010, 28, 1011, 5069, 271, 29, 1012, 3220, 3221, 2970, 2949, 5038, 5039],
  // date, time, timetz, timestamp, timestamptz, interval, uuid, bit, varbit, macaddr, macaddr8, void
  ...[1082, 1182, 1083, 1183, 1266, 1270, 1114, 1115, 1184, 1185, 1186, 1187, 2950, 2951, 1560, 1561, 1562, 1563],
  ...[829, 1040, 774, 775, 2278],
  // point, lseg, path, box, polygon, line, circle
  ...[600, 1017, 601, 1018, 602, 1019, 603, 1020, 604, 1027, 628, 629, 718, 719],
  // ranges and multiranges
  ...[3904, 3905, 3906, 3907, 3908, 3909, 3910, 3911, 3912, 3913, 3926, 3927],
  ...[4451, 6150, 4532, 6151, 4533, 6152, 4534, 6153, 4535, 6155, 4536, 6157],
])
const OPENING_BRACE = '{'.charCodeAt(0)
const OPENING_BRACKET = '['.charCodeAt(0)
const ADDRESS_HEADER_BYTES = 4
const IPV4_BYTES = 4
/** The version in front of a binary jsonb. */
const JSONB_HEADER_BYTES = 1

/** Prepares the search that obligations ask for; undefined when none does. */
export function compileDetecting(obligations: readonly Obligation[], key: Uint8Array): Detecting | undefined {
  const masks = obligations.filter(obligation => obligation.kind === 'mask').filter(mask => mask.detect.length > 0)
  if (masks.length === 0) return undefined
  const text = inTurn(masks.map(mask => search(mask, key, compileDetectors)))
  const json = inTurn(masks.map(mask => search(mask, key, compileJsonDetectors)))
  const find = compileFinder(masks.flatMap(mask => mask.detect))
  return ({ typeOid, format }) => {
    if (typeOid === JSON_OID || (typeOid === JSONB && format !== BINARY)) return { compute: json }
    if (typeOid === JSONB) return { compute: afterHeader(json) }
    if (typeOid === UNKNOWN_TYPE && format !== BINARY)
      return { compute: value => (isDocument(value) ? json : text)(value) }
    if (texts.has(typeOid)) return { compute: text }
    if (withoutText.has(typeOid)) return undefined
    const isAddress = typeOid === INET || typeOid === CIDR
    if (!isAddress && format !== BINARY) return { compute: text }
    // Binary forms hold lengths, and addresses have to stay addresses: nothing in them can be replaced.
    const instead = redacted(typeOid, format)
    const read = isAddress && format === BINARY ? addressText : (value: Buffer): Buffer => value
    return { compute: value => (find(read(value)) === undefined ? value : instead) }
  }
}

/** The address of a binary inet or cidr as text: behind its family, bits, kind and length. @see inet_send in network.c. */
function addressText(value: Buffer): Buffer {
  const address = value.subarray(ADDRESS_HEADER_BYTES)
  const groups = address.toString('hex').match(/.{4}/g) ?? []
  return Buffer.from(address.length === IPV4_BYTES ? address.join('.') : groups.join(':'))
}

/** A text that is an object or array of JSON. */
function isDocument(value: Buffer): boolean {
  if (value[0] !== OPENING_BRACE && value[0] !== OPENING_BRACKET) return false
  try {
    JSON.parse(value.toString('utf8'))
    return true
  } catch {
    return false
  }
}

function search(
  mask: MaskObligation,
  key: Uint8Array,
  compile: (kinds: readonly string[], replacement: Replacement) => (value: Buffer) => Buffer | undefined,
): Search {
  if (mask.with === 'null') {
    const find = compileFinder(mask.detect)
    return value => (find(value) === undefined ? value : null)
  }
  const replace = compile(mask.detect, replacementOf(mask, key))
  return value => replace(value) ?? value
}

function replacementOf(mask: MaskObligation, key: Uint8Array): Replacement {
  switch (mask.with) {
    case 'hash':
      return { with: 'hash', key }
    case 'fixed':
      return { with: 'fixed', value: mask.fixed ?? '' }
    case 'partial':
      return { with: 'partial' }
    default:
      return { with: 'redact' }
  }
}

function inTurn(searches: readonly Search[]): Search {
  const [only, second] = searches
  if (only !== undefined && second === undefined) return only
  return value => searches.reduce<Buffer | null>((left, one) => (left === null ? null : one(left)), value)
}

function afterHeader(json: Search): Search {
  return value => {
    const document = value.subarray(JSONB_HEADER_BYTES)
    const masked = json(document)
    if (masked === document) return value
    return masked === null ? null : Buffer.concat([value.subarray(0, JSONB_HEADER_BYTES), masked])
  }
}
