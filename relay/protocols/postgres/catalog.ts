// What gate knows of a database's tables and views: a snapshot of its catalog. Pure.
import type { Query } from './analysis/lineage.ts'

/** One row of the snapshot query for relations. */
export interface Relation {
  readonly oid: number
  readonly schema: string
  readonly name: string
  /** pg_class.relkind: r table, p partitioned table, v view, m materialised view, f foreign table, S sequence, … */
  readonly kind: string
  /** Columns by number; numbers below 1 are system columns and hold no data of the table. */
  readonly columns: ReadonlyMap<number, string>
}

/**
 * Relations, their columns, who inherits from whom, what views are made of, and which functions and operators are not
 * PostgreSQL's own: objects that initdb makes have OIDs below 16384 (FirstNormalObjectId in src/include/access/transam.h).
 */
export const catalogQueries = {
  relations: `select c.oid::text, n.nspname::text, c.relname::text, c.relkind::text
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')`,
  columns: `select a.attrelid::text, a.attnum::text, a.attname::text
    from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid
    where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and a.attnum > 0 and not a.attisdropped`,
  inherits: 'select inhrelid::text, inhparent::text from pg_catalog.pg_inherits',
  views: `select distinct r.ev_class::text, d.refobjid::text, d.refobjsubid::text
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.refobjid <> r.ev_class`,
  callers: `select distinct r.ev_class::text
    from pg_catalog.pg_rewrite r join pg_catalog.pg_depend d on d.objid = r.oid
    where d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      and d.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
      and d.refobjid >= 16384`,
  definitions: `select c.oid::text, pg_catalog.pg_get_viewdef(c.oid)
    from pg_catalog.pg_class c where c.relkind in ('v', 'm') and c.oid >= 16384`,
  functions: 'select distinct proname::text from pg_catalog.pg_proc where oid >= 16384',
  operators: 'select distinct oprname::text from pg_catalog.pg_operator where oid >= 16384',
  immutable: `select proname::text from pg_catalog.pg_proc
    where oid < 16384 and pronamespace = 'pg_catalog'::pg_catalog.regnamespace
    group by proname having bool_and(provolatile = 'i')`,
} as const

export type CatalogRows = Readonly<Record<keyof typeof catalogQueries, readonly (readonly (string | null)[])[]>>

/** A view or rule that reads a column (0: the whole row) of a relation. */
interface Dependency {
  readonly view: number
  readonly relation: number
  readonly column: number
}

export class Catalog {
  readonly #byOid = new Map<number, Relation>()
  readonly #byName = new Map<string, Relation[]>()
  /** Inheritance and partitions, both ways: rows of a child come out under the parent's OID. */
  readonly #relatives = new Map<number, number[]>()
  readonly #dependencies: readonly Dependency[]
  /** Views that call functions or operators which are not PostgreSQL's own. */
  readonly callers: ReadonlySet<number>
  readonly #functions: ReadonlySet<string>
  readonly #operators: ReadonlySet<string>
  readonly #immutable: ReadonlySet<string>

  readonly #viewQueries: ReadonlyMap<number, Query>

  /** `viewQueries` are the definitions of views, as far as they can be followed. */
  constructor(rows: CatalogRows, viewQueries: ReadonlyMap<number, Query> = new Map()) {
    this.#viewQueries = viewQueries
    const columns = new Map<number, Map<number, string>>()
    for (const [oid, number, name] of rows.columns) {
      const relation = columns.get(Number(oid)) ?? new Map<number, string>()
      relation.set(Number(number), name ?? '')
      columns.set(Number(oid), relation)
    }
    for (const [oid, schema, name, kind] of rows.relations) {
      this.#add({
        oid: Number(oid),
        schema: schema ?? '',
        name: name ?? '',
        kind: kind ?? '',
        columns: columns.get(Number(oid)) ?? new Map(),
      })
    }
    for (const [child, parent] of rows.inherits) {
      this.#relate(Number(child), Number(parent))
      this.#relate(Number(parent), Number(child))
    }
    const names = (list: CatalogRows[keyof CatalogRows]): Set<string> => new Set(list.map(([name]) => name ?? ''))
    this.callers = new Set(rows.callers.map(([view]) => Number(view)))
    this.#functions = names(rows.functions)
    this.#operators = names(rows.operators)
    this.#immutable = names(rows.immutable)
    this.#dependencies = rows.views.map(([view, relation, column]) => ({
      view: Number(view),
      relation: Number(relation),
      column: Number(column),
    }))
  }

  /** Whether a function, with or without its schema, can only be PostgreSQL's own and depends on its arguments alone. */
  isImmutable(name: string): boolean {
    return this.isBuiltIn(name) && this.#immutable.has(name.replace(/^pg_catalog\./, ''))
  }

  /** Whether a function can only be PostgreSQL's own: somebody else's of that name, in whatever schema, puts it in doubt. */
  isBuiltIn(name: string): boolean {
    if (name.startsWith('pg_catalog.')) return true
    return !name.includes('.') && !this.#functions.has(name)
  }

  isBuiltInOperator(name: string): boolean {
    return !this.#operators.has(name)
  }

  #add(relation: Relation): void {
    this.#byOid.set(relation.oid, relation)
    const same = this.#byName.get(relation.name) ?? []
    same.push(relation)
    this.#byName.set(relation.name, same)
  }

  #relate(a: number, b: number): void {
    const known = this.#relatives.get(a) ?? []
    known.push(b)
    this.#relatives.set(a, known)
  }

  relation(oid: number): Relation | undefined {
    return this.#byOid.get(oid)
  }

  get relations(): IterableIterator<Relation> {
    return this.#byOid.values()
  }

  viewQuery(oid: number): Query | undefined {
    return this.#viewQueries.get(oid)
  }

  /** Every relation that the name can mean: without a schema, one of that name in any schema, whatever search_path says. */
  resolve(schema: string | undefined, name: string): readonly Relation[] {
    const found = this.#byName.get(name) ?? []
    return schema === undefined ? found : found.filter(relation => relation.schema === schema)
  }

  /** The relation and everything it inherits from or that inherits from it, near or far. */
  family(oid: number): number[] {
    const seen = new Set([oid])
    for (const member of seen) for (const relative of this.#relatives.get(member) ?? []) seen.add(relative)
    return [...seen]
  }

  /** Views (and tables with rules) whose definition reads one of these columns, directly. */
  readers(isMasked: (relation: number, column: number) => boolean): Set<number> {
    return new Set(
      this.#dependencies.filter(({ relation, column }) => isMasked(relation, column)).map(({ view }) => view),
    )
  }
}
