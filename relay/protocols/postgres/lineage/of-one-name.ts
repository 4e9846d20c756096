// What a name in FROM stands for that several relations have, or one that is being changed. Pure.
import { arePerhapsClear, type Column, flowsOf, noFlows, type Row, type Source, typeOf, union } from './scope.ts'

/** What may have other columns than are known, and may be another relation. */
export function changing(name: string, schema: string, count: number, known: readonly Column[]): Source {
  return {
    schema: count === 1 ? schema : undefined,
    name,
    columns: known.map(column => ({ ...column, guessed: true, described: undefined, origin: undefined })),
    others: flowsOf(known),
    star: undefined,
  }
}

/** The columns of relations of one name, `count` in all; `takesRow` says which names functions of rows have. */
export function anyOf(
  all: readonly (readonly Column[])[],
  count: number,
  takesRow: (name: string) => boolean,
): readonly Column[] {
  const counts = new Map<string | undefined, number>()
  for (const { name } of all.flat()) counts.set(name, (counts.get(name) ?? 0) + 1)
  return all.flat().map(column => {
    const uncertain = (counts.get(column.name) ?? 0) < count
    return { ...column, origin: undefined, uncertain, isCall: uncertain && takesRow(column.name ?? '') }
  })
}

/** Relations of one name with the same columns are as one; otherwise the columns of their star are not certain. */
export function alike(all: readonly (readonly Column[])[], count: number): readonly Column[] | undefined {
  const [first] = all
  if (first === undefined || all.length !== count) return undefined
  const same = all.every(
    columns =>
      columns.length === first.length &&
      columns.every(
        (column, index) => column.name === first[index]?.name && column.generated === first[index]?.generated,
      ),
  )
  if (!same) return undefined
  const row = sameKey(all)
  return first.map((column, index) => ({
    name: column.name,
    ...(row === undefined ? {} : { origin: { row, column: column.origin?.column ?? 0 } }),
    flows: union(...all.map(columns => columns[index]?.flows ?? noFlows)),
    plain: all.every(columns => columns[index]?.plain === true),
    whole: all.every(columns => columns[index]?.whole === true),
    perhapsClear: arePerhapsClear(all.flatMap(columns => columns[index] ?? [])),
    described: all.every(columns => columns[index]?.described === true),
    type: typeOf(all.flatMap(columns => columns[index] ?? [])),
    generated: first[index]?.generated === true,
  }))
}

/** A row of any of them, where all have the same primary key in the same columns. */
function sameKey(all: readonly (readonly Column[])[]): Row | undefined {
  const keyOf = (columns: readonly Column[]): string =>
    JSON.stringify(columns.map(({ origin }) => (origin === undefined ? null : [origin.column, origin.row.key])))
  const row = all[0]?.[0]?.origin?.row
  const isSame = all.every(
    columns => columns.every(({ origin }) => origin !== undefined) && keyOf(columns) === keyOf(all[0] ?? []),
  )
  return isSame && row !== undefined ? { key: row.key, direct: true } : undefined
}
