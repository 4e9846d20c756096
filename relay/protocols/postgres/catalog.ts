// What gate knows of a database's tables and views: a snapshot of its catalog. Pure.
import type { Query } from './analysis/lineage.ts'
import type { RelationName } from './analysis/objects.ts'
import { asRead } from './as-read.ts'
import { type Called, Calling } from './calling.ts'
import type { MentionKind } from './catalog-mentions.ts'
import { type CatalogRows, SOME_COLUMN } from './catalog-queries.ts'
import { type Relation, relationsOf } from './catalog-relations.ts'
import { FIRST_NORMAL_OBJECT_ID, Functions } from './functions.ts'
import { hides } from './hidden-reads.ts'
import { onlyComputes } from './plain-bodies.ts'
import type { Change } from './schema-changes.ts'
import { TypesOfRows } from './types-of-rows.ts'

/** What the definition of a view is, and what it calls. */
export interface View {
  /** Undefined where it cannot be followed. */
  readonly query: Query | undefined
  readonly called: Called
  readonly reads: readonly RelationName[]
}

/** What is called in functions that may only compute, by their OIDs. */
export type Bodies = ReadonlyMap<number, Called>

export type Views = ReadonlyMap<number, View>

/** A view or rule that reads a column (0: the whole row; SOME_COLUMN: any of them) of a relation. */
interface Dependency {
  readonly view: number
  readonly relation: number
  readonly column: number
}

/** pg_class.relkind of views and materialised views; other relations have rules for what is written to them. */
export const viewKinds: ReadonlySet<string> = new Set(['v', 'm'])

/** A column that the database computes from another one of its table. */
interface Generated {
  readonly relation: number
  readonly column: number
  readonly from: number
}

export class Catalog {
  readonly #byOid = new Map<number, Relation>()
  readonly #byName = new Map<string, Relation[]>()
  /** Inheritance and partitions, both ways: rows of a child come out under the parent's OID. */
  readonly #relatives = new Map<number, number[]>()
  readonly #dependencies: readonly Dependency[]
  /** What the definitions of views read, directly. */
  readonly #read = new Map<number, Set<number>>()
  /** Views that call functions or operators which are not PostgreSQL's own, or what of its own reads others, or that could not be read. */
  readonly callers: ReadonlySet<number>
  /** Relations with rules for what is written to them. */
  readonly ruled: ReadonlySet<number>
  /** Relations with columns, or rows, of types that casts by functions of somebody's own convert. */
  readonly castTables: ReadonlySet<number>
  readonly #castColumns: ReadonlySet<number>
  readonly functions: Functions
  /** Whether the server reads names beyond ASCII as gate does. */
  readonly isUtf8: boolean
  readonly generated: readonly Generated[]
  /** Columns whose values are, or hold, rows of other relations. */
  readonly rowColumns: readonly { readonly relation: number; readonly column: number; readonly row: number }[]
  readonly #guarded: ReadonlySet<number>
  /** Tables with triggers that make relations. */
  readonly #makers: ReadonlySet<number>
  /** Whether schema commands run code of somebody's, which may change anything. */
  readonly hasEventTriggers: boolean
  /** Foreign keys. */
  readonly references: readonly { readonly table: number; readonly refersTo: number }[]
  /** What runs functions that may do more than compute. */
  calling: Calling
  readonly #operators: ReadonlySet<string>
  readonly #bodies: Bodies
  readonly extensions: ReadonlySet<string>
  /** Of all types but arrays and rows of relations. */
  readonly typeNames: ReadonlySet<string>
  /** Words of functions that triggers, policies and the like call, in small letters. */
  readonly usedWords: ReadonlySet<string>
  /** Those that may be what such functions write to. */
  readonly writtenWords: ReadonlySet<string>
  /** Where names without a schema are made unless a session says otherwise; undefined where that is not known. */
  readonly madeIn: string | undefined
  /** Collations that compare different values as equal, and types of these. */
  readonly loose: { readonly collations: ReadonlySet<string>; readonly types: ReadonlySet<string | number> }
  readonly typesOfRows: TypesOfRows
  /** By name and by OID: whether casts convert them by functions of somebody's own. */
  readonly #types = new Map<string | number, boolean>()
  readonly #views: Views
  readonly #rows: CatalogRows
  readonly #changing: Change | undefined
  /** Something was defined that names somebody's code, and no snapshot shows it yet: to make functions anew can be to call them. */
  readonly definesOfCode: boolean

