// The agent's configuration: which relays it serves, and which targets with which credentials.
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { GateError } from '@gate/shared/errors'
import { targetName } from '@gate/shared/messages'
import { parseYaml } from '@gate/shared/yaml'
import * as z from 'zod'
import { approvalFaults, approvalFields } from './approvals/config.ts'
import { httpFaults, httpTarget, httpWithPaths } from './http-target.ts'
import { type ResolvePath, secret, secretWithPath } from './secret-source.ts'

/** libpq's sslmode. @see https://www.postgresql.org/docs/current/libpq-ssl.html#LIBPQ-SSL-PROTECTION */
export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const

const postgresTarget = z.strictObject({
  ...approvalFields,
  name: targetName,
  protocol: z.literal('postgres'),
  labels: z.record(z.string().max(128), z.string().max(256)).default({}),
  /** A host name, an address, or the directory of a Unix socket. */
  host: z.string().min(1),
  port: z.int().min(1).max(65535).default(5432),
  database: z.string().min(1),
  user: z.string().min(1),
  password: secret.optional(),
  /** verify-full unless the target is on this machine. */
  sslmode: z.enum(sslModes).optional(),
  /** Certificate authorities to trust instead of the system's. */
  sslrootcert: z.string().optional(),
  sslcert: z.string().optional(),
  sslkey: z.string().optional(),
  /** What stands before the server: a pooler that gives each session a connection of its own until it ends, and clears that then. */
  pooler: z.literal('session').optional(),
})
export type PostgresTarget = z.infer<typeof postgresTarget>

const target = z.discriminatedUnion('protocol', [postgresTarget, httpTarget]).check(context => {
  const faults = [
    ...(context.value.protocol === 'http' ? httpFaults(context.value) : []),
    ...approvalFaults(context.value),
  ]
  for (const message of faults) context.issues.push({ code: 'custom', message, input: context.value })
})
export type TargetConfig = z.infer<typeof target>

const relayUrl = z.url({ protocol: /^https?$/ })

const schema = z
  .strictObject({
    relay: z.union([relayUrl, z.array(relayUrl).min(1).max(20)]),
    name: targetName,
    state: z.string(),
    /** Certificate authorities to trust for the relay instead of the system's. */
    ca: z.string().optional(),
    targets: z.array(target).min(1).max(1000),
    limits: z.strictObject({ streams: z.int().min(1).max(100_000).default(2_000) }).prefault({}),
    log: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
  })
  .check(context => {
    const names = new Set<string>()
    for (const { name } of context.value.targets) {
      if (names.has(name))
        context.issues.push({ code: 'custom', message: `two targets named ${name}`, input: name, path: ['targets'] })
      names.add(name)
    }
  })

export type AgentConfig = Omit<z.infer<typeof schema>, 'relay'> & { readonly relays: readonly string[] }

/**
 * Reads the configuration; relative paths in it are relative to the file.
 * @throws {GateError} ERR_GATE_CONFIG with `file:line:column` of every mistake.
 */
export async function readAgentConfig(file: string): Promise<AgentConfig> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new GateError('ERR_GATE_CONFIG', `${file}: cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
      hint: 'Name another file with --config FILE.',
    })
  }
  const { relay, ...value } = parseYaml(file, text, schema).value
  const path = (relative: string): string => resolve(dirname(file), relative)
  return {
    ...value,
    relays: [relay].flat().map(url => url.replace(/\/+$/, '')),
    state: path(value.state),
    ...(value.ca === undefined ? {} : { ca: path(value.ca) }),
    targets: value.targets.map(each => withPaths(each, path)),
  }
}

/** The target with its files where they are, seen from the configuration's own place. */
function withPaths(target: TargetConfig, path: ResolvePath): TargetConfig {
  if (target.protocol === 'http') return httpWithPaths(target, path)
  return {
    ...target,
    ...(target.password === undefined ? {} : { password: secretWithPath(target.password, path) }),
    ...(target.sslrootcert === undefined ? {} : { sslrootcert: path(target.sslrootcert) }),
    ...(target.sslcert === undefined ? {} : { sslcert: path(target.sslcert) }),
    ...(target.sslkey === undefined ? {} : { sslkey: path(target.sslkey) }),
  }
}
