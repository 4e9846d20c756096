// The configuration of an HTTP target: where it is, how the agent logs in to it, what may pass.
import { duration } from '@gate/shared/duration'
import { targetName } from '@gate/shared/messages'
import * as z from 'zod'
import { approvalFields } from './approvals/config.ts'
import { mayBeKey } from './connectors/http/client-keys.ts'
import { canonical } from './connectors/http/headers.ts'
import { type ResolvePath, type SecretSource, secret, secretWithPath } from './secret-source.ts'

const SECOND_MS = 1000

/** Requests, streams and WebSockets at one service at a time, where the target does not say. */
export const DEFAULT_CONNECTIONS = 256
const MAX_CONNECTIONS = 100_000

const isLoopback = (host: string): boolean => host === 'localhost' || host === '[::1]' || /^127\./.test(host)

/** Where a service is: no credential, query or fragment in it. */
const serviceUrl = z.url({ protocol: /^https?$/ }).refine(text => {
  if (!URL.canParse(text)) return false
  const { username, password, search, hash } = new URL(text)
  return [username, password, search, hash].every(part => part === '')
}, 'expected http(s)://host[:port][/path] without a user, a query or a fragment')

const tokenUrl = z
  .url({ protocol: /^https?$/ })
  .refine(
    text => URL.canParse(text) && (new URL(text).protocol === 'https:' || isLoopback(new URL(text).hostname)),
    'expected https: a client secret is sent there',
  )

const headerName = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected the name of a header')
  .refine(
    name => !/^(host|connection|content-length|transfer-encoding|te|trailer|upgrade|expect|keep-alive)$/i.test(name),
    'this header cannot carry a credential',
  )

/** RFC 6749 section 4.4: the client credentials grant. */
const oauth2 = z.strictObject({
  token_url: tokenUrl,
  client_id: z.string().min(1).max(1024),
  client_secret: secret,
  scopes: z.array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'expected a scope without spaces')).default([]),
  /** How the client proves itself, RFC 6749 section 2.3.1: in an Authorization header or in the form. */
  auth: z.enum(['basic', 'post']).default('basic'),
  /** Certificate authorities to trust for token_url instead of the system's; `ca` of the target does not count here. */
  ca: z.string().optional(),
})

const awsSigV4 = z.strictObject({
  region: z.string().regex(/^[a-z0-9-]{1,64}$/),
  /** The name in the credential scope: s3, es, execute-api. */
  service: z.string().regex(/^[a-z0-9-]{1,64}$/),
  access_key_id: secret,
  secret_access_key: secret,
  session_token: secret.optional(),
})

/** Exactly one of them. */
const httpCredential = z.union([
  z.strictObject({ bearer: secret }),
  /** RFC 7617: a user name holds no colon. */
  z.strictObject({ basic: z.strictObject({ user: z.string().regex(/^[^:\p{Cc}]*$/u), password: secret }) }),
  z.strictObject({ header: z.strictObject({ name: headerName, value: secret }) }),
  z.strictObject({ oauth2 }),
  z.strictObject({ aws_sigv4: awsSigV4 }),
])
export type OAuth2Credential = z.infer<typeof oauth2>
export type AwsSigV4Credential = z.infer<typeof awsSigV4>
export type HttpCredential = z.infer<typeof httpCredential>

