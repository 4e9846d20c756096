// Follows masked columns through a statement: which outputs they reach, and where they decide. Pure.
import type {
  Arrangement,
  Body,
  CommonTable,
  Expression,
  From,
  Lineage,
  Operand,
  Output,
  Query,
  Test,
  Use,
} from '../analysis/lineage.ts'
import { type Arranged, decisions, isSame } from './arrange.ts'
import {
  commonTable,
  derived,
  either,
  excluded,
  fromItem,
  type Result,
  rename,
  renamed,
  settled,
  starOf,
  type Tables,
  together,
} from './results.ts'
import {
  asText,
  type Column,
  canBeShown,
  computed,
  type Flows,
  flowsOf,
  fromAnew,
  hasCase,
  isComparedWhole,
  lookUp,
  type MaskedColumn,
  noFlows,
  type Scope,
  type Source,
  shareColumn,
  sourcesNamed,
  typeOf,
  union,
  wholeRow,
} from './scope.ts'

/** What the evaluation asks of the catalog: every relation that a name can mean. `undefined`: the catalog knows none. */
export type Relations = (schema: string | undefined, name: string) => Source | undefined

export interface Followed {
  /** The columns of the result in order; undefined when their number or order is not certain. */
  readonly outputs: readonly Column[] | undefined
  /** Everything that may be in the result. */
  readonly flows: Flows
  /** Why the statement must not run; the first one. */
  readonly refusal: string | undefined
  /** Whether it looks at masked columns at all. */
  readonly touches: boolean
}

/** A recursive query's columns settle after few rounds: each adds what one more step carries along. */
const MAX_ROUNDS = 50

/** More in one statement are a search through all values there may be: CASE could name the one that is there. */
const MAX_COMPARISONS = 20

/** Queries that are looked at for one statement; nested recursion multiplies them. */
const MAX_STEPS = 20_000

/** Expressions that are looked at for one statement. */
const MAX_EXPRESSIONS = 200_000

type Stars = readonly (readonly Column[] | undefined)[]

/** Follows the masked columns of a statement. */
export function follow(lineage: Extract<Lineage, { kind: 'query' }>, relations: Relations): Followed {
  const evaluation = new Evaluation(relations, lineage.sink === 'plan' ? 'plan' : 'statement')
  const { columns, exact } = evaluation.query(lineage.query, undefined, undefined)
  const flows = flowsOf(columns)
  const refusal = evaluation.refusal ?? resultRefusal(lineage.sink, columns)
  return { outputs: exact ? columns : undefined, flows, refusal, touches: evaluation.touches || flows.size > 0 }
}

/** The columns of a view; what it uses to choose its rows is its maker's word. Undefined when they cannot be followed. */
export function followView(query: Query, relations: Relations): readonly Column[] | undefined {
  const evaluation = new Evaluation(relations, 'view')
  const { columns, exact } = evaluation.query(query, undefined, undefined)
  return exact && evaluation.refusal === undefined ? columns : undefined
}

function resultRefusal(
  sink: Extract<Lineage, { kind: 'query' }>['sink'],
  columns: readonly Column[],
): string | undefined {
  if (sink === 'plan' || sink === 'analysis') return undefined
  for (const column of columns) {
    const [moved] = sink === 'elsewhere' ? column.flows : noFlows
    if (moved !== undefined)
      return `${moved.label} is masked for you, so it cannot be copied to where it would be clear`
    const refused = column.plain ? undefined : computedRefusal(column)
    if (refused !== undefined) return refused
  }
  return undefined
}

function computedRefusal({ flows, name }: Column): string | undefined {
  const denied = [...flows].find(({ mask }) => mask.computed === 'deny')
  return denied === undefined
    ? undefined
    : `${denied.label} is masked for you, and ${shown(name)} would be computed from it`
}

const shown = (name: string | undefined): string =>
  name === undefined ? 'a column' : `the column ${JSON.stringify(name)}`

/** A view's conditions and computations are its maker's; a plan is made without looking at values. */
type Purpose = 'statement' | 'plan' | 'view'

class Evaluation {
  readonly #relations: Relations
  readonly #purpose: Purpose
  #steps = 0
  #expressions = 0
  #comparisons = 0
  /** What came of comparisons: one can be part of several expressions, and counts once. */
  readonly #tested = new Map<Test, { readonly scope: Scope; readonly flows: Flows }>()
  refusal: string | undefined
  touches = false

