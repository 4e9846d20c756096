// The relay's configuration file, read once at start.
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { duration } from '@gate/shared/duration'
import { GateError } from '@gate/shared/errors'
import { parseYaml } from '@gate/shared/yaml'
import * as z from 'zod'
import { noticeKinds } from './notices/notice.ts'
import { defaultHttpLimits, LARGEST_MESSAGE_BYTES } from './protocols/http/limits.ts'
import { MAX_BACKLOG_BYTES } from './record/uploads.ts'
import { durabilities } from './session/durability.ts'
import {
  defaultRecordLimits,
  LARGEST_EVENT_BYTES,
  MAX_RECIPIENTS,
  SMALLEST_EVENT_BYTES,
} from './session/record-limits.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

/** Signature algorithms of ID tokens: asymmetric ones only, so that a public key can never be used as a shared secret. */
const algorithm = z.enum(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'])

const issuer = z.strictObject({
  issuer: z.url({ protocol: /^https?$/ }),
  client_id: z.string().min(1),
  scopes: z.array(z.string()).default(['openid', 'email', 'profile', 'groups', 'offline_access']),
  groups_claim: z.string().min(1).default('groups'),
  /** Set before every group of this issuer, so that one issuer cannot speak for the groups of another. */
  group_prefix: z.string().default(''),
  algorithms: z.array(algorithm).min(1).default(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']),
  /** How far the provider's clock may be off. */
  clock_tolerance: duration(0, 5 * MINUTE_MS).default(30_000),
})
export type IssuerConfig = z.infer<typeof issuer>

const events = z.array(z.enum(noticeKinds)).min(1).optional()
const notice = z.union([
  z.strictObject({
    url: z.url({ protocol: /^https?$/ }),
    /** A file with the secret that signs; without it nothing is signed. */
    secret_file: z.string().optional(),
    format: z.enum(['json', 'slack']).default('json'),
    events,
  }),
  z.strictObject({ command: z.array(z.string()).min(1).max(50), events }),
])

const sinkName = z.string().regex(/^[a-z0-9][a-z0-9-]{0,40}$/, 'expected lower-case letters, digits, dash')
const sink = z.union([
  z.strictObject({ name: sinkName, file: z.string().min(1) }),
  z.strictObject({
    name: sinkName,
    url: z.url({ protocol: /^https?$/ }),
    /** A file with a token, sent as `Authorization: Bearer`. */
    token_file: z.string().optional(),
  }),
])

const s3 = z.strictObject({
  /** Of a server that speaks the same as Amazon's; without it that one. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
  region: z.string().min(1).default('us-east-1'),
  bucket: z.string().min(3).max(63),
  /** Set before the name of the relay, which is set before every object's. */
  prefix: z
    .string()
    .max(500)
    .regex(/^(?:[^/].*\/)?$/, 'expected a name that ends with /')
    .default(''),
  /** A file with the id of an access key on its first line and the secret on its second; without it the client looks for itself. */
  credentials_file: z.string().optional(),
  force_path_style: z.boolean().default(false),
  /** Bytes of events that may wait for the bucket before commands are refused. */
  backlog_bytes: z
    .int()
    .min(1024 * 1024)
    .max(Number.MAX_SAFE_INTEGER)
    .default(MAX_BACKLOG_BYTES),
})

const schema = z.strictObject({
  /** How clients and agents reach this relay. */
  url: z.url({ protocol: /^https?$/ }),
  listen: z.strictObject({
    host: z.string().default('127.0.0.1'),
    port: z.int().min(0).max(65535).default(8443),
    tls: z.strictObject({ certificate: z.string(), key: z.string() }).optional(),
  }),
  state: z.string(),
  store: z
    .discriminatedUnion('kind', [
      z.strictObject({ kind: z.literal('embedded') }),
      z.strictObject({
        kind: z.literal('postgres'),
        /** A file that holds the connection URL, so that the password is in neither this file nor the environment. */
        url_file: z.string(),
        maximum_connections: z.int().min(2).max(200).default(10),
      }),
    ])
    .default({ kind: 'embedded' }),
  issuers: z.array(issuer).min(1).max(20),
  policy: z.array(z.string()).min(1).max(100),
  /** Groups whose members may lock people, targets and agents. */
  operators: z.array(z.string().min(1).max(256)).max(200).default([]),
  identity: z
    .strictObject({
      token: duration(10_000, 60 * MINUTE_MS).default(15 * MINUTE_MS),
      maximum_session: duration(10_000, 30 * DAY_MS).default(12 * 60 * MINUTE_MS),
    })
    .prefault({}),
  limits: z
    .strictObject({
      connections_per_subject: z.int().min(1).max(10_000).default(100),
      connections: z.int().min(1).max(100_000).default(2_000),
      waiting_requests_per_subject: z.int().min(1).max(1_000).default(50),
      /** Largest SQL statement that is analysed; larger ones are refused. */
      statement_bytes: z
        .int()
        .min(1024)
        .max(16 * 1024 * 1024)
        .default(1024 * 1024),
      /** HTTP: a request's head, what is read of its body before it is decided, and silence in a body on its way. */
      request_head: duration(1_000, 60 * MINUTE_MS).default(defaultHttpLimits.headMs),
      request_body: duration(1_000, 60 * MINUTE_MS).default(defaultHttpLimits.bodyMs),
      request_idle: duration(1_000, DAY_MS).default(defaultHttpLimits.idleMs),
      /** Longest message of a WebSocket. */
      websocket_message_bytes: z.int().min(1024).max(LARGEST_MESSAGE_BYTES).default(defaultHttpLimits.messageBytes),
      agent_streams: z.int().min(1).max(100_000).default(2_000),
    })
    .prefault({}),
  record: z
    .strictObject({
      /** Groups whose members may read the whole record, of all targets. */
      auditors: z.array(z.string().min(1)).max(100).default([]),
      /** Which commands wait for the disk; where it is not said, those that write. */
      durability: z.enum(durabilities).optional(),
      /** How long events are kept; without it forever. */
      retention: duration(DAY_MS, 100 * 365 * DAY_MS).optional(),
      /** Where the record is kept beside this machine; without it in the state directory alone. */
      storage: z.strictObject({ s3 }).optional(),
      /** Where events are sent on to, as JSON lines. */
      sinks: z
        .array(sink)
        .max(10)
        .refine(
          sinks => new Set(sinks.map(({ name }) => name)).size === sinks.length,
          'each sink needs a name of its own',
        )
        .default([]),
      /** Public keys of age (age1…) that can read what policy's `record: full` seals. */
      recipients: z.array(z.string().min(1).max(4096)).max(MAX_RECIPIENTS).default([]),
      /** Bytes of a command's text; longer ones are cut and marked. */
      event_bytes: z.int().min(SMALLEST_EVENT_BYTES).max(LARGEST_EVENT_BYTES).default(defaultRecordLimits.eventBytes),
      /** Bytes of texts and parameters of a session; from then on only their hashes are recorded. */
      session_bytes: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(defaultRecordLimits.sessionBytes),
      /** The same of a target and a day. */
      target_bytes_per_day: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(defaultRecordLimits.targetBytesPerDay),
    })
    .prefault({}),
  /** Who is told when people are needed. */
  notices: z.array(notice).max(20).default([]),
  log: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
})

export type RelayConfig = z.infer<typeof schema>

/**
 * Reads the configuration; relative paths in it are relative to the file.
 * @throws {GateError} ERR_GATE_CONFIG with `file:line:column` of every mistake.
 */
export async function readRelayConfig(file: string): Promise<RelayConfig> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${file}: cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
      hint: 'Name another file with --config FILE.',
    })
  }
  const { value } = parseYaml(file, text, schema)
  const path = (relative: string): string => resolve(dirname(file), relative)
  const { tls } = value.listen
  return {
    ...value,
    url: value.url.replace(/\/+$/, ''),
    listen: {
      ...value.listen,
      ...(tls === undefined ? {} : { tls: { certificate: path(tls.certificate), key: path(tls.key) } }),
    },
    state: path(value.state),
    store: value.store.kind === 'embedded' ? value.store : { ...value.store, url_file: path(value.store.url_file) },
    policy: value.policy.map(path),
    record: {
      ...value.record,
      ...(value.record.storage === undefined ? {} : { storage: withPaths(value.record.storage, path) }),
      sinks: value.record.sinks.map(each => {
        if ('file' in each) return { ...each, file: path(each.file) }
        return each.token_file === undefined ? each : { ...each, token_file: path(each.token_file) }
      }),
    },
    notices: value.notices.map(hook =>
      'command' in hook || hook.secret_file === undefined ? hook : { ...hook, secret_file: path(hook.secret_file) },
    ),
  }
}

type StorageConfig = NonNullable<RelayConfig['record']['storage']>

function withPaths({ s3 }: StorageConfig, path: (relative: string) => string): StorageConfig {
  return s3.credentials_file === undefined ? { s3 } : { s3: { ...s3, credentials_file: path(s3.credentials_file) } }
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

/** @throws {GateError} ERR_GATE_CONFIG when tokens would travel in clear beyond this machine. */
export function checkTransport(config: RelayConfig, insecure: boolean): void {
  if (config.listen.tls !== undefined || insecure || isLoopback(config.listen.host)) return
  throw new GateError(
    'ERR_GATE_CONFIG',
    `listen.host ${config.listen.host} is not loopback and there is no listen.tls`,
    {
      hint: 'Give listen.tls.certificate and listen.tls.key, or start with --insecure behind a proxy that ends TLS.',
    },
  )
}
