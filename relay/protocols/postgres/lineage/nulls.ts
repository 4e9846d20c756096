// Whether that something is NULL tells no more than masks do, which keep NULL of columns as they are. Pure.
import type { ColumnName } from '../analysis/lineage.ts'
import { type Column, keepsNull, lookUp, mayBeAny, type Scope, type Source, sourcesNamed } from './scope.ts'

/**
 * Whether all that decides if it is NULL is what masks show: whether columns of tables are. Of what is computed, being NULL can
 * tell of the values (`nullif(left(email, 1), 'a')`). Whole rows that are `counted` are NULL where an outer join has none.
 */
export function isNullAsShown(path: ColumnName, scope: Scope, counted = false): boolean {
  const name = path.at(-1) ?? ''
  if (name !== '*') {
    const column = lookUp(path, scope)
    if (column !== undefined && isOpenNull(column)) return true
    if (path.length > 1 || mayBeColumn(name, scope)) return false
  }
  const rows =
    name !== '*' ? sourcesNamed(path, scope) : path.length > 1 ? sourcesNamed(path.slice(0, -1), scope) : scope.sources
  return (
    rows.length > 0 &&
    rows.every(({ columns, others }) => (others?.size ?? 0) === 0 && (counted || columns.every(isOpenNull)))
  )
}

const isOpenNull = (column: Column): boolean => column.flows.size === 0 || keepsNull(column)

/** Whether a name can mean a column, before it means a whole row. */
function mayBeColumn(name: string, scope: Scope | undefined): boolean {
  if (scope === undefined) return false
  const has = ({ columns, others }: Source): boolean =>
    others !== undefined || columns.some(column => column.name === name || mayBeAny(column))
  return scope.sources.some(has) || mayBeColumn(name, scope.outer)
}
