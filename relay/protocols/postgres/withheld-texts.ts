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

/** What the server's own code always says in the same words, but for the length that a type was declared with. */
const fixedMessage = new RegExp(
  `^(?:${[
    'division by zero',
    'cached plan must not change result type',
    '(?:smallint|integer|bigint|timestamp|interval) out of range',
    'value out of range: (?:over|under)flow',
    'numeric field overflow',
    'value too long for type (?:character|character varying|bit varying)\\(\\d{1,8}\\)',
    'cannot take (?:square root|logarithm) of a negative number',
    'cannot take logarithm of zero',
  ].join('|')})$`,
)

/**
 * Routines of the server that only say which objects of the schema there are not, go as well, or are in the way of DROP, or of ALTER.
 * src/backend/commands/tablecmds.c, dropcmds.c and sequence.c, src/backend/catalog/dependency.c, src/backend/tcop/utility.c
 */
const harmlessRoutines: ReadonlySet<string> = new Set([
  'DropErrorMsgNonExistent',
  'does_not_exist_skipping',
  'reportDependentObjects',
  ...['ProcessUtilitySlow', 'RenameRelation', 'renameatt', 'AlterTableNamespace', 'AlterSequence'],
  ...['ATExecDropColumn', 'ATExecDropConstraint', 'ATExecDropIdentity'],
])

/** Names of conditions; that of a whole class ends in 000, and is the name of those that are not here: src/backend/utils/errcodes.txt. */
const conditions: ReadonlyMap<string, string> = new Map([
  ['08000', 'connection exception'],
  ['0A000', 'feature not supported'],
  ['21000', 'cardinality violation'],
  ['22000', 'data exception'],
  ['2202E', 'array subscript error'],
  ['22021', 'character not in repertoire'],
  ['22008', 'datetime field overflow'],
  ['22012', 'division by zero'],
  ['22005', 'error in assignment'],
  ['2200B', 'escape character conflict'],
  ['22022', 'indicator overflow'],
  ['22015', 'interval field overflow'],
  ['2201E', 'invalid argument for logarithm'],
  ['22014', 'invalid argument for ntile function'],
  ['22016', 'invalid argument for nth value function'],
  ['2201F', 'invalid argument for power function'],
  ['2201G', 'invalid argument for width bucket function'],
  ['22018', 'invalid character value for cast'],
  ['22007', 'invalid datetime format'],
  ['22019', 'invalid escape character'],
  ['2200D', 'invalid escape octet'],
  ['22025', 'invalid escape sequence'],
  ['22P06', 'nonstandard use of escape character'],
  ['22010', 'invalid indicator parameter value'],
  ['22023', 'invalid parameter value'],
  ['22013', 'invalid preceding or following size'],
  ['2201B', 'invalid regular expression'],
  ['2201W', 'invalid row count in limit clause'],
  ['2201X', 'invalid row count in result offset clause'],
  ['2202H', 'invalid tablesample argument'],
  ['2202G', 'invalid tablesample repeat'],
  ['22009', 'invalid time zone displacement value'],
  ['2200C', 'invalid use of escape character'],
  ['2200G', 'most specific type mismatch'],
  ['22004', 'null value not allowed'],
  ['22002', 'null value no indicator parameter'],
  ['22003', 'numeric value out of range'],
  ['2200H', 'sequence generator limit exceeded'],
  ['22026', 'string data length mismatch'],
  ['22001', 'string data right truncation'],
  ['22011', 'substring error'],
  ['22027', 'trim error'],
  ['22024', 'unterminated c string'],
  ['2200F', 'zero length character string'],
  ['22P01', 'floating point exception'],
  ['22P02', 'invalid text representation'],
  ['22P03', 'invalid binary representation'],
  ['22P04', 'bad copy file format'],
  ['22P05', 'untranslatable character'],
  ['2200L', 'not an XML document'],
  ['2200M', 'invalid XML document'],
  ['2200N', 'invalid XML content'],
  ['2200S', 'invalid XML comment'],
  ['2200T', 'invalid XML processing instruction'],
  ['22030', 'duplicate JSON object key value'],
  ['22031', 'invalid argument for SQL/JSON datetime function'],
  ['22032', 'invalid JSON text'],
  ['22033', 'invalid SQL/JSON subscript'],
  ['22034', 'more than one SQL/JSON item'],
  ['22035', 'no SQL/JSON item'],
  ['22036', 'non numeric SQL/JSON item'],
  ['22037', 'non unique keys in a JSON object'],
  ['22038', 'singleton SQL/JSON item required'],
  ['22039', 'SQL/JSON array not found'],
  ['2203A', 'SQL/JSON member not found'],
  ['2203B', 'SQL/JSON number not found'],
  ['2203C', 'SQL/JSON object not found'],
  ['2203D', 'too many JSON array elements'],
  ['2203E', 'too many JSON object members'],
  ['2203F', 'SQL/JSON scalar required'],
  ['2203G', 'SQL/JSON item cannot be cast to target type'],
  ['23000', 'integrity constraint violation'],
  ['24000', 'invalid cursor state'],
  ['25000', 'invalid transaction state'],
  ['28000', 'invalid authorization specification'],
  ['2B000', 'dependent objects still exist'],
  ['3D000', 'invalid catalog name'],
  ['3F000', 'invalid schema name'],
  ['40000', 'transaction rollback'],
  ['42000', 'syntax error or access rule violation'],
  ['44000', 'WITH CHECK OPTION violation'],
  ['53000', 'insufficient resources'],
  ['54000', 'program limit exceeded'],
  ['55000', 'object not in prerequisite state'],
  ['57000', 'operator intervention'],
  ['58000', 'system error'],
  ['P0000', 'PL/pgSQL error'],
  ['P0001', 'error raised by a function'],
  ['P0002', 'no data found'],
  ['P0003', 'too many rows'],
  ['P0004', 'assert failure'],
  ['XX000', 'internal error'],
  ['XX001', 'data corrupted'],
  ['XX002', 'index corrupted'],
])

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
  // In the server's order, the message among them.
  const kept = new Map([...error].filter(([letter]) => letter === 'M' || harmlessFields.has(letter)))
  const said = error.get('M') ?? ''
  // With a context it is of a function, which can say anything.
  const isOfSchema = harmlessRoutines.has(error.get('R') ?? '')
  const isKnown = harmlessMessages.has(code) || fixedMessage.test(said) || isOfSchema || isFatal(error)
  kept.set('M', isKnown && error.get('W') === undefined && !isOfRun ? said : standardText(code))
  return kept
}

/**
 * A notice that only a `client_min_messages` of log or debug lets through. How many of them come tells of values by itself: a
 * sort that does not fit into `work_mem` says so with `trace_sort`, and the server's `log_temp_files` does.
 */
export function isLogged(notice: ReadonlyMap<string, string>): boolean {
  return /^(?:LOG|DEBUG)/.test(notice.get('V') ?? '')
}

function standardText(code: string): string {
  const condition = conditions.get(code) ?? conditions.get(`${code.slice(0, 2)}000`) ?? 'message'
  return `${condition} (text withheld by gate: masked columns are in reach)`
}
