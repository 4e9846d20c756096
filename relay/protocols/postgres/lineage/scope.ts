// What a column name means in a query: the tables and subqueries in FROM, and the queries around it. Pure.
import type { MaskObligation } from '@gate/shared/model'
import type { ColumnName } from '../analysis/lineage.ts'
import { systemColumns } from '../analysis/system-columns.ts'
import { FIRST_NORMAL_OBJECT_ID } from '../functions.ts'

/** A masked column of a table; one object for each, so that sets of them have no doubles. */
export interface MaskedColumn {
  /** `public.customers.email` */
  readonly label: string
  readonly mask: MaskObligation
  /** The database computes it from a masked one: whether it is NULL can tell of that. */
  readonly generated?: true
}

export type Flows = ReadonlySet<MaskedColumn>

export const noFlows: Flows = new Set()

export interface Column {
  /** Undefined when the name is not known: it may be any. */
  readonly name: string | undefined
  /** The name is probably that, and may be any. */
  readonly guessed?: boolean | undefined
  /** Not every relation that the name in FROM can mean has it: where it is missing, its name means something further out. */
  readonly uncertain?: boolean | undefined
  /** Where it is missing, its name behind that of the table calls a function of the whole row. */
  readonly isCall?: boolean | undefined
  /** Masked columns that flow in. */
  readonly flows: Flows
  /**
   * The value is a table's own, as it is, or one of several such: it can be shown, masked. Mostly the server's row
   * description names the column; of set operations and subqueries as values only the place in the result is known.
   */
  readonly plain: boolean
  /** Being equal to it tells of the whole of a masked value. */
  readonly whole: boolean
  /** It may be a clear one: of the relations that the name in FROM can mean, some do not mask it. */
  readonly perhapsClear?: boolean | undefined
  /** OID of the type of a table's own column, where it is known. */
  readonly type?: number | undefined
  /** GENERATED ALWAYS AS: COPY of a table leaves it out. */
  readonly generated?: boolean
  /** The server's row description names it as a table's or view's own; never said of what only might be. */
  readonly described?: boolean | undefined
  /** Which row it is a column of, and its number there. */
  readonly origin?: { readonly row: Row; readonly column: number } | undefined
}

/** A row of a table, as one item of FROM gives it. */
export interface Row {
  /** Numbers of the columns of its primary key. */
  readonly key: readonly number[]
  /** It comes from the table and not out of a subquery or view. */
  readonly direct: boolean
}

/** Something in FROM. */
export interface Source {
  readonly schema: string | undefined
  readonly name: string | undefined
  readonly columns: readonly Column[]
  /** It has columns that are not listed, such as those of a table that is not in the catalog yet. They are fed by these. */
  readonly others: Flows | undefined
  /** The columns of `*`, if their number and order are certain. */
  readonly star: readonly Column[] | undefined
  /** It is one table, and no view or subquery. */
  readonly isTable?: boolean
  /** It can be named with its schema: it is a relation, and has no alias. */
  readonly bySchema?: boolean
  /** It has a name that is not known: it may be any. */
  readonly anyName?: boolean
  /** Its columns are only meant where its name stands before them. */
  readonly isQualified?: boolean
  /** It may be something whose columns are not followed: nothing says what is in them. */
  readonly isOpaque?: boolean
}

export interface Scope {
  readonly sources: readonly Source[]
  readonly outer: Scope | undefined
}

export function union(...sets: readonly Flows[]): Flows {
  const filled = sets.filter(set => set.size > 0)
  if (filled.length <= 1) return filled[0] ?? noFlows
  return new Set(filled.flatMap(set => [...set]))
}

export const flowsOf = (columns: readonly Column[]): Flows => union(...columns.map(column => column.flows))

/** Something made of masked values. */
export const computed = (flows: Flows, name?: string): Column => ({ name, flows, plain: false, whole: false })

/** Whether it can be shown: clear, or with its mask. */
export const canBeShown = (column: Column): boolean => column.plain || column.flows.size === 0

/** A value cast to text: its mask is that of text, where a part of it can be more than its type's would show. */
export function asText(column: Column): Column {
  const flows = new Set([...column.flows].map(redactedOf))
  const whole = column.whole && isWholeAsText(column)
  return { ...column, flows, whole, type: TEXT, described: undefined, origin: undefined }
}

/** OIDs in src/include/catalog/pg_type.dat. */
const TEXT = 25
const textTypes: ReadonlySet<number> = new Set([TEXT, 19, 1042, 1043])

