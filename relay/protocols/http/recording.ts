// What of a request may be written down: its text and its facts, with nothing in them that is masked for anybody. Pure.
import type { FieldMaskObligation, Operation } from '@gate/shared/model'
import { hideFound } from '../../mask/recorded.ts'
import type { Recorded } from '../protocol.ts'
import type { FieldList } from './fields.ts'
import { parametersOf } from './location.ts'
import { recordedBody, recordedHeader, recordedParameters, recordedQuery } from './masking/recorded.ts'
import { factsOfHeaders, factsOfParameters, type Request, textOf } from './operation.ts'

/** `start` is what was read of the body. */
export function recordedRequest(
  request: Request,
  operation: Operation,
  shownHeaders: FieldList,
  start: Buffer | undefined,
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): Recorded {
  const { location, fields, content } = request
  const [mark = ''] = location.query
  const query = `${mark}${recordedQuery(location.query.slice(1), masks, key)}`
  const path = recordedParameters(location.path, masks, key)
  const kept: Request = {
    ...request,
    location: { ...location, path: hideFound(path, key), query },
    content:
      content?.kind !== 'text' || start === undefined
        ? content
        : { kind: 'text', shown: recordedBody(fields.one('content-type'), start, masks, key) },
  }
  const headers = recordedHeaders(shownHeaders, masks, key)
  const isSame = query === location.query && path === location.path && headers === shownHeaders
  const ofValues = (): Operation['facts'] => ({
    ...factsOfParameters(parametersOf(path, query)),
    ...factsOfHeaders(headers),
  })
  return {
    text: textOf(kept),
    // Values of parameters and of headers stand there as well.
    ...(isSame ? {} : { facts: { ...operation.facts, ...ofValues() } }),
    isCut: false,
    parameters: [],
    parameterCount: 0,
  }
}

/**
 * Headers as they are recorded, and as people are asked about them: what approvers sign is in the record. The same list when
 * nothing is replaced.
 */
export function recordedHeaders(headers: FieldList, masks: readonly FieldMaskObligation[], key: Uint8Array): FieldList {
  const recorded = headers.map(([name, value]) => [name, recordedHeader(name, value, masks, key)] as const)
  return recorded.every(([, value], at) => value === headers[at]?.[1]) ? headers : recorded
}
