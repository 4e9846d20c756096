// Bodies of HTTP answers through their maskers, whole or in pieces, and what fields of JSON should become, worked out another way.

import { hashBytes, hashText, partialText } from '@gate/relay/mask/values'
import { type BodyMasks, bodyMasker, compileBodyMasks } from '@gate/relay/protocols/http/masking/body'
import { canonicalJsonNumber } from '@gate/relay/protocols/http/masking/json-values'
import type { FieldMaskObligation, MaskKind, MaskObligation, Obligation } from '@gate/shared/model'

export const maskKey = Buffer.alloc(32, 7)

export function fields(patterns: readonly string[], kind: MaskKind = 'redact', fixed?: string): FieldMaskObligation {
  return { kind: 'mask-fields', fields: patterns, headers: [], routes: [], with: kind, fixed }
}

export function detect(kinds: readonly string[], kind: MaskKind = 'redact', fixed?: string): MaskObligation {
  return { kind: 'mask', columns: [], detect: kinds, with: kind, fixed, computed: 'deny', predicates: 'allow' }
}

export function masksOf(...obligations: Obligation[]): BodyMasks {
  const masks = compileBodyMasks(obligations, ['route'], maskKey)
  if (masks === undefined) throw new Error('nothing to mask')
  return masks
}

/** @throws {GateError} as the masker; an Error when there is none for the type. */
export function maskPieces(type: string | undefined, masks: BodyMasks, pieces: readonly Buffer[]): string {
  const masker = bodyMasker(type, masks)
  if ('unreadable' in masker) throw new Error(masker.unreadable)
  // What a masker gives may be a slice of what it got, which is overwritten once it has left.
  const out = pieces.map(piece => {
    const own = Buffer.from(piece)
    const given = Buffer.from(masker.push(own))
    own.fill(0x78)
    return given
  })
  return Buffer.concat([...out, Buffer.from(masker.end())]).toString('utf8')
}

export function maskBody(type: string | undefined, masks: BodyMasks, body: string | Buffer): string {
  return maskPieces(type, masks, [Buffer.from(body)])
}

/** A body in two pieces at every place, byte by byte, and with empty pieces between. */
export function* everySplit(body: Buffer): Generator<Buffer[]> {
  for (let at = 0; at <= body.length; at += 1) yield [body.subarray(0, at), body.subarray(at)]
  yield [...body].map(byte => Buffer.from([byte]))
  yield [...body].flatMap(byte => [Buffer.from([byte]), Buffer.alloc(0)])
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** Whether names in a row are what a pattern says; one with dots or brackets also counts as those that it is made of, and a number as none. */
export function isHit(pattern: readonly string[], names: readonly string[]): boolean {
  const [name, ...others] = names
  const [first, ...rest] = pattern
  if (first === undefined) return names.every(each => /^\d+$/.test(visible(each)))
  if (name === undefined) return pattern.every(each => each === '**')
  const separators = ['.', '[', ']', '\0', ':', '/', '#', '@']
  const parts = separators.some(each => name.includes(each))
    ? separators
        .reduce((texts, each) => texts.flatMap(text => text.split(each)), [name])
        .filter(part => !/^\d*$/.test(part))
    : []
  if (parts.length > 0 && isHitInParts(pattern, parts, others)) return true
  const [, local] = /[:/#@]([^:/#@]+)$/.exec(name) ?? []
  if (local !== undefined && (first === '*' || compared(first) === compared(local)) && isHit(rest, others)) return true
  if (/^\d+$/.test(visible(name)) && isHit(pattern, others)) return true
  if (first === '**') return isHit(rest, names) || isHit(pattern, others)
  return (first === '*' || compared(first) === compared(name)) && isHit(rest, others)
}

const compared = (name: string): string => {
  const shown = visible(name).toLowerCase()
  return shown.replaceAll(/[_ -]/g, '') || shown
}

/** Without what nobody sees, and blanks around it, in the usual form of its letters and digits. */
const visible = (name: string): string =>
  [...name.normalize('NFKC')]
    .filter(letter => !/\p{Cc}|\p{Cf}/u.test(letter))
    .join('')
    .trim()

/** Whether the parts of a name, and the names below it, are what a pattern says: what is in something hidden is hidden. */
function isHitInParts(pattern: readonly string[], parts: readonly string[], others: readonly string[]): boolean {
  if (isHit(pattern, [...parts, ...others])) return true
  return others.every(each => /^\d+$/.test(each)) && parts.some((_, at) => at > 0 && isHit(pattern, parts.slice(0, at)))
}

/** What a document should become, one field after another. */
export function maskedFields(value: Json, masks: readonly FieldMaskObligation[], names: readonly string[] = []): Json {
  const mask = masks.find(each => each.fields.some(pattern => isHit(pattern.split('.'), names)))
  if (mask !== undefined && value !== null) return maskedWhole(value, mask)
  if (Array.isArray(value)) return value.map((element: Json) => maskedFields(element, masks, names))
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, maskedFields(member, masks, [...names, name])]),
  )
}

/** The hash of an object or array is that of its bytes, so documents are written without blanks. */
function maskedWhole(value: Json, { with: kind, fixed = '' }: FieldMaskObligation): Json {
  if (kind === 'null') return null
  if (kind === 'fixed') return typeof value === 'number' && /^\d+$/.test(fixed) ? Number(fixed) : fixed
  if (typeof value === 'string') {
    if (kind === 'hash') return hashText(maskKey, Buffer.from(value))
    return kind === 'partial' ? partialText(value) : '****'
  }
  if (typeof value === 'boolean') return false
  if (typeof value === 'number') {
    if (kind !== 'hash') return 0
    const digest = hashBytes(maskKey, Buffer.from(canonicalJsonNumber(JSON.stringify(value))))
    return Number(digest.readBigUInt64BE() / 2048n)
  }
  if (kind === 'hash') return hashText(maskKey, Buffer.from(JSON.stringify(value)))
  return Array.isArray(value) ? [] : {}
}
