// Items of FROM and their columns: tables, subqueries, functions that return rows, and joins of them.
import type { From } from '../analysis/lineage.ts'
import type { Evaluating } from './evaluating.ts'
import type { Findings } from './findings.ts'
import type { Predicates } from './predicates.ts'
import { commonTable, derived, fromItem, rename, renamed, type Tables } from './results.ts'
import {
  arePerhapsClear,
  type Column,
  canBeShown,
  computed,
  flowsOf,
  fromAnew,
  isComparedWhole,
  isPartMet,
  mayBeAny,
  noFlows,
  type Scope,
  type Source,
  typeOf,
} from './scope.ts'

/** Asks the catalog for every relation that a name can mean. `undefined`: it knows none. */
export type Relations = (schema: string | undefined, name: string) => Source | undefined

/** What an item adds to the scope of a query. */
export interface FromItem {
  readonly sources: readonly Source[]
  /** The columns that `*` stands for, where they are certain. */
  readonly star: readonly Column[] | undefined
  /** Columns that it has in any case: those of the star, what an alias names of a function's, or what all have that a name can mean. */
  readonly sure: readonly Column[]
}

const exactly = (sources: readonly Source[], star: readonly Column[] | undefined): FromItem => ({
  sources,
  star,
  sure: star ?? [],
})

export class FromItems {
  readonly #relations: Relations
  readonly #evaluation: Evaluating
  readonly #predicates: Predicates
  readonly #findings: Findings

  constructor(relations: Relations, evaluation: Evaluating, predicates: Predicates, findings: Findings) {
    this.#relations = relations
    this.#evaluation = evaluation
    this.#predicates = predicates
    this.#findings = findings
  }

  /** `scope` has the items that came before. */
  evaluate(item: From, scope: Scope, tables: Tables): FromItem {
    switch (item.kind) {
      case 'relation': {
        const source = this.#relation(item, tables)
        for (const use of item.sampled) this.#predicates.use(use, scope, tables)
        return { sources: [source], star: source.star, sure: source.star ?? source.columns.filter(isInAll) }
      }
      case 'query': {
        const result = fromItem(this.#evaluation.query(item.query, item.lateral ? scope : scope.outer, tables))
        const source = derived(item.alias, renamed(result, item.columns), result)
        return exactly([source], source.star)
      }
      case 'function': {
        const { flows } = this.#evaluation.value(item.expression, scope, tables)
        const columns = item.columns.map(name => computed(flows, name))
        // A function of one value has a column of the function's or the alias's name.
        const anyName = item.alias === undefined
        const source: Source = { schema: undefined, name: item.alias, columns, others: flows, star: undefined, anyName }
        return { sources: [source], star: undefined, sure: columns }
      }
      case 'join':
        return this.#join(item, scope, tables)
    }
  }

  #relation(item: Extract<From, { kind: 'relation' }>, tables: Tables): Source {
    const name = item.alias ?? item.name
    const common = item.schema === undefined && !item.written ? commonTable(item.name, tables) : undefined
    if (common !== undefined) {
      const result = common.result === undefined ? undefined : renamed(fromItem(common.result), item.columns)
      if (result === undefined) this.#findings.refuse(`the columns of ${item.name} cannot be followed`)
      return derived(name, result, common.result ?? { columns: [], exact: false })
    }
    const found = this.#relations(item.schema, item.name)
    const bySchema = item.alias === undefined
    if (found === undefined)
      return { schema: item.schema, name, columns: [], others: noFlows, star: undefined, bySchema }
    if (found.isOpaque === true) this.#findings.refuse(`the columns of ${item.name} cannot be followed`)
    if (item.columns.length > 0 && found.star === undefined)
      this.#findings.refuse(`nothing says what columns there are in ${item.name}`)
    const given = item.columns.length > 0 ? rename(found.star ?? [], item.columns) : found.columns
    const columns = fromAnew(given, found.isTable === true)
    return {
      schema: item.alias === undefined ? found.schema : undefined,
      name,
      columns,
      others: found.others,
      star: item.columns.length > 0 || found.star === found.columns ? columns : found.star,
      bySchema,
    }
  }

