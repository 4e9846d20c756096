// What decides in ORDER BY, GROUP BY and DISTINCT. Beside the primary key of its row a column decides nothing more. Pure.
import type { Arrangement, Query } from '../analysis/lineage.ts'
import type { Result } from './results.ts'
import { type Column, type Flows, flowsOf, isDetermined } from './scope.ts'

/** An item of ORDER BY, GROUP BY or DISTINCT ON, and the one column that it is, if it is one. */
export interface Arranged {
  readonly item: Arrangement
  readonly flows: Flows
  readonly column: Column | undefined
}

export const isSame = (one: Column, other: Column | undefined): boolean =>
  one.origin !== undefined && one.origin.row === other?.origin?.row && one.origin.column === other.origin.column

const isDeterminedBy = (column: Column | undefined, others: readonly (Column | undefined)[]): boolean =>
  column !== undefined && isDetermined(column, others)

/** What the query arranges by in a way that tells of it. */
export function decisions(
  query: Query,
  { columns, exact }: Result,
  arranged: readonly Arranged[],
): { readonly where: string; readonly flows: Flows }[] {
  const orders = arranged.filter(({ item }) => item.where === 'ORDER BY').map(({ column }) => column)
  // One row for each, in an order that is said: then nothing tells how the server found out which rows are the same.
  const inOrder = (all: readonly (Column | undefined)[]): boolean =>
    all.every(
      column => column !== undefined && (orders.some(order => isSame(column, order)) || isDetermined(column, orders)),
    )
  const distinct =
    query.distinct && !(exact && inOrder(columns)) ? [{ where: 'DISTINCT', flows: flowsOf(columns) }] : []
  const groups = arranged.filter(({ item }) => item.where === 'GROUP BY' && !item.inSet).map(({ column }) => column)
  // Nothing is determined by itself: rows of one key are found as those of any other column are.
  const besides = (column: Column | undefined): (Column | undefined)[] =>
    groups.filter(other => column === undefined || !isSame(column, other))
  const telling = arranged.filter(({ item, column }, index) => {
    if (item.where !== 'GROUP BY') {
      // What is before it decides already.
      const before = arranged.slice(0, index).filter(other => other.item.where === item.where)
      return !isDeterminedBy(
        column,
        before.map(other => other.column),
      )
    }
    // The server leaves out of GROUP BY what a table's primary key determines; of subqueries it may not know.
    if (item.inSet || !isDeterminedBy(column, besides(column))) return true
    return column?.origin?.row.direct !== true && !inOrder(groups)
  })
  return [...distinct, ...telling.map(({ item, flows }) => ({ where: item.where, flows }))]
}
