// Whether a WHERE clause really chooses among a table's rows. Pure.
import { onlyValue, rowOf } from './forms.ts'
import { systemColumns } from './system-columns.ts'
import { as, constant, isObject, type Json, type JsonObject, list, node, object, strings, text, walk } from './tree.ts'

/** A relation as a statement names it: its columns can be written with these qualifiers. */
export interface Named {
  readonly relation: string
  readonly alias: string | undefined
  /** There are other tables beside it: a column that is named alone can be one of theirs. */
  readonly hasOthers?: boolean
}

/**
 * Whether the predicate depends on a column of the table in a way that can leave rows out: `true`, `1 = 1`, `id = id`,
 * `x OR true` and conditions on other tables alone do not. What always holds because of the data cannot be known here.
 */
export function choosesRows(where: Json | undefined, table: Named): boolean {
  return chooses(where, table, false)
}

/** Whether rows are left out by it, or, `negated`, by its opposite. */
function chooses(where: Json | undefined, table: Named, negated: boolean): boolean {
  if (where === undefined || where === null) return false
  const [name, content] = node(where)
  switch (name) {
    case 'BoolExpr':
      return boolChooses(content, table, negated)
    case 'BooleanTest':
      return testChooses(content, table, negated)
    case 'NullTest':
      return isNullable(content['arg']) && refersTo(where, table, false)
    case 'CurrentOfExpr':
      return true
    case 'CaseExpr':
      return caseChooses(content, table)
    case 'CoalesceExpr':
      // The others count only where the first is NULL.
      return chooses(list(content['args'])[0], table, negated)
    default:
      break
  }
  const compared = comparedWithTruth(name, content)
  if (compared !== undefined) return chooses(compared.condition, table, negated !== compared.negated)
  if (isReflexive(name, content, table)) return false
  if (name === 'SubLink' && isAmongAll(content, table)) return false
  if (name === 'SubLink' && content['testexpr'] === undefined) return subqueryChooses(content, table, negated)
  return refersTo(where, table, false)
}

/** EXISTS goes by which rows there are, and not by what is selected of them. Without FROM a subquery is about the row outside. */
function subqueryChooses({ subLinkType, subselect }: JsonObject, table: Named, negated: boolean): boolean {
  const only = onlyValue(subselect)
  if (subLinkType === 'EXPR_SUBLINK')
    return only === undefined ? refersTo(subselect, table, true) : chooses(only, table, negated)
  const select = object(as(subselect, 'SelectStmt'))
  const { targetList: _shown, sortClause: _order, distinctClause: _distinct, whereClause, ...others } = select
  const inner = select['fromClause'] === undefined ? table : { ...table, hasOthers: true }
  return chooses(whereClause, inner, false) || refersTo(others, table, true)
}

/** NOT (a AND b) is NOT a OR NOT b. */
function boolChooses(content: JsonObject, table: Named, negated: boolean): boolean {
  const args = list(content['args'])
  if (content['boolop'] === 'NOT_EXPR') return chooses(args[0], table, !negated)
  const isAnd = (content['boolop'] === 'AND_EXPR') !== negated
  if (isAnd) return args.some(arg => chooses(arg, table, negated))
  return args.every(arg => chooses(arg, table, negated)) && !coversAll(args, table)
}

/** `(p) IS TRUE` is p but for NULL. What is true or not whatever the row, such as `(id = 1) IS NOT UNKNOWN`, leaves nothing out. */
function testChooses({ arg, booltesttype }: JsonObject, table: Named, negated: boolean): boolean {
  const isFalse = booltesttype === 'IS_FALSE' || booltesttype === 'IS_NOT_TRUE'
  const isKnown = booltesttype === 'IS_UNKNOWN' || booltesttype === 'IS_NOT_UNKNOWN'
  if (isKnown) return as(arg, 'ColumnRef') !== undefined && refersTo(arg, table, false)
  return chooses(arg, table, negated !== isFalse)
}

