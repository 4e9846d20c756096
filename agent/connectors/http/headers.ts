// Which headers pass: of a request to the service, of its answer to the client. Pure.

/** Names and values alternately, as node and undici give and take them: order and repetition stay. */
export type RawHeaders = readonly string[]

/** `cookies`, `authorization`, or the name of a header or parameter that carries a key of the client's own. */
export type Passed = string

/** Of one connection only. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1 */
const hopByHop = [
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
]
/** What only a message's own framing may say; trailers that say it would be believed by some. */
const framing = ['content-length', 'content-encoding', 'content-type', 'content-range', 'trailer', 'host']

const requestDrops: ReadonlySet<string> = new Set([...hopByHop, 'host', 'content-length', 'expect', 'trailer'])
/** They are about the service's own host, and would break or redirect the local one. */
const aboutTheHost = ['strict-transport-security', 'alt-svc', 'public-key-pins', 'public-key-pins-report-only']
const answerDrops: ReadonlySet<string> = new Set([
  ...hopByHop,
  ...aboutTheHost,
  'authorization',
  'authentication-info',
  'clear-site-data',
])
/** With them the service, not gate, would decide what the client believes of gate, or where it goes. */
const trailerDrops: ReadonlySet<string> = new Set([...framing, 'location', 'content-location', 'refresh'])

/** `X_Api_Key` and `X.Api.Key` are X-Api-Key to some services (CGI, WSGI, PHP): who may not send one may not send another. */
export function canonical(name: string): string {
  const known = canonicalNames.get(name)
  if (known !== undefined) return known
  const made = name.toLowerCase().replace(/[^a-z0-9]/g, '-')
  if (name.length > MAX_KEPT_LENGTH) return made
  if (canonicalNames.size >= MAX_KEPT) canonicalNames.clear()
  canonicalNames.set(name, made)
  return made
}

/** Nearly all requests and answers have the same few names; beyond so many all are forgotten. */
const MAX_KEPT = 1_000
const MAX_KEPT_LENGTH = 64
const canonicalNames = new Map<string, string>()

function filter(raw: RawHeaders, passes: (name: string) => boolean): string[] {
  const named = connectionNames(raw)
  const kept: string[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const [name = '', value = ''] = [raw[index], raw[index + 1]]
    const plain = canonical(name)
    if (!named.has(plain) && passes(plain)) kept.push(name, value)
  }
  return kept
}

const none: ReadonlySet<string> = new Set()

/** What Connection says is for this hop alone. */
function connectionNames(raw: RawHeaders): ReadonlySet<string> {
  const values = valuesOf(raw, 'connection')
  if (values.length === 0) return none
  return new Set(values.flatMap(value => value.split(',').map(name => canonical(name.trim()))))
}

/** Every value of a header, in order; `wanted` is in lower case. */
export function valuesOf(raw: RawHeaders, wanted: string): string[] {
  const values: string[] = []
  for (let index = 0; index + 1 < raw.length; index += 2) {
    const name = raw[index] ?? ''
    if (name.length === wanted.length && name.toLowerCase() === wanted) values.push(raw[index + 1] ?? '')
  }
  return values
}

/**
 * What of a client's request goes to the service; Host, the framing and the credential are added by others.
 * `withheld` are names, in lower case, that do not go on, such as those that only the credential may set; nor do those of
 * which `isWithheld` says so, in the form of `canonical`.
 */
export function requestHeaders(
  raw: RawHeaders,
  passed: readonly Passed[],
  withheld: readonly string[],
  isWithheld: (name: string) => boolean = () => false,
): string[] {
  const own = new Set(withheld.map(canonical))
  const kept = filter(raw, name => {
    if (requestDrops.has(name) || own.has(name) || name.startsWith('proxy-') || isWithheld(name)) return false
    if (name === 'authorization') return passed.includes('authorization')
    // A service may still read what RFC 2965 had.
    return (name !== 'cookie' && name !== 'cookie2') || passed.includes('cookies')
  })
  // The one TE that has a meaning beyond one hop: without it services leave out the trailers that we pass on.
  const trailers = valuesOf(raw, 'te').some(value => /(^|[,\s])trailers\s*(,|;|$)/i.test(value))
  return trailers ? [...kept, 'TE', 'trailers'] : kept
}

/**
 * The headers with the scheme that the service is reached by, where they name one: the relay knows only that of the local
 * port, and a service that insists on https would redirect for ever.
 */
export function withScheme(kept: RawHeaders, scheme: 'http' | 'https'): string[] {
  return kept.map((value, index) => {
    const name = index % 2 === 0 ? '' : canonical(kept[index - 1] ?? '')
    if (name === 'x-forwarded-proto') return scheme
    return name === 'forwarded' ? value.replace(forwardedScheme, `$1proto=${scheme}`) : value
  })
}

/** RFC 7239 section 5.4. */
const forwardedScheme = /(^|[;,]\s*)proto=(?:"[^"]*"|[^;,"\s]*)/gi

/** What of a WebSocket handshake goes to the service: no extensions, so that frames stay readable. */
export function handshakeHeaders(kept: RawHeaders): string[] {
  return filter(kept, name => name !== 'sec-websocket-extensions')
}

/** What of the service's answer goes to the client; references in it are rewritten by redirects.ts. */
export function answerHeaders(raw: RawHeaders, passed: readonly Passed[]): string[] {
  return filter(raw, name => {
    if (answerDrops.has(name) || name.startsWith('proxy-') || name.startsWith('gate-')) return false
    // A browser must not be asked for the service's password, nor for one that would not pass.
    if (name === 'www-authenticate') return passed.includes('authorization')
    return (name !== 'set-cookie' && name !== 'set-cookie2') || passed.includes('cookies')
  })
}

/** What of the trailers goes to the client. */
export function answerTrailers(raw: RawHeaders, passed: readonly Passed[]): string[] {
  return filter(answerHeaders(raw, passed), name => !trailerDrops.has(name))
}

/** The list without one name. */
export function without(raw: RawHeaders, dropped: string): string[] {
  return raw.filter((_, index) => raw[index - (index % 2)]?.toLowerCase() !== dropped)
}
