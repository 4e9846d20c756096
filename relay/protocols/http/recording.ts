// What of a request may be written down: its text and its facts, with nothing in them that is masked for anybody. Pure.
import type { FieldMaskObligation, Operation } from '@gate/shared/model'
import { hideFound } from '../../mask/recorded.ts'
import type { Recorded } from '../protocol.ts'
import type { FieldList } from './fields.ts'
import { type Location, parametersOf, targetOf } from './location.ts'
import { hidesHeader, recordedBody, recordedHeader, recordedParameters, recordedQuery } from './masking/recorded.ts'
import { factsOfHeaders, factsOfParameters, fieldOf, type Request, textOf } from './operation.ts'
import { withoutValues } from './path-values.ts'

/** What is hidden in a request. */
export interface Hiding {
  readonly masks: readonly FieldMaskObligation[]
  /** The templates that a path fits. */
  readonly templatesOf: (path: string) => readonly string[]
  readonly key: Uint8Array
}

/** `start` is what was read of the body. */
export function recordedRequest(
  request: Request,
  operation: Operation,
  shownHeaders: FieldList,
  start: Buffer | undefined,
  hiding: Hiding,
): Recorded {
  const { masks, key } = hiding
  const { fields, content } = request
  const location = recordedLocation(request.location, hiding)
  const isText = content?.kind === 'text' && start !== undefined
  const body = isText ? recordedBody(fields.one('content-type'), start, masks, key) : undefined
  const kept: Request = {
    ...request,
    location: { ...location, path: hideFound(location.path, key) },
    content: body === undefined ? content : { kind: 'text', shown: body.text },
  }
  const destination = request.destination && recordedLocation(request.destination, hiding)
  const sources = request.sources.map(source => recordedLocation(source.location, hiding))
  const headers = recordedHeaders(request, shownHeaders, hiding)
  const isSame =
    location === request.location &&
    destination === request.destination &&
    sources.every((source, at) => source === request.sources[at]?.location) &&
    headers === shownHeaders
  const locations = [location, ...(destination === undefined ? [] : [destination]), ...sources]
  return {
    text: textOf(kept, name => {
      const value = fieldOf(request, name)
      return value === undefined ? undefined : recordedField(request, name, value, hiding)
    }),
    // Values of parameters, of headers and of paths stand there as well.
    ...(isSame
      ? {}
      : {
          facts: {
            ...operation.facts,
            path: location.plain,
            ...factsOfParameters(locations),
            ...factsOfHeaders(headers),
          },
          resources: operation.resources.map((each, at) => ({ ...each, name: locations[at]?.plain ?? each.name })),
        }),
    isCut: body?.isCut ?? false,
    parameters: [],
    parameterCount: 0,
  }
}

/** The same location when nothing in it is replaced. */
function recordedLocation(location: Location, { masks, templatesOf, key }: Hiding): Location {
  const [mark = ''] = location.query
  const query = `${mark}${recordedQuery(location.query.slice(1), masks, key)}`
  const templates = masks.length === 0 ? [] : templatesOf(location.plain)
  const path = recordedParameters(withoutValues(location.path, templates, masks, key), masks, key)
  if (query === location.query && path === location.path) return location
  const plain = withoutValues(location.plain, templates, masks, key)
  return { ...location, path, plain, query, parameters: parametersOf(path, query) }
}

/** The value of a field, as the target gets it, for the record. */
function recordedField(request: Request, name: string, value: string, hiding: Hiding): string {
  const { masks, key } = hiding
  const source = request.sources.find(({ field }) => field === name)
  const location = name === 'destination' ? request.destination : source?.location
  if (location === undefined || hidesHeader(name, masks)) return recordedHeader(name, value, masks, key)
  const { path, query } = recordedLocation(location, hiding)
  const origin = source === undefined ? '' : value.slice(0, Math.max(0, value.indexOf(targetOf(location))))
  return `${origin}${hideFound(path, key)}${query}`
}

/**
 * Headers as they are recorded, and as people are asked about them: what approvers sign is in the record. The same list when
 * nothing is replaced.
 */
export function recordedHeaders(request: Request, headers: FieldList, hiding: Hiding): FieldList {
  const recorded = headers.map(([name, value]) => [name, recordedField(request, name, value, hiding)] as const)
  return recorded.every(([, value], at) => value === headers[at]?.[1]) ? headers : recorded
}
