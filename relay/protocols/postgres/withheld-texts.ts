// Texts of errors and notices that could carry masked values, and what stands in their place. Pure.
import type { ErrorFields } from './codec.ts'
import { isFatal } from './refuse.ts'

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
