// Which columns of a database are masked for a person: policy's patterns, applied to the catalog and followed through views. Pure.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import type { Catalog, Relation } from './catalog.ts'
import { followView, type Relations } from './lineage/evaluate.ts'
import {
  type Column,
  type Flows,
  flowsOf,
  type MaskedColumn,
  noFlows,
  type Source,
  typeOf,
  union,
} from './lineage/scope.ts'

export interface MaskedColumns {
  /** The mask of a plain column; undefined when it is clear. */
  mask(tableOid: number, attributeNumber: number): MaskObligation | undefined
  /** Whether the catalog that this was made of knows the relation. */
  knows(tableOid: number): boolean
  /** Whether any column of the relation is masked. */
  isMasked(oid: number): boolean
  /** A view over masked columns that cannot be followed: all of it counts as masked. */
  isOpaque(oid: number): boolean
  /** What a name in FROM can mean. */
  readonly source: Relations
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

/**
 * Resolves the masks that bind a person against the catalog. The first mask that names a column is its mask; `always` are
 * those that bind whoever has any.
 */
export function resolveMasks(
  obligations: readonly Obligation[],
  catalog: Catalog,
  always: readonly MaskObligation[],
): MaskedColumns {
  return new Resolved(obligations, catalog, always)
}

class Resolved implements MaskedColumns {
  readonly catalog: Catalog
  readonly obligations: readonly Obligation[]
  /** Masks that policy's patterns give, by relation and column number. */
  readonly #named = new Map<number, Map<number, MaskedColumn>>()
  /** Views that read something masked. */
  readonly #readers: ReadonlySet<number>
  readonly #columns = new Map<number, readonly Column[] | 'opaque'>()
  readonly #sources = new Map<string, Source | undefined>()

  constructor(obligations: readonly Obligation[], catalog: Catalog, always: readonly MaskObligation[]) {
    this.catalog = catalog
    this.obligations = obligations
    const masks = [...obligations.filter(obligation => obligation.kind === 'mask'), ...always]
    for (const relation of catalog.relations) {
      for (const column of relation.columns.values()) {
        const mask = masks.find(candidate => candidate.columns.some(pattern => matches(pattern, relation, column)))
        if (mask !== undefined) this.#spread(relation, column, mask)
      }
    }
    this.#readers = this.#findReaders()
  }

  /** A column is masked in the whole family: rows of a partition come out under the parent's OID and the other way round. */
  #spread(relation: Relation, column: string, mask: MaskObligation): void {
    const masked: MaskedColumn = { label: `${relation.schema}.${relation.name}.${column}`, mask }
    for (const member of this.catalog.family(relation.oid)) {
      for (const [number, name] of this.catalog.relation(member)?.columns ?? []) {
        if (name !== column) continue
        const columns = this.#named.get(member) ?? new Map<number, MaskedColumn>()
        if (!columns.has(number)) columns.set(number, masked)
        this.#named.set(member, columns)
      }
    }
  }

