// Where an answer may send the client: to the service itself, seen from its base path, or to hosts that are named. Pure.
import { GateError } from '@gate/shared/errors'
import type { RawHeaders } from './headers.ts'

export interface Place {
  /** The target's name, for errors. */
  readonly name: string
  readonly origin: string
  /** Put before every path: empty, or `/base`. */
  readonly basePath: string
  /** `host`, `host:port` or `*`. */
  readonly redirects: readonly string[]
}

/** Of a Refresh: nothing that is meant is longer. */
const MAX_REFRESH_LENGTH = 2048

/**
 * Rewrites Location, Content-Location and Refresh of an answer to the request for `path` (with the base path).
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL for a reference to anywhere else, or to nowhere.
 */
export function rewriteReferences(headers: RawHeaders, path: string, place: Place): string[] {
  return headers.map((value, index) => {
    const name = index % 2 === 0 ? '' : headers[index - 1]?.toLowerCase()
    if (name === 'location' || name === 'content-location') return rewrite(value, path, place)
    return name === 'refresh' ? rewriteRefresh(value, path, place) : value
  })
}

function rewrite(reference: string, path: string, place: Place): string {
  const url = parse(reference, path, place)
  if (url.origin === place.origin) return withoutBase(url, place)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refused(place, `to an address that begins with ${url.protocol}`)
  if (place.redirects.includes('*') || place.redirects.includes(url.host)) return url.href
  throw refused(place, `to ${url.host}, which is not among its redirects`, {
    hint: `If that is meant to be: add ${url.host} to the target's redirects at the agent.`,
  })
}

/** As browsers read it: the bytes are UTF-8, and `\` is `/`. */
function parse(reference: string, path: string, place: Place): URL {
  const text = Buffer.from(reference, 'latin1').toString('utf8')
  const url = URL.canParse(text, place.origin + path) ? new URL(text, place.origin + path) : undefined
  if (url === undefined) throw refused(place, 'to something that is no address')
  return url
}

function withoutBase({ pathname, search, hash }: URL, place: Place): string {
  const { basePath } = place
  if (pathname !== basePath && !pathname.startsWith(`${basePath}/`))
    throw refused(place, 'to a path outside of its base path')
  const rest = pathname.slice(basePath.length)
  // Two slashes at the start would make a host of the path's first segment.
  return `${rest.startsWith('//') ? '/.' : ''}${rest === '' ? '/' : rest}${search}${hash}`
}

/** @see https://html.spec.whatwg.org/multipage/document-lifecycle.html#shared-declarative-refresh-steps */
function rewriteRefresh(value: string, path: string, place: Place): string {
  // No two parts of it that follow one another match the same characters: it never goes back over them.
  const match =
    value.length > MAX_REFRESH_LENGTH ? null : /^(\d*)(?:\.[\d.]*)?(?:(?:\s*[;,]\s*|\s+)(.*))?$/.exec(value.trim())
  if (match === null) throw refused(place, 'in a way that is not understood')
  const [, seconds = '', rest = ''] = match
  if (rest === '') return seconds
  const reference = rest.replace(/^url\s*=\s*/i, '')
  const quote = /^["']/.exec(reference)?.[0]
  const bare = quote === undefined ? reference : (reference.slice(1).split(quote)[0] ?? '')
  return `${seconds}; url=${rewrite(bare.trim(), path, place)}`
}

function refused(place: Place, where: string, options: { hint?: string } = {}): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the target ${place.name} redirects ${where}`, options)
}
