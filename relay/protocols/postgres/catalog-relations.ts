// Tables and views as a snapshot of the catalog has them: their columns, types and keys. Pure.
import type { CatalogRows } from './catalog-queries.ts'

/** One row of the snapshot query for relations. */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** The role that owns it. */
  readonly owner?: string | undefined
  /** pg_class.relkind: r table, p partitioned table, v view, m materialised view, f foreign table, S sequence, … */
  readonly kind: string
  /** Columns by number; numbers below 1 are system columns and hold no data of the table. */
  readonly columns: ReadonlyMap<number, string>
  /** OIDs of their types, of a domain that of the type under it; absent where that is made of others by somebody. */
  readonly types: ReadonlyMap<number, number>
  /** Columns that are GENERATED ALWAYS AS. */
  readonly generated: ReadonlySet<number>
  /** Columns of its primary key; empty when it has none, or when rows of other tables come out with its own. */
  readonly key: readonly number[]
}

type Columns = Pick<Relation, 'columns' | 'types' | 'generated'>
const noColumns: Columns = { columns: new Map(), types: new Map(), generated: new Set() }

/** In the order of their numbers, in which `*` and COPY give them: the server's rows come in the order of its pages. */
function columnsByRelation(rows: CatalogRows['columns']): ReadonlyMap<number, Columns> {
  const grouped = new Map<number, CatalogRows['columns'][number][]>()
  for (const row of rows) {
    const oid = Number(row[0])
    const known = grouped.get(oid)
    if (known === undefined) grouped.set(oid, [row])
    else known.push(row)
  }
  return new Map([...grouped].map(([oid, ofRelation]) => [oid, columnsOf(ofRelation)]))
}

function columnsOf(rows: CatalogRows['columns']): Columns {
  const [columns, types, generated] = [new Map<number, string>(), new Map<number, number>(), new Set<number>()]
  const ordered = [...rows].sort(([, one], [, another]) => Number(one) - Number(another))
  for (const [, attributeNumber, name, type, isGenerated] of ordered) {
    const number = Number(attributeNumber)
    columns.set(number, name ?? '')
    if (typeof type === 'string') types.set(number, Number(type))
    if (isGenerated === 'true') generated.add(number)
  }
  return { columns, types, generated }
}

/** A primary key holds for all rows of a partitioned table, and not for those of tables that inherit. */
function keysByRelation({ keys, inherits, relations }: CatalogRows): ReadonlyMap<number, readonly number[]> {
  const found = new Map<number, number[]>()
  const partitioned = new Set(relations.flatMap(([oid, , , kind]) => (kind === 'p' ? [oid] : [])))
  const parents = new Set(inherits.map(([, parent]) => parent))
  for (const [oid, column] of keys) {
    if (parents.has(oid ?? '') && !partitioned.has(oid ?? '')) continue
    found.set(Number(oid), [...(found.get(Number(oid)) ?? []), Number(column)])
  }
  return found
}

/** Every relation of a snapshot. */
export function relationsOf(rows: CatalogRows): readonly Relation[] {
  const columns = columnsByRelation(rows.columns)
  const keys = keysByRelation(rows)
  return rows.relations.map(([oid, schema, name, kind, owner]) => ({
    oid: Number(oid),
    schema: schema ?? '',
    name: name ?? '',
    kind: kind ?? '',
    owner: owner ?? undefined,
    ...(columns.get(Number(oid)) ?? noColumns),
    key: keys.get(Number(oid)) ?? [],
  }))
}