  #join(item: Extract<From, { kind: 'join' }>, scope: Scope, tables: Tables): FromItem {
    const left = this.evaluate(item.left, scope, tables)
    const lateral: Scope = { sources: [...scope.sources, ...left.sources], outer: scope.outer }
    const right = this.evaluate(item.right, lateral, tables)
    const sources = [...left.sources, ...right.sources]
    for (const use of item.conditions) this.#predicates.use(use, { sources, outer: scope.outer }, tables)
    const merged = this.#merged(item, left, right)
    const sure = [...merged, ...[...left.sure, ...right.sure].filter(column => !merged.some(isCalledAs(column)))]
    const isExact = [left, right].every(({ star }) => star !== undefined) && merged.every(isInBoth(left, right))
    const star = isExact ? sure : undefined
    const mergedSource: Source[] =
      merged.length === 0
        ? []
        : [{ schema: undefined, name: undefined, columns: merged, others: undefined, star: undefined }]
    if (item.alias === undefined) return { sources: [...sources, ...mergedSource], star, sure }
    if (star === undefined) {
      this.#findings.refuse(`nothing says what columns there are in the join ${item.alias}`)
      return exactly([], undefined)
    }
    // Whether the server looks through the alias of a join depends on its version: markTargetListOrigin in parse_target.c.
    const columns = rename(star, item.columns).map(column => ({ ...column, described: undefined }))
    return exactly([{ schema: undefined, name: item.alias, columns, others: undefined, star: columns }], columns)
  }

  /** The columns that USING or NATURAL makes one of two. */
  #merged(item: Extract<From, { kind: 'join' }>, left: FromItem, right: FromItem): readonly Column[] {
    const names = item.using === 'natural' ? inBoth(left.star, right.star) : (item.using ?? [])
    // A second column of a name in one of the sides the server would call ambiguous.
    const isSure = (name: string): boolean => isInBoth(left, right)({ name })
    // Where nothing masked can be called so, it does not matter which columns they are: without them the server compares nothing.
    const isClear = (name: string): boolean => [left, right].every(({ sources }) => sources.every(isClearOf(name)))
    if (names === undefined || !names.every(name => isSure(name) || isClear(name)))
      this.#findings.refuse('nothing says which columns this join compares')
    return (names ?? []).map((name): Column => {
      if (!isSure(name)) return { name, flows: noFlows, plain: true, whole: true }
      const both = [...left.sure, ...right.sure].filter(column => column.name === name)
      const flows = flowsOf(both)
      const compared = both.map(column => ({ flows: column.flows, whole: column.whole && isComparedWhole(column) }))
      const whole = compared.every(column => column.whole)
      const perhapsClear = arePerhapsClear(both)
      if (isPartMet(compared)) this.#findings.chosen('JOIN … USING', flows)
      else if (flows.size > 0 && (perhapsClear || !whole)) this.#findings.undivided('JOIN … USING', flows)
      else this.#findings.compared('JOIN … USING', flows, 1)
      return { name, flows, plain: both.every(canBeShown), whole, perhapsClear, type: typeOf(both) }
    })
  }
}

const isCalledAs =
  ({ name }: Column) =>
  (other: Column): boolean =>
    name !== undefined && name === other.name

/** Whether each of the relations of one name has it. */
const isInAll = ({ uncertain }: Column): boolean => uncertain === false

const isInBoth =
  (left: FromItem, right: FromItem) =>
  ({ name }: Pick<Column, 'name'>): boolean =>
    name !== undefined && [left, right].every(({ sure }) => sure.some(isSurely(name)))

/** Whether what is called so in a source, whatever it is, shows nothing masked. */
const isClearOf =
  (name: string) =>
  ({ columns, others }: Source): boolean =>
    (others ?? noFlows).size === 0 &&
    columns.every(column => column.flows.size === 0 || (column.name !== name && !mayBeAny(column)))

const isSurely =
  (name: string) =>
  (column: Column): boolean =>
    column.name === name && !mayBeAny(column)

/** What NATURAL compares; undefined where any other column may be called the same. */
function inBoth(
  left: readonly Column[] | undefined,
  right: readonly Column[] | undefined,
): readonly string[] | undefined {
  if (left === undefined || right === undefined || [...left, ...right].some(mayBeAny)) return undefined
  return left.flatMap(({ name }) => (name !== undefined && right.some(isSurely(name)) ? [name] : []))
}
