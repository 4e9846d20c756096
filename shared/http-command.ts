// An HTTP request in words, as people are asked about it: the same for the relay that asks and an agent that checks. Pure.
import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'

/** What of a request the words are about. */
export interface WordedRequest {
  readonly method: string
  /** Path and query, as they go to the target. */
  readonly target: string
  /** The value of a field by its name in lower case. */
  readonly field: (name: string) => string | undefined
  /** Undefined where there is no body. */
  readonly content: WordedContent | undefined
}

/** A body as it is shown: text, what tells other bytes from each other, or how many bytes were not read (-1: not said). */
export type WordedContent =
  | { readonly kind: 'text' | 'bytes'; readonly shown: string }
  | { readonly kind: 'unread'; readonly bytes: number }

/**
 * The request in words: its first line, what decides how its body is read, and the body. Two requests that a service could
 * tell apart by these have different words: a line of the head holds no line break, and only text has an empty line before it.
 */
export function requestText({ method, target, field, content }: WordedRequest): string {
  const destination = field('destination')
  const lines = [`${method} ${target}`, ...(destination === undefined ? [] : [`destination: ${destination}`])]
  for (const name of copySources) {
    const source = field(name)
    if (source !== undefined) lines.push(`${name}: ${source}`)
  }
  if (content === undefined) return lines.join('\n')
  const type = field('content-type')
  lines.push(type === undefined ? 'no content-type' : `content-type: ${type}`)
  const encoding = field('content-encoding')
  if (encoding !== undefined) lines.push(`content-encoding: ${encoding}`)
  if (content.kind === 'unread') lines.push(`content-length: ${content.bytes === -1 ? 'not said' : content.bytes}`)
  else if (content.kind === 'bytes') lines.push(`content: ${content.shown}`)
  else lines.push('', content.shown)
  return lines.join('\n')
}

/** A body that was read; undefined for an empty one. */
export function contentOf(bytes: Buffer): WordedContent | undefined {
  if (bytes.length === 0) return undefined
  if (isText(bytes)) return { kind: 'text', shown: bytes.toString('utf8') }
  const digest = createHash('sha256').update(bytes).digest('hex')
  return { kind: 'bytes', shown: `${bytes.length} bytes, SHA-256 ${digest}` }
}

/** Whether bytes can be shown as they are. */
function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && !bytes.includes(0)
}

/** What an object is made of that begins with it, when it is read: the beginning of their names (Swift). */
export const manifestSource = 'x-object-manifest'

/** Headers that say what a request copies, renames or makes another name of: S3 and services like it, Swift, Azure. */
export const copySources: readonly string[] = [
  ...['x-amz-copy-source', 'x-amz-rename-source', 'x-goog-copy-source', 'x-oss-copy-source', 'x-obs-copy-source'],
  ...['x-cos-copy-source', 'x-bce-copy-source', 'x-tos-copy-source', 'x-copy-from', 'x-ms-copy-source'],
  ...['x-ms-rename-source', 'x-symlink-target', 'x-oss-symlink-target', 'x-tos-symlink-target', manifestSource],
]

/**
 * Names by which a request asks to be taken for one of another method, and where frameworks look for them: among the fields of
 * its head, or among the members of its query or body. There `x-method` and the like are anybody's own words.
 */
const overrides: readonly { readonly name: string; readonly places: readonly ('field' | 'member')[] }[] = [
  { name: 'x-http-method-override', places: ['field', 'member'] },
  { name: 'x-http-method', places: ['field', 'member'] },
  { name: 'x-method-override', places: ['field', 'member'] },
  { name: 'x-tunneled-method', places: ['field', 'member'] },
  { name: 'x-method', places: ['field'] },
  { name: 'http-method-override', places: ['field'] },
  { name: '_method', places: ['member'] },
  { name: '_httpmethod', places: ['member'] },
]

/** Of the fields of a head, by which no request may ask for another method. */
export const overrideFields: readonly string[] = namesIn('field')
/** The same of members, in lower case; to some a hyphen is an underscore. */
export const overrideMembers: readonly string[] = namesIn('member')

function namesIn(place: 'field' | 'member'): string[] {
  return overrides.filter(({ places }) => places.includes(place)).map(({ name }) => name)
}
