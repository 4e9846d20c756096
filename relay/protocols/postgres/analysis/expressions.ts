// Expressions of a parse tree → what flows into them and what decides in them. Node types that are not listed cannot be followed. Pure.
import {
  columnName,
  comparedColumn,
  comparedLetters,
  computed,
  counters,
  type Formed,
  formOf,
  isMultiplying,
  movers,
  rowOf,
  widenedColumn,
  withoutTrim,
} from './forms.ts'
import { Gathered } from './gathered.ts'
import type { Expression, Operand, Query, Test, Use } from './lineage.ts'
import { Felt } from './skipped.ts'
import { isSteady } from './steady.ts'
import { as, isObject, type Json, type JsonObject, list, node, object, strings } from './tree.ts'
import { Windows } from './windows.ts'

/** Why a statement cannot be followed; caught where the statement's lineage is made. */
export class Unfollowed extends Error {}

/** A longer list of values to compare with is a search through all values there may be. */
const MAX_COMPARED_VALUES = 100

/** Where a value decides that something runs or does not. */
const SKIPPING = 'what decides whether a function or a subquery runs'

/** Hold no columns. */
const leaves = new Set([
  ...['A_Const', 'ParamRef', 'SQLValueFunction', 'SetToDefault', 'CurrentOfExpr', 'TypeName', 'JsonOutput'],
  'MergeSupportFunc',
  ...['JsonFormat', 'JsonReturning', 'String', 'Integer', 'Float', 'Boolean', 'BitString', 'A_Star'],
])

/** The value comes from all their parts. */
const transparent = new Set([
  ...['A_Expr', 'BoolExpr', 'NullTest', 'BooleanTest', 'CoalesceExpr', 'MinMaxExpr', 'TypeCast', 'CollateClause'],
  ...['A_ArrayExpr', 'RowExpr', 'NamedArgExpr', 'XmlExpr', 'XmlSerialize', 'GroupingFunc', 'List', 'A_Indirection'],
  ...['A_Indices', 'MultiAssignRef', 'ResTarget', 'RangeFunction', 'RangeTableFunc', 'RangeTableFuncCol', 'ColumnDef'],
  ...['JsonObjectConstructor', 'JsonArrayConstructor', 'JsonArrayQueryConstructor', 'JsonObjectAgg', 'JsonArrayAgg'],
  ...['JsonAggConstructor', 'JsonKeyValue', 'JsonValueExpr', 'JsonIsPredicate', 'JsonParseExpr', 'JsonScalarExpr'],
  ...['JsonSerializeExpr', 'JsonFuncExpr', 'JsonArgument', 'JsonBehavior', 'JsonTable', 'JsonTableColumn'],
  ...['JsonTablePathSpec', 'SortBy'],
])

/** What makes a query of a SELECT; given from outside, since queries hold expressions and the other way round. */
export type MakeQuery = (select: Json | undefined) => Query

export class Expressions {
  readonly #query: MakeQuery
  readonly #felt = new Felt()
  readonly windows = new Windows()

  constructor(query: MakeQuery) {
    this.#query = query
  }

  /** @throws {Unfollowed} for a node that is not known. */
  expression(...values: readonly (Json | undefined)[]): Expression {
    const gathered = new Gathered()
    for (const value of values) this.#add(value, gathered)
    return { ...gathered.expression(), ...(values.length === 1 ? formOf(values[0]) : {}) }
  }

