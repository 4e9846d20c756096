// Follows masked columns through a statement: which outputs they reach, and where they decide. Pure.
import type { Arrangement, Body, CommonTable, Expression, Lineage, Output, Query } from '../analysis/lineage.ts'
import { type Arranged, decisions, isSame } from './arrange.ts'
import type { Evaluating } from './evaluating.ts'
import { computedRefusal, Findings, type Missing, resultRefusal } from './findings.ts'
import { FromItems, type Relations } from './from-items.ts'
import { Predicates } from './predicates.ts'
import {
  either,
  excluded,
  perhapsStarOf,
  type Result,
  renamed,
  settled,
  starOf,
  type Tables,
  together,
  withVersions,
} from './results.ts'
import {
  asText,
  type Column,
  canBeShown,
  computed,
  type Flows,
  flowsOf,
  lookUp,
  mayBeAny,
  noFlows,
  type Scope,
  type Source,
  sourcesNamed,
  union,
  wholeRow,
} from './scope.ts'

export interface Followed {
  /** The columns of the result in order; undefined when their number or order is not certain. */
  readonly outputs: readonly Column[] | undefined
  /** Everything that may be in the result. */
  readonly flows: Flows
  /** Every masked value in it is a column that the server's row description names as a table's. */
  readonly described: boolean
  /** Why the statement must not run; the first one. */
  readonly refusal: string | undefined
  /** Set where that is a name that stands for nothing. */
  readonly missing: Missing | undefined
  /** Whether it looks at masked columns at all. */
  readonly touches: boolean
  readonly compares: boolean
}

/** A recursive query's columns settle after few rounds: each adds what one more step carries along. */
const MAX_ROUNDS = 50

/** Queries that are looked at for one statement; nested recursion multiplies them. */
const MAX_STEPS = 20_000

/** Expressions that are looked at for one statement. */
const MAX_EXPRESSIONS = 200_000

type Stars = readonly (readonly Column[] | undefined)[]

/** Follows the masked columns of a statement. */
export function follow(lineage: Extract<Lineage, { kind: 'query' }>, relations: Relations): Followed {
  const findings = new Findings(lineage.sink === 'plan' ? 'plan' : 'statement')
  const { columns, exact } = new Evaluation(relations, findings).query(lineage.query, undefined, undefined)
  const flows = flowsOf(columns)
  findings.touch(flows)
  const refusal = findings.refusal ?? resultRefusal(lineage.sink, columns)
  const described = columns.every(column => column.described === true || column.flows.size === 0)
  const { missing, touches, compares } = findings
  return { outputs: exact ? columns : undefined, flows, described, refusal, missing, touches, compares }
}

/**
 * The columns of a view; what it compares for being equal, and the order of its rows, is its maker's word. Undefined when they cannot be
 * followed, or show who is above or below a masked value, or has a part of it.
 */
export function followView(query: Query, relations: Relations): readonly Column[] | undefined {
  const findings = new Findings('view')
  const { columns, exact } = new Evaluation(relations, findings).query(query, undefined, undefined)
  return exact && findings.refusal === undefined ? columns : undefined
}

class Evaluation implements Evaluating {
  readonly #findings: Findings
  readonly #from: FromItems
  readonly #predicates: Predicates
  #steps = 0
  #expressions = 0

  constructor(relations: Relations, findings: Findings) {
    this.#findings = findings
    this.#predicates = new Predicates(this, findings)
    this.#from = new FromItems(relations, this, this.#predicates, findings)
  }

  query(query: Query, scope: Scope | undefined, outer: Tables | undefined): Result {
    this.#steps += 1
    if (this.#steps > MAX_STEPS) {
      this.#findings.refuse('columns are not followed through so many queries')
      return { columns: [], exact: false }
    }
    const tables = this.#tables(query, scope, outer)
    const sources: Source[] = []
    const stars: (readonly Column[] | undefined)[] = []
    for (const item of query.from) {
      const made = this.#from.evaluate(item, { sources: [...sources], outer: scope }, tables)
      sources.push(...made.sources)
      stars.push(made.star)
    }
    const { body } = query
    const [target] = sources
    const isWrite = body.kind === 'write' && target !== undefined
    const inner: Scope = { sources: isWrite && body.excluded ? [...sources, excluded(target)] : sources, outer: scope }
    const shown: Scope = { sources: isWrite ? withVersions(sources, target, body.versions) : sources, outer: scope }
    const result = this.#body(body, inner, shown, stars, tables)
    for (const use of query.uses) this.#predicates.use(use, inner, tables)
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
      if (table.added.length > 0) named.set(table.name, this.#withAdded(named.get(table.name), table))
    }
    return tables
  }

