// Which columns the constants and parameters of a statement meet: what they are compared with, inserted into, assigned to. Pure.
// What is not listed here is not known to meet one column only, and counts as meeting any.
import { type RelationName, relationOf } from './objects.ts'
import { outputName } from './output-name.ts'
import { as, isObject, type Json, type JsonObject, list, object, strings, text } from './tree.ts'

/** A column by its name; one by its place in a relation, 0 first; or `nothing`: LIMIT, a type's length, ORDER BY 1. */
export type Meeting =
  | 'nothing'
  | { readonly column: string }
  | { readonly relation: RelationName; readonly place: number }

export interface Meetings {
  /** By the place of the constant in the text, in bytes. */
  readonly constants: ReadonlyMap<number, Meeting>
  /** Parameters by number, 1 first, every use of which is known. */
  readonly parameters: ReadonlyMap<number, readonly Meeting[]>
  /** Names that the statement gives itself: a column called so can be any other. */
  readonly introduced: ReadonlySet<string>
  /** Names of columns that are compared with each other or assigned to each other: what meets one meets all. */
  readonly together: readonly (readonly string[])[]
}

/** As many constants are told apart; the others count as meeting any column. */
const MAX_CONSTANTS = 2_000
const MAX_GROUPS = 500

const comparing: ReadonlySet<string> = new Set([
  ...['=', '<>', '!=', '<', '>', '<=', '>='],
  ...['~', '~*', '!~', '!~*', '~~', '~~*', '!~~', '!~~*'],
])
const comparisons: ReadonlySet<string> = new Set([
  ...['AEXPR_IN', 'AEXPR_LIKE', 'AEXPR_ILIKE', 'AEXPR_DISTINCT', 'AEXPR_NOT_DISTINCT'],
  ...['AEXPR_BETWEEN', 'AEXPR_NOT_BETWEEN', 'AEXPR_BETWEEN_SYM', 'AEXPR_NOT_BETWEEN_SYM'],
])

/** Nothing is known: every constant meets any column. */
export const noMeetings: Meetings = { constants: new Map(), parameters: new Map(), introduced: new Set(), together: [] }

export function meetingsOf(statement: Json | undefined): Meetings {
  const reader = new Reader()
  reader.read(statement)
  return reader.result()
}

class Reader {
  readonly #constants = new Map<number, Meeting>()
  /** How often each constant and parameter stands in the tree; where the grammar copies one, not every use may be known. */
  readonly #constantUses = new Map<number, number>()
  readonly #parameters = new Map<number, Meeting[]>()
  readonly #parameterUses = new Map<number, number>()
  readonly #introduced = new Set<string>()
  readonly #together: string[][] = []
  #certain = true

  result(): Meetings {
    if (!this.#certain || this.#together.length > MAX_GROUPS) return noMeetings
    const constants = [...this.#constants].filter(([place]) => this.#constantUses.get(place) === 1)
    const parameters = [...this.#parameters].filter(([number, uses]) => this.#parameterUses.get(number) === uses.length)
    return {
      constants: new Map(constants),
      parameters: new Map(parameters),
      introduced: this.#introduced,
      together: this.#together,
    }
  }

  /** A stack of its own: trees are as deep as statements are long. */
  read(statement: Json | undefined): void {
    const stack: (readonly [string, Json | undefined])[] = [['', statement]]
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const [key, value] = next
      if (Array.isArray(value)) for (const item of value) stack.push(['', item as Json])
      else if (key === 'A_Const') count(this.#constantUses, Number(object(value)['location'] ?? 0))
      else if (isObject(value)) {
        this.#object(key, value)
        for (const [name, child] of Object.entries(value))
          if (typeof child === 'object' && child !== null) stack.push([name, child])
      }
    }
  }

  #object(key: string, content: JsonObject): void {
    this.#names(content)
    for (const item of list(content['typmods'])) this.#meets(item, 'nothing')
    if (content['op'] !== undefined && String(content['op']).startsWith('SETOP_') && content['op'] !== 'SETOP_NONE')
      // Its columns have the names of its first part, whatever the others give.
      this.#certain = false
    if (content['limitCount'] !== undefined || content['limitOffset'] !== undefined)
      for (const field of ['limitCount', 'limitOffset']) this.#meets(content[field], 'nothing')
    for (const item of list(content['groupClause'])) this.#position(item)
    switch (key) {
      case 'ParamRef':
        count(this.#parameterUses, Number(content['number'] ?? 0))
        break
      case 'A_Expr':
        this.#comparison(content)
        break
      case 'FuncCall':
        this.#sequence(content)
        break
      case 'SubLink':
        this.#subLink(content)
        break
      case 'JsonTableColumn':
        this.#introduced.add(text(content['name']))
        break
      case 'SortBy':
        this.#position(content['node'])
        break
      case 'InsertStmt':
        this.#insert(content)
        break
      case 'UpdateStmt':
      case 'onConflictClause':
      case 'MergeWhenClause':
        this.#assignments(content)
        break
      case 'returningClause':
        this.#returning(content)
        break
      case 'SelectStmt':
      case 'larg':
      case 'rarg':
        this.#outputs(content['targetList'])
    }
  }

  /** Names of tables, aliases, CTEs, and of the columns that they get. */
  #names(content: JsonObject): void {
    for (const field of ['relname', 'aliasname', 'ctename', 'colname']) {
      const name = text(content[field])
      if (name !== '') this.#introduced.add(name)
    }
    for (const field of ['colnames', 'aliascolnames'])
      for (const name of strings(content[field])) this.#introduced.add(name)
  }

  #outputs(targets: Json | undefined): void {
    for (const target of list(targets)) {
      const { name, val } = object(as(target, 'ResTarget'))
      const given = text(name)
      if (given === '' && as(val, 'ColumnRef') !== undefined) continue
      const output = given === '' ? outputName(val) : given
      if (output === undefined) this.#certain = false
      else this.#introduced.add(output)
    }
  }

  /** It also names the row as it was before, and as it is now. */
  #returning({ options, exprs }: JsonObject): void {
    const given = list(options).map(option => text(object(as(option, 'ReturningOption'))['value']))
    for (const name of ['old', 'new', ...given]) this.#introduced.add(name)
    this.#outputs(exprs)
  }

