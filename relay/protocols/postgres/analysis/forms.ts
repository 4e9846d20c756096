// What an expression is by its form: one column, one value of a subquery, a row, a comparison with a column; and functions that do more than compute. Pure.

import { isWidening } from '../widening.ts'
import type { ColumnName, Form, Letters } from './lineage.ts'
import { as, isWholeText, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

/**
 * Functions that keep what they are given, send it, or let it be felt; whatever becomes of their value. A sequence that went on says
 * which it was, and the next random number how many there were before.
 */
export const movers =
  /^(set_config|setval|nextval|setseed|random(_normal)?|array_(sample|shuffle)|pg_notify|pg_sleep(_for|_until)?|pg_(try_)?advisory_\w+|pg_logical_emit_message|pg_(cancel|terminate)_backend|lo_\w+)$/

/**
 * Functions that give as many rows as their arguments say: the number of rows tells of the arguments, whatever becomes of
 * the values. pg_proc.proretset, as far as they may be called at all.
 */
const multiplying: ReadonlySet<string> = new Set([
  ...['generate_series', 'generate_subscripts', 'unnest', 'regexp_matches', 'regexp_split_to_table', 'string_to_table'],
  ...['json_array_elements', 'json_array_elements_text', 'json_each', 'json_each_text', 'json_object_keys'],
  ...['jsonb_array_elements', 'jsonb_array_elements_text', 'jsonb_each', 'jsonb_each_text', 'jsonb_object_keys'],
  ...['jsonb_path_query', 'jsonb_path_query_tz', 'json_populate_recordset', 'json_to_recordset'],
  ...['jsonb_populate_recordset', 'jsonb_to_recordset', 'ts_parse', 'ts_token_type', 'ts_debug', 'aclexplode'],
  ...['pg_options_to_table', 'txid_snapshot_xip', 'pg_snapshot_xip', '_pg_expandarray', 'pg_partition_tree'],
  ...['pg_partition_ancestors', 'pg_listening_channels', 'pg_timezone_names', 'pg_timezone_abbrevs', 'pg_get_keywords'],
  ...['pg_lock_status', 'pg_show_all_settings', 'pg_get_publication_tables', 'pg_tablespace_databases'],
  ...['pg_stat_get_backend_idset', 'pg_extension_update_paths', 'pg_input_error_info'],
  ...['pg_get_catalog_foreign_keys', 'pg_available_extensions', 'pg_available_extension_versions'],
  // Of hstore, tablefunc and pg_trgm.
  ...['each', 'skeys', 'svals'],
])

/** Whether a function, with or without its schema, is one of them. */
export const isMultiplying = (name: string): boolean => multiplying.has(name.slice(name.lastIndexOf('.') + 1))

/** Functions of which only the number of NULLs among their arguments is known afterwards. */
export const counters = new Set(['count', 'num_nulls', 'num_nonnulls'])

/** Functions whose value compares as what they are given does. */
export const changesCase = (name: string): name is Letters['case'] => name === 'lower' || name === 'upper'

export function columnName(reference: JsonObject): ColumnName {
  return list(reference['fields']).map(field =>
    as(field, 'A_Star') === undefined ? text(as(field, 'String')?.['sval']) : '*',
  )
}

/** The items of `(a, b)` and `ROW(a, b)`. */
export function rowOf(value: Json | undefined): readonly Json[] | undefined {
  const row = as(value, 'RowExpr')
  return row === undefined ? undefined : list(row['args'])
}

/** The value of a subquery that is nothing but `SELECT value`. */
export function onlyValue(subselect: Json | undefined): Json | undefined {
  const { targetList, limitOption: _limit, op: _op, ...others } = object(as(subselect, 'SelectStmt'))
  const [target, second] = list(targetList)
  return second === undefined && Object.keys(others).length === 0 ? as(target, 'ResTarget')?.['val'] : undefined
}

export interface Formed {
  readonly form: Form
  readonly cast: boolean
}

export const computed: Formed = { form: 'computed', cast: false }

export function formOf(value: Json | undefined): Formed {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return { form: 'column', cast: false }
    case 'SubLink':
      return content['subLinkType'] === 'EXPR_SUBLINK' ? { form: 'subquery', cast: false } : computed
    case 'CollateClause':
      return { ...formOf(content['arg']), cast: true }
    case 'TypeCast':
      return isWholeText(content) ? { ...formOf(content['arg']), cast: true } : computed
    default:
      return computed
  }
}

