// Refusals in PostgreSQL's own words: ErrorResponse fields with SQLSTATE, DETAIL and HINT; and errors whose texts are withheld. Pure.
import type { ErrorCode, GateError } from '@gate/shared/errors'
import type { Deny } from '@gate/shared/model'
import type { HoldNotice } from '../protocol.ts'
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

/**
 * SQLSTATEs whose primary message names objects of the schema or the state of the session, never values of rows.
 * Everything else of an error can: `invalid input syntax for type integer: "…"`, `Failing row contains (…)`.
 */
const harmlessMessages = new Set([
  '23502',
  '23503',
  '23505',
  '23514',
  '23P01',
  '25001',
  '25006',
  '25P01',
  '25P02',
  '25P03',
  '26000',
  '34000',
  '40001',
  '40P01',
  '42501',
  '42601',
  '42602',
  '42622',
  '42701',
  '42702',
  '42703',
  '42704',
  '42710',
  '42712',
  '42723',
  '42725',
  '42803',
  '42809',
  '42846',
  '42883',
  '42939',
  '42P01',
  '42P02',
  '42P03',
  '42P05',
  '42P06',
  '42P07',
  '42P10',
  '42P18',
  '42P20',
  '53100',
  '53200',
  '53300',
  '53400',
  '54001',
  '55006',
  '55P03',
  '57014',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
])

const classes: Readonly<Record<string, string>> = {
  '22': 'data exception',
  '23': 'integrity constraint violation',
  '42': 'syntax error or access rule violation',
  P0: 'error raised by a function',
  XX: 'internal error',
}

/** Fields that never carry values: severity, code, names of objects, position, source line. */
const harmlessFields: ReadonlySet<string> = new Set(['S', 'V', 'C', 's', 't', 'c', 'd', 'n', 'P', 'F', 'L', 'R'])

/** Whether the server ends the connection with it. */
export function isFatal(error: ErrorFields): boolean {
  const severity = error.get('V') ?? error.get('S')
  return severity === 'FATAL' || severity === 'PANIC'
}

/**
 * Those of them that a run raises as well, about a name that it was given as a value (`email::regclass`,
 * `current_setting(email)`, `to_tsquery(email)`): class 42, but for privileges and what exists already. While a statement is
 * read, its errors say where in it.
 */
const namesSomething = /^42(?!501|P07|710|P06|701|P03|723|712)/

/**
 * The error or notice without any text that can carry a masked value. An error raised inside a function can quote anything.
 * `looksUp`: what the statement computes can be looked up as a name.
 */
export function withholdTexts(error: ReadonlyMap<string, string>, looksUp = false): ErrorFields {
  const code = error.get('C') ?? ''
  const isOfRun = looksUp && namesSomething.test(code) && !error.has('P')
  const kept = new Map([...error].filter(([letter]) => harmlessFields.has(letter)))
  const plain = error.get('W') === undefined && !isOfRun && (harmlessMessages.has(code) || isFatal(error))
  kept.set(
    'M',
    plain
      ? (error.get('M') ?? '')
      : `${classes[code.slice(0, 2)] ?? 'message'} (text withheld by gate: masked columns are in reach)`,
  )
  return kept
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
