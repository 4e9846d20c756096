// Whether a WHERE clause really chooses among a table's rows. Pure.
import { as, isObject, type Json, type JsonObject, list, node, strings, text, walk } from './tree.ts'

/** A relation as a statement names it: its columns can be written with these qualifiers. */
export interface Named {
  readonly relation: string
  readonly alias: string | undefined
}

/**
 * Whether the predicate depends on a column of the table in a way that can leave rows out: `true`, `1 = 1`, `id = id`,
 * `x OR true` and conditions on other tables alone do not. What always holds because of the data cannot be known here.
 */
export function choosesRows(where: Json | undefined, table: Named): boolean {
  if (where === undefined || where === null) return false
  const [name, content] = node(where)
  if (name === 'BoolExpr') return boolChooses(content, table)
  if (name === 'CurrentOfExpr') return true
  if (name === 'A_Expr' && sameText(content['lexpr'], content['rexpr'])) return false
  if (name === 'SubLink' && content['testexpr'] === undefined) return refersTo(content['subselect'], table, true)
  return refersTo(where, table, false)
}

function boolChooses(content: JsonObject, table: Named): boolean {
  const args = list(content['args'])
  switch (content['boolop']) {
    case 'AND_EXPR':
      return args.some(arg => choosesRows(arg, table))
    case 'OR_EXPR':
      return args.every(arg => choosesRows(arg, table)) && !coversNull(args)
    default:
      return args.some(arg => choosesRows(arg, table))
  }
}

/** `x IS NULL OR x IS NOT NULL` is always true. */
function coversNull(args: readonly Json[]): boolean {
  const tests = args.flatMap(arg => {
    const test = as(arg, 'NullTest')
    return test === undefined ? [] : [{ kind: test['nulltesttype'], arg: shape(test['arg']) }]
  })
  return tests.some(a => tests.some(b => a.kind !== b.kind && a.arg === b.arg))
}

/** A node's form without its position in the text. */
function shape(value: Json | undefined): string {
  return JSON.stringify(value, (key, inner: unknown) => (key === 'location' ? undefined : inner)) ?? ''
}

function sameText(a: Json | undefined, b: Json | undefined): boolean {
  // What is of two kinds need not be written out to be told apart.
  return a !== undefined && node(a)[0] === node(b)[0] && shape(a) === shape(b)
}

/** Whether a column of the table is named. Inside a subquery without a test only a qualified name surely means the outer table. */
function refersTo(value: Json | undefined, table: Named, onlyQualified: boolean): boolean {
  let found = false
  walk(value, (name, content) => {
    if (found) return true
    if (name === 'ColumnRef') found = isColumnOf(content, table, onlyQualified)
    else if (name === 'SubLink') {
      // The test of `x IN (SELECT …)` is outside the subquery, the rest is inside.
      found = refersTo(content['testexpr'], table, onlyQualified) || refersTo(content['subselect'], table, true)
      return true
    }
    return found
  })
  return found
}

function isColumnOf(reference: JsonObject, table: Named, onlyQualified: boolean): boolean {
  const fields = list(reference['fields'])
  if (fields.length < 2) return !onlyQualified && isObject(fields[0]) && as(fields[0], 'A_Star') === undefined
  const qualifier = strings(fields).at(fields.length - 2)
  return qualifier === (table.alias ?? table.relation)
}

/** The name and alias of a RangeVar. */
export function namedOf(range: JsonObject): Named {
  const alias = range['alias']
  return { relation: text(range['relname']), alias: isObject(alias) ? text(alias['aliasname']) : undefined }
}