/** Whether it is of a type that lower() and upper() keep whole but for the case: text, or a type of an extension, such as citext. */
export const hasCase = ({ type }: Column): boolean =>
  type !== undefined && (textTypes.has(type) || type >= FIRST_NORMAL_OBJECT_ID)

/**
 * Types whose texts have as many digits as extra_float_digits says: floats, what is made of them, and what can hold them
 * (anyarray, record). That a rounded one is equal tells of a part of the value.
 */
const rounded: ReadonlySet<number> = new Set([
  ...[700, 1021, 701, 1022, 600, 1017, 601, 1018, 602, 1019, 603, 1020, 604, 1027, 628, 629, 718, 719],
  ...[2277, 2249, 2287],
])

/** Whether its text is its whole value; of types that somebody made of others nothing is said. */
const isWholeAsText = ({ type }: Column): boolean => type !== undefined && !rounded.has(type)

/** path, box, circle, line and lseg, and arrays of them. */
const partlyCompared: ReadonlySet<number> = new Set([602, 603, 718, 628, 601, 1019, 1020, 719, 629, 1018])

/**
 * Whether `=` is about all of its value: boxes and circles are compared by area, paths by points, and lines and segments are equal to what
 * comes near enough (src/backend/utils/adt/geo_ops.c): with small numbers given, to all lines in a band.
 */
export const isComparedWhole = ({ type }: Column): boolean => type === undefined || !partlyCompared.has(type)

/** Whether some column flows into both; what is shown of it does not matter. */
export function shareColumn(one: Flows, other: Flows): boolean {
  const labels = new Set([...one].map(({ label }) => label))
  return [...other].some(({ label }) => labels.has(label))
}

const redactedColumns = new WeakMap<MaskedColumn, MaskedColumn>()

/** The same column, of which nothing is shown; one object for each, so that sets of them have no doubles. */
export function redactedOf(column: MaskedColumn): MaskedColumn {
  const { mask } = column
  if (mask.with !== 'partial' && mask.with !== 'hash') return column
  const known = redactedColumns.get(column) ?? { ...column, mask: { ...mask, with: 'redact' } }
  redactedColumns.set(column, known)
  return known
}

/** The mask of a value that is one of several columns' own: theirs, if they have the same. */
export function maskOf({ flows, plain }: Column): MaskObligation | undefined {
  const [first, ...others] = flows
  if (first === undefined) return undefined
  const { mask } = first
  const same = plain && others.every(other => other.mask.with === mask.with && other.mask.fixed === mask.fixed)
  return same ? mask : { ...mask, with: 'redact' }
}

/** Whether the mask of what it is keeps NULL, as it does of a value that is shown as it is but for the mask. */
export const keepsNull = ({ plain, flows }: Column): boolean =>
  plain && [...flows].every(({ generated }) => generated !== true)

/** Everything that a whole row of it shows. */
export function wholeRow(source: Source): Column {
  return computed(union(flowsOf(source.columns), source.others ?? noFlows))
}

/**
 * What a name stands for: every column that it can mean, joined into one. Undefined when it can mean nothing that is known.
 * A name without a table means a column before it means a whole row. Where a name here is not certain, it may be this one, and
 * the one that is meant may be further out.
 */
export function lookUp(path: ColumnName, scope: Scope | undefined): Column | undefined {
  const name = path.at(-1) ?? ''
  const qualifiers = path.slice(0, -1)
  for (let level = scope; level !== undefined; level = level.outer) {
    const named = level.sources.filter(source =>
      qualifiers.length === 0 ? source.isQualified !== true : isNamed(source, qualifiers),
    )
    const exact = named.flatMap(({ columns }) => columns.filter(column => column.name === name && !mayBeAny(column)))
    // With another of that name the server would say that it is ambiguous.
    if (exact.length > 0)
      return exact.every(({ uncertain }) => uncertain === true) ? perhaps(exact, path, level, named) : join(exact)
    const unsure = named.length > 0 ? [] : level.sources.filter(source => source.anyName === true)
    const open = [
      ...named.flatMap(({ columns }) => columns.filter(mayBeAny).map(({ flows }) => flows)),
      ...named.flatMap(({ others }) => (others === undefined ? [] : [others])),
      ...unsure.map(source => wholeRow(source).flows),
    ]
    if (open.length > 0) {
      // It may be one of the unnamed columns here, a whole row, or something further out.
      const further = lookUp(path, level.outer)
      const row = qualifiers.length === 0 ? rowNamed(name, level) : undefined
      return computed(union(...open, further?.flows ?? noFlows, row?.flows ?? noFlows))
    }
    if (named.length > 0 && qualifiers.length > 0) {
      if (systemColumns.has(name)) return { name, flows: noFlows, plain: true, whole: true }
      // `c.f` is also f(c), a function of the whole row.
      return undefined
    }
  }
  if (qualifiers.length > 0) return undefined
  if (systemColumns.has(name)) return { name, flows: noFlows, plain: true, whole: true }
  return rowNamed(name, scope)
}