/** System columns never are NULL, and neither is what compares: where it is, that is no choice that anybody makes. */
function isNullable(value: Json | undefined): boolean {
  const [name, content] = node(value)
  if (['NullTest', 'BooleanTest', 'BoolExpr', 'A_Const'].includes(name)) return false
  if (name === 'SubLink') return content['subLinkType'] === 'EXPR_SUBLINK'
  if (name === 'ColumnRef') return !systemColumns.has(strings(content['fields']).at(-1) ?? '')
  return name !== 'A_Expr' || opposites[strings(content['name']).join('.')] === undefined
}

/** `(p) = true`, `false <> (p)` and the like. */
function comparedWithTruth(name: string, content: JsonObject): { condition: Json; negated: boolean } | undefined {
  const operator = name === 'A_Expr' && content['kind'] === 'AEXPR_OP' ? strings(content['name']).at(-1) : undefined
  if (operator !== '=' && operator !== '<>') return undefined
  const { lexpr, rexpr } = content
  const truth = [rexpr, lexpr].map(side => as(side, 'A_Const')?.['boolval']).findIndex(value => value !== undefined)
  if (truth === -1) return undefined
  const constant = truth === 0 ? rexpr : lexpr
  const isTrue = object(as(constant, 'A_Const')?.['boolval'])['boolval'] === true
  return { condition: (truth === 0 ? lexpr : rexpr) ?? null, negated: (operator === '=') !== isTrue }
}

/** Some branch has to leave rows out, and each that is reached without looking at the row. */
function caseChooses({ arg, args, defresult }: JsonObject, table: Named): boolean {
  const branches = list(args).map(when => object(as(when, 'CaseWhen')))
  const leavesOut = (result: Json | undefined): boolean => {
    const constant = as(result, 'A_Const')
    return constant === undefined ? choosesRows(result, table) : object(constant['boolval'])['boolval'] !== true
  }
  const isReached = ({ expr }: JsonObject): boolean =>
    !refersTo(expr, table, false) && (arg === undefined || !refersTo(arg, table, false))
  // Without ELSE the other rows get NULL.
  const others = defresult === undefined || leavesOut(defresult)
  return (
    branches.every(each => !isReached(each) || leavesOut(each['result'])) &&
    (others || branches.some(({ result }) => leavesOut(result)))
  )
}

/** Operators of which one holds where the other does not, but for NULL. */
const opposites: Readonly<Record<string, string>> = {
  ...{ '=': '<>', '<>': '=', '<': '>=', '>=': '<', '>': '<=', '<=': '>' },
  ...{ '~~': '!~~', '!~~': '~~', '~~*': '!~~*', '!~~*': '~~*', '~': '!~', '!~': '~' },
}

/** `x IS NULL OR x IS NOT NULL`, `x = 1 OR x <> 1`, `p OR NOT p`: one of two always holds, or does where nothing is NULL. */
function coversAll(args: readonly Json[], table: Named): boolean {
  const shapes = new Set(args.map(arg => shape(arg, table)))
  return args.some(arg => {
    const opposite = oppositeOf(arg)
    return opposite !== undefined && shapes.has(shape(opposite, table))
  })
}

function oppositeOf(condition: Json): Json | undefined {
  const [name, content] = node(condition)
  if (name === 'BoolExpr' && content['boolop'] === 'NOT_EXPR') return list(content['args'])[0]
  if (name === 'NullTest') {
    const other = content['nulltesttype'] === 'IS_NULL' ? 'IS_NOT_NULL' : 'IS_NULL'
    return { NullTest: { ...content, nulltesttype: other } }
  }
  const operator = name === 'A_Expr' ? opposites[strings(content['name']).join('.')] : undefined
  return operator === undefined ? undefined : { A_Expr: { ...content, name: [{ String: { sval: operator } }] } }
}

const positions = /^(?:.*_)?(?:location|list_start|list_end)$/