  constructor(relations: Relations, purpose: Purpose) {
    this.#relations = relations
    this.#purpose = purpose
  }

  get #isView(): boolean {
    return this.#purpose === 'view'
  }

  #refuse(reason: string): void {
    this.refusal ??= reason
  }

  query(query: Query, scope: Scope | undefined, outer: Tables | undefined): Result {
    this.#steps += 1
    if (this.#steps > MAX_STEPS) {
      this.#refuse('columns are not followed through so many queries')
      return { columns: [], exact: false }
    }
    const tables = this.#tables(query, scope, outer)
    const sources: Source[] = []
    const stars: (readonly Column[] | undefined)[] = []
    for (const item of query.from) {
      const made = this.#from(item, { sources: [...sources], outer: scope }, tables)
      sources.push(...made.sources)
      stars.push(made.star)
    }
    const [target] = sources
    if (query.body.kind === 'write' && query.body.excluded && target !== undefined) sources.push(excluded(target))
    const inner: Scope = { sources, outer: scope }
    const result = this.#body(query.body, inner, stars, tables)
    for (const use of query.uses) this.#use(use, inner, tables)
    this.#arrange(query, result, inner, tables)
    return result
  }

  #tables(query: Query, scope: Scope | undefined, outer: Tables | undefined): Tables {
    const named = new Map<string, Result | undefined>()
    const tables: Tables = { named, outer }
    // With RECURSIVE every name is known from the beginning, and none of them means a table outside.
    if (query.recursive) for (const table of query.tables) named.set(table.name, undefined)
    for (const table of query.tables) {
      const evaluate = (one: Query): Result | undefined => renamed(this.query(one, scope, tables), table.columns)
      const { body } = table.query
      if (query.recursive && body.kind === 'set') {
        named.set(table.name, evaluate(body.left))
        this.#settle(table, named, evaluate)
      } else named.set(table.name, evaluate(table.query))
    }
    return tables
  }

  /** What flows in grows from round to round until nothing is added any more. */
  #settle(
    table: CommonTable,
    named: Map<string, Result | undefined>,
    evaluate: (query: Query) => Result | undefined,
  ): void {
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const before = settled(named.get(table.name))
      named.set(table.name, evaluate(table.query))
      if (settled(named.get(table.name)) === before) return
    }
    this.#refuse('the columns of this recursive query cannot be followed')
    named.set(table.name, undefined)
  }

  #body(body: Body, scope: Scope, stars: Stars, tables: Tables): Result {
    switch (body.kind) {
      case 'select':
        return this.#outputs(body.outputs, scope, stars, tables)
      case 'set':
        return this.#set(body, scope.outer, tables)
      case 'values':
        return {
          columns: body.columns.map((expression, index) =>
            this.#output({ name: `column${index + 1}`, expression }, scope, tables),
          ),
          exact: true,
        }
      case 'write':
        for (const expression of body.moved) this.#move(this.#value(expression, scope, tables).flows)
        if (body.source !== undefined) this.#move(flowsOf(this.query(body.source, scope.outer, tables).columns))
        // Of several tables, it depends on the command which one's columns RETURNING * begins with.
        return this.#outputs(body.outputs, scope, stars.length > 1 ? [undefined] : stars, tables)
    }
  }

  #move(flows: Flows): void {
    const [moved] = flows
    if (moved !== undefined)
      this.#refuse(`${moved.label} is masked for you, so it cannot be copied to where it would be clear`)
  }

  #set(body: Extract<Body, { kind: 'set' }>, outer: Scope | undefined, tables: Tables): Result {
    const left = this.query(body.left, outer, tables)
    const right = this.query(body.right, outer, tables)
    const exact = left.exact && right.exact && left.columns.length === right.columns.length
    const all = union(flowsOf(left.columns), flowsOf(right.columns))
    if (body.compares) this.#undivided('a comparison of whole rows', all)
    if (!exact) return { columns: left.columns.map(({ name }) => computed(all, name)), exact }
    return { columns: left.columns.map((column, index) => either(column, right.columns[index] ?? column)), exact }
  }

  #outputs(outputs: readonly Output[], scope: Scope, stars: Stars, tables: Tables): Result {
    const columns: Column[] = []
    let exact = true
    for (const { name, expression, stored } of outputs) {
      const [path] = expression.columns
      if (!isPlain(expression) || path?.at(-1) !== '*') {
        columns.push(this.#output({ name, expression }, scope, tables))
        continue
      }
      const expanded = path.length === 1 ? together(stars) : starOf(path.slice(0, -1), scope)
      if (expanded === undefined) {
        exact = false
        // Which columns there are is not certain; each of them may be any.
        const known = path.length === 1 ? scope.sources : sourcesNamed(path.slice(0, -1), scope)
        columns.push(
          ...known.flatMap(source => [...source.columns, ...(source.others === undefined ? [] : [wholeRow(source)])]),
        )
        if (known.length === 0) this.#refuse(`nothing says what ${path.join('.')} stands for`)
      } else columns.push(...(stored === true ? expanded.filter(column => column.generated !== true) : expanded))
      this.touches ||= flowsOf(columns).size > 0
    }
    return { columns, exact }
  }

  /** What is computed is refused even where it is not shown: an error, or its absence, would tell of the value. */
  #output({ name, expression }: Output, scope: Scope, tables: Tables): Column {
    const column = { ...this.#value(expression, scope, tables), name }
    const refused = canBeShown(column) || expression.form === 'column' ? undefined : computedRefusal(column)
    if (refused !== undefined && this.#purpose === 'statement') this.#refuse(refused)
    return column
  }

  #value(expression: Expression, scope: Scope, tables: Tables): Column {
    this.#expressions += 1
    if (this.#expressions > MAX_EXPRESSIONS) {
      this.#refuse('columns are not followed through so many expressions')
      return computed(noFlows)
    }
    for (const use of expression.uses) this.#use(use, scope, tables)
    const told = expression.tests.map(test => this.#test(test, scope, tables))
    const columns = expression.columns.map(path => this.#column(path, scope))
    const queried = expression.queries.map(query => this.query(query, scope, tables))
    const found =
      expression.form === 'column' ? columns : queried.flatMap(result => (result.exact ? result.columns : []))
    const [only, second] = found
    if (expression.form !== 'computed' && only !== undefined && second === undefined) {
      const value = expression.form === 'column' ? only : { ...only, origin: undefined }
      return expression.cast ? asText(value) : value
    }
    const all = queried.map(result => flowsOf(result.columns))
    return computed(union(flowsOf(columns), ...all, ...told))
  }

  /** What flows into the outcome of a comparison: nothing, where it tells no more than it may. */
  #test(test: Test, scope: Scope, tables: Tables): Flows {
    const known = this.#tested.get(test)
    if (known?.scope === scope) return known.flows
    const { flows, allowed } = this.#told(test, scope, tables)
    const denied = [...flows].some(({ mask }) => mask.predicates === 'deny')
    const told = !allowed || denied || (this.#isView && test.kind === 'equality') ? flows : noFlows
    if (told.size === 0 && test.kind === 'equality') this.#compared(test.where, flows, test.times)
    this.#tested.set(test, { scope, flows: told })
    return told
  }

  #told(test: Test, scope: Scope, tables: Tables): { flows: Flows; allowed: boolean } {
    if (test.kind === 'equality') return this.#equality(test, scope, tables)
    return { flows: this.#value(test.expression, scope, tables).flows, allowed: true }
  }

  #column(path: readonly string[], scope: Scope): Column {
    if (path.at(-1) === '*') {
      const sources = path.length === 1 ? scope.sources : sourcesNamed(path.slice(0, -1), scope)
      if (sources.length === 0) this.#refuse(`nothing says what ${path.join('.')} stands for`)
      const flows = union(...sources.map(source => wholeRow(source).flows))
      this.touches ||= flows.size > 0
      return computed(flows)
    }
    const found = lookUp(path, scope)
    if (found !== undefined) {
      this.touches ||= found.flows.size > 0
      return found
    }
    this.#refuse(`nothing says what ${path.join('.')} stands for`)
    return computed(noFlows, path.at(-1))
  }

  #from(item: From, scope: Scope, tables: Tables): { sources: readonly Source[]; star: readonly Column[] | undefined } {
    switch (item.kind) {
      case 'relation': {
        const source = this.#relation(item, tables)
        for (const use of item.sampled) this.#use(use, scope, tables)
        return { sources: [source], star: source.star }
      }
      case 'query': {
        const result = fromItem(this.query(item.query, item.lateral ? scope : scope.outer, tables))
        const source = derived(item.alias, renamed(result, item.columns), result)
        return { sources: [source], star: source.star }
      }
      case 'function': {
        const { flows } = this.#value(item.expression, scope, tables)
        const columns = item.columns.map(name => computed(flows, name))
        // A function of one value has a column of the function's or the alias's name.
        const source: Source = { schema: undefined, name: item.alias, columns, others: flows, star: undefined }
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
      if (result === undefined) this.#refuse(`the columns of ${item.name} cannot be followed`)
      return derived(name, result, common.result ?? { columns: [], exact: false })
    }
    const found = this.#relations(item.schema, item.name)
    if (found === undefined) return { schema: item.schema, name, columns: [], others: noFlows, star: undefined }
    if (item.columns.length > 0 && found.star === undefined)
      this.#refuse(`nothing says what columns there are in ${item.name}`)
    const given = item.columns.length > 0 ? rename(found.star ?? [], item.columns) : found.columns
    const columns = fromAnew(given, found.isTable === true)
    return {
      schema: item.alias === undefined ? found.schema : undefined,
      name,
      columns,
      others: found.others,
      star: item.columns.length > 0 || found.star === found.columns ? columns : found.star,
    }
  }

  #join(
    item: Extract<From, { kind: 'join' }>,
    scope: Scope,
    tables: Tables,
  ): { sources: readonly Source[]; star: readonly Column[] | undefined } {
    const left = this.#from(item.left, scope, tables)
    const lateral: Scope = { sources: [...scope.sources, ...left.sources], outer: scope.outer }
    const right = this.#from(item.right, lateral, tables)
    const sources = [...left.sources, ...right.sources]
    for (const use of item.conditions) this.#use(use, { sources, outer: scope.outer }, tables)
    const merged = this.#merged(item, left.star, right.star)
    const star = merged === undefined ? undefined : [...merged.columns, ...merged.rest]
    const mergedSource: Source[] =
      merged === undefined || merged.columns.length === 0
        ? []
        : [{ schema: undefined, name: undefined, columns: merged.columns, others: undefined, star: undefined }]
    if (item.alias === undefined) return { sources: [...sources, ...mergedSource], star }
    if (star === undefined) {
      this.#refuse(`nothing says what columns there are in the join ${item.alias}`)
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
      if (item.using !== undefined) this.#refuse('nothing says which columns this join compares')
      return undefined
    }
    const names =
      item.using === 'natural'
        ? left.flatMap(({ name }) => (name !== undefined && right.some(column => column.name === name) ? [name] : []))
        : (item.using ?? [])
    if (item.using === 'natural' && [...left, ...right].some(column => column.name === undefined))
      this.#refuse('nothing says which columns this join compares')
    const columns = names.map((name): Column => {
      const both = [...left, ...right].filter(column => column.name === name)
      const masked = both.filter(column => column.flows.size > 0)
      const flows = flowsOf(both)
      const whole = both.every(column => column.whole)
      if (masked.length > 0 && !(masked.length === both.length && whole)) this.#undivided('JOIN … USING', flows)
      else this.#compared('JOIN … USING', flows, 1)
      return { name, flows, plain: both.every(canBeShown), whole, type: typeOf(both) }
    })
    const isRest = (column: Column): boolean => column.name === undefined || !names.includes(column.name)
    return { columns, rest: [...left.filter(isRest), ...right.filter(isRest)] }
  }

  #use(use: Use, scope: Scope, tables: Tables): void {
    switch (use.kind) {
      case 'exists':
        this.query(use.query, scope, tables)
        return
      case 'presence': {
        const { flows } = this.#value(use.expression, scope, tables)
        const denied = [...flows].find(({ mask }) => mask.predicates === 'deny')
        if (denied !== undefined) this.#refuse(notIn(denied, use.where))
        return
      }
      case 'moved':
        this.#move(this.#value(use.expression, scope, tables).flows)
        return
      case 'condition':
        this.#undivided(use.where, this.#value(use.expression, scope, tables).flows)
        return
      case 'equality': {
        const { flows, allowed } = this.#equality(use, scope, tables)
        if (allowed) this.#compared(use.where, flows, use.times)
        else this.#undivided(use.where, flows)
      }
    }
  }

  /** Whether a comparison is one of a whole masked value with a given one, or of two such. */
  #equality(
    { left, right }: Extract<Test, { kind: 'equality' }>,
    scope: Scope,
    tables: Tables,
  ): { flows: Flows; allowed: boolean } {
    const one = this.#operand(left, scope, tables)
    const other = this.#operand(right, scope, tables)
    const lookedUp = (one.whole && other.constant) || (other.whole && one.constant)
    const joined = one.whole && other.whole && one.flows.size > 0 && other.flows.size > 0
    // A column compared with itself in another case would tell which letters it has.
    const itself = left.letters?.case !== right.letters?.case && shareColumn(one.flows, other.flows)
    return { flows: union(one.flows, other.flows), allowed: lookedUp || (joined && !itself) }
  }

  #operand(operand: Operand, scope: Scope, tables: Tables): { flows: Flows; whole: boolean; constant: boolean } {
    const { columns, queries, form, varies } = operand.expression
    const [query] = queries
    if (form === 'subquery' && query !== undefined) {
      // A subquery of whole values compares as those do; what is computed from its value is another one.
      const result = this.query(query, scope, tables)
      return { flows: flowsOf(result.columns), whole: result.columns.every(column => column.whole), constant: false }
    }
    const { flows } = this.#value(operand.expression, scope, tables)
    const column = operand.column === undefined ? undefined : this.#column(operand.column, scope)
    // Of a range lower() and upper() are its bounds.
    const keepsCase = column !== undefined && (operand.letters?.ofText !== false || hasCase(column))
    const whole = keepsCase && column.whole && isComparedWhole(column)
    // A value that is another for each row would try all there may be.
    const constant = columns.length === 0 && queries.length === 0 && flows.size === 0 && varies !== true
    return { flows, whole, constant: constant && form === 'computed' }
  }

  /** Compared for being equal: one value can be looked up. */
  #compared(where: string, flows: Flows, times: number): void {
    if (this.#isView || flows.size === 0) return
    this.#comparisons += times
    if (this.#comparisons > MAX_COMPARISONS)
      this.#refuse(`at most ${MAX_COMPARISONS} comparisons with masked columns are allowed in one statement`)
    const denied = [...flows].find(({ mask }) => mask.predicates === 'deny')
    if (denied !== undefined) this.#refuse(notIn(denied, where))
  }

  /** Used in any other way: an order, a pattern or a part tells of the value. */
  #undivided(where: string, flows: Flows): void {
    if (this.#isView) return
    const denied = [...flows].find(({ mask }) => mask.predicates !== 'allow')
    if (denied !== undefined) this.#refuse(notIn(denied, where))
  }

  #arrange(query: Query, result: Result, scope: Scope, tables: Tables): void {
    const arranged = query.arrangements.map(item => this.#arranged(item, query, result, scope, tables))
    for (const { where, flows } of decisions(query, result, arranged)) this.#undivided(where, flows)
  }

  /** What an item arranges by, and the one column that it is. */
  #arranged(item: Arrangement, query: Query, result: Result, scope: Scope, tables: Tables): Arranged {
    const { columns, exact } = result
    const { expression, position } = item
    const [path] = expression.columns
    if (position !== undefined) {
      const column = exact ? columns[position - 1] : undefined
      return { item, flows: exact ? (column?.flows ?? noFlows) : flowsOf(columns), column }
    }
    const isName = isPlain(expression) && path?.length === 1
    const named = isName ? columns.filter(column => column.name === undefined || column.name === path[0]) : []
    const [output, second] = named
    const isOutput = named.some(column => column.name !== undefined)
    const only = second === undefined ? output : undefined
    if (isOutput && query.body.kind !== 'select') return { item, flows: flowsOf(named), column: only }
    const inner = isOutput && path !== undefined ? lookUp(path, scope) : this.#value(expression, scope, tables)
    const same = output === undefined || inner === undefined || isSame(output, inner)
    const column = same && second === undefined ? (inner ?? output) : undefined
    return { item, flows: union(flowsOf(named), inner?.flows ?? noFlows), column }
  }
}

const notIn = ({ label, mask }: MaskedColumn, where: string): string =>
  `${label} is masked for you, so it cannot be used in ${where}${mask.predicates === 'deny' ? '' : '; it can only be compared with given values by = or IN'}`

const isPlain = ({ form, cast }: Expression): boolean => form === 'column' && !cast