export const httpTarget = z.strictObject({
  ...approvalFields,
  name: targetName,
  protocol: z.literal('http'),
  labels: z.record(z.string().max(128), z.string().max(256)).default({}),
  /** The service; a path in it is put before the path of every request. */
  url: serviceUrl,
  /** What the agent speaks to the service: 2 by ALPN over TLS, or with prior knowledge over http. */
  http_version: z.enum(['1.1', '2']).default('1.1'),
  /** Certificate authorities to trust instead of the system's. */
  ca: z.string().optional(),
  /** The name in the service's certificate, when it is not the host in `url`. */
  tls_server_name: z.string().min(1).max(253).optional(),
  /** What the agent shows of itself in TLS; both or none. */
  client_certificate: z.string().optional(),
  client_key: z.string().optional(),
  /** What the agent adds to every request. */
  credential: httpCredential.optional(),
  /**
   * What of the client's and the service's own may pass: Cookie and Set-Cookie, Authorization and WWW-Authenticate, and keys by
   * the names of their headers or parameters.
   */
  pass: z
    .array(
      z
        .string()
        .max(128)
        .refine(
          name => /^(?:cookies|authorization)$/.test(name) || mayBeKey(canonical(name)),
          'expected cookies, authorization, or the name of a header or parameter that carries a key',
        ),
    )
    .default([]),
  /** Whether requests have `Via`, as those of gateways must (RFC 9110 section 7.6.3); to some services it turns compression off. */
  via: z.boolean().default(true),
  /** So many requests are at the service at a time, each on a connection of its own; more wait. Events and WebSockets stay. */
  connections: z.int().min(1).max(MAX_CONNECTIONS).default(DEFAULT_CONNECTIONS),
  /** Hosts beside the service's own, `host` or `host:port`, to which answers may redirect; `*` for any. */
  redirects: z
    .array(z.string().regex(/^(\*|[a-z0-9.-]+(:\d{1,5})?|\[[0-9a-f:]+\](:\d{1,5})?)$/, 'expected host, host:port or *'))
    .max(1000)
    .default([]),
  timeouts: z
    .strictObject({
      /** Until the connection stands, TLS included. */
      connect: duration(SECOND_MS, 5 * 60 * SECOND_MS).default(10 * SECOND_MS),
      /** From the request to the answer's headers. */
      headers: duration(SECOND_MS, 24 * 3600 * SECOND_MS).default(5 * 60 * SECOND_MS),
      /**
       * Silence in the body of an answer that says how long it is. One that does not, such as a stream of events, may be
       * silent for any time, and take any time.
       */
      body: duration(SECOND_MS, 24 * 3600 * SECOND_MS).default(5 * 60 * SECOND_MS),
    })
    .prefault({}),
})
export type HttpTarget = z.infer<typeof httpTarget>

/** What does not fit together in an HTTP target. */
export function httpFaults(config: HttpTarget): string[] {
  const { url, credential, pass } = config
  const tls = [config.ca, config.tls_server_name, config.client_certificate, config.client_key]
  const faults: string[] = []
  const methods = (config.require_approval ?? []).filter(action => !/^(\*|[a-z-]+)$/.test(action))
  if (methods.length > 0) faults.push(`require_approval takes methods in lower case, not ${methods.join(', ')}`)
  if ((config.client_certificate === undefined) !== (config.client_key === undefined))
    faults.push('client_certificate and client_key go together')
  if (url.toLowerCase().startsWith('http:') && tls.some(value => value !== undefined))
    faults.push('ca, tls_server_name, client_certificate and client_key need an https url')
  const own = credential !== undefined && (!('header' in credential) || /^authorization$/i.test(credential.header.name))
  if (own && pass.includes('authorization'))
    faults.push("the credential is itself an Authorization header: the client's cannot pass beside it")
  const field = credential !== undefined && 'header' in credential ? canonical(credential.header.name) : undefined
  if (!own && field !== undefined && pass.some(name => canonical(name) === field))
    faults.push(`the credential is itself in ${field}: the client's cannot pass beside it`)
  if (credential !== undefined && 'header' in credential && /^(cookie|proxy-.*)$/i.test(credential.header.name))
    faults.push(`${credential.header.name} cannot carry a credential`)
  return faults
}

/** The target with its files where they are, seen from the configuration's own place. */
export function httpWithPaths(target: HttpTarget, path: ResolvePath): HttpTarget {
  const { ca, client_certificate, client_key, credential } = target
  return {
    ...target,
    ...(ca === undefined ? {} : { ca: path(ca) }),
    ...(client_certificate === undefined ? {} : { client_certificate: path(client_certificate) }),
    ...(client_key === undefined ? {} : { client_key: path(client_key) }),
    ...(credential === undefined ? {} : { credential: credentialWithPaths(credential, path) }),
  }
}

function credentialWithPaths(credential: HttpCredential, path: ResolvePath): HttpCredential {
  const of = (source: SecretSource): SecretSource => secretWithPath(source, path)
  if ('bearer' in credential) return { bearer: of(credential.bearer) }
  if ('basic' in credential) return { basic: { ...credential.basic, password: of(credential.basic.password) } }
  if ('header' in credential) return { header: { ...credential.header, value: of(credential.header.value) } }
  if ('oauth2' in credential) {
    const { ca, client_secret, ...rest } = credential.oauth2
    return { oauth2: { ...rest, client_secret: of(client_secret), ...(ca === undefined ? {} : { ca: path(ca) }) } }
  }
  const { access_key_id, secret_access_key, session_token, ...rest } = credential.aws_sigv4
  return {
    aws_sigv4: {
      ...rest,
      access_key_id: of(access_key_id),
      secret_access_key: of(secret_access_key),
      ...(session_token === undefined ? {} : { session_token: of(session_token) }),
    },
  }
}
