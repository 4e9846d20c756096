// The header fields of a request or an answer: read strictly, and what of them goes on. Pure.
import { GateError } from '@gate/shared/errors'
import { copySources, overrideFields } from '@gate/shared/http-command'

/** More than servers take by default. */
const MAX_FIELDS = 200

/** Fields of which a second one makes a request mean different things to different servers. */
const single: ReadonlySet<string> = new Set([
  ...['host', 'content-length', 'transfer-encoding', 'content-type', 'content-encoding', 'content-range', 'expect'],
  ...[
    'authorization',
    'proxy-authorization',
    'origin',
    'range',
    'upgrade',
    'destination',
    'sec-websocket-key',
    'prefer-async',
  ],
  'sec-websocket-version',
  ...['sec-fetch-site', 'sec-fetch-mode'],
  ...copySources,
])

/** The same of answers: clients differ in which of two they go by, and masks in which type or coding they read by. */
const singleInAnswers: ReadonlySet<string> = new Set([
  ...['content-length', 'transfer-encoding', 'content-type', 'content-encoding', 'content-range', 'upgrade'],
  ...['location', 'content-location', 'refresh', 'content-disposition', 'etag', 'last-modified'],
])

/** RFC 9110 section 7.6.1: about one connection, whatever `Connection` says. */
const hopByHop: ReadonlySet<string> = new Set([
  ...['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade', 'trailer'],
  ...['proxy-authenticate', 'proxy-authorization', 'proxy-authentication-info', 'http2-settings'],
])

const nothing: ReadonlySet<string> = new Set()

/** Names, in lower case, and values, in the order in which they came. */
export type FieldList = readonly (readonly [name: string, value: string])[]

/** Fields as node gives them, names and values in turn, as pairs. */
export function pairsOf(raw: readonly string[]): FieldList {
  return raw.flatMap((name, at) => (at % 2 === 0 ? [[name, raw[at + 1] ?? ''] as const] : []))
}

/** The same with the names in lower case, as a FieldList of a request or an answer has them. */
export function lowerPairsOf(raw: readonly string[]): FieldList {
  const fields: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2) fields.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? ''])
  return fields
}

/** The value of the first field of a name, which is in lower case. */
export function firstOf(fields: FieldList, name: string): string | undefined {
  return fields.find(([each]) => each === name)?.[1]
}

export class Fields {
  readonly list: FieldList
  readonly #first = new Map<string, string>()
  #named: ReadonlySet<string> | undefined

