// Which settings a client may bring or change: those that would make it somebody else it may not. Pure.
import { GateError } from '@gate/shared/errors'

/** Settings that change who one is or what code runs with one's rights. */
const identitySettings = new Set([
  'role',
  'session_authorization',
  'session_preload_libraries',
  'local_preload_libraries',
])

/** Start-up parameters that are not settings. The agent logs in with the service identity, to the target's database. */
const ownParameters = new Set(['user', 'database', 'replication', 'options'])

/**
 * Settings that choose how a query is run. Rows without an order come as the plan reads them: over an index on a masked
 * column, in the order of its values.
 * @see https://www.postgresql.org/docs/current/runtime-config-query.html
 */
const planSettings =
  /^(enable_\w+|\w+_cost|effective_cache_size|geqo(_\w+)?|(from|join)_collapse_limit|constraint_exclusion|cursor_tuple_fraction|(debug|force)_parallel_\w+)$/

const MAX_OPTIONS = 200

/** GUC names are case-insensitive; `-` stands for `_` in options (src/backend/utils/misc/guc.c ParseLongOption). */
export function settingName(name: string): string {
  return name.toLowerCase().replaceAll('-', '_')
}

export function isIdentitySetting(name: string): boolean {
  return identitySettings.has(settingName(name))
}

export const planRefusal = 'steers in what order rows come, which can be that of values that are masked for you'

/** Whether it steers the planner. */
export function isPlanSetting(name: string): boolean {
  return planSettings.test(settingName(name))
}

/**
 * Whether gate's parser and a server with this value of the setting read the same bytes the same way; undefined of settings
 * that have nothing to do with it. `value` undefined means that it is not known before the server computes it.
 */
export function readsAsGate(name: string, value: string | undefined): boolean | undefined {
  switch (settingName(name)) {
    case 'client_encoding':
    case 'names':
      return value !== undefined && isUtf8(value)
    case 'standard_conforming_strings':
      return value !== undefined && /^(on|true|t|yes|y|1)$/i.test(value)
    default:
      return undefined
  }
}

export const encodingRefusal = 'would bring values in another encoding than UTF8, in which gate masks none'

/** Whether values come in another encoding than UTF8 by it, or may. */
export function isOtherEncoding(name: string | undefined, value: string | undefined): boolean {
  if (name === undefined) return false
  const isAsGate = readsAsGate(name, value)
  if (isAsGate === undefined || settingName(name) === 'standard_conforming_strings') return false
  return !isAsGate || isUnconverted(value)
}

/** A setting whose value is a parameter of the statement. */
export interface BoundSetting {
  readonly name: string
  /** 1 is the first. */
  readonly parameter: number
}

/** As isOtherEncoding, with the values that were bound; text is the same bytes in either format. */
export function bindsOtherEncoding(
  settings: readonly BoundSetting[],
  parameters: readonly { readonly value: Buffer | null }[],
): boolean {
  return settings.some(({ name, parameter }) =>
    isOtherEncoding(name, parameters[parameter - 1]?.value?.toString('utf8')),
  )
}

/** pg_encname_tbl (src/common/encnames.c) ignores everything but letters and digits. */
const encodingKey = (value: string): string => value.toLowerCase().replace(/[^a-z0-9]/g, '')

/** SQL_ASCII: the database's own bytes, which are UTF-8 in nearly all. */
function isUnconverted(value: string | undefined): boolean {
  return value !== undefined && encodingKey(value) === 'sqlascii'
}

function isUtf8(value: string): boolean {
  return ['utf8', 'unicode'].includes(encodingKey(value)) || isUnconverted(value)
}

export interface ClientStart {
  /** What goes to the server. */
  readonly parameters: Readonly<Record<string, string>>
  readonly user: string
  readonly database: string
  readonly applicationName: string | undefined
  /** The settings that it brings. */
  readonly settings: readonly (readonly [name: string, value: string])[]
}

/**
 * Sorts a client's start-up parameters.
 * @throws {GateError} ERR_GATE_REFUSED for replication and for settings that change who one is.
 */
export function readClientStart(given: ReadonlyMap<string, string>): ClientStart {
  const replication = given.get('replication')
  if (replication !== undefined && !/^(off|false|f|no|n|0)$/i.test(replication)) {
    throw new GateError(
      'ERR_GATE_REFUSED',
      'the replication protocol is refused: it carries whole tables past every rule',
      {
        hint: 'Use COPY or pg_dump, which gate understands.',
      },
    )
  }
  const options = parseOptions(given.get('options') ?? '')
  const parameters: Record<string, string> = {}
  for (const [name] of [...given, ...options]) {
    if (isIdentitySetting(name))
      throw new GateError('ERR_GATE_REFUSED', `the start-up parameter ${name} would change who you are`)
  }
  for (const [name, value] of given) {
    if (!ownParameters.has(name) && settingName(name) !== 'client_encoding') parameters[name] = value
  }
  // What the agent's driver would say itself goes before options. psql asks for SQL_ASCII where the locale is C.
  const encoding = [...options, ...given].findLast(([name]) => settingName(name) === 'client_encoding')?.[1]
  if (encoding !== undefined && !isUnconverted(encoding)) parameters['client_encoding'] = encoding
  const text = given.get('options')
  if (text !== undefined && options.length > 0) parameters['options'] = text
  const user = given.get('user') ?? ''
  if (user === '') throw new GateError('ERR_GATE_PROTOCOL', 'no PostgreSQL user name specified in startup packet')
  return {
    parameters,
    user,
    database: given.get('database') ?? user,
    applicationName: given.get('application_name'),
    settings: [...given, ...options],
  }
}

/**
 * Splits the `options` parameter as the server does: spaces separate, a backslash keeps the next character.
 * Only settings (`-c name=value`, `--name=value`) are taken; other switches of the server are refused.
 * @see src/backend/utils/init/postinit.c process_startup_options, src/backend/tcop/postgres.c process_postgres_switches
 */
export function parseOptions(text: string): [string, string][] {
  const words = text.match(/(?:\\.|[^\\\s])+/gs)?.map(word => word.replace(/\\(.)/gs, '$1')) ?? []
  if (words.length > MAX_OPTIONS) throw new GateError('ERR_GATE_LIMIT', `more than ${MAX_OPTIONS} words in options`)
  const settings: [string, string][] = []
  const rest = words.values()
  for (const word of rest) {
    const setting = settingOf(word) ?? (word === '-c' ? rest.next().value : undefined)
    const match = setting === undefined ? null : /^([A-Za-z_][\w.-]*)=(.*)$/s.exec(setting)
    if (match?.[1] === undefined || match[2] === undefined) {
      throw new GateError(
        'ERR_GATE_REFUSED',
        `options may only hold settings (-c name=value), not ${JSON.stringify(word)}`,
      )
    }
    settings.push([match[1], match[2]])
  }
  return settings
}

/** `-cname=value` and `--name=value`. */
function settingOf(word: string): string | undefined {
  if (word.startsWith('--')) return word.slice(2)
  return word.startsWith('-c') && word !== '-c' ? word.slice(2) : undefined
}
