// Whether a statement is of a form whose masked columns can be followed. Pure.
// Only plain projections are: what is not known to be one counts as computed, and is refused where something masked is in reach.
import { as, contains, isObject, type Json, type JsonObject, list, node, object, strings, text, walk } from './tree.ts'

export type Shape =
  /** Every output column is a plain column; `used` are the names of columns that it uses besides, in conditions and orders. */
  | { readonly kind: 'projection'; readonly used: readonly string[] }
  /** Writes what it was given and gives nothing back; `used` are the names of columns that it reads. */
  | { readonly kind: 'write'; readonly used: readonly string[] }
  /** Reads and gives back nothing of tables: transaction control, settings, schema commands without a query. */
  | { readonly kind: 'inert' }
  | { readonly kind: 'none'; readonly reason: string }

const none = (reason: string): Shape => ({ kind: 'none', reason })

/** Statements that neither show nor move what tables hold. */
const inert = new Set([
  'TransactionStmt',
  'VariableSetStmt',
  'VariableShowStmt',
  'ConstraintsSetStmt',
  'DeallocateStmt',
  'ClosePortalStmt',
  'DiscardStmt',
  'UnlistenStmt',
  'ListenStmt',
  'CheckPointStmt',
  'LockStmt',
  'TruncateStmt',
  'DropStmt',
  'VacuumStmt',
])

export function shapeOf(name: string, content: JsonObject): Shape {
  if (inert.has(name)) return { kind: 'inert' }
  switch (name) {
    case 'SelectStmt':
      return projection(content)
    case 'PrepareStmt': {
      const [inner, query] = node(content['query'])
      return shapeOf(inner, query)
    }
    case 'InsertStmt':
    case 'UpdateStmt':
    case 'DeleteStmt':
      return write(name, content)
    default:
      return none('it is not yet analysed for masked columns')
  }
}

function projection(select: JsonObject): Shape {
  if (select['op'] !== 'SETOP_NONE') return none('a set operation is a computed column')
  for (const clause of [
    'valuesLists',
    'withClause',
    'intoClause',
    'groupClause',
    'havingClause',
    'windowClause',
    'distinctClause',
  ]) {
    if (select[clause] !== undefined)
      return none(`${clause.replace(/Clause$|sLists$/, '')} is not yet analysed for masked columns`)
  }
  const from = tables(select['fromClause'])
  if (from === undefined) return none('FROM holds more than tables and joins of tables')
  const names = from.flatMap(range => [text(range['relname']), text(object(range['alias'])['aliasname'])])
  for (const target of list(select['targetList'])) {
    const reference = as(as(target, 'ResTarget')?.['val'], 'ColumnRef')
    if (reference === undefined) return none('a computed column')
    const fields = list(reference['fields'])
    const last = as(fields.at(-1), 'String')
    if (last !== undefined && names.includes(text(last['sval']))) return none('a whole row')
  }
  return uses({ ...select, targetList: [] }, used => ({ kind: 'projection', used }))
}

/** The tables of a FROM clause; undefined when it holds anything else, or renames columns. */
function tables(from: Json | undefined): JsonObject[] | undefined {
  const found: JsonObject[] = []
  const add = (item: Json | undefined): boolean => {
    const [name, content] = node(item)
    if (name === 'RangeVar') {
      found.push(content)
      return list(object(content['alias'])['colnames']).length === 0
    }
    if (name !== 'JoinExpr') return false
    if (content['isNatural'] === true || content['usingClause'] !== undefined || content['alias'] !== undefined)
      return false
    return add(content['larg']) && add(content['rarg'])
  }
  return list(from).every(add) ? found : undefined
}

function write(name: string, statement: JsonObject): Shape {
  if (statement['returningList'] !== undefined || statement['returningClause'] !== undefined)
    return none('RETURNING is not yet analysed for masked columns')
  if (statement['withClause'] !== undefined) return none('WITH is not yet analysed for masked columns')
  if (statement['fromClause'] !== undefined || statement['usingClause'] !== undefined)
    return none('other tables in a write are not yet analysed for masked columns')
  if (name === 'InsertStmt') {
    const source = as(statement['selectStmt'], 'SelectStmt')
    if (source !== undefined && source['valuesLists'] === undefined)
      return none('INSERT … SELECT could move masked values')
    if (statement['onConflictClause'] !== undefined) return none('ON CONFLICT is not yet analysed for masked columns')
  }
  return uses(statement, used => ({ kind: 'write', used }))
}

/** Names of the columns used; none for forms in which something could be used without its name. */
function uses(statement: JsonObject, make: (used: readonly string[]) => Shape): Shape {
  if (contains(statement, 'SubLink', 'FuncCall', 'A_Indirection', 'A_Star'))
    return none('a subquery, function, row or field in it is not yet analysed for masked columns')
  if (ordersByPosition(statement['sortClause']))
    return none('an order by position is not yet analysed for masked columns')
  const used = new Set<string>()
  walk(statement, (name, content) => {
    if (name === 'ColumnRef') for (const field of strings(content['fields'])) used.add(field)
    return false
  })
  return make([...used])
}

function ordersByPosition(sort: Json | undefined): boolean {
  return list(sort).some(
    item => isObject(as(item, 'SortBy')?.['node']) && as(as(item, 'SortBy')?.['node'], 'A_Const') !== undefined,
  )
}
