// What goes wrong between the agent and an HTTP service, in words that hold no address and no credential.
import { GateError } from '@gate/shared/errors'
import { errors } from 'undici'

/** Node's and OpenSSL's codes for TLS that did not come about. */
const tlsFault =
  /^(ERR_TLS_|ERR_SSL_|ERR_OSSL_|EPROTO$|UNABLE_TO_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_|HOSTNAME_MISMATCH)/

/** What a reset of a connection that there was is called here, so that undici does not take it for an end. */
export const RESET = 'connection reset'

const closings: Readonly<Record<string, string>> = {
  UND_ERR_SOCKET: 'it closed the connection',
  ERR_HTTP2_STREAM_ERROR: 'it broke off the request',
  ERR_HTTP2_STREAM_CANCEL: 'it closed the connection',
  ERR_HTTP2_SESSION_ERROR: 'it closed the connection',
  ERR_HTTP2_GOAWAY_SESSION: 'it closed the connection',
  ERR_HTTP2_INVALID_SESSION: 'it closed the connection',
  [RESET]: 'it reset the connection',
  EPIPE: 'it closed the connection while the request was being sent',
}

/** An answer that is none came after the request. */
const mayBeDone = 'It may have done what was asked: look before you send that again.'

/** What a client asks for and no library writes. */
const unwritable: ReadonlySet<string> = new Set([
  ...['UND_ERR_INVALID_ARG', 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH', 'ERR_HTTP2_HEADER_SINGLE_VALUE'],
  ...['ERR_HTTP2_INVALID_HEADER_VALUE', 'ERR_HTTP2_INVALID_CONNECTION_HEADERS', 'ERR_HTTP2_INVALID_PSEUDOHEADER'],
])

const codeOf = (thrown: unknown): string =>
  thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string' ? thrown.code : ''

/** The error of a request that got no answer, or not all of it. The text of the foreign error stays in `cause`. */
export function targetError(name: string, cause: unknown): GateError {
  if (cause instanceof GateError) return cause
  const code = codeOf(cause)
  const broken = (what: string): GateError =>
    new GateError('ERR_GATE_TARGET_PROTOCOL', `${name} ${what}`, { cause, hint: mayBeDone })
  if (code === 'UND_ERR_CONNECT_TIMEOUT') return lateConnection(name, cause)
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return lateHead(name, cause)
  if (withoutAlpn.test(code)) return noHttp2(name, 'its TLS agrees to no h2 (ALPN)', cause)
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return broken('sent headers that are too long')
  // undici asserts that a status is one.
  const isForeign = code === 'ERR_HTTP2_ERROR' || code === 'ERR_ASSERTION' || /^ERR_(INVALID|HTTP)_/.test(code)
  if (cause instanceof errors.HTTPParserError || isForeign) return broken('sent an answer that is not HTTP')
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return broken('sent more or less than it said it would')
  if (code === 'UND_ERR_SOCKET' && cause instanceof Error && cause.message.startsWith('bad '))
    return broken('sent an answer that does not belong to the request')
  if (unwritable.has(code))
    return new GateError('ERR_GATE_PROTOCOL', 'the request cannot be written for the target', { cause })
  const why = closings[code] ?? (tlsFault.test(code) ? `TLS: ${code}` : code)
  return new GateError(
    'ERR_GATE_TARGET_UNREACHABLE',
    `the agent cannot reach ${name}${why === '' ? '' : ` (${why})`}`,
    {
      cause,
      ...(code in closings ? { hint: mayBeDone } : {}),
    },
  )
}

/** What OpenSSL calls the alert of a service that takes none of the protocols that it is offered (RFC 7301 section 3.2). */
const withoutAlpn = /^ERR_SSL_(?:\w+_)?NO_APPLICATION_PROTOCOL$/

/** Of a service that was to speak HTTP/2, and does not. */
export function noHttp2(name: string, why: string, cause?: unknown): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `${name} does not speak HTTP/2: ${why}`, {
    cause,
    hint: `Set http_version of ${name} to "1.1" at the agent, or have the service speak HTTP/2.`,
  })
}

export function lateConnection(name: string, cause?: unknown): GateError {
  return new GateError('ERR_GATE_TIMEOUT', `the agent got no connection to ${name} in time`, { cause })
}

export function lateHead(name: string, cause?: unknown): GateError {
  return new GateError('ERR_GATE_TIMEOUT', `${name} did not answer in time`, {
    cause,
    hint: `If it needs longer: raise timeouts.headers of ${name} at the agent.`,
  })
}