/** `email`, `email::text`, `lower(email)`: comparing these compares the value. A cast that cuts would compare a part of it. */
export function comparedColumn(value: Json | undefined): ColumnName | undefined {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return columnName(content)
    case 'CollateClause':
      return comparedColumn(content['arg'])
    case 'TypeCast':
      return isWholeText(content) ? comparedColumn(content['arg']) : undefined
    case 'CoalesceExpr': {
      const [first, ...others] = list(content['args'])
      return others.every(isPlainConstant) ? comparedColumn(first) : undefined
    }
    case 'FuncCall': {
      const [only, second] = list(content['args'])
      return lettersOf(content) !== undefined && second === undefined ? comparedColumn(only) : undefined
    }
    default:
      return undefined
  }
}

/** The column and the type of `salary::numeric`, which a join with another type can have in it; only where it is PostgreSQL's own for certain. */
export function widenedColumn(value: Json | undefined): { column: ColumnName; widened: string } | undefined {
  const cast = as(value, 'TypeCast')
  const reference = as(cast?.['arg'], 'ColumnRef')
  if (cast === undefined || reference === undefined) return undefined
  const type = object(cast['typeName'])
  const [schema, name, ...more] = strings(type['names'])
  const isWhole = type['typmods'] === undefined && type['arrayBounds'] === undefined && type['setof'] !== true
  const isOwn = schema === 'pg_catalog' && more.length === 0 && isWhole && name !== undefined && isWidening(name)
  return isOwn ? { column: columnName(reference), widened: name } : undefined
}

const trims: ReadonlySet<string> = new Set(['btrim', 'ltrim', 'rtrim'])

/**
 * What `trim(email) = ''` compares, and `coalesce(trim(email), '') = ''`: that is no more than being one of the texts of blanks alone,
 * and tells nothing of any other.
 */
export function withoutTrim(value: Json | undefined, other: Json | undefined): Json | undefined {
  if (!isEmptyText(other)) return value
  const [name, content] = node(value)
  if (name === 'CoalesceExpr') {
    const [first, ...others] = list(content['args'])
    const inner = withoutTrim(first, other)
    return others.every(isEmptyText) && inner !== first ? inner : value
  }
  const { funcname, args, funcformat: _format, location: _location, ...more } = content
  const names = strings(funcname)
  const isTrim = name === 'FuncCall' && trims.has(names.at(-1) ?? '') && Object.keys(more).length === 0
  const [only, second] = list(args)
  return isTrim && second === undefined ? only : value
}

function isEmptyText(value: Json | undefined): boolean {
  const cast = as(value, 'TypeCast')
  if (cast !== undefined) return isWholeText(cast) && isEmptyText(cast['arg'])
  const { sval } = object(as(value, 'A_Const'))
  return sval !== undefined && text(object(sval)['sval']) === ''
}

/** A string, a small whole number or a truth value: what it stands beside keeps its type, or one that holds all of it. */
function isPlainConstant(value: Json): boolean {
  const cast = as(value, 'TypeCast')
  if (cast !== undefined) return isWholeText(cast) && isPlainConstant(cast['arg'] ?? null)
  const { sval, ival, boolval } = object(as(value, 'A_Const'))
  return sval !== undefined || ival !== undefined || boolval !== undefined
}

function lettersOf(call: JsonObject): Letters['case'] | undefined {
  const name = strings(call['funcname']).at(-1)
  return name !== undefined && changesCase(name) ? name : undefined
}

/** Which case the compared column of an expression is in. */
export function comparedLetters(value: Json | undefined): Letters | undefined {
  const [name, content] = node(value)
  if (name === 'CollateClause' || name === 'TypeCast') return comparedLetters(content['arg'])
  if (name === 'CoalesceExpr') return comparedLetters(list(content['args'])[0])
  const letters = name === 'FuncCall' ? lettersOf(content) : undefined
  if (letters === undefined) return undefined
  const [argument] = list(content['args'])
  const inner = comparedLetters(argument)
  return { case: letters, ofText: inner === undefined ? as(argument, 'TypeCast') !== undefined : inner.ofText }
}
