// What a query gives: its columns, and what they become as an item of FROM, under other names, or joined with others. Pure.
import {
  arePerhapsClear,
  type Column,
  canBeShown,
  flowsOf,
  fromAnew,
  noFlows,
  type Scope,
  type Source,
  sourcesNamed,
  typeOf,
  union,
  wholeRow,
} from './scope.ts'

export interface Result {
  readonly columns: readonly Column[]
  /** Whether number and order of the columns are certain. */
  readonly exact: boolean
  /** They are where the query that names it in WITH names it itself. */
  readonly exactNear?: true
}

/** What WITH names; undefined for a name that is not followed yet or cannot be. */
export interface Tables {
  readonly named: ReadonlyMap<string, Result | undefined>
  readonly outer: Tables | undefined
}

/** A result as an item of FROM gives it. */
export const fromItem = ({ columns, exact }: Result): Result => ({ columns: fromAnew(columns, false), exact })

/** What an INSERT would have put in: what its source gave, and that is clear or refused. */
export function excluded(target: Source): Source {
  const columns = target.columns.map(column => ({ ...column, flows: noFlows }))
  const others = target.others === undefined ? undefined : noFlows
  return { schema: undefined, name: 'excluded', columns, others, star: undefined }
}

/** What RETURNING can name: not what an INSERT would have put in, but the row before and after, unless others are called so. */
export function withVersions(sources: readonly Source[], target: Source, names: readonly string[]): readonly Source[] {
  const versions = names
    .filter(name => !sources.some(source => source.name === name))
    .map((name): Source => ({ ...target, name, bySchema: false, isQualified: true }))
  return [...sources, ...versions]
}

export const rename = (columns: readonly Column[], names: readonly string[]): Column[] =>
  columns.map((column, index) => {
    const name = names[index]
    return name === undefined ? column : { ...column, name, guessed: false }
  })

/** Undefined when the names cannot be given to columns whose order is not certain. */
export function renamed({ columns, exact }: Result, names: readonly string[]): Result | undefined {
  if (names.length === 0) return { columns, exact }
  return exact ? { columns: rename(columns, names), exact } : undefined
}

/**
 * What changes from one round of a recursive query to the next. As many columns may be others: where the query has a WITH of
 * its own, the names in its first part may have meant something else in the round before.
 */
export function settled(result: Result | undefined): string {
  return JSON.stringify(
    result?.columns.map(({ flows, plain, whole, perhapsClear }) => [
      [...flows].map(({ label, mask }) => `${label} ${mask.with}`).sort(),
      ...[plain, whole, perhapsClear === true],
    ]),
  )
}

/** A column whose values come from two queries. */
export function either(left: Column, right: Column): Column {
  const masked = left.flows.size > 0 && right.flows.size > 0
  return {
    name: left.name,
    guessed: left.guessed,
    flows: union(left.flows, right.flows),
    plain: canBeShown(left) && canBeShown(right),
    whole: masked && left.whole && right.whole,
    perhapsClear: arePerhapsClear([left, right]),
    type: typeOf([left, right]),
  }
}

export function together(stars: readonly (readonly Column[] | undefined)[]): readonly Column[] | undefined {
  const all: Column[] = []
  for (const star of stars) {
    if (star === undefined) return undefined
    all.push(...star)
  }
  return all
}

export function starOf(qualifiers: readonly string[], scope: Scope): readonly Column[] | undefined {
  const [only, second] = sourcesNamed(qualifiers, scope)
  return second === undefined ? only?.star : undefined
}

/** What a star may give that is not certain. Of what WITH names it leaves out what SEARCH and CYCLE add: `s.f` is f(s) then. */
export const perhapsStarOf = (source: Source): readonly Column[] => [
  ...source.columns.map(column => (column.uncertain === true ? { ...column, isCall: column.isCall ?? true } : column)),
  ...(source.others === undefined ? [] : [wholeRow(source)]),
]

export function commonTable(name: string, tables: Tables): { result: Result | undefined } | undefined {
  for (let level: Tables | undefined = tables; level !== undefined; level = level.outer) {
    if (!level.named.has(name)) continue
    const result = level.named.get(name)
    const isExact = level === tables && result?.exactNear === true
    return { result: isExact ? { columns: result.columns.map(certain), exact: true } : result }
  }
  return undefined
}

const certain = (column: Column): Column => ({ ...column, uncertain: undefined })

export function derived(name: string | undefined, result: Result | undefined, made: Result): Source {
  if (result === undefined)
    return { schema: undefined, name, columns: [], others: flowsOf(made.columns), star: undefined }
  const { columns, exact } = result
  return { schema: undefined, name, columns, others: undefined, star: exact ? columns : undefined }
}