/** Columns that may be missing: then the name is one of a whole row here, or of something further out. `c.f` is f(c). */
function perhaps(columns: readonly Column[], path: ColumnName, level: Scope, named: readonly Source[]): Column {
  const here = join(columns)
  const [name = ''] = path
  const isQualified = path.length > 1
  const row = isQualified ? named : sourcesNamed([name], { ...level, outer: undefined })
  if (isQualified && !columns.some(({ isCall }) => isCall === true)) return here
  const further = isQualified ? undefined : lookUp(path, level.outer)
  const other = union(further?.flows ?? noFlows, ...row.map(source => wholeRow(source).flows))
  return other.size === 0 ? here : computed(union(here.flows, other), name)
}

/** Whether it can be called otherwise than it seems. */
export const mayBeAny = ({ name, guessed }: Column): boolean => name === undefined || guessed === true

function rowNamed(name: string, scope: Scope | undefined): Column | undefined {
  const found = sourcesNamed([name], scope)
  return found.length === 0 ? undefined : computed(union(...found.map(source => wholeRow(source).flows)))
}

/** The nearest things in FROM that a qualifier can mean; several where one of them has a name that is not known. */
export function sourcesNamed(qualifiers: ColumnName, scope: Scope | undefined): readonly Source[] {
  if (scope === undefined) return []
  const found = scope.sources.filter(source => isNamed(source, qualifiers))
  if (found.length > 0) return found
  return [...scope.sources.filter(source => source.anyName === true), ...sourcesNamed(qualifiers, scope.outer)]
}

/** `table.column` or `schema.table.column`, also with the database in front. */
function isNamed(source: Source, qualifiers: ColumnName): boolean {
  if (source.name !== qualifiers.at(-1)) return false
  const schema = qualifiers.at(-2)
  if (schema === undefined) return true
  return source.bySchema === true && (source.schema === undefined || source.schema === schema)
}

function join(columns: readonly Column[]): Column {
  const [first] = columns
  return {
    name: first?.name,
    flows: flowsOf(columns),
    plain: columns.every(column => column.plain),
    whole: columns.every(column => column.whole),
    perhapsClear: arePerhapsClear(columns),
    type: typeOf(columns),
    described: columns.every(column => column.described === true),
    origin: columns.length === 1 ? first?.origin : undefined,
  }
}

/** Whether one of them, which may be meant, is clear where another is masked. */
export const arePerhapsClear = (columns: readonly Column[]): boolean =>
  columns.some(column => column.perhapsClear === true) || new Set(columns.map(({ flows }) => flows.size > 0)).size > 1

/** The columns as another item of FROM gives them: its rows are others, also where they come from the same table. */
export function fromAnew(columns: readonly Column[], direct: boolean): Column[] {
  const rows = new Map<Row, Row>()
  return columns.map(column => {
    const { origin } = column
    if (origin === undefined) return column
    const row = rows.get(origin.row) ?? { key: origin.row.key, direct }
    rows.set(origin.row, row)
    return { ...column, origin: { row, column: origin.column } }
  })
}

/** Whether others, which are compared as well, leave a column no choice: the primary key of its row is among them. */
export function isDetermined({ origin }: Column, others: readonly (Column | undefined)[]): boolean {
  if (origin === undefined) return false
  return origin.row.key.every(number =>
    others.some(other => other?.origin?.row === origin.row && other.origin.column === number),
  )
}

/** The type that all of them have; undefined when they have several, or it is not known. One that `=` compares in part stays that. */
export function typeOf(columns: readonly Column[]): number | undefined {
  const [first, ...others] = columns
  if (others.every(column => column.type === first?.type)) return first?.type
  return columns.find(column => !isComparedWhole(column))?.type
}

/** Whether what is computed from a masked value is compared with what is not: the value is in a band then, or has a part, that is known. */
export const isPartMet = (compared: readonly { readonly flows: Flows; readonly whole: boolean }[]): boolean => {
  const computed = compared.filter(({ flows, whole }) => flows.size > 0 && !whole)
  return computed.length > 0 && computed.length < compared.length
}
