// Structured logs on stderr: an event's name and listed fields, never payloads or secrets.
import { type DestinationStream, destination, pino } from 'pino'
import { GateError } from './errors.ts'

/** The fields that may be logged. What is not on this list is dropped: unclassified means secret. */
export interface LogFields {
  agent?: string | undefined
  target?: string | undefined
  session?: string | undefined
  stream?: string | undefined
  subject?: string | undefined
  request?: string | undefined
  rule?: string | undefined
  action?: string | undefined
  effect?: string | undefined
  protocol?: string | undefined
  code?: string | undefined
  reason?: string | undefined
  relay?: string | undefined
  issuer?: string | undefined
  url?: string | undefined
  file?: string | undefined
  path?: string | undefined
  host?: string | undefined
  port?: number | undefined
  count?: number | undefined
  bytes?: number | undefined
  durationMs?: number | undefined
  version?: string | undefined
  hook?: string | undefined
  sink?: string | undefined
  notice?: string | undefined
  kind?: string | undefined
  signal?: string | undefined
  error?: unknown
}

export interface Log {
  debug(event: string, fields?: LogFields): void
  info(event: string, fields?: LogFields): void
  warn(event: string, fields?: LogFields): void
  error(event: string, fields?: LogFields): void
}

const listed = new Set([
  'agent',
  'target',
  'session',
  'stream',
  'subject',
  'request',
  'rule',
  'action',
  'effect',
  'protocol',
  'code',
  'reason',
  'relay',
  'issuer',
  'url',
  'file',
  'path',
  'host',
  'port',
  'count',
  'bytes',
  'durationMs',
  'version',
  'hook',
  'notice',
  'kind',
  'signal',
])

const MAX_FIELD_LENGTH = 1024

function clean(fields: LogFields | undefined): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields ?? {})) {
    if (value === undefined || !listed.has(key)) continue
    out[key] = typeof value === 'string' ? value.slice(0, MAX_FIELD_LENGTH) : value
  }
  if (fields?.error !== undefined) out['error'] = describe(fields.error)
  return out
}

/** A GateError's own message and hint are safe to log by its contract; of a foreign error only name, code and stack position are kept. */
function describe(error: unknown): Record<string, unknown> {
  if (error instanceof GateError) {
    return {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      ...(error.cause === undefined ? {} : { cause: describe(error.cause) }),
    }
  }
  if (!(error instanceof Error)) return { type: typeof error }
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {}
  return {
    name: error.name,
    ...code,
    at: frames(error),
  }
}

/** The innermost calls. What stands before them in a stack is the message, which may have several lines and look like calls. */
function frames(error: Error): string[] {
  const stack = error.stack ?? ''
  const told = stack.indexOf(error.message)
  const lines = (told === -1 ? stack : stack.slice(told + error.message.length)).split('\n')
  const first = lines.findLastIndex(line => !/^ {4}at /.test(line)) + 1
  return lines.slice(first, first + 5).map(line => line.trim())
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** A log of JSON lines for one program, on stderr unless told otherwise. */
export function createLog(program: string, level: LogLevel = 'info', stream?: DestinationStream): Log {
  const logger = pino(
    { level, base: { program, pid: process.pid }, messageKey: 'event', timestamp: pino.stdTimeFunctions.isoTime },
    stream ?? destination({ dest: 2, sync: true }),
  )
  return {
    debug: (event, fields) => logger.debug(clean(fields), event),
    info: (event, fields) => logger.info(clean(fields), event),
    warn: (event, fields) => logger.warn(clean(fields), event),
    error: (event, fields) => logger.error(clean(fields), event),
  }
}

export const silentLog: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