  /** `ORDER BY 1`: the place of a column of the result. */
  #position(value: Json | undefined): void {
    if (isObject(as(value, 'A_Const')?.['ival'])) this.#meets(value, 'nothing')
  }

  #comparison(content: JsonObject): void {
    const kind = text(content['kind'])
    const operator = strings(content['name']).at(-1) ?? ''
    if (!(comparisons.has(kind) || (kind === 'AEXPR_OP' && comparing.has(operator)))) {
      this.#groupOf([content['lexpr'], content['rexpr']])
      return
    }
    const { lexpr, rexpr } = content
    const left = columnOf(lexpr)
    const right = columnOf(rexpr)
    const { items } = object(as(rexpr, 'List'))
    if (left !== undefined) {
      const values = items === undefined ? (Array.isArray(rexpr) ? list(rexpr) : [rexpr]) : list(items)
      for (const value of values) this.#meets(value, { column: left })
    } else if (right !== undefined) this.#meets(lexpr, { column: right })
    this.#groupOf([lexpr, rexpr])
  }

  /** `nextval('s'::regclass)`, as every dump has it: the name of a sequence. */
  #sequence({ funcname, args }: JsonObject): void {
    const [argument, second] = list(args)
    const cast = object(as(argument, 'TypeCast'))
    const type = strings(object(cast['typeName'])['names']).at(-1)
    if (second === undefined && strings(funcname).at(-1) === 'nextval' && type === 'regclass')
      this.#meets(argument, 'nothing')
  }

  #subLink({ testexpr, subselect }: JsonObject): void {
    if (testexpr !== undefined) this.#groupOf([testexpr, object(as(subselect, 'SelectStmt'))['targetList']])
  }

  /** `SET c = v`, also of ON CONFLICT and of MERGE, whose INSERT gives its values apart. */
  #assignments(content: JsonObject): void {
    for (const entry of list(content['targetList'])) {
      const target = object(as(entry, 'ResTarget'))
      const column = text(target['name'])
      if (column === '' || target['indirection'] !== undefined) continue
      this.#meets(target['val'], { column })
      this.#groupOf([target['val']], column)
    }
  }

  #insert(content: JsonObject): void {
    const relation = relationOf(content['relation'])
    const targets = list(content['cols']).map(column => object(as(column, 'ResTarget')))
    const columns = targets.map(({ name, indirection }) => (indirection === undefined ? text(name) : ''))
    const select = object(as(content['selectStmt'], 'SelectStmt'))
    const rows = list(select['valuesLists'])
    if (rows.length === 0) this.#groupOf([select['targetList']], ...columns)
    for (const row of rows) {
      for (const [place, value] of list(as(row, 'List')?.['items']).entries()) {
        if (targets.length === 0) this.#meets(value, { relation, place })
        else if (columns[place]) this.#meets(value, { column: columns[place] })
      }
    }
  }

  #meets(value: Json | undefined, meeting: Meeting): void {
    const inner = uncast(value)
    const literal = as(inner, 'A_Const')
    if (literal !== undefined && this.#constants.size < MAX_CONSTANTS)
      this.#constants.set(Number(literal['location'] ?? 0), meeting)
    const parameter = as(inner, 'ParamRef')
    if (parameter === undefined) return
    const number = Number(parameter['number'] ?? 0)
    this.#parameters.set(number, [...(this.#parameters.get(number) ?? []), meeting])
  }

  /** All columns in these values stand in one relation to each other. */
  #groupOf(values: readonly (Json | undefined)[], ...more: readonly string[]): void {
    const names = new Set([...more, ...values.flatMap(columnsIn)])
    if (names.size > 1 && this.#together.length <= MAX_GROUPS) this.#together.push([...names])
  }
}

function count(uses: Map<number, number>, key: number): void {
  uses.set(key, (uses.get(key) ?? 0) + 1)
}

function uncast(value: Json | undefined): Json | undefined {
  let inner = value
  for (;;) {
    const cast = as(inner, 'TypeCast') ?? as(inner, 'CollateClause')
    if (cast === undefined) return inner
    inner = cast['arg']
  }
}

/** The name of a plain column, with or without its table. */
function columnOf(value: Json | undefined): string | undefined {
  const fields = list(as(uncast(value), 'ColumnRef')?.['fields'])
  return text(as(fields.at(-1), 'String')?.['sval']) || undefined
}

/** Every column in an expression; of a subquery those of its results only. */
function columnsIn(value: Json | undefined): string[] {
  const found: string[] = []
  const stack: (Json | undefined)[] = [value]
  for (let next = stack.pop(); stack.length > 0 || next !== undefined; next = stack.pop()) {
    if (Array.isArray(next)) stack.push(...(next as Json[]))
    else if (isObject(next)) {
      const reference = as(next, 'ColumnRef')
      const name = reference === undefined ? undefined : columnOf(next)
      if (name !== undefined) found.push(name)
      const subquery = as(next, 'SelectStmt')
      if (subquery !== undefined) stack.push(subquery['targetList'])
      else if (reference === undefined) stack.push(...Object.values(next))
    }
  }
  return found
}
