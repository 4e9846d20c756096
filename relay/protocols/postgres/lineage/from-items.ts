// Items of FROM and their columns: tables, subqueries, functions that return rows, and joins of them.
import type { From } from '../analysis/lineage.ts'
import type { Evaluating } from './evaluating.ts'
import type { Findings } from './findings.ts'
import type { Predicates } from './predicates.ts'
import { commonTable, derived, fromItem, rename, renamed, type Tables } from './results.ts'
import {
  type Column,
  canBeShown,
  computed,
  flowsOf,
  fromAnew,
  mayBeAny,
  noFlows,
  type Scope,
  type Source,
  typeOf,
} from './scope.ts'

/** Asks the catalog for every relation that a name can mean. `undefined`: it knows none. */
export type Relations = (schema: string | undefined, name: string) => Source | undefined

/** What an item adds to the scope of a query, and the columns that `*` stands for where they are certain. */
export interface FromItem {
  readonly sources: readonly Source[]
  readonly star: readonly Column[] | undefined
}

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
        return { sources: [source], star: source.star }
      }
      case 'query': {
        const result = fromItem(this.#evaluation.query(item.query, item.lateral ? scope : scope.outer, tables))
        const source = derived(item.alias, renamed(result, item.columns), result)
        return { sources: [source], star: source.star }
      }
      case 'function': {
        const { flows } = this.#evaluation.value(item.expression, scope, tables)
        const columns = item.columns.map(name => computed(flows, name))
        // A function of one value has a column of the function's or the alias's name.
        const anyName = item.alias === undefined
        const source: Source = { schema: undefined, name: item.alias, columns, others: flows, star: undefined, anyName }
        return { sources: [source], star: undefined }
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
    const merged = this.#merged(item, left.star, right.star)
    const star = merged === undefined ? undefined : [...merged.columns, ...merged.rest]
    const mergedSource: Source[] =
      merged === undefined || merged.columns.length === 0
        ? []
        : [{ schema: undefined, name: undefined, columns: merged.columns, others: undefined, star: undefined }]
    if (item.alias === undefined) return { sources: [...sources, ...mergedSource], star }
    if (star === undefined) {
      this.#findings.refuse(`nothing says what columns there are in the join ${item.alias}`)
      return { sources: [], star: undefined }
    }
    const columns = rename(star, item.columns)
    return {
      sources: [{ schema: undefined, name: item.alias, columns, others: undefined, star: columns }],
      star: columns,
    }
  }

  /** The columns that USING or NATURAL makes one of two, and the others. */
  #merged(
    item: Extract<From, { kind: 'join' }>,
    left: readonly Column[] | undefined,
    right: readonly Column[] | undefined,
  ): { columns: readonly Column[]; rest: readonly Column[] } | undefined {
    if (left === undefined || right === undefined) {
      if (item.using !== undefined) this.#findings.refuse('nothing says which columns this join compares')
      return undefined
    }
    const names =
      item.using === 'natural'
        ? left.flatMap(({ name }) => (name !== undefined && right.some(column => column.name === name) ? [name] : []))
        : (item.using ?? [])
    const isUnsure =
      item.using === 'natural'
        ? [...left, ...right].some(mayBeAny)
        : names.some(
            name => ![left, right].every(side => side.some(column => column.name === name && !mayBeAny(column))),
          )
    if (isUnsure) this.#findings.refuse('nothing says which columns this join compares')
    const columns = names.map((name): Column => {
      const both = [...left, ...right].filter(column => column.name === name)
      const masked = both.filter(column => column.flows.size > 0)
      const flows = flowsOf(both)
      const whole = both.every(column => column.whole)
      if (masked.length > 0 && !(masked.length === both.length && whole))
        this.#findings.undivided('JOIN … USING', flows)
      else this.#findings.compared('JOIN … USING', flows, 1)
      return { name, flows, plain: both.every(canBeShown), whole, type: typeOf(both) }
    })
    const isRest = (column: Column): boolean => column.name === undefined || !names.includes(column.name)
    return { columns, rest: [...left.filter(isRest), ...right.filter(isRest)] }
  }
}
