// Expressions of a parse tree → what flows into them and what decides in them. Node types that are not listed cannot be followed. Pure.
import type { ColumnName, Expression, Operand, Query, Use } from './lineage.ts'
import { as, isObject, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

/** Why a statement cannot be followed; caught where the statement's lineage is made. */
export class Unfollowed extends Error {}

/** A longer list of values to compare with is a search through all values there may be. */
const MAX_COMPARED_VALUES = 100

/** Hold no columns. */
const leaves = new Set([
  ...['A_Const', 'ParamRef', 'SQLValueFunction', 'SetToDefault', 'CurrentOfExpr', 'TypeName', 'JsonOutput'],
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
  ...['JsonTablePathSpec'],
])

/** Functions that keep what they are given, send it, or let it be felt; whatever becomes of their value. */
const movers =
  /^(set_config|setval|setseed|pg_notify|pg_sleep(_for|_until)?|pg_(try_)?advisory_\w+|pg_logical_emit_message|lo_\w+)$/

/** What makes a query of a SELECT; given from outside, since queries hold expressions and the other way round. */
export type MakeQuery = (select: Json | undefined) => Query

export class Expressions {
  readonly #query: MakeQuery

  constructor(query: MakeQuery) {
    this.#query = query
  }

  /** @throws {Unfollowed} for a node that is not known. */
  expression(...values: readonly (Json | undefined)[]): Expression {
    const gathered = new Gathered()
    for (const value of values) this.#add(value, gathered)
    const plain = values.length === 1 && as(values[0], 'ColumnRef') !== undefined
    return { columns: gathered.columns, queries: gathered.queries, uses: gathered.uses, plain }
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
        return [{ kind: 'presence', where, expression: this.expression(content['arg']) }]
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

  /** `a = b`, `a <> b`, `a IN (…)`, `a = ANY (…)`, `a IS DISTINCT FROM b`; undefined for anything else. */
  #comparison(content: JsonObject, where: string): Use[] | undefined {
    const operator = strings(content['name'])
    if (operator.length !== 1 || !['=', '<>'].includes(operator[0] ?? '')) return undefined
    const { lexpr, rexpr } = content
    switch (content['kind']) {
      case 'AEXPR_OP':
      case 'AEXPR_DISTINCT':
      case 'AEXPR_NOT_DISTINCT':
      case 'AEXPR_OP_ANY':
      case 'AEXPR_OP_ALL':
        if (lexpr === undefined || rexpr === undefined) return undefined
        return [{ kind: 'equality', where, left: this.#operand(lexpr), right: this.#operand(rexpr) }]
      case 'AEXPR_IN': {
        const values = list(object(as(rexpr, 'List'))['items'])
        if (values.length > MAX_COMPARED_VALUES) return undefined
        const right = { expression: { ...this.expression(...values), plain: false }, column: undefined }
        return [{ kind: 'equality', where, left: this.#operand(lexpr), right }]
      }
      default:
        return undefined
    }
  }

  #sublink(content: JsonObject, where: string): Use[] | undefined {
    const query = content['subselect']
    if (content['subLinkType'] === 'EXISTS_SUBLINK') return [{ kind: 'exists', query: this.#query(query) }]
    const operator = strings(content['operName']).at(-1) ?? '='
    if (content['subLinkType'] !== 'ANY_SUBLINK' || operator !== '=') return undefined
    const right: Expression = { columns: [], queries: [this.#query(query)], uses: [], plain: false }
    return [
      {
        kind: 'equality',
        where,
        left: this.#operand(content['testexpr']),
        right: { expression: right, column: undefined },
      },
    ]
  }

  #operand(value: Json | undefined): Operand {
    return { expression: this.expression(value), column: comparedColumn(value) }
  }

  #add(value: Json | undefined, gathered: Gathered): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#add(item, gathered)
      return
    }
    if (!isObject(value)) return
    for (const [key, child] of Object.entries(value)) {
      if (!isObject(child) || !isNodeName(key)) this.#add(child, gathered)
      else this.#addNode(key, child, gathered)
    }
  }

  #addNode(name: string, content: JsonObject, gathered: Gathered): void {
    if (leaves.has(name)) return
    switch (name) {
      case 'ColumnRef':
        gathered.columns.push(columnName(content))
        return
      case 'SubLink':
        if (content['subLinkType'] === 'EXISTS_SUBLINK') {
          gathered.uses.push({ kind: 'exists', query: this.#query(content['subselect']) })
          return
        }
        this.#add(content['testexpr'], gathered)
        gathered.queries.push(this.#query(content['subselect']))
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
        this.#add(content, gathered)
    }
  }

  #call(content: JsonObject, gathered: Gathered): void {
    gathered.uses.push(...this.condition(content['agg_filter'], 'FILTER'))
    const [only, ...others] = list(content['args'])
    const isCount = ['count', 'pg_catalog.count'].includes(strings(content['funcname']).join('.'))
    if (content['agg_distinct'] === true) gathered.uses.push(this.#undivided(content['args'] ?? [], 'DISTINCT'))
    // How many values are not NULL says nothing that the mask hides.
    else if (isCount && others.length === 0 && as(only, 'ColumnRef') !== undefined && !isStar(only)) {
      gathered.uses.push({ kind: 'presence', where: 'count()', expression: this.expression(only) })
      this.#add(content['over'], gathered)
      return
    }
    this.#add(content['args'], gathered)
    const name = strings(content['funcname']).at(-1) ?? ''
    if (movers.test(name))
      gathered.uses.push({ kind: 'moved', where: `${name}()`, expression: this.expression(...list(content['args'])) })
    for (const item of list(content['agg_order']))
      gathered.uses.push(this.#undivided(as(item, 'SortBy')?.['node'] ?? [], 'ORDER BY'))
    if (isObject(content['over'])) gathered.uses.push(...this.window(content['over']))
  }

  #case(content: JsonObject, gathered: Gathered): void {
    const compared = content['arg']
    if (compared !== undefined) gathered.uses.push(this.#undivided(compared, 'CASE'))
    for (const item of list(content['args'])) {
      const when = object(as(item, 'CaseWhen'))
      if (compared === undefined) gathered.uses.push(...this.condition(when['expr'], 'CASE'))
      else gathered.uses.push(this.#undivided(when['expr'] ?? [], 'CASE'))
      this.#add(when['result'], gathered)
    }
    this.#add(content['defresult'], gathered)
  }

  /** PARTITION BY, ORDER BY and the frame of a window. */
  window(content: JsonObject): Use[] {
    const sorted = list(content['orderClause']).map(item => as(item, 'SortBy')?.['node'] ?? null)
    const used = [...list(content['partitionClause']), ...sorted, content['startOffset'], content['endOffset']]
    return [{ kind: 'condition', where: 'OVER', expression: { ...this.expression(...used), plain: false } }]
  }
}

class Gathered {
  readonly columns: ColumnName[] = []
  readonly queries: Query[] = []
  readonly uses: Use[] = []
}

/** Node names begin with a capital letter, fields with a small one. */
function isNodeName(key: string): boolean {
  return key >= 'A' && key <= 'Z~'
}

export function columnName(reference: JsonObject): ColumnName {
  return list(reference['fields']).map(field =>
    as(field, 'A_Star') === undefined ? text(as(field, 'String')?.['sval']) : '*',
  )
}

function isStar(value: Json | undefined): boolean {
  return columnName(object(as(value, 'ColumnRef'))).includes('*')
}

/** Casts to these without a length keep the whole value. */
const wholeTexts = new Set(['text', 'varchar'])

/** `email`, `email::text`, `lower(email)`: comparing these compares the value. A cast that cuts would compare a part of it. */
function comparedColumn(value: Json | undefined): ColumnName | undefined {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return columnName(content)
    case 'CollateClause':
      return comparedColumn(content['arg'])
    case 'TypeCast': {
      const type = object(content['typeName'])
      const whole = wholeTexts.has(strings(type['names']).at(-1) ?? '') && type['typmods'] === undefined
      return whole && type['arrayBounds'] === undefined ? comparedColumn(content['arg']) : undefined
    }
    case 'FuncCall': {
      const args = list(content['args'])
      const oneCase = ['lower', 'upper'].includes(strings(content['funcname']).at(-1) ?? '')
      return oneCase && args.length === 1 ? comparedColumn(args[0]) : undefined
    }
    default:
      return undefined
  }
}