/** A node's form without its position in the text, and without what only says that a column is the table's. */
function shape(value: Json | undefined, table: Named): string {
  return (
    JSON.stringify(value, (key, inner: unknown) => {
      if (positions.test(key)) return undefined
      if (key !== 'ColumnRef') return inner
      const reference = inner as JsonObject
      return isColumnOf(reference, table, true) ? { fields: list(reference['fields']).slice(-1) } : reference
    }) ?? ''
  )
}

function sameText(left: Json | undefined, right: Json | undefined, table: Named): boolean {
  const [a, b] = [bare(left), bare(right)]
  // What is of two kinds need not be written out to be told apart.
  return a !== undefined && node(a)[0] === node(b)[0] && shape(a, table) === shape(b, table)
}

/** The same, or rows of which some items are the same and the others no column's. */
function areSame(left: Json | undefined, right: Json | undefined, table: Named): boolean {
  const [a, b] = [rowOf(left), rowOf(right)]
  if (a === undefined || b === undefined || a.length !== b.length) return sameText(left, right, table)
  return a.every((item, index) => {
    const other = b[index]
    return sameText(item, other, table) || !(mentions(item, table) || mentions(other, table))
  })
}

/** Whether a column of the table may be named in it; a look at how would take too long in rows in rows. */
function mentions(value: Json | undefined, table: Named): boolean {
  let found = false
  walk(value, (name, content) => {
    found ||= name === 'SubLink' || (name === 'ColumnRef' && isColumnOf(content, table, false))
    return found
  })
  return found
}

/** `id = id`, `id - id`, `id IN (id, …)`, `id = ANY (ARRAY[id])`, `id BETWEEN id AND id`: the same for every row but for NULL. */
function isReflexive(name: string, content: JsonObject, table: Named): boolean {
  if (name !== 'A_Expr') return false
  const { lexpr, rexpr } = content
  const operator = strings(content['name']).at(-1) ?? ''
  if (takingAll[operator]?.test(constant(rexpr) ?? 'x') === true) return true
  const isArray = content['kind'] === 'AEXPR_OP_ALL' || content['kind'] === 'AEXPR_OP_ANY'
  const array = isArray ? as(uncast(rexpr), 'A_ArrayExpr') : undefined
  const others = as(rexpr, 'List')?.['items'] ?? array?.['elements']
  const isEmpty = others === undefined && (array !== undefined || constant(uncast(rexpr)) === '{}')
  if (isEmpty && isArray) return true
  if (others === undefined) return !keeping.has(operator) && areSame(lexpr, rexpr, table)
  const matching = content['kind'] === 'AEXPR_IN' || content['kind'] === 'AEXPR_OP_ANY'
  const same = list(others).map(other => areSame(lexpr, other, table))
  return matching ? same.includes(true) : same.length > 0 && !same.includes(false)
}

/** A value without what leaves it as it is: `id + 0`, `id * 1`, `name || ''`, `+id`, `name COLLATE "C"`, `(SELECT id)`. */
function bare(value: Json | undefined): Json | undefined {
  const collated = as(value, 'CollateClause')
  if (collated !== undefined) return bare(collated['arg'])
  const sublink = as(value, 'SubLink')
  const only = sublink?.['subLinkType'] === 'EXPR_SUBLINK' ? onlyValue(sublink['subselect']) : undefined
  const [sole, second] = list((as(value, 'CoalesceExpr') ?? as(value, 'MinMaxExpr'))?.['args'])
  const inner = only ?? (second === undefined ? sole : undefined)
  if (inner !== undefined) return bare(inner)
  const { kind, name, lexpr, rexpr } = object(as(value, 'A_Expr'))
  const neutral = kind === 'AEXPR_OP' ? neutrals[strings(name).join('.')] : undefined
  if (neutral === undefined) return value
  if (lexpr === undefined) return strings(name).join('.') === '+' ? bare(rexpr) : value
  if (constant(rexpr) === neutral) return bare(lexpr)
  const commutes = !['-', '/'].includes(strings(name).join('.'))
  return commutes && constant(lexpr) === neutral ? bare(rexpr) : value
}

