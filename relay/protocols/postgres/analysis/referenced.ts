// Columns that a definition goes by without reading what else is there: keys that foreign keys refer to, and columns of an index. Pure.
import type { ReferencedColumns } from './lineage.ts'
import { relationOf } from './objects.ts'
import { as, type Json, type JsonObject, list, strings, text } from './tree.ts'

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
      const elements = [...list(content['indexParams']), ...list(content['indexIncludingParams'])]
      const columns = elements.map(item => text(as(item, 'IndexElem')?.['name']))
      if (content['whereClause'] !== undefined || columns.includes('')) return undefined
      return [{ ...relationOf(content['relation']), columns }]
    }
    default:
      return undefined
  }
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
