// Which columns of a database are masked for a person: policy's patterns, applied to the catalog and followed through views. Pure.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import { cut } from './as-read.ts'
import { type Catalog, viewKinds } from './catalog.ts'
import { SOME_COLUMN } from './catalog-queries.ts'
import type { Relation } from './catalog-relations.ts'
import { ColumnPatterns } from './column-patterns.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import { followView } from './lineage/evaluate.ts'
import type { Relations } from './lineage/from-items.ts'
import { alike, anyOf, changing } from './lineage/of-one-name.ts'
import {
  type Column,
  type Flows,
  flowsOf,
  keepsNull,
  type MaskedColumn,
  maskOf,
  noFlows,
  redactedOf,
  type Source,
  union,
} from './lineage/scope.ts'

export interface ColumnMask {
  readonly mask: MaskObligation
  readonly keepsNull: boolean
}

export interface MaskedColumns {
  /** The mask of a plain column, and whether it keeps NULL; undefined when the column is clear. */
  mask(tableOid: number, attributeNumber: number): ColumnMask | undefined
  /** Whether the catalog that this was made of knows the relation, and the column if it is one of its own. */
  knows(tableOid: number, attributeNumber?: number): boolean
  /** Whether any column of the relation is masked. */
  isMasked(oid: number): boolean
  /** A view over masked columns that cannot be followed: all of it counts as masked. */
  isOpaque(oid: number): boolean
  /** A table with rules that read something masked, or run functions, or a view over one: what is written to it does more than it says. */
  readonly isRuled: (oid: number) => boolean
  /** What a name in FROM can mean. */
  readonly source: Relations
  readonly catalog: Catalog
  /** What it was made of. */
  readonly obligations: readonly Obligation[]
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

const predicates = ['deny', 'equality', 'allow'] as const

/** What both masks hide, and all that either forbids. */
function strictest(one: MaskObligation, other: MaskObligation): MaskObligation {
  const isSame = one.with === other.with && one.fixed === other.fixed
  return {
    ...one,
    with: isSame ? one.with : 'redact',
    computed: one.computed === other.computed ? one.computed : 'deny',
    predicates: predicates.find(each => each === one.predicates || each === other.predicates) ?? 'deny',
  }
}

/** OID of pg_attribute: src/include/catalog/pg_attribute.h. */
const PG_ATTRIBUTE = 1249

const label = (relation: Relation, column: string): string => `${relation.schema}.${relation.name}.${column}`

/** Whether `c.name` calls a function of the row c where that has no such column, or casts it to a type of rows. */
const takesRow = (name: string, catalog: Catalog): boolean =>
  name === 'record' ||
  catalog.functions.takesRow(name) ||
  catalog.typesOfRows.namesIn(name).some(each => catalog.resolve(undefined, each).length > 0)

class Resolved implements MaskedColumns {
  readonly catalog: Catalog
  readonly obligations: readonly Obligation[]
  /** Masks that policy's patterns give, by relation and column number. */
  readonly #named = new Map<number, Map<number, MaskedColumn>>()
  /** Columns that the database computes from masked ones. */
  readonly #generated = new Set<MaskedColumn>()
  /** Views that read something masked. */
  readonly #readers: ReadonlySet<number>
  readonly #columns = new Map<number, readonly Column[] | 'opaque'>()
  readonly #sources = new Map<string, Source | undefined>()

  constructor(obligations: readonly Obligation[], catalog: Catalog, always: readonly MaskObligation[]) {
    this.catalog = catalog
    this.obligations = obligations
    const masks = [...obligations.filter(obligation => obligation.kind === 'mask'), ...always]
    const patterns = new ColumnPatterns(masks.map(({ columns }) => columns))
    for (const relation of catalog.relations) {
      const first = patterns.of(relation)
      if (first === undefined) continue
      for (const column of relation.columns.values()) {
        const mask = masks[first(column)]
        if (mask !== undefined) this.#spread(relation, column, { label: label(relation, column), mask })
      }
    }
    this.#spreadToGenerated()
    // What a view shows that runs functions nothing says: then neither is it shown, nor rows of it that are kept.
    this.#spreadToRows(masks.slice(0, 1).map(mask => ({ ...mask, computed: 'deny', predicates: 'deny' })))
    this.#readers = this.#findReaders(new Set(always))
  }

