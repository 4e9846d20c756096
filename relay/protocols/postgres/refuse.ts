// Refusals in PostgreSQL's own words: ErrorResponse fields with SQLSTATE, DETAIL and HINT; and errors whose texts are withheld. Pure.
import type { ErrorCode, GateError } from '@gate/shared/errors'
import type { Deny } from '@gate/shared/model'
import type { HoldNotice } from '../protocol.ts'
import type { RelationName } from './analysis/objects.ts'
import type { ErrorFields } from './codec.ts'
import type { Missing } from './lineage/findings.ts'

/** SQLSTATE of each of gate's errors. @see https://www.postgresql.org/docs/current/errcodes-appendix.html */
const sqlStates: Readonly<Partial<Record<ErrorCode, string>>> = {
  ERR_GATE_REFUSED: '42501',
  ERR_GATE_FORBIDDEN: '42501',
  ERR_GATE_UNAUTHENTICATED: '28000',
  ERR_GATE_TOKEN: '28000',
  ERR_GATE_NOT_FOUND: '3D000',
  ERR_GATE_LIMIT: '54000',
  ERR_GATE_PROTOCOL: '08P01',
  ERR_GATE_TARGET_PROTOCOL: '08P01',
  ERR_GATE_NO_AGENT: '08001',
  ERR_GATE_TARGET_UNREACHABLE: '08001',
  ERR_GATE_TARGET_LOGIN: '08004',
  ERR_GATE_AGENT_LOST: '08006',
  ERR_GATE_TIMEOUT: '08006',
  ERR_GATE_RECORD: '58030',
  ERR_GATE_STORE: '58000',
  ERR_GATE_IDENTITY_ENDED: '57P01',
  ERR_GATE_SHUTDOWN: '57P01',
  ERR_GATE_KILLED: '57P01',
  ERR_GATE_LOCKED: '42501',
  ERR_GATE_CANCELLED: '57014',
  ERR_GATE_EXPIRED: '57014',
}

type Severity = 'ERROR' | 'FATAL'

function fields(
  severity: Severity,
  code: string,
  message: string,
  detail?: string,
  hint?: string,
): Map<string, string> {
  return new Map([
    ['S', severity],
    ['V', severity],
    ['C', code],
    ['M', message],
    ...(detail === undefined ? [] : [['D', detail] as const]),
    ...(hint === undefined ? [] : [['H', hint] as const]),
  ])
}

/** What the server says of settings in a start-up packet: a wrong value, an unknown name, one that cannot be set then. */
const settingStates = new Set(['22023', '42602', '42704', '55P02'])

/** Whether the target refused the settings that the client brought, and nothing else. */
export function isAboutSettings({ code, fields }: GateError): boolean {
  return code === 'ERR_GATE_TARGET_UNREACHABLE' && settingStates.has(fields?.['C'] ?? '')
}

/**
 * An error of gate as PostgreSQL would say it. Where the target itself refused, its own fields are kept; of settings that
 * the client brought it is all that the client sees.
 */
export function errorOf(error: GateError, severity: Severity): ErrorFields {
  if (isAboutSettings(error)) {
    const { C: state = '', M: said = '', D: detail, H: hint } = error.fields ?? {}
    return fields(severity, state, said, detail, hint)
  }
  const own = fields(severity, sqlStates[error.code] ?? 'XX000', `gate: ${error.message}`, error.detail, error.hint)
  if (error.fields?.['C'] === undefined) return own
  own.set('C', error.fields['C'])
  own.set('D', [`The target said: ${error.fields['M'] ?? ''}`, error.fields['D']].filter(Boolean).join(' '))
  if (error.fields['H'] !== undefined) own.set('H', error.fields['H'])
  return own
}

/** A refusal: which rule said no, and why. */
export function denied(deny: Deny, request: string | undefined): ErrorFields {
  const about =
    request === undefined
      ? `Rule ${deny.rule} refused it; nothing was run.`
      : `Rule ${deny.rule}, request ${request}; nothing was run.`
  return fields('ERROR', '42501', `gate: ${deny.reason}`, about, deny.hint)
}