  /** What a condition uses. */
  condition(value: Json | undefined, where: string): Use[] {
    if (value === undefined || value === null) return []
    const [name, content] = node(value)
    switch (name) {
      case 'BoolExpr':
        return list(content['args']).flatMap(arg => this.condition(arg, where))
      case 'NullTest':
        if (as(content['arg'], 'ColumnRef') === undefined) break
        return [this.#presence([content['arg'] ?? null], where)]
      case 'A_Expr':
        return this.#comparison(content, where) ?? [this.#undivided(value, where)]
      case 'SubLink':
        return this.#sublink(content, where) ?? [this.#undivided(value, where)]
      case 'CurrentOfExpr':
        return []
    }
    return [this.#undivided(value, where)]
  }

  #undivided(value: Json, where: string): Use {
    return { kind: 'condition', where, expression: this.expression(value) }
  }

  /** `a = b`, `a <> b`, `a IN (…)`, `a = ANY (…)`, `a IS DISTINCT FROM b`, also of rows; undefined for anything else. */
  #comparison(content: JsonObject, where: string): Test[] | undefined {
    const operator = strings(content['name'])
    if (operator.length !== 1 || !['=', '<>'].includes(operator[0] ?? '')) return undefined
    const { lexpr, rexpr } = content
    switch (content['kind']) {
      case 'AEXPR_OP':
      case 'AEXPR_DISTINCT':
      case 'AEXPR_NOT_DISTINCT':
        return this.#pairs(withoutTrim(lexpr, rexpr), [withoutTrim(rexpr, lexpr)], where)
      case 'AEXPR_OP_ANY':
      case 'AEXPR_OP_ALL': {
        const elements = list(as(rexpr, 'A_ArrayExpr')?.['elements'])
        if (lexpr === undefined || rexpr === undefined || elements.length > MAX_COMPARED_VALUES) return undefined
        // An array that is a column, or comes from a subquery, would be compared by its elements: parts of its value.
        const right: Operand = { expression: { ...this.expression(rexpr), ...computed }, column: undefined }
        return [{ kind: 'equality', where, left: this.#operand(lexpr), right, times: 1 }]
      }
      case 'AEXPR_IN': {
        const values = list(object(as(rexpr, 'List'))['items'])
        return values.length > MAX_COMPARED_VALUES ? undefined : this.#pairs(lexpr, values, where)
      }
      default:
        return undefined
    }
  }

  /** One value, or each value of a row, against what stands in its place in the others. */
  #pairs(left: Json | undefined, others: readonly (Json | undefined)[], where: string): Test[] | undefined {
    if (left === undefined || others.some(other => other === undefined)) return undefined
    const row = rowOf(left)
    const pair = (one: Json | undefined, each: readonly (Json | undefined)[]): Test => {
      const [only, second] = each
      const right =
        second === undefined
          ? this.#operand(only)
          : { expression: { ...this.expression(...each), ...computed }, column: undefined }
      return { kind: 'equality', where, left: this.#operand(one), right, times: 1 }
    }
    if (row === undefined) return [pair(left, others)]
    const rows = others.map(rowOf)
    if (!rows.every(other => other?.length === row.length)) return undefined
    return row.map((item, index) =>
      pair(
        item,
        rows.map(other => other?.[index]),
      ),
    )
  }

  #sublink(content: JsonObject, where: string): (Test | Extract<Use, { kind: 'exists' }>)[] | undefined {
    const query = content['subselect']
    if (content['subLinkType'] === 'EXISTS_SUBLINK') return [{ kind: 'exists', query: this.#query(query) }]
    const operator = strings(content['operName']).at(-1) ?? '='
    if (content['subLinkType'] !== 'ANY_SUBLINK' || operator !== '=') return undefined
    const given = valuesOf(query)
    if (given !== undefined && given.length <= MAX_COMPARED_VALUES)
      return this.#pairs(content['testexpr'], given, where)
    const values: Formed = { form: 'subquery', cast: false }
    const right: Expression = { columns: [], queries: [this.#query(query)], uses: [], tests: [], ...values }
    const left = this.#operand(content['testexpr'])
    return [{ kind: 'equality', where, left, right: { expression: right, column: undefined }, times: 1 }]
  }

  #operand(value: Json | undefined): Operand {
    const compared = widenedColumn(value) ?? { column: comparedColumn(value) }
    return { expression: this.expression(value), letters: comparedLetters(value), ...compared }
  }

  #add(value: Json | undefined, gathered: Gathered): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#add(item, gathered)
      return
    }
    if (!isObject(value)) return
    for (const key of Object.keys(value)) {
      const child = value[key]
      if (!isObject(child) || !isNodeName(key)) this.#add(child, gathered)
      else this.#addNode(key, child, gathered)
    }
  }

  #addNode(name: string, content: JsonObject, gathered: Gathered): void {
    const deciding = this.#felt.deciding(name, content)
    if (deciding === undefined) return this.#addParts(name, content, gathered)
    const own = new Gathered()
    if (deciding === 'all') this.#addParts(name, content, own)
    else {
      this.#add(deciding.first, own)
      this.#add(deciding.others, gathered)
    }
    gathered.take(own)
    gathered.uses.push({ kind: 'condition', where: SKIPPING, expression: { ...own.expression(), uses: [] } })
  }

  #addParts(name: string, content: JsonObject, gathered: Gathered): void {
    if (leaves.has(name)) return
    switch (name) {
      case 'ColumnRef':
        if (strings(content['fields']).includes('*')) throw new Unfollowed('a column that is called * is not followed')
        gathered.columns.push(columnName(content))
        return
      case 'SubLink':
        this.#subquery(content, gathered)
        return
      case 'A_Expr': {
        const tests = this.#comparison(content, 'a comparison')
        if (tests === undefined) this.#add(content, gathered)
        else gathered.tests.push(...tests)
        return
      }
      case 'NullTest':
        if (as(content['arg'], 'ColumnRef') === undefined) this.#add(content, gathered)
        else gathered.tests.push(this.#presence([content['arg'] ?? null], 'IS NULL'))
        return
      case 'SelectStmt':
        gathered.queries.push(this.#query({ SelectStmt: content }))
        return
      case 'FuncCall':
        this.#call(content, gathered)
        return
      case 'CaseExpr':
        this.#case(content, gathered)
        return
      case 'WindowDef':
        gathered.uses.push(...this.window(content))
        return
      default:
        if (!transparent.has(name)) throw new Unfollowed(`columns cannot be followed through ${name}`)
        // JSON_ARRAYAGG(1) counts rows.
        gathered.varies ||= name === 'JsonObjectAgg' || name === 'JsonArrayAgg'
        this.#add(content, gathered)
    }
  }

  #subquery(content: JsonObject, gathered: Gathered): void {
    const found = this.#sublink(content, 'a comparison')
    for (const use of found ?? []) {
      if (use.kind === 'exists') gathered.uses.push(use)
      else gathered.tests.push(use)
    }
    if (found !== undefined) return
    this.#add(content['testexpr'], gathered)
    gathered.queries.push(this.#query(content['subselect']))
  }

  #presence(columns: readonly Json[], where: string): Extract<Test, { kind: 'presence' }> {
    return { kind: 'presence', where, expression: this.expression(...columns) }
  }

  #call(content: JsonObject, gathered: Gathered): void {
    gathered.uses.push(...this.condition(content['agg_filter'], 'FILTER'))
    if (isObject(content['over'])) gathered.uses.push(...this.window(content['over']))
    const args = list(content['args'])
    const name = strings(content['funcname']).at(-1) ?? ''
    gathered.varies ||= !isSteady(content)
    // How many values are not NULL says nothing that the mask hides. An order, or the elements of an array, could.
    const isCounter = counters.has(name) && args.length > 0 && args.every(isReference)
    const more = ['agg_distinct', 'agg_order', 'func_variadic'].some(field => content[field] !== undefined)
    if (isCounter && !more) {
      gathered.uses.push({ ...this.#presence(args, `${name}()`), counted: true })
      return
    }
    const order = list(content['agg_order']).map(item => as(item, 'SortBy')?.['node'] ?? null)
    // What a value is chosen by, WITHIN GROUP, is that value.
    const within = content['agg_within_group'] === true ? order : []
    const given = this.expression(...args, ...within)
    gathered.take(given)
    // What they use themselves is used once.
    const felt: Expression = { ...given, uses: [], ...computed }
    if (content['agg_distinct'] === true) gathered.uses.push({ kind: 'condition', where: 'DISTINCT', expression: felt })
    if (movers.test(name)) gathered.uses.push({ kind: 'moved', where: `${name}()`, expression: felt })
    if (isMultiplying(name)) gathered.uses.push({ kind: 'condition', where: `${name}()`, expression: felt })
    for (const item of order) gathered.uses.push(this.#undivided(item, 'ORDER BY'))
  }

  #case(content: JsonObject, gathered: Gathered): void {
    const whens = list(content['args']).map(item => object(as(item, 'CaseWhen')))
    const compared = content['arg']
    if (compared === undefined) for (const when of whens) gathered.uses.push(...this.condition(when['expr'], 'CASE'))
    else {
      const values = { ...this.expression(...whens.map(when => when['expr'])), ...computed }
      const right: Operand = { expression: values, column: undefined }
      const left = this.#operand(compared)
      gathered.uses.push({ kind: 'equality', where: 'CASE', left, right, times: whens.length })
    }
    for (const when of whens) this.#add(when['result'], gathered)
    this.#add(content['defresult'], gathered)
  }

  /** PARTITION BY, ORDER BY and the frame of a window. */
  window(content: JsonObject): Use[] {
    const used = this.expression(...this.windows.used(content))
    return [{ kind: 'condition', where: 'OVER', expression: { ...used, ...computed } }]
  }
}

const isReference = (value: Json): boolean => as(value, 'ColumnRef') !== undefined

/** The values of a subquery that is nothing but `VALUES (a), (b)`. */
function valuesOf(subquery: Json | undefined): readonly Json[] | undefined {
  const { valuesLists, op: _op, limitOption: _limit, ...others } = object(as(subquery, 'SelectStmt'))
  const rows = list(valuesLists).map(row => list(object(as(row, 'List'))['items']))
  const single = rows.length > 0 && Object.keys(others).length === 0 && rows.every(row => row.length === 1)
  return single ? rows.flat() : undefined
}

/** Node names begin with a capital letter, fields with a small one. */
function isNodeName(key: string): boolean {
  return key >= 'A' && key <= 'Z~'
}
