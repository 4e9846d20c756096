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

/** What the answer answers. */
export interface Asked {
  readonly method: string
  /** With the base path. */
  readonly path: string
  /** What the request said in X-Forwarded-Host: where the client believes that the service is. */
  readonly forwardedHost: string | undefined
}

/** Of a Refresh: nothing that is meant is longer. */
const MAX_REFRESH_LENGTH = 2048

/**
 * Rewrites Location, Content-Location, Refresh and Link of an answer. One that leads elsewhere is left out: the work is done, and
 * what was made of it is in the answer. Only a redirect is nothing without its Location.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL for a redirect to anywhere else, or to nowhere.
 */
export function rewriteReferences(headers: RawHeaders, status: number, asked: Asked, place: Place): string[] {
  const isRedirect = status >= 300 && status <= 399
  const kept: string[] = []
  for (let index = 0; index + 1 < headers.length; index += 2) {
    const [name = '', value = ''] = [headers[index], headers[index + 1]]
    const written = rewriteField(name.toLowerCase(), value, isRedirect, asked, place)
    if (written !== undefined) kept.push(name, written)
  }
  return kept
}

function rewriteField(
  name: string,
  value: string,
  isRedirect: boolean,
  asked: Asked,
  place: Place,
): string | undefined {
  switch (name) {
    case 'location':
      return isRedirect ? rewrite(value, asked, place) : unlessRefused(() => rewrite(value, asked, place))
    case 'content-location':
      return unlessRefused(() => rewrite(value, asked, place))
    case 'refresh':
      return unlessRefused(() => rewriteRefresh(value, asked, place))
    case 'link':
      return rewriteLinks(value, asked, place)
    default:
      return value
  }
}

/**
 * The next page of a list, for example (RFC 8288): clients follow it as it is. What leads elsewhere, or is relative to the
 * request, stays.
 */
function rewriteLinks(value: string, asked: Asked, place: Place): string {
  return value.replace(/<([^<>]*)>/g, (whole, reference: string) => {
    if (!/^(?:https?:)?\//i.test(reference)) return whole
    return `<${unlessRefused(() => rewrite(reference, asked, place)) ?? reference}>`
  })
}

function unlessRefused(write: () => string): string | undefined {
  try {
    return write()
  } catch (thrown) {
    if (thrown instanceof GateError) return undefined
    throw thrown
  }
}

function rewrite(reference: string, asked: Asked, place: Place): string {
  const url = parse(reference, asked, place)
  if (url.origin === place.origin) return withoutBase(url, place)
  // Services behind proxies build their own addresses so, with the scheme and the base path or without.
  if (isForwardedHost(url, asked)) return isInBase(url, place) ? withoutBase(url, place) : local(url, url.pathname)
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw refused(place, `to an address that begins with ${url.protocol}`)
  if (place.redirects.includes('*') || place.redirects.includes(url.host)) return url.href
  throw refused(place, `to ${url.host}, which is not among its redirects`, {
    hint: `If that is meant to be: add ${url.host} to the target's redirects at the agent.`,
  })
}

/** As browsers read it: the bytes are UTF-8, and `\` is `/`. */
function parse(reference: string, asked: Asked, place: Place): URL {
  const text = Buffer.from(reference, 'latin1').toString('utf8')
  const url = URL.canParse(text, place.origin + asked.path) ? new URL(text, place.origin + asked.path) : undefined
  if (url === undefined) throw refused(place, 'to something that is no address')
  return url
}

/** Whether it is where the client is already: a host alone, with or without a port. */
function isForwardedHost({ protocol, host }: URL, { forwardedHost }: Asked): boolean {
  if (forwardedHost === undefined || !/^[^\s/?#@\\,]+$/.test(forwardedHost)) return false
  if (protocol !== 'http:' && protocol !== 'https:') return false
  const forwarded = `${protocol}//${forwardedHost}`
  return URL.canParse(forwarded) && new URL(forwarded).host === host
}

const isInBase = ({ pathname }: URL, { basePath }: Place): boolean =>
  pathname === basePath || pathname.startsWith(`${basePath}/`)

function withoutBase(url: URL, place: Place): string {
  if (!isInBase(url, place)) throw refused(place, 'to a path outside of its base path')
  return local(url, url.pathname.slice(place.basePath.length))
}

/** Two slashes at the start would make a host of the path's first segment. */
function local({ search, hash }: URL, path: string): string {
  return `${path.startsWith('//') ? '/.' : ''}${path === '' ? '/' : path}${search}${hash}`
}

/** @see https://html.spec.whatwg.org/multipage/document-lifecycle.html#shared-declarative-refresh-steps */
function rewriteRefresh(value: string, asked: Asked, place: Place): string {
  // No two parts of it that follow one another match the same characters: it never goes back over them.
  const match =
    value.length > MAX_REFRESH_LENGTH ? null : /^(\d*)(?:\.[\d.]*)?(?:(?:\s*[;,]\s*|\s+)(.*))?$/.exec(value.trim())
  if (match === null) throw refused(place, 'in a way that is not understood')
  const [, seconds = '', rest = ''] = match
  if (rest === '') return seconds
  const reference = rest.replace(/^url\s*=\s*/i, '')
  const quote = /^["']/.exec(reference)?.[0]
  const bare = quote === undefined ? reference : (reference.slice(1).split(quote)[0] ?? '')
  return `${seconds}; url=${rewrite(bare.trim(), asked, place)}`
}

function refused(place: Place, where: string, options: { hint?: string } = {}): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the target ${place.name} redirects ${where}`, options)
}
