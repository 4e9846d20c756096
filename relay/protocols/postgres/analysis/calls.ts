// What a function is called by: the names of a call, and what newer grammars read as syntax and older servers as a call. Pure.
import { type JsonObject, text } from './tree.ts'

/** Nodes of SQL/JSON, which came with versions 16 and 17. */
const newerFunctions: Readonly<Record<string, string>> = {
  JsonScalarExpr: 'json_scalar',
  JsonParseExpr: 'json',
  JsonSerializeExpr: 'json_serialize',
  JsonObjectConstructor: 'json_object',
  JsonArrayConstructor: 'json_array',
  JsonArrayQueryConstructor: 'json_array',
  JsonObjectAgg: 'json_objectagg',
  JsonArrayAgg: 'json_arrayagg',
  JsonTable: 'json_table',
  MergeSupportFunc: 'merge_action',
}
const jsonFunctions: Readonly<Record<string, string>> = {
  JSON_EXISTS_OP: 'json_exists',
  JSON_QUERY_OP: 'json_query',
  JSON_VALUE_OP: 'json_value',
  JSON_TABLE_OP: 'json_table',
}

/** `schema.name`; a point within a name becomes what no name can hold, so that it is not taken for the one between two. */
export const calledName = (parts: readonly string[]): string => parts.map(part => part.replaceAll('.', '\0')).join('.')

/** The function that a node of SQL/JSON is the call of on servers that do not know it as syntax. */
export function newerCall(node: string, content: JsonObject): string[] {
  const name = node === 'JsonFuncExpr' ? jsonFunctions[text(content['op'])] : newerFunctions[node]
  return name === undefined ? [] : [name]
}