/** Operators, and what the other side is where they change nothing. */
const neutrals: Readonly<Record<string, string>> = { '+': '0', '-': '0', '*': '1', '/': '1', '||': '' }

/** Patterns that everything matches, by their operators. */
const all = { like: /^%+$/, regex: /^(?:\^?(?:\.\*)?|\^?\.\*\$|\$)$/ }
const takingAll: Readonly<Record<string, RegExp>> = {
  ...{ '~~': all.like, '!~~': all.like, '~~*': all.like, '!~~*': all.like },
  ...{ '~': all.regex, '!~': all.regex, '~*': all.regex, '!~*': all.regex },
}

function uncast(value: Json | undefined): Json | undefined {
  const cast = as(value, 'TypeCast')
  return cast === undefined ? value : uncast(cast['arg'])
}

/** Operators whose result is not the same for every row where both sides are. */
const keeping: ReadonlySet<string> = new Set(['+', '*', '||', '&', '|', '^'])

/** `id IN (SELECT id FROM t)` of the same table, all of it; `id IN (VALUES (id))`, `id IN (SELECT id)`. */
function isAmongAll({ testexpr, subselect, subLinkType }: JsonObject, table: Named): boolean {
  const select = object(as(subselect, 'SelectStmt'))
  const { targetList, fromClause, whereClause, valuesLists, sortClause: _order, distinctClause, ...rest } = select
  const isPart =
    Object.entries(rest).some(([key, value]) => !['limitOption', 'op'].includes(key) && value !== null) ||
    list(distinctClause).some(item => Object.keys(object(item)).length > 0)
  if (subLinkType !== 'ANY_SUBLINK' || isPart) return false
  if (fromClause === undefined) return whereClause === undefined && isAmong(testexpr, valuesLists, targetList, table)
  const [from, second] = list(fromClause)
  const range = as(from, 'RangeVar')
  if (range === undefined || second !== undefined) return false
  if (whereClause !== undefined && choosesRows(whereClause, namedOf(range))) return false
  const column = (value: Json | undefined): string => strings(as(value, 'ColumnRef')?.['fields']).at(-1) ?? ''
  const shown = column(as(list(targetList)[0], 'ResTarget')?.['val'])
  return text(range['relname']) === table.relation && shown !== '' && shown === column(testexpr)
}

/** Whether it is one of the rows of VALUES, or the one of a SELECT without FROM. */
function isAmong(
  value: Json | undefined,
  valuesLists: Json | undefined,
  targetList: Json | undefined,
  table: Named,
): boolean {
  const rows = list(valuesLists).map(row => list(object(as(row, 'List'))['items']))
  const targets = list(targetList).map(item => as(item, 'ResTarget')?.['val'] ?? null)
  return [...rows, targets].some(row => areSame(value, row.length === 1 ? row[0] : { RowExpr: { args: row } }, table))
}

/** Whether a column of the table is named. Inside a subquery without a test only a qualified name surely means the outer table. */
function refersTo(value: Json | undefined, table: Named, onlyQualified: boolean): boolean {
  let found = false
  walk(value, (name, content) => {
    if (found) return true
    if (isReflexive(name, content, table)) return true
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
  const isNamedAlone = isObject(fields[0]) && as(fields[0], 'A_Star') === undefined
  if (fields.length < 2) return !onlyQualified && table.hasOthers !== true && isNamedAlone
  const qualifier = strings(fields).at(fields.length - 2)
  return qualifier === (table.alias ?? table.relation)
}

/** The name and alias of a RangeVar, or of anything else in FROM. */
export function namedOf(range: JsonObject): Named {
  const alias = range['alias']
  return { relation: text(range['relname']), alias: isObject(alias) ? text(alias['aliasname']) : undefined }
}

/** What an item of FROM is called; of a join, the items in it. */
export function namedIn(item: Json | undefined): readonly Named[] {
  const [name, content] = node(item)
  if (name !== 'JoinExpr') return [namedOf(content)]
  return [...namedIn(content['larg']), ...namedIn(content['rarg'])]
}