  /** Views over masked columns, views of those views, and so on. */
  #findReaders(): Set<number> {
    // A function can read anything, so a view that calls one which is not PostgreSQL's own may show anything.
    const readers = new Set<number>(this.catalog.callers)
    for (;;) {
      const before = readers.size
      const found = this.catalog.readers((relation, column) => {
        if (readers.has(relation)) return true
        const masked = this.#named.get(relation)
        return masked !== undefined && (column === 0 || masked.has(column))
      })
      for (const view of found) readers.add(view)
      if (readers.size === before) return readers
    }
  }

  /** The columns of a relation in order, with what flows in. */
  #columnsOf(relation: Relation): readonly Column[] | 'opaque' {
    const known = this.#columns.get(relation.oid)
    if (known !== undefined) return known
    // A view that reads itself, however far around, cannot be followed.
    this.#columns.set(relation.oid, 'opaque')
    const columns = this.#readers.has(relation.oid) ? this.#viewColumns(relation) : this.#tableColumns(relation)
    this.#columns.set(relation.oid, columns)
    return columns
  }

  #tableColumns(relation: Relation): readonly Column[] {
    const named = this.#named.get(relation.oid)
    return [...relation.columns].map(([number, name]) => {
      const masked = named?.get(number)
      const flows: Flows = masked === undefined ? noFlows : new Set([masked])
      const generated = relation.generated.has(number)
      return { name, flows, plain: true, type: relation.types.get(number), generated }
    })
  }

  #viewColumns(relation: Relation): readonly Column[] | 'opaque' {
    const query = this.catalog.viewQuery(relation.oid)
    if (query === undefined || this.catalog.callers.has(relation.oid)) return this.#fullyNamed(relation) ?? 'opaque'
    const outputs = followView(query, this.source)
    const own = this.#tableColumns(relation)
    if (outputs === undefined || outputs.length !== own.length) return this.#fullyNamed(relation) ?? 'opaque'
    return own.map((column, index): Column => {
      const flows: Flows = union(column.flows, outputs[index]?.flows ?? noFlows)
      return { ...column, flows, plain: column.flows.size > 0 || outputs[index]?.plain === true }
    })
  }

  /** When policy masks every column by name, nothing of the view needs to be followed. */
  #fullyNamed(relation: Relation): readonly Column[] | undefined {
    const columns = this.#tableColumns(relation)
    return columns.every(column => column.flows.size > 0) ? columns : undefined
  }

  readonly source: Relations = (schema, name) => {
    const key = JSON.stringify([schema, name])
    if (this.#sources.has(key)) return this.#sources.get(key)
    const source = this.#source(schema, name)
    this.#sources.set(key, source)
    return source
  }

  /** Without a schema, every relation of that name in any schema is meant at once. */
  #source(schema: string | undefined, name: string): Source | undefined {
    const relations = this.catalog.resolve(schema, name)
    const [first] = relations
    if (first === undefined) return undefined
    const columns = relations.map(relation => this.#columnsOf(relation)).filter(each => each !== 'opaque')
    const one = relations.length === 1 ? columns[0] : undefined
    return {
      schema: relations.length === 1 ? first.schema : undefined,
      name,
      columns: columns.flat(),
      others: columns.length === relations.length ? undefined : flowsOf(columns.flat()),
      star: one ?? alike(columns, relations.length),
    }
  }

  mask(oid: number, number: number): MaskObligation | undefined {
    const named = this.#named.get(oid)?.get(number)
    if (named !== undefined) return named.mask
    const relation = this.#readers.has(oid) ? this.catalog.relation(oid) : undefined
    if (relation === undefined) return undefined
    const columns = this.#columnsOf(relation)
    if (columns === 'opaque') return undefined
    const column = columns[[...relation.columns.keys()].indexOf(number)]
    const [masked] = column?.flows ?? noFlows
    if (column === undefined || masked === undefined) return undefined
    return column.plain ? masked.mask : { ...masked.mask, with: 'redact' }
  }

  knows(oid: number): boolean {
    return this.catalog.relation(oid) !== undefined
  }

  isMasked(oid: number): boolean {
    if (this.#named.has(oid)) return true
    const relation = this.#readers.has(oid) ? this.catalog.relation(oid) : undefined
    if (relation === undefined) return false
    const columns = this.#columnsOf(relation)
    return columns === 'opaque' || flowsOf(columns).size > 0
  }

  isOpaque(oid: number): boolean {
    const relation = this.#readers.has(oid) ? this.catalog.relation(oid) : undefined
    return relation !== undefined && this.#columnsOf(relation) === 'opaque'
  }
}

/** Relations of one name with the same columns have one star; otherwise its columns are not certain. */
function alike(all: readonly (readonly Column[])[], count: number): readonly Column[] | undefined {
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
  return first.map((column, index) => ({
    name: column.name,
    flows: union(...all.map(columns => columns[index]?.flows ?? noFlows)),
    plain: all.every(columns => columns[index]?.plain === true),
    type: typeOf(all.flatMap(columns => columns[index] ?? [])),
    generated: first[index]?.generated === true,
  }))
}
