// Paths that a header names as what is to be copied, as object stores have it: read, decided, recorded and sent on as a request's own. Pure.
import { GateError } from '@gate/shared/errors'
import { copySources } from '@gate/shared/http-command'
import { readIn } from './destination.ts'
import type { FieldList, Fields } from './fields.ts'
import { type KeptInPaths, type Location, readLocation, targetOf } from './location.ts'

export interface CopySource {
  /** The field's name, in lower case. */
  readonly field: string
  readonly location: Location
  /** The value in the form that was decided, as the target gets it. */
  readonly written: string
}

const none: readonly CopySource[] = []

/**
 * Reads what a request says that it copies.
 * @throws {GateError} ERR_GATE_PROTOCOL, ERR_GATE_LIMIT for what would be refused as a request's own target.
 */
export function readSources(fields: Fields, keeps: KeptInPaths): readonly CopySource[] {
  const named = copySources.filter(name => fields.one(name) !== undefined)
  return named.length === 0 ? none : named.map(field => readSource(field, fields.one(field) ?? '', keeps))
}

function readSource(field: string, value: string, keeps: KeptInPaths): CopySource {
  const [, origin] = /^(https?:\/\/[^/?#]*)/i.exec(value) ?? []
  const location = readIn(field, () => readLocation(origin === undefined ? pathOf(value) : value, keeps))
  const target = targetOf(location)
  if (origin !== undefined) return { field, location, written: origin + target }
  return { field, location, written: value.startsWith('/') ? target : target.slice(1) }
}

/** `bucket/key` as a path. The value is encoded as a whole: an encoded slash is one, and a plus is a blank to some. */
function pathOf(value: string): string {
  const [path = '', ...query] = value.split('?')
  if (path.includes('+')) throw new GateError('ERR_GATE_PROTOCOL', 'a plus is a blank to some', { hint: 'Write %2B.' })
  const plain = path.replaceAll(/%2f/gi, '/')
  return [plain.startsWith('/') ? plain : `/${plain}`, ...query].join('?')
}

/** The fields with the sources that were decided. */
export function withSources(fields: FieldList, sources: readonly CopySource[]): FieldList {
  if (sources.length === 0) return fields
  return fields.map(([name, value]) => [name, sources.find(({ field }) => field === name)?.written ?? value])
}
