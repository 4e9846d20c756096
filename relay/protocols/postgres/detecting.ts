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
/** OIDs of src/include/catalog/pg_type.dat. */
const texts = new Set([19, 25, 142, 705, 1042, 1043])
const JSON_OID = 114
const JSONB = 3802
/** Arrays of the above, and record: their binary form holds lengths, so that nothing in it can be replaced. */
const composed = new Set([199, 1002, 1003, 1009, 1014, 1015, 2249, 2287, 3807])
/** Types that somebody made, of whatever structure: src/include/access/transam.h. */
const FIRST_NORMAL_OBJECT_ID = 16_384
const OPENING_BRACE = '{'.charCodeAt(0)
const OPENING_BRACKET = '['.charCodeAt(0)
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
    const isComposed = typeOid === UNKNOWN_TYPE || composed.has(typeOid) || typeOid >= FIRST_NORMAL_OBJECT_ID
    if (texts.has(typeOid) || (isComposed && format !== BINARY)) return { compute: text }
    if (!isComposed) return undefined
    const instead = redacted(typeOid, format)
    return { compute: value => (find(value) === undefined ? value : instead) }
  }
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