/** What the server would say of text that its grammar does not know. */
export function syntaxError(message: string, position: number | undefined): ErrorFields {
  const place: [string, string][] = position === undefined ? [] : [['P', String(position)]]
  return new Map([...fields('ERROR', '42601', message), ...place])
}

/** As parse_relation.c says it (errorMissingColumn, errorMissingRTE). */
export function noColumn({ path, noTable }: Missing): ErrorFields {
  const [name = ''] = path.slice(-1)
  const table = path.slice(0, -1).join('.')
  if (noTable) return fields('ERROR', '42P01', `missing FROM-clause entry for table "${table}"`)
  const message = table === '' ? `column "${name}" does not exist` : `column ${table}.${name} does not exist`
  return fields('ERROR', '42703', message)
}

/** The same of a relation. */
export function noRelation({ schema, name }: RelationName): ErrorFields {
  return fields('ERROR', '42P01', `relation "${schema === undefined ? name : `${schema}.${name}`}" does not exist`)
}

export function missing(kind: 'statement' | 'portal', name: string): ErrorFields {
  if (kind === 'portal') return fields('ERROR', '34000', `portal "${name}" does not exist`)
  const message =
    name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`
  return fields('ERROR', '26000', message)
}

/** Why a command was not sent: the client cancelled it before. */
export const cancelledUnsent: ErrorFields = fields('ERROR', '57014', 'canceling statement due to user request')

/** Why a command that was to be run is not: the client cancelled it while it was held. */
export const cancelledWhileHeld: ErrorFields = fields(
  'ERROR',
  '57014',
  'canceling statement due to user request',
  'It was waiting for approval and was not run.',
)

/** A refusal over the rows that a command wrote: it ran, and comes to nothing. */
export function deniedRows(deny: Deny, request: string | undefined): ErrorFields {
  const who = request === undefined ? `Rule ${deny.rule} refused it` : `Rule ${deny.rule}, request ${request}`
  return fields('ERROR', '42501', `gate: ${deny.reason}`, `${who}; its changes are rolled back.`, deny.hint)
}

/** Why a command that has run comes to nothing: the client cancelled it while people were asked about its rows. */
export const cancelledWhileCounted: ErrorFields = fields(
  'ERROR',
  '57014',
  'canceling statement due to user request',
  'Its rows were waiting for approval; its changes are rolled back.',
)

/** Nobody reads it. */
export const clientGone: ErrorFields = fields('ERROR', '57014', 'gate: the client went away')

/** Whether messages that no Sync has followed left a transaction open cannot be known. */
export const countedInSegment: ErrorFields = fields(
  'ERROR',
  '0A000',
  'gate: a simple query under a row limit cannot follow extended messages without a Sync',
)

/** Whether the server ends the connection with it. */
export function isFatal(error: ErrorFields): boolean {
  const severity = error.get('V') ?? error.get('S')
  return severity === 'FATAL' || severity === 'PANIC'
}

/** The beginning of an error or notice that is too long to be searched; what is missing is said. */
export function cutTexts(beginning: ReadonlyMap<string, string>): ErrorFields {
  const message = beginning.get('M') ?? 'message (text withheld by gate: it is too long to be searched)'
  return new Map([...beginning, ['M', message]])
}

/** The NOTICE that a client sees while its command waits. */
export function holdNotice(notice: HoldNotice): ErrorFields {
  const until = new Date(notice.expiresMs).toISOString().replace(/\.\d+Z$/, 'Z')
  return new Map([
    ['S', 'NOTICE'],
    ['V', 'NOTICE'],
    ['C', '00000'],
    ['M', `gate: waiting for approval by ${notice.approvers}, request ${notice.request}`],
    [
      'D',
      notice.rows === undefined
        ? `Rule ${notice.rule} holds this command. Nothing runs before somebody approves; the request expires at ${until}.`
        : `Rule ${notice.rule} limits rows, and ${notice.rows} are written. They are locked, and not committed before somebody approves; the request expires at ${until}.`,
    ],
    ['H', `They can run: gate approve ${notice.request}`],
  ])
}
