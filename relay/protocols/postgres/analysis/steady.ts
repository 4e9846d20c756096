// Functions whose value is one for a whole statement: what a masked column may be compared with. Pure.
import { type JsonObject, strings } from './tree.ts'

/**
 * Of one value, where they are given one. Not here, on purpose: aggregates, window functions, functions that return rows, and
 * those that read what the statement itself can change, such as current_setting() and currval().
 */
const groups = [
  'lower upper initcap btrim ltrim rtrim concat concat_ws format replace translate substr substring left right lpad rpad',
  'reverse repeat split_part regexp_replace chr overlay normalize quote_literal quote_ident length char_length ascii',
  'md5 sha224 sha256 sha384 sha512 digest hmac crypt encode decode convert_to convert_from unaccent string_to_array',
  'to_char to_date to_number to_timestamp make_date make_time make_timestamp make_timestamptz make_interval now age',
  'statement_timestamp transaction_timestamp date_trunc date_part extract timezone date timestamp timestamptz interval',
  'date_add date_subtract date_bin abs round floor ceil ceiling trunc mod power sqrt sign numeric int2 int4 int8 float4 float8',
  'text varchar bpchar name citext hstore point inet host int4range int8range numrange daterange tsrange tstzrange',
  'to_json to_jsonb json_build_object json_build_array jsonb_build_object jsonb_build_array to_tsvector enum_range enum_first',
  'enum_last array_append array_prepend array_cat array_remove array_to_string uuid_generate_v3 uuid_generate_v5',
  'current_database current_schema version pg_backend_pid inet_client_addr',
]

export const steady: ReadonlySet<string> = new Set(groups.flatMap(group => group.split(' ')))

const countsRows = ['over', 'agg_star', 'agg_filter', 'agg_order', 'agg_within_group', 'agg_distinct'] as const

/** Whether a call gives one value for the whole statement, if its arguments do. */
export function isSteady(call: JsonObject): boolean {
  return countsRows.every(field => call[field] === undefined) && steady.has(strings(call['funcname']).at(-1) ?? '')
}
