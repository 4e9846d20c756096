// What of a request may be written down: its text and its facts, with nothing in them that is masked for anybody. Pure.
import type { FieldMaskObligation, Operation } from '@gate/shared/model'
import { hideFound } from '../../mask/recorded.ts'
import type { Recorded } from '../protocol.ts'
import type { FieldList } from './fields.ts'
import { type Location, parametersOf } from './location.ts'
import { hidesHeader, recordedBody, recordedHeader, recordedParameters, recordedQuery } from './masking/recorded.ts'
import { factsOfHeaders, factsOfParameters, fieldOf, type Request, textOf } from './operation.ts'

/** `start` is what was read of the body. */
export function recordedRequest(
  request: Request,
  operation: Operation,
  shownHeaders: FieldList,
  start: Buffer | undefined,
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): Recorded {
  const { fields, content } = request
  const location = recordedLocation(request.location, masks, key)
  const kept: Request = {
    ...request,
    location: { ...location, path: hideFound(location.path, key) },
    content:
      content?.kind !== 'text' || start === undefined
        ? content
        : { kind: 'text', shown: recordedBody(fields.one('content-type'), start, masks, key) },
  }
  const destination = request.destination && recordedLocation(request.destination, masks, key)
  const headers = recordedHeaders(request, shownHeaders, masks, key)
  const isSame = location === request.location && destination === request.destination && headers === shownHeaders
  const ofValues = (): Operation['facts'] => ({
    ...factsOfParameters([location, ...(destination === undefined ? [] : [destination])].flatMap(parametersIn)),
    ...factsOfHeaders(headers),
  })
  return {
    text: textOf(kept, name => {
      const value = fieldOf(request, name)
      return value === undefined ? undefined : recordedField(request, name, value, masks, key)
    }),
    // Values of parameters and of headers stand there as well.
    ...(isSame ? {} : { facts: { ...operation.facts, ...ofValues() } }),
    isCut: false,
    parameters: [],
    parameterCount: 0,
  }
}

const parametersIn = ({ path, query }: Location): [string, string][] => parametersOf(path, query)

/** The same location when nothing in its parameters is replaced. */
function recordedLocation(location: Location, masks: readonly FieldMaskObligation[], key: Uint8Array): Location {
  const [mark = ''] = location.query
  const query = `${mark}${recordedQuery(location.query.slice(1), masks, key)}`
  const path = recordedParameters(location.path, masks, key)
  return query === location.query && path === location.path ? location : { ...location, path, query }
}

/** The value of a field, as the target gets it, for the record. */
function recordedField(
  { destination }: Request,
  name: string,
  value: string,
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): string {
  if (name !== 'destination' || destination === undefined || hidesHeader(name, masks))
    return recordedHeader(name, value, masks, key)
  const { path, query } = recordedLocation(destination, masks, key)
  return `${hideFound(path, key)}${query}`
}

/**
 * Headers as they are recorded, and as people are asked about them: what approvers sign is in the record. The same list when
 * nothing is replaced.
 */
export function recordedHeaders(
  request: Request,
  headers: FieldList,
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): FieldList {
  const recorded = headers.map(([name, value]) => [name, recordedField(request, name, value, masks, key)] as const)
  return recorded.every(([, value], at) => value === headers[at]?.[1]) ? headers : recorded
}