  /**
   * Reads the fields as node gives them: names and values in turn.
   * @throws {GateError} ERR_GATE_PROTOCOL when one that may stand once stands twice; ERR_GATE_LIMIT. Of an answer always
   * ERR_GATE_TARGET_PROTOCOL: the client has done nothing wrong.
   */
  constructor(raw: readonly string[], of: 'request' | 'answer' = 'request') {
    const once = of === 'request' ? single : singleInAnswers
    const list: [string, string][] = []
    for (let at = 0; at + 1 < raw.length; at += 2) {
      const name = (raw[at] ?? '').toLowerCase()
      const value = raw[at + 1] ?? ''
      list.push([name, value])
      if (!this.#first.has(name)) this.#first.set(name, value)
      else if (once.has(name)) throw twice(of, name)
    }
    if (list.length > MAX_FIELDS) throw tooMany(of)
    this.list = list
  }

  /** The value of a field that stands once, or the first one's. */
  one(name: string): string | undefined {
    return this.#first.get(name)
  }

  /** The members of a list field, in lower case. */
  members(name: string): string[] {
    if (!this.#first.has(name)) return []
    return this.list
      .filter(([each]) => each === name)
      .flatMap(([, value]) => value.split(','))
      .map(member => member.trim().toLowerCase())
      .filter(member => member !== '')
  }

  /** What `Connection` names. */
  get named(): ReadonlySet<string> {
    this.#named ??= this.#first.has('connection') ? new Set(this.members('connection')) : nothing
    return this.#named
  }

  /** Whether a field is meant for the other end: not of one hop, and not named by `Connection`. */
  isEndToEnd(name: string): boolean {
    return !hopByHop.has(name) && !this.named.has(name)
  }
}

function twice(of: 'request' | 'answer', name: string): GateError {
  return of === 'request'
    ? new GateError('ERR_GATE_PROTOCOL', `a request with two ${name} fields`)
    : new GateError('ERR_GATE_TARGET_PROTOCOL', `the target's answer has two ${name} fields`)
}

function tooMany(of: 'request' | 'answer'): GateError {
  return of === 'request'
    ? new GateError('ERR_GATE_LIMIT', `more than ${MAX_FIELDS} header fields`)
    : new GateError('ERR_GATE_TARGET_PROTOCOL', `the target's answer has more than ${MAX_FIELDS} header fields`)
}

/** Of requests these are the gate's to say, or mean something to it alone. */
const ownOfRequests: ReadonlySet<string> = new Set([
  ...['host', 'expect', 'forwarded', 'front-end-https', 'forwarded-for', 'via', 'origin'],
  ...['x-real-ip', 'x-client-ip', 'x-original-url', 'x-rewrite-url', 'x-original-host', 'x-host', 'true-client-ip'],
  ...['x-original-uri', 'x-original-path', 'x-override-url', 'x-original-method', 'x-http-host-override'],
  ...['x-request-uri', 'request-uri', 'x-proxy-url', 'base-url', 'x-waws-unencoded-url', 'script-name'],
  ...['x-script-name', 'x-middleware-subrequest', 'x-accel-redirect', 'x-forwarded'],
  ...['x-envoy-original-path', 'x-http-path-override', 'x-http-destinationurl'],
  ...['cf-connecting-ip', 'fastly-client-ip', 'x-cluster-client-ip'],
  // To CGI programs it is HTTP_PROXY, which tells them where to send their own requests.
  'proxy',
  ...['x-remote-user', 'remote-user', 'remote-name', 'remote-email', 'remote-groups', 'x-goog-iap-jwt-assertion'],
  ...['client-cert', 'client-cert-chain', 'x-client-cert', 'x-arr-clientcert'],
])

/** What proxies in front of services say of who asks; from a client it would be believed. */
const identity =
  /^(?:x-forwarded|x-auth-request|x-webauth|x-authentik|x-pomerium|tailscale|cf-access-jwt|cf-access-authenticated-user|x-goog-authenticated-user|x-amzn-oidc|x-ms-client-principal|x-ms-token|x-ssl-client|ssl-client|x-tls-client)(?:-|$)/

const isOwn = (name: string): boolean => ownOfRequests.has(name) || identity.test(name)

const plainName = /^[a-z0-9-]+$/

/**
 * A field whose name some servers (CGI, WSGI, PHP) cannot tell from one that the gate goes by: `X_Tenant` is X-Tenant to
 * them. `others` are more names that it goes by.
 */
export function disguisedField(fields: Fields, others: readonly string[]): string | undefined {
  const found = fields.list.find(([name]) => {
    if (plainName.test(name)) return false
    const plain = name.replace(/[^a-z0-9]/g, '-')
    const isGoneBy = single.has(plain) || hopByHop.has(plain) || others.includes(plain)
    return isGoneBy || isOwn(plain) || overrideFields.includes(plain)
  })
  return found?.[0]
}

/** Fields that are lists: several are one (RFC 9110 section 5.3). */
const lists =
  /^(?:accept(?:-.+)?|cache-control|connection|content-language|cookie|forwarded|if-(?:none-)?match|link|pragma|prefer|te|trailer|via|warning|x-forwarded-for)$/

/**
 * One of `shown`, by which rules go, that stands twice: an allow for the one value would let the other pass, and which of them
 * counts is for each server to say.
 */
export function repeatedField(fields: Fields, shown: readonly string[]): string | undefined {
  return shown.find(name => !lists.test(name) && fields.list.filter(([each]) => each === name).length > 1)
}

/** A field that is for the target, and that `Connection` names nevertheless: rules would see what the target does not. */
export function hiddenField(fields: Fields): string | undefined {
  for (const name of fields.named) if (fields.one(name) !== undefined && !hopByHop.has(name)) return name
  return undefined
}

/** With `Prefer: respond-async` the gate answers; the target is asked for nothing that it would do later on its own. */
const asynchronous = /^\s*respond-async\s*(?:;.*)?$/i

/**
 * A request's fields as they go to the target, with who sent it (RFC 7239; `session` as an obfuscated identifier). `except`
 * are fields that do not go on this time.
 */
export function forwardedFields(
  fields: Fields,
  session: string,
  except: ReadonlySet<string> = nothing,
): [string, string][] {
  const host = fields.one('host') ?? ''
  const passed: [string, string][] = []
  for (const [name, value] of fields.list) {
    if (isOwn(name) || except.has(name) || !fields.isEndToEnd(name)) continue
    const kept = name === 'prefer' ? withoutAsync(value) : value
    if (kept !== undefined) passed.push([name, kept])
  }
  // Of one hop, and this gate passes trailers on: without it services leave them out.
  if (!except.has('te') && fields.members('te').some(each => each.split(';', 1)[0]?.trim() === 'trailers'))
    passed.push(['te', 'trailers'])
  passed.push(
    ['host', host],
    ['forwarded', `for=_${session.replace(/[^A-Za-z0-9._-]/g, '-')};host="${host}";proto=http`],
    ['x-forwarded-host', host],
    ['x-forwarded-proto', 'http'],
    ['via', '1.1 gate'],
  )
  return passed
}

function withoutAsync(value: string): string | undefined {
  const rest = value.split(',').filter(member => !asynchronous.test(member))
  return rest.length === 0 ? undefined : rest.join(',')
}

/** Whether the client would rather be answered at once than wait for people (RFC 7240 section 4.1). */
export function prefersAsync(fields: Fields): boolean {
  if (fields.one('prefer') === undefined) return false
  return fields.list.some(
    ([name, value]) => name === 'prefer' && value.split(',').some(each => asynchronous.test(each)),
  )
}

/** Who may read an answer is the gate's to say: other sites' pages get nothing in any case. */
const CROSS_ORIGIN = 'access-control-'

/**
 * An answer's fields as they go to the client.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when clients would read them in different ways.
 */
export function answeredFields(raw: FieldList): [string, string][] {
  const fields = new Fields(raw.flat(), 'answer')
  const kept: [string, string][] = []
  for (const [name, value] of fields.list)
    if (!name.startsWith(CROSS_ORIGIN) && !name.startsWith('gate-') && fields.isEndToEnd(name)) kept.push([name, value])
  return kept
}
