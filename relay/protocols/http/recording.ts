// What of a request may be written down: its text and its facts, with nothing in them that is masked for anybody. Pure.
import type { FieldMaskObligation, Operation } from '@gate/shared/model'
import { hideFound } from '../../mask/recorded.ts'
import type { Recorded } from '../protocol.ts'
import { parametersOf } from './location.ts'
import { recordedBody, recordedParameters, recordedQuery } from './masking/recorded.ts'
import { factsOfParameters, type Request, textOf } from './operation.ts'

/** `start` is what was read of the body. */
export function recordedRequest(
  request: Request,
  operation: Operation,
  start: Buffer | undefined,
  masks: readonly FieldMaskObligation[],
  key: Uint8Array,
): Recorded {
  const { location, fields, content } = request
  const query = location.query === '' ? '' : `?${recordedQuery(location.query.slice(1), masks, key)}`
  const path = recordedParameters(location.path, masks, key)
  const kept: Request = {
    ...request,
    location: { ...location, path: hideFound(path, key), query },
    content:
      content?.kind !== 'text' || start === undefined
        ? content
        : { kind: 'text', shown: recordedBody(fields.one('content-type'), start, masks, key) },
  }
  const isSame = query === location.query && path === location.path
  return {
    text: textOf(kept),
    // Values of parameters stand there as well.
    ...(isSame ? {} : { facts: { ...operation.facts, ...factsOfParameters(parametersOf(path, query)) } }),
    isCut: false,
    parameters: [],
    parameterCount: 0,
  }
}
