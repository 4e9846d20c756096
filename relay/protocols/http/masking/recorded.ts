// What is recorded of the bodies, queries and headers of requests: without what is masked for anybody, and without what detectors find. Pure.
import { isUtf8 } from 'node:buffer'
import { GateError } from '@gate/shared/errors'
import type { FieldMaskObligation } from '@gate/shared/model'
import { placeholderOf, recordedPlaceholder } from '../../../mask/placeholder.ts'
import { hideFound } from '../../../mask/recorded.ts'
import { type BodyMasks, bodyMasker, compileFields, endOfPattern } from './body.ts'
import { recordSearches } from './detecting.ts'
import { FormMasker } from './form.ts'
import { hideLiterals, hideLiteralsIn } from './graphql-literals.ts'
import { type BodyMasker, GuardedMasker } from './masker.ts'
import { comparedName } from './names.ts'

interface Compiled {
  readonly key: Uint8Array
  readonly masks: BodyMasks
}

const masksByFields = new WeakMap<readonly FieldMaskObligation[], Compiled>()

/** A policy has one list of fields for a target, and a relay one key: compiled once, all its requests share it. */
function recordMasks(fields: readonly FieldMaskObligation[], key: Uint8Array): BodyMasks {
  const known = masksByFields.get(fields)
  if (known?.key === key) return known.masks
  const masks = compileRecordMasks(fields, key)
  masksByFields.set(fields, { key, masks })
  return masks
}

function compileRecordMasks(fields: readonly FieldMaskObligation[], key: Uint8Array): BodyMasks {
  // A request names a field without all that is around it in an answer.
  const masked = fields.flatMap(mask => mask.fields).map(endOfPattern)
  const masks = compileFields([{ fields: masked, mask: { with: 'placeholder', key } }])
  return {
    fields: masks,
    elements: masks,
    anywhere: masks,
    searches: recordSearches(key),
    headers: new Map(),
    isReadable: true,
    literals: masks && (text => hideLiterals(text, masks.paths, key)),
  }
}

/** A body as it is recorded: all of it, or its beginning. */
export interface RecordedBody {
  readonly text: string
  readonly isCut: boolean
}

/**
 * More of a text is in no event. What is further on is not looked through either: members, rows and texts of a few bytes cost
 * a thousand times what it takes to send them.
 */
const MAX_RECORDED_BYTES = 40 * 1024
/** So much is looked through at a time. */
const SLICE_BYTES = 16 * 1024

/** What a masker gives, up to so many bytes; undefined when it cannot be read. */
function run(masker: BodyMasker, body: Buffer, maxBytes = Number.POSITIVE_INFINITY): RecordedBody | undefined {
  const shown: Buffer[] = []
  let length = 0
  try {
    for (let at = 0; at < body.length; at += SLICE_BYTES) {
      if (length >= maxBytes) return { text: Buffer.concat(shown).toString('utf8'), isCut: true }
      const piece = Buffer.from(masker.push(body.subarray(at, at + SLICE_BYTES)))
      shown.push(piece)
      length += piece.length
    }
    return { text: Buffer.concat([...shown, masker.end()]).toString('utf8'), isCut: false }
  } catch (thrown) {
    if (thrown instanceof GateError) return undefined
    throw thrown
  }
}

const whole = (text: string): RecordedBody => ({ text, isCut: false })

/**
 * The body of a request as it is recorded, or the beginning of a long one. One that is not what its type says is replaced whole. So is one of a type that
 * cannot be read, unless no fields are masked for anybody: then text has only what detectors find replaced.
 * @param key that of placeholders
 */
export function recordedBody(
  contentType: string | undefined,
  body: Buffer,
  fields: readonly FieldMaskObligation[],
  key: Uint8Array,
): RecordedBody {
  if (body.length === 0) return whole('')
  const masks = recordMasks(fields, key)
  const masker = bodyMasker(contentType, masks)
  if (!('unreadable' in masker)) {
    const shown = run(masker, body, MAX_RECORDED_BYTES)
    if (shown === undefined) return whole(placeholderOf(key, body))
    if (masks.fields === undefined || !isJson(shown.text)) return shown
    return { ...shown, text: hideLiteralsIn(shown.text, masks.fields.paths, key) }
  }
  const isShown = masks.fields === undefined && isUtf8(body)
  return whole(isShown ? hideFound(body.toString('utf8'), key) : placeholderOf(key, body))
}

/** Strings of it can be told from what stands between them; forms have none. */
const isJson = (text: string): boolean => /^[\s\ufeff\u001e]*[[{"]/.test(text)

/** A path whose parameters are as in a query that is recorded. */
export function recordedParameters(path: string, fields: readonly FieldMaskObligation[], key: Uint8Array): string {
  if (!path.includes(';')) return path
  const recorded = (member: string): string => recordedQuery(member, fields, key)
  return path.replace(/;[^/]*/g, members => members.split(';').map(recorded).join(';'))
}

/** The query of a request, without its question mark, as it is recorded; one that cannot be read is replaced whole. */
export function recordedQuery(query: string, fields: readonly FieldMaskObligation[], key: Uint8Array): string {
  const masker = new FormMasker({ ...recordMasks(fields, key), place: 'query' })
  return run(new GuardedMasker(masker), Buffer.from(query))?.text ?? placeholderOf(key, query)
}

/** Headers with which one logs in: whoever has read their values can. */
const holdsSecret = /^(?:proxy-)?authorization$|^cookie2?$|api-?key|token|secret|password/

const namesByFields = new WeakMap<readonly FieldMaskObligation[], ReadonlySet<string>>()

/**
 * Those that masks name as headers, and as fields, as they are compared: a request may hold these in its head as well as in its
 * query.
 */
function maskedNames(fields: readonly FieldMaskObligation[]): ReadonlySet<string> {
  const known = namesByFields.get(fields)
  if (known !== undefined) return known
  // Of `ssn.**` that is ssn, as in bodies.
  const isName = (name: string): boolean => !/^\*+$/.test(name)
  const last = fields.flatMap(mask => mask.fields).map(pattern => pattern.split('.').findLast(isName) ?? '')
  const names = new Set([...fields.flatMap(mask => mask.headers), ...last].map(comparedName))
  namesByFields.set(fields, names)
  return names
}

/** Whether a mask names it, as a header or as a field: `X-Patient-Id` is `patient_id`. */
export function masksName(name: string, fields: readonly FieldMaskObligation[]): boolean {
  const names = maskedNames(fields)
  return names.size > 0 && (names.has(comparedName(name)) || names.has(comparedName(name.replace(/^x-/i, ''))))
}

/** Whether all of a header of this name, in lower case, is replaced. */
export function hidesHeader(name: string, fields: readonly FieldMaskObligation[]): boolean {
  return masksName(name, fields) || holdsSecret.test(name)
}

/** The value of a request's header, whose name is in lower case, as it is recorded; of an address (Referer) also its query. */
export function recordedHeader(
  name: string,
  value: string,
  fields: readonly FieldMaskObligation[],
  key: Uint8Array,
): string {
  if (!hidesHeader(name, fields)) {
    const mark = value.indexOf('?')
    if (mark === -1) return hideFound(value, key)
    return `${hideFound(value.slice(0, mark), key)}?${recordedQuery(value.slice(mark + 1), fields, key)}`
  }
  const bytes = Buffer.from(value, 'latin1')
  return recordedPlaceholder(key, isUtf8(bytes) ? bytes.toString('utf8') : value)
}