  /**
   * What these columns are made of is compared row by row, so it has to be clear. `*` stands for them in the query that
   * has the WITH, and in others mostly not (p_dontexpand in src/backend/parser/parse_relation.c): there nothing says how many columns
   * there are, and their names may mean something further out.
   */
  #withAdded(result: Result | undefined, { added }: CommonTable): Result | undefined {
    const isClear = (name: string): boolean => {
      const [only, second] = result?.columns.filter(column => column.name === name) ?? []
      return only !== undefined && second === undefined && only.flows.size === 0
    }
    const isNamed =
      result?.exact === true && result.columns.every(({ name, guessed }) => name !== undefined && !guessed)
    if (isNamed && added.every(({ of }) => of.every(isClear))) {
      const more = added.map(({ name }): Column => ({ ...computed(noFlows, name), uncertain: true }))
      return { columns: [...result.columns, ...more], exact: false, exactNear: true }
    }
    this.#findings.refuse('SEARCH and CYCLE are only followed by clear columns')
    return undefined
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
    this.#findings.refuse('the columns of this recursive query cannot be followed')
    named.set(table.name, undefined)
  }

  /** `shown` has what the values that come to the client can name. */
  #body(body: Body, scope: Scope, shown: Scope, stars: Stars, tables: Tables): Result {
    switch (body.kind) {
      case 'select':
        return this.#outputs(body.outputs, shown, stars, tables)
      case 'set':
        return this.#set(body, scope.outer, tables)
      case 'values':
        return {
          columns: body.columns.map((expression, index) => ({
            ...this.#output({ name: body.expands ? undefined : `column${index + 1}`, expression }, scope, tables),
            // The server does not look through VALUES: markTargetListOrigin in parse_target.c.
            described: undefined,
          })),
          exact: !body.expands,
        }
      case 'write':
        for (const expression of body.moved) this.#findings.moved(this.value(expression, scope, tables).flows)
        if (body.source !== undefined)
          this.#findings.moved(flowsOf(this.query(body.source, scope.outer, tables).columns))
        // Of several tables, it depends on the command which one's columns RETURNING * begins with.
        return this.#outputs(body.outputs, shown, stars.length > 1 ? [undefined] : stars, tables)
    }
  }

  #set(body: Extract<Body, { kind: 'set' }>, outer: Scope | undefined, tables: Tables): Result {
    const left = this.query(body.left, outer, tables)
    const right = this.query(body.right, outer, tables)
    const exact = left.exact && right.exact && left.columns.length === right.columns.length
    const all = union(flowsOf(left.columns), flowsOf(right.columns))
    if (body.compares) this.#findings.undivided('a comparison of whole rows', all)
    if (!exact)
      return { columns: left.columns.map(({ name, guessed }) => ({ ...computed(all, name), guessed })), exact }
    return { columns: left.columns.map((column, index) => either(column, right.columns[index] ?? column)), exact }
  }

  #outputs(outputs: readonly Output[], scope: Scope, stars: Stars, tables: Tables): Result {
    const columns: Column[] = []
    let exact = true
    for (const output of outputs) {
      const { expression, stored, expands } = output
      const [path] = expression.columns
      if (expands === true) {
        exact = false
        columns.push(computed(this.#output(output, scope, tables).flows))
        continue
      }
      if (!isPlain(expression) || path?.at(-1) !== '*') {
        columns.push(this.#output(output, scope, tables))
        continue
      }
      const expanded = path.length === 1 ? together(stars) : starOf(path.slice(0, -1), scope)
      if (expanded === undefined) {
        exact = false
        // Which columns there are is not certain; each of them may be any.
        const known = path.length === 1 ? scope.sources : sourcesNamed(path.slice(0, -1), scope)
        columns.push(...known.flatMap(perhapsStarOf))
        if (known.length === 0) this.#findings.refuse(`nothing says what ${path.join('.')} stands for`)
      } else columns.push(...(stored === true ? expanded.filter(column => column.generated !== true) : expanded))
      this.#findings.touch(flowsOf(columns))
    }
    return { columns, exact }
  }

  /** What is computed is refused even where it is not shown: an error, or its absence, would tell of the value. */
  #output({ name, guessed, expression }: Output, scope: Scope, tables: Tables): Column {
    const column = { ...this.value(expression, scope, tables), name, guessed, uncertain: undefined }
    const refused = canBeShown(column) || expression.form === 'column' ? undefined : computedRefusal(column)
    if (refused !== undefined && this.#findings.purpose === 'statement') this.#findings.refuse(refused)
    return column
  }

  value(expression: Expression, scope: Scope, tables: Tables): Column {
    this.#expressions += 1
    if (this.#expressions > MAX_EXPRESSIONS) {
      this.#findings.refuse('columns are not followed through so many expressions')
      return computed(noFlows)
    }
    const { value, told } = this.#findings.within(() => this.#valueOf(expression, scope, tables))
    return told.size === 0 ? value : computed(union(value.flows, told))
  }

  #valueOf(expression: Expression, scope: Scope, tables: Tables): Column {
    for (const use of expression.uses) this.#predicates.use(use, scope, tables)
    const compared = this.#findings.isView ? expression.uses.filter(use => use.kind === 'equality') : []
    const told = [...expression.tests, ...compared].map(test => this.#predicates.outcome(test, scope, tables))
    const columns = expression.columns.map(path => this.column(path, scope))
    const queried = expression.queries.map(query => this.query(query, scope, tables))
    const found =
      expression.form === 'column' ? columns : queried.flatMap(result => (result.exact ? result.columns : []))
    const [only, second] = found
    if (expression.form !== 'computed' && only !== undefined && second === undefined) {
      const value = expression.form === 'column' ? only : { ...only, described: undefined, origin: undefined }
      return expression.cast ? asText(value) : value
    }
    const all = queried.map(result => flowsOf(result.columns))
    return computed(union(flowsOf(columns), ...all, ...told))
  }

  column(path: readonly string[], scope: Scope): Column {
    if (path.at(-1) === '*') {
      const sources = path.length === 1 ? scope.sources : sourcesNamed(path.slice(0, -1), scope)
      if (sources.length === 0) this.#findings.refuse(`nothing says what ${path.join('.')} stands for`)
      const flows = union(...sources.map(source => wholeRow(source).flows))
      this.#findings.touch(flows)
      return computed(flows)
    }
    const found = lookUp(path, scope)
    if (found !== undefined) {
      this.#findings.touch(found.flows)
      return found
    }
    const qualifiers = path.slice(0, -1)
    this.#findings.unknown(path, qualifiers.length > 0 && sourcesNamed(qualifiers, scope).length === 0)
    return computed(noFlows, path.at(-1))
  }

  #arrange(query: Query, result: Result, scope: Scope, tables: Tables): void {
    const arranged = query.arrangements.map(item => this.#arranged(item, query, result, scope, tables))
    // The first ones by an order are above or below the others.
    const isCut =
      query.uses.some(use => use.kind === 'condition' && use.where === 'LIMIT') ||
      arranged.some(({ item }) => item.where === 'DISTINCT')
    for (const { where, flows } of decisions(query, result, arranged)) {
      if (isCut && where === 'ORDER BY') this.#findings.chosen(where, flows)
      else this.#findings.undivided(where, flows)
    }
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
    const certain = isName ? columns.filter(column => column.name === path[0] && !mayBeAny(column)) : []
    // Two outputs of one name the server would call ambiguous.
    const named = certain.length > 0 || !isName ? certain : columns.filter(mayBeAny)
    const [output, second] = named
    const isOutput = named.some(column => column.name === path?.[0])
    const only = second === undefined ? output : undefined
    // A bare name is an output's first: findTargetlistEntrySQL92 in src/backend/parser/parse_clause.c. GROUP BY looks inside before.
    const isOutputFirst = certain.length > 0 && item.where !== 'GROUP BY'
    if (isOutputFirst || (isOutput && query.body.kind !== 'select'))
      return { item, flows: flowsOf(named), column: only }
    const inner = isOutput && path !== undefined ? lookUp(path, scope) : this.value(expression, scope, tables)
    const same = output === undefined || inner === undefined || isSame(output, inner)
    const column = same && second === undefined ? (inner ?? output) : undefined
    return { item, flows: union(flowsOf(named), inner?.flows ?? noFlows), column }
  }
}

const isPlain = ({ form, cast }: Expression): boolean => form === 'column' && !cast