  /**
   * `views` are the definitions of views, as far as they could be read. `changing`: what is being changed while the snapshot
   * does not show it; `made`: the names of functions that are being made. `bodies`: what is called in those of functions that may
   * only compute.
   */
  constructor(
    rows: CatalogRows,
    views: Views = new Map(),
    changing?: Change,
    made?: ReadonlySet<string>,
    definesOfCode = false,
    bodies: Bodies = new Map(),
  ) {
    this.#rows = rows
    this.#views = views
    this.#changing = changing
    this.definesOfCode = definesOfCode
    this.isUtf8 = rows.encoding.every(([encoding]) => encoding === 'UTF8')
    for (const relation of relationsOf(rows)) this.#add(relation)
    for (const [child, parent] of rows.inherits) {
      this.#relate(Number(child), Number(parent))
      this.#relate(Number(parent), Number(child))
    }
    const hidden = rows.definitions.filter(([, text]) => hides(text ?? ''))
    this.ruled = new Set(rows.ruledViews.map(([view]) => Number(view)))
    this.#castColumns = new Set(rows.castTables.map(([relation]) => Number(relation)))
    this.castTables = new Set(
      rows.castTables.flatMap(([relation, , any]) => (any === 'false' ? [] : [Number(relation)])),
    )
    for (const [oid, name, castByFunction] of rows.types) {
      for (const type of [Number(oid), name ?? ''])
        this.#types.set(type, castByFunction !== 'false' || this.#types.get(type) === true)
    }
    this.typesOfRows = new TypesOfRows(rows)
    this.functions = new Functions(rows.functions, made)
    this.generated = rows.generated.map(([relation, column, from]) => ({
      relation: Number(relation),
      column: Number(column),
      from: Number(from),
    }))
    this.rowColumns = rows.rowColumns.map(([relation, column, row]) => ({
      relation: Number(relation),
      column: Number(column),
      row: Number(row),
    }))
    this.#guarded = new Set(rows.guarded.map(([relation]) => Number(relation)))
    this.#makers = new Set(rows.relationMakers.map(([relation]) => Number(relation)))
    this.hasEventTriggers = rows.eventTriggers.length > 0
    this.references = rows.references.map(([table, refersTo]) => ({ table: Number(table), refersTo: Number(refersTo) }))
    this.#operators = new Set(rows.operators.map(([name]) => name ?? ''))
    this.#bodies = bodies
    // One can call another; while functions are being made, any may be another than is shown.
    while (!this.functions.areMade && this.#believeBodies());
    this.extensions = new Set(rows.extensions.map(([name]) => name ?? ''))
    this.typeNames = new Set(rows.typeNames.map(([, name]) => name ?? ''))
    this.usedWords = new Set(rows.usedWords.map(([word]) => word ?? ''))
    this.writtenWords = new Set(rows.usedWords.flatMap(([word, isWritten]) => (isWritten === 't' ? [word ?? ''] : [])))
    this.madeIn = rows.madeIn[0]?.[0] ?? undefined
    const loose = (kind: string) => rows.loose.filter(([each]) => each === kind)
    this.loose = {
      collations: new Set(loose('collation').map(([, , name]) => name ?? '')),
      types: new Set(loose('type').flatMap(([, oid, name]) => [Number(oid), name ?? ''])),
    }
    const depending = rows.views.map(([view, relation, column]) => ({
      view: Number(view),
      relation: Number(relation),
      column: Number(column),
    }))
    this.#dependencies = [...depending, ...[...views].flatMap(([oid, view]) => this.#readsOfOwn(oid, view))]
    for (const { view, relation } of this.#dependencies) {
      const read = this.#read.get(view) ?? new Set()
      this.#read.set(view, read.add(relation))
    }
    const showing = [...views].flatMap(([oid, view]) =>
      view.called.functions.some(name => this.functions.showsOthers(name)) ? [oid] : [],
    )
    // On PostgreSQL's own functions and catalogs views do not depend, so only their definitions say that they read nothing.
    const unread = [...this.#byOid.values()].filter(
      ({ oid, kind }) => oid >= FIRST_NORMAL_OBJECT_ID && viewKinds.has(kind) && !views.has(oid),
    )
    const ruled = rows.ruleCalls.filter(([, called]) => this.functions.showsOthersByOid(Number(called)))
    const callers = rows.callers.filter(([, called]) => called == null || !this.functions.isPlain(Number(called)))
    this.callers = new Set([
      ...[...callers, ...hidden, ...ruled].map(([view]) => Number(view)),
      ...[...showing, ...unread.map(({ oid }) => oid)],
    ])
    const called = new Map([...views].map(([oid, view]) => [oid, view.called] as const))
    const known = (): Calling => new Calling(rows, this.functions, called)
    this.calling = known()
    // What is found of one function can be what another one names.
    while (this.#doubtLabels()) this.calling = known()
  }

  /** Finds functions that only compute, as what they call does; whether there were any. */
  #believeBodies(): boolean {
    const found = [...this.#bodies].filter(([, body]) => onlyComputes(body, this))
    return found.filter(([oid]) => this.functions.believe(oid)).length > 0
  }

  /** What a view reads of PostgreSQL's own catalogs, on which it does not depend. */
  #readsOfOwn(view: number, { reads }: View): Dependency[] {
    const own = reads
      .flatMap(({ schema, name }) => this.resolve(schema, name))
      .filter(({ oid }) => oid < FIRST_NORMAL_OBJECT_ID)
    return own.map(({ oid }) => ({ view, relation: oid, column: SOME_COLUMN }))
  }

  /** Doubts the labels of functions that name what may write; whether there were any. */
  #doubtLabels(): boolean {
    const found = this.#rows.mentions.filter(([, , kind, name]) =>
      kind === 'view'
        ? this.isCaller(Number(name))
        : this.calling.isMentionedCall(kind as Exclude<MentionKind, 'view'>, name ?? ''),
    )
    return found.filter(([oid, becomes]) => this.functions.doubt(Number(oid), becomes ?? '')).length > 0
  }

  /** The same snapshot while something is being changed, and functions of these names are being made. */
  while(change: Change | undefined, made: ReadonlySet<string>, definesOfCode: boolean): Catalog {
    return new Catalog(this.#rows, this.#views, change, made, definesOfCode, this.#bodies)
  }

  /** With a table its whole family is changed. */
  withFamilies(change: Change): Change {
    if (change === 'all') return change
    const members = [...change].flatMap(name => this.resolve(undefined, name).flatMap(({ oid }) => this.family(oid)))
    return new Set([...change, ...members.flatMap(oid => this.relation(oid)?.name ?? [])])
  }

  /** With relations all whose columns, or what is masked of them, come from theirs: families, views, columns that hold their rows. */
  withDependents(names: readonly string[]): ReadonlySet<string> {
    const reached = new Set(names.flatMap(name => this.resolve(undefined, name).map(({ oid }) => oid)))
    for (let before = -1; before !== reached.size; ) {
      before = reached.size
      for (const oid of reached) for (const member of this.family(oid)) reached.add(member)
      for (const view of this.readers(relation => reached.has(relation))) reached.add(view)
      for (const { relation, row } of this.rowColumns) if (reached.has(row)) reached.add(relation)
    }
    return new Set([...names, ...[...reached].map(oid => asRead(this.relation(oid)?.name ?? ''))])
  }

  /** Whether what a name stands for, and which columns that has, may be something else than the snapshot shows. */
  isChanging(name: string): boolean {
    return this.#changing === 'all' || this.#changing?.has(name) === true
  }

  /** Whether that goes for some name. */
  get isSomethingChanging(): boolean {
    return this.#changing !== undefined
  }

  /** Whether that goes for any name. */
  get isAnyChanging(): boolean {
    return this.#changing === 'all'
  }

  isBuiltInOperator(name: string): boolean {
    return !this.#operators.has(name)
  }

  /** Whether a type of that name, or with that OID, is converted by a function of somebody's own. */
  isCastByFunction(type: string | number): boolean {
    return this.#types.get(type) === true
  }

  /** Whether it has columns, or rows, of types that somebody's casts convert. */
  hasCastColumns(oid: number): boolean {
    return this.#castColumns.has(oid)
  }

  /** Whether values of a type are checked or made of others in a way that somebody wrote. */
  isMadeType(type: string | number): boolean {
    return this.#types.has(type)
  }

  /** Whether a view, or one that it is made of, or a rule calls a function that may do more than compute. */
  isCaller(oid: number): boolean {
    return this.beneath(oid).some(each => this.calling.isCaller(each, this.isView(each)))
  }

  /** Whether it does before a statement with it is run. */
  isCallerBefore(oid: number): boolean {
    return this.beneath(oid).some(each => this.calling.isCallerBefore(each, this.isView(each)))
  }

  /** Whether reading it, or what is under it, calls functions of its policies. */
  isGuarded(oid: number): boolean {
    return this.#guarded.size > 0 && this.beneath(oid).some(each => this.#guarded.has(each))
  }

  /** Whether any table has triggers that make relations: in most databases none does. */
  get hasRelationMakers(): boolean {
    return this.#makers.size > 0
  }

  /** Whether writing to it can run triggers that make relations, or write to such as nothing names: partitions, keys and rules lead to them. */
  makesRelations(oid: number): boolean {
    const reached = new Set([oid])
    for (const each of reached) {
      if (this.#makers.has(each)) return true
      for (const other of [...(this.#relatives.get(each) ?? []), ...(this.#read.get(each) ?? [])]) reached.add(other)
      for (const { table, refersTo } of this.references) if (refersTo === each) reached.add(table)
    }
    return false
  }

  /** Whether it is a view or materialised view; what is not known may be one. */
  isView(oid: number): boolean {
    return viewKinds.has(this.#byOid.get(oid)?.kind ?? 'v')
  }

  #add(relation: Relation): void {
    this.#byOid.set(relation.oid, relation)
    const name = asRead(relation.name)
    const same = this.#byName.get(name) ?? []
    same.push(relation)
    this.#byName.set(name, same)
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
    return this.#views.get(oid)?.query
  }

  /**
   * Every relation that the name can mean: without a schema, one of that name in any schema, whatever search_path says.
   * pg_temp stands for the schema of whoever says it.
   */
  resolve(schema: string | undefined, name: string): readonly Relation[] {
    const found = this.#byName.get(asRead(name)) ?? []
    if (schema === undefined) return found
    const isTemporary = schema === 'pg_temp'
    const read = asRead(schema)
    return found.filter(({ schema: own }) => asRead(own) === read || (isTemporary && own.startsWith('pg_temp_')))
  }

  /** The relation and everything it inherits from or that inherits from it, near or far. */
  family(oid: number): number[] {
    const seen = new Set([oid])
    for (const member of seen) for (const relative of this.#relatives.get(member) ?? []) seen.add(relative)
    return [...seen]
  }

  /** Whether what is written to it changes settings: the view of all of them, and views over that. */
  isOfSettings(oid: number): boolean {
    const settings = this.resolve('pg_catalog', 'pg_settings')
    return this.beneath(oid).some(member => settings.some(relation => relation.oid === member))
  }

  /** The relation and, of a view, everything that it is made of, near or far. */
  beneath(oid: number): number[] {
    const seen = new Set([oid])
    for (const member of seen) {
      if (!this.isView(member)) continue
      for (const read of this.#read.get(member) ?? []) seen.add(read)
    }
    return [...seen]
  }

  /** Views (and tables with rules) whose definition reads one of these columns, directly. */
  readers(isMasked: (relation: number, column: number, view: number) => boolean): Set<number> {
    return new Set(
      this.#dependencies
        .filter(({ relation, column, view }) => isMasked(relation, column, view))
        .map(({ view }) => view),
    )
  }
}
