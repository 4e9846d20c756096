// What becomes of an answer: passed as it is, masked on its way, or refused because it cannot be masked. Pure.
import { acceptedCodings, codingsAgain, readCodings } from './coding.ts'
import { answeredFields, type FieldList } from './fields.ts'
import { type BodyMasks, bodyMasker, masksBodies } from './masking/body.ts'
import { maskHeaders } from './masking/headers.ts'
import { LatinMasker, typeInUtf8 } from './masking/latin.ts'
import type { BodyMasker } from './masking/masker.ts'
import { isStream } from './masking/media-type.ts'
import { clearConditions, clearTags, maskedTag, type TagSeal } from './tags.ts'

/** What is masked for one request. */
export interface Masking {
  readonly body: BodyMasks
  /** Of entity tags. */
  readonly seal: TagSeal
}

export type Plan =
  | { readonly do: 'pass'; readonly fields: FieldList }
  | {
      readonly do: 'mask'
      readonly fields: FieldList
      readonly masker: BodyMasker
      /** What is undone before, and what is done afterwards. */
      readonly codings: readonly string[]
      readonly again: readonly string[]
      /** What is masked leaves at once: somebody waits for it. */
      readonly isLive: boolean
    }
  /** What must be masked cannot be read. `fields` are those without the body's own, which are among `whole`, for a body that turns out empty. */
  | { readonly do: 'refuse'; readonly fields: FieldList; readonly whole: FieldList; readonly why: string }

/** They are about the bytes of the body, which become others. */
const ofBytes: ReadonlySet<string> = new Set(['content-length', 'accept-ranges', 'content-range', 'trailer'])
/** And these tell what the clear ones were. */
const digest =
  /checksum|digest|md5|sha-?\d|crc-?\d|-hash$|content-length|(?:file|content|body|object|blob|original|uncompressed|decompressed|decoded)-?(?:size|length)$/

/** About a body that does not go on. */
const ofContent: ReadonlySet<string> = new Set([
  ...['content-type', 'content-encoding', 'content-language', 'content-disposition', 'etag', 'last-modified'],
  ...['cache-control', 'expires'],
])

const isOfBytes = (name: string, value: string): boolean =>
  digest.test(name) || (ofBytes.has(name) && (name !== 'content-range' || mayBeBytes(value)))

/**
 * Whether a range is one of bytes, of which a whole cannot be read. Services also have ranges of elements (RFC 9110 section
 * 14.1), and then what comes is a document: `items 0-24/319`, `0-24/*` of PostgREST.
 */
const mayBeBytes = (range: string): boolean => !ofElements.test(range)
const ofElements = /^(?!bytes)(?:[a-z_-]{1,64}[ =])?(?:\d+-\d*|\*)(?:\/(?:\d+|\*))?$/i

/** RFC 9110 section 6.4.1. */
export function hasBody(method: string, status: number, length: string | undefined): boolean {
  return method !== 'HEAD' && status !== 204 && status !== 304 && length !== '0'
}

/** Also of where a copy comes from, as object stores have them. */
const tagCondition = /(?:^|-)if-(none-)?match$/
/** Also under the names that services give to the same tag. */
const isTag = (name: string): boolean => name === 'etag' || name.endsWith('-etag')

/** A part of a body cannot be masked, and the whole is asked for in a form that can be read. */
export function maskedRequestFields(fields: FieldList, { seal }: Masking): [string, string][] {
  return fields.flatMap(([name, value]): [string, string][] => {
    // Nor would trailers go on.
    if ((name === 'range' && mayBeBytes(value)) || name === 'if-range' || name === 'te') return []
    if (name === 'accept-encoding') return [[name, acceptedCodings(value)]]
    if (name === 'if') return [[name, clearConditions(value, seal)]]
    const condition = tagCondition.exec(name)
    if (condition === null) return [[name, value]]
    const tags = clearTags(value, seal, condition[1] !== undefined)
    return tags === undefined ? [] : [[name, tags]]
  })
}

/** The fields with other codings than the target chose. */
function recoded(fields: FieldList, again: readonly string[]): FieldList {
  return [
    ...fields.filter(([name]) => name !== 'content-encoding'),
    ...(again.length === 0 ? [] : [['content-encoding', again.join(', ')] as const]),
    ['vary', 'accept-encoding'],
  ]
}

/** `acceptEncoding` is what the client said. */
export function planAnswer(
  method: string,
  status: number,
  raw: FieldList,
  masking: Masking | undefined,
  acceptEncoding: string | undefined,
): Plan {
  const value = (name: string): string | undefined => raw.find(([each]) => each === name)?.[1]
  if (masking === undefined) return { do: 'pass', fields: answeredFields(raw) }
  const { body, seal } = masking
  const kept = answeredFields(raw).filter(([name, each]) => !isOfBytes(name, each))
  const type = value('content-type')
  const converted = masksBodies(body) ? typeInUtf8(type) : undefined
  const fields = maskHeaders(kept, body).map(([name, each]): [string, string] => {
    if (name === 'content-type') return [name, converted ?? each]
    return isTag(name) ? [name, maskedTag(each, seal)] : [name, each]
  })
  if (!hasBody(method, status, value('content-length'))) {
    const isEmpty = method !== 'HEAD' && value('content-length') === '0'
    return { do: 'pass', fields: isEmpty ? [...fields, ['content-length', '0']] : fields }
  }
  const refuse = (why: string): Plan => {
    return { do: 'refuse', fields: fields.filter(([name]) => !ofContent.has(name)), whole: fields, why }
  }
  const range = value('content-range')
  if (range === undefined ? status === 206 : mayBeBytes(range))
    return refuse('the target answered with a part of the whole')
  const codings = readCodings(value('content-encoding'))
  if (codings === undefined) return refuse(`the answer is encoded as ${value('content-encoding') ?? ''}`)
  const masker = bodyMasker(converted ?? type, body)
  if ('unreadable' in masker) return refuse(masker.unreadable)
  const again = codingsAgain(codings, acceptEncoding)
  return {
    do: 'mask',
    fields: again === codings ? fields : recoded(fields, again),
    masker: converted !== undefined ? new LatinMasker(masker) : masker,
    codings,
    again,
    isLive: again.length > 0 && isStream(type, value('content-length') !== undefined),
  }
}
