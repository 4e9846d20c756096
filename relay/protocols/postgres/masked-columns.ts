// Which columns of a database are masked for a person: policy's patterns, applied to the catalog. Pure.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import type { Catalog, Relation } from './catalog.ts'

export interface MaskedColumns {
  /** The mask of a plain column; undefined when it is clear. */
  mask(tableOid: number, attributeNumber: number): MaskObligation | undefined
  /** Whether the catalog that this was made of knows the relation. */
  knows(tableOid: number): boolean
  /** Names of the masked columns of the relation; empty when none are. `undefined` for a view made of masked columns: all of it counts. */
  names(tableOid: number): ReadonlySet<string> | undefined
  readonly catalog: Catalog
  /** What it was made of. */
  readonly obligations: readonly Obligation[]
}

/** `schema.table.column`, `table.column` or `*.column`; a star stands for any one name. With two parts the schema is any. */
function matches(pattern: string, relation: Relation, column: string): boolean {
  const parts = pattern.split('.')
  const actual = [relation.schema, relation.name, column].slice(-parts.length)
  return parts.every((part, index) => part === '*' || part === actual[index])
}

/** Resolves the masks that bind a person against the catalog. The first mask that names a column is its mask. */
export function resolveMasks(obligations: readonly Obligation[], catalog: Catalog): MaskedColumns {
  const masks = obligations.filter(obligation => obligation.kind === 'mask')
  const columns = new Map<number, Map<number, MaskObligation>>()
  const put = (oid: number, number: number, mask: MaskObligation): void => {
    const relation = columns.get(oid) ?? new Map<number, MaskObligation>()
    if (!relation.has(number)) relation.set(number, mask)
    columns.set(oid, relation)
  }
  for (const relation of catalog.relations) {
    for (const column of relation.columns.values()) {
      const mask = masks.find(candidate => candidate.columns.some(pattern => matches(pattern, relation, column)))
      if (mask !== undefined) spread(catalog, relation.oid, column, (oid, at) => put(oid, at, mask))
    }
  }
  const tainted = taintedViews(catalog, columns)
  return {
    catalog,
    obligations,
    mask: (oid, number) => columns.get(oid)?.get(number),
    knows: oid => catalog.relation(oid) !== undefined,
    names: oid => (tainted.has(oid) ? undefined : namesOf(catalog, oid, columns.get(oid))),
  }
}

function namesOf(
  catalog: Catalog,
  oid: number,
  masked: ReadonlyMap<number, MaskObligation> | undefined,
): ReadonlySet<string> {
  const relation = catalog.relation(oid)
  return new Set([...(masked?.keys() ?? [])].map(number => relation?.columns.get(number) ?? ''))
}

/** A column is masked in the whole family: rows of a partition come out under the parent's OID and the other way round. */
function spread(catalog: Catalog, oid: number, column: string, put: (oid: number, number: number) => void): void {
  for (const member of catalog.family(oid)) {
    for (const [number, name] of catalog.relation(member)?.columns ?? []) if (name === column) put(member, number)
  }
}

/** Views over masked columns, views of those views, and so on. */
function taintedViews(
  catalog: Catalog,
  columns: ReadonlyMap<number, ReadonlyMap<number, MaskObligation>>,
): Set<number> {
  // A function can read anything, so a view that calls one which is not PostgreSQL's own may show anything.
  const tainted = new Set<number>(catalog.callers)
  for (;;) {
    const readers = catalog.readers((relation, column) => {
      if (tainted.has(relation)) return true
      const masked = columns.get(relation)
      return masked !== undefined && (column === 0 || masked.has(column))
    })
    const before = tainted.size
    for (const view of readers) tainted.add(view)
    if (tainted.size === before) return tainted
  }
}