  /**
   * A column is masked in the whole family: rows of a partition come out under the parent's OID and the other way round. Where
   * members have masks of their own, all have what is strictest of them.
   */
  #spread(relation: Relation, column: string, masked: MaskedColumn): void {
    const both = new Map<MaskedColumn, MaskedColumn>()
    for (const member of this.catalog.family(relation.oid)) {
      for (const [number, name] of this.catalog.relation(member)?.columns ?? []) {
        if (name !== column) continue
        const columns = this.#named.get(member) ?? new Map<number, MaskedColumn>()
        const known = columns.get(number)
        if (known === undefined) columns.set(number, masked)
        else if (known.mask !== masked.mask) {
          const stricter = both.get(known) ?? this.#stricter(known, masked)
          both.set(known, stricter)
          columns.set(number, stricter)
        }
        this.#named.set(member, columns)
      }
    }
  }

  #stricter(one: MaskedColumn, other: MaskedColumn): MaskedColumn {
    const generated = one.generated ?? other.generated
    const made: MaskedColumn = {
      label: one.label,
      mask: strictest(one.mask, other.mask),
      ...(generated === undefined ? {} : { generated }),
    }
    if (generated !== undefined) this.#generated.add(made)
    return made
  }

  /** Of a GENERATED column nothing is shown: a part of a masked one is not its mask. */
  #spreadToGenerated(): void {
    for (const { relation: oid, column, from } of this.catalog.generated) {
      const relation = this.catalog.relation(oid)
      const source = this.#named.get(oid)?.get(from)
      const name = relation?.columns.get(column)
      if (relation === undefined || source === undefined || name === undefined) continue
      if (this.#named.get(oid)?.has(column) === true) continue
      const made: MaskedColumn = { ...redactedOf(source), label: label(relation, name), generated: true }
      this.#generated.add(made)
      this.#spread(relation, name, made)
    }
  }

  /** Rows that are kept in a column hold what is masked where they come from. */
  #spreadToRows(anything: readonly MaskObligation[]): void {
    const found = this.catalog.rowColumns.flatMap(({ relation: oid, column, row }) => {
      const relation = this.catalog.relation(oid)
      const name = relation?.columns.get(column)
      const beneath = this.catalog.beneath(row)
      const held = beneath.flatMap(each => [...(this.#named.get(each)?.values() ?? [])])
      const called = beneath.some(each => this.catalog.callers.has(each)) ? anything : []
      const [first, ...others] = [...held.map(({ mask }) => mask), ...called]
      if (relation === undefined || name === undefined || first === undefined) return []
      const mask: MaskObligation = { ...others.reduce(strictest, first), with: 'redact' }
      return [{ relation, name, masked: { label: label(relation, name), mask } }]
    })
    for (const { relation, name, masked } of found) this.#spread(relation, name, masked)
  }

  /** Views over masked columns, views of those views, and so on. */
  #findReaders(always: ReadonlySet<MaskObligation>): Set<number> {
    const named = (relation: number): boolean =>
      [...(this.#named.get(relation)?.values() ?? [])].some(({ mask }) => !always.has(mask))
    // A function can read anything, so a view that calls one which is not PostgreSQL's own may show anything.
    const readers = new Set<number>(this.catalog.callers)
    for (;;) {
      const before = readers.size
      const found = this.catalog.readers((relation, column, view) => {
        if (readers.has(relation)) return true
        // What holds texts of others in views of PostgreSQL's own is masked by name, and hidden-reads.ts knows who reads such of pg_attribute.
        if (column === SOME_COLUMN)
          return (
            named(relation) ||
            (view >= FIRST_NORMAL_OBJECT_ID && this.#named.has(relation) && relation !== PG_ATTRIBUTE)
          )
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
    const isView = viewKinds.has(relation.kind) && this.#readers.has(relation.oid)
    const columns = isView ? this.#viewColumns(relation) : this.#ownColumns(relation)
    this.#columns.set(relation.oid, columns)
    return columns
  }

  /** Casts of a column of a user's type can run functions, and nothing in the statement would say so. */
  #ownColumns(relation: Relation): readonly Column[] | 'opaque' {
    return this.catalog.castTables.has(relation.oid) ? 'opaque' : this.#tableColumns(relation)
  }

  #tableColumns(relation: Relation): readonly Column[] {
    const named = this.#named.get(relation.oid)
    const row = relation.key.length === 0 ? undefined : { key: relation.key, direct: true }
    return [...relation.columns].map(([number, name]) => {
      const masked = named?.get(number)
      const own = {
        // As it is in statements.
        name: this.catalog.isUtf8 ? name : cut(name),
        plain: true,
        described: true,
        type: relation.types.get(number),
        generated: relation.generated.has(number),
        ...(row === undefined ? {} : { origin: { row, column: number } }),
      }
      if (masked === undefined) return { ...own, flows: noFlows, whole: true }
      return { ...own, flows: new Set([masked]), whole: !this.#generated.has(masked) }
    })
  }

  #viewColumns(relation: Relation): readonly Column[] | 'opaque' {
    const query = this.catalog.viewQuery(relation.oid)
    if (query === undefined || this.catalog.callers.has(relation.oid)) return this.#fullyNamed(relation) ?? 'opaque'
    const outputs = followView(query, this.source)
    const own = this.#tableColumns(relation)
    if (outputs === undefined || outputs.length !== own.length) return this.#fullyNamed(relation) ?? 'opaque'
    return own.map((column, index): Column => {
      const output = outputs[index]
      const flows: Flows = union(column.flows, output?.flows ?? noFlows)
      const isNamed = column.flows.size > 0
      const whole = isNamed || output?.whole === true
      return { ...column, flows, plain: isNamed || output?.plain === true, whole, origin: output?.origin }
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
    const star = relations.length === 1 ? columns[0] : alike(columns, relations.length)
    const isOpaque = columns.length < relations.length
    if (this.catalog.isChanging(name))
      return { ...changing(name, first.schema, relations.length, columns.flat()), isOpaque }
    return {
      schema: relations.length === 1 ? first.schema : undefined,
      name,
      columns: star ?? anyOf(columns, relations.length, each => takesRow(each, this.catalog)),
      others: isOpaque ? flowsOf(columns.flat()) : undefined,
      isOpaque,
      star,
      isTable: relations.every(({ kind }) => !viewKinds.has(kind)),
    }
  }

  mask(oid: number, number: number): ColumnMask | undefined {
    const named = this.#named.get(oid)?.get(number)
    if (named !== undefined) return { mask: named.mask, keepsNull: named.generated !== true }
    const columns = this.#special(oid)
    const relation = this.catalog.relation(oid)
    if (columns === undefined || columns === 'opaque' || relation === undefined) return undefined
    const column = columns[[...relation.columns.keys()].indexOf(number)]
    const mask = column === undefined ? undefined : maskOf(column)
    return column === undefined || mask === undefined ? undefined : { mask, keepsNull: keepsNull(column) }
  }

  knows(oid: number, number = 0): boolean {
    const relation = this.catalog.relation(oid)
    return relation !== undefined && (number <= 0 || relation.columns.has(number))
  }

  isMasked(oid: number): boolean {
    if (this.#named.has(oid)) return true
    const columns = this.#special(oid)
    return columns === 'opaque' || (columns !== undefined && flowsOf(columns).size > 0)
  }

  isOpaque(oid: number): boolean {
    return this.#special(oid) === 'opaque'
  }

  /** The columns of what is more than a table with columns that policy names. */
  #special(oid: number): readonly Column[] | 'opaque' | undefined {
    if (!this.#readers.has(oid) && !this.catalog.castTables.has(oid)) return undefined
    const relation = this.catalog.relation(oid)
    return relation === undefined ? undefined : this.#columnsOf(relation)
  }

  /** What is written to a view is written to the tables under it. */
  readonly isRuled = (oid: number): boolean =>
    this.catalog
      .beneath(oid)
      .some(each => this.#readers.has(each) && (!this.catalog.isView(each) || this.catalog.ruled.has(each)))
}
