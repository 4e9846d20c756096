// Columns that a definition goes by without reading what else is there: keys that foreign keys refer to, and columns of an index. Pure.
import type { ReferencedColumns } from './lineage.ts'
import { relationOf } from './objects.ts'
import { as, type Json, type JsonObject, list, strings, text, walk } from './tree.ts'

/** What CREATE TABLE, ALTER TABLE and CREATE INDEX go by; undefined where it is more than columns by their names. */
export function referencedBy(name: string, content: JsonObject): readonly ReferencedColumns[] | undefined {
  switch (name) {
    case 'CreateStmt': {
      const takesOver = ['inhRelations', 'partbound', 'ofTypename'].some(field => content[field] !== undefined)
      const elements = list(content['tableElts'])
      if (takesOver || elements.some(item => as(item, 'TableLikeClause') !== undefined)) return undefined
      return [...elements, ...list(content['constraints'])].flatMap(keysOf)
    }
    case 'AlterTableStmt': {
      const definitions = list(content['cmds']).map(item => as(item, 'AlterTableCmd')?.['def'])
      const keys = definitions.flatMap(keysOf)
      // What it does to the table itself, or with others, is not followed.
      const itself = keys.some(key => key.name === relationOf(content['relation']).name)
      return itself || !definitions.every(isOwn) ? undefined : keys
    }
    case 'IndexStmt': {
      const relation = relationOf(content['relation'])
      const elements = [...list(content['indexParams']), ...list(content['indexIncludingParams'])]
      const named = elements.map(item => text(as(item, 'IndexElem')?.['name'])).filter(column => column !== '')
      const expressions = [content['whereClause'], ...elements.map(item => as(item, 'IndexElem')?.['expr'])]
      const read = columnsIn(expressions.filter(each => each !== undefined))
      // By its own name a table is a whole row.
      return read === undefined || read.columns.includes(relation.name)
        ? undefined
        : [{ ...relation, columns: [...named, ...read.columns], dotted: read.dotted }]
    }
    default:
      return undefined
  }
}

/** Of these it is certain which columns they read: those that are named in them. */
const plain: ReadonlySet<string> = new Set([
  ...['ColumnRef', 'A_Const', 'A_Expr', 'BoolExpr', 'NullTest', 'BooleanTest', 'TypeCast', 'CoalesceExpr', 'FuncCall'],
  ...['A_ArrayExpr', 'CaseExpr', 'CaseWhen', 'MinMaxExpr', 'CollateClause', 'SQLValueFunction', 'NamedArgExpr'],
  ...['String', 'Integer', 'Float', 'List', 'TypeName'],
])

/** The columns that expressions read; undefined where it may be more. */
function columnsIn(expressions: readonly Json[]): Required<Pick<ReferencedColumns, 'columns' | 'dotted'>> | undefined {
  const columns: string[] = []
  const dotted: string[] = []
  let isPlain = true
  walk([...expressions], (name, { fields }) => {
    isPlain &&= plain.has(name)
    if (name !== 'ColumnRef') return false
    const names = strings(fields)
    isPlain &&= names.length === list(fields).length
    columns.push(names.at(-1) ?? '')
    if (names.length > 1) dotted.push(names.at(-1) ?? '')
    return true
  })
  return isPlain ? { columns, dotted } : undefined
}

const isOwn = (definition: Json | undefined): boolean =>
  definition === undefined || ['ColumnDef', 'Constraint'].some(name => as(definition, name) !== undefined)

/** The foreign keys of a column's definition, or the one that a constraint is. */
function keysOf(item: Json | undefined): ReferencedColumns[] {
  const constraint = as(item, 'Constraint')
  if (constraint === undefined) return list(as(item, 'ColumnDef')?.['constraints']).flatMap(keysOf)
  if (constraint['pktable'] === undefined) return []
  return [{ ...relationOf(constraint['pktable']), columns: strings(constraint['pk_attrs']) }]
}
