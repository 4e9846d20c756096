// Collects from a parse tree what is read, written and called, with the scopes of WITH. Pure.
import { calledName, newerCall } from './calls.ts'
import { anySetting, type ChangedSetting, changedSetting, saidBy } from './changed-setting.ts'
import type { Collected, NestedWrite } from './collected.ts'
import { columnName } from './forms.ts'
import { type OtherObject, objectsOf, type RelationName, relationOf } from './objects.ts'
import { choosesRows, namedIn } from './predicate.ts'
import { as, isObject, type Json, type JsonObject, list, object, strings, text, walk } from './tree.ts'
import { writesOf, writesRows } from './writes.ts'

type Scope = ReadonlySet<string>

/** Operators behind words of the grammar. */
const spelled: Readonly<Record<string, readonly string[]>> = {
  BETWEEN: ['>=', '<='],
  'NOT BETWEEN': ['<', '>'],
  'BETWEEN SYMMETRIC': ['>=', '<='],
  'NOT BETWEEN SYMMETRIC': ['<', '>'],
}

export function collect(name: string, content: JsonObject): Collected {
  const collector = new Collector()
  collector.statement(name, content)
  return collector.result()
}

/** Whether as many rows as one likes come from nothing: of generate_series(), or of a recursive query. */
function makesRows(source: Json | undefined, clause: JsonObject): boolean {
  let found = clause['recursive'] === true
  walk([source ?? null, clause], (name, content) => {
    if (name === 'FuncCall') found ||= strings(content['funcname']).at(-1) === 'generate_series'
    if (name === 'SelectStmt') found ||= object(content['withClause'])['recursive'] === true
    return found
  })
  return found
}

/** A name that an option is: the server takes it in quotes as well. */
const copied = (argument: Json | undefined): Json | undefined =>
  object(as(argument, 'List'))['items'] ?? object(as(argument, 'TypeName'))['names'] ?? [argument ?? null]

class Collector {
  readonly #reads = new Map<string, RelationName>()
  readonly #written = new Map<string, RelationName>()
  readonly #others: OtherObject[] = []
  readonly #functions = new Set<string>()
  readonly #newer = new Set<string>()
  readonly #operators = new Set<string>()
  readonly #fields = new Set<string>()
  readonly #types = new Set<string>()
  readonly #collations = new Set<string>()
  readonly #columns = new Set<string>()
  readonly #columnsWritten = new Set<string>()
  readonly #nested: NestedWrite[] = []
  readonly #settings: ChangedSetting[] = []
  /** How often tables were read so far. */
  #tables = 0
  #hasWhere = false
  #returning = false
  #locking = false
  /** Columns whose values the WHERE of the query at hand says, while its outputs are visited. */
  #said: ReadonlyMap<string, string> = new Map()

  result(): Collected {
    return {
      reads: [...this.#reads.values()],
      written: [...this.#written.values()],
      others: this.#others,
      functions: [...this.#functions],
      newer: [...this.#newer],
      operators: [...this.#operators],
      fields: [...this.#fields],
      types: [...this.#types],
      collations: [...this.#collations],
      columns: [...this.#columns],
      columnsWritten: [...this.#columnsWritten],
      hasWhere: this.#hasWhere,
      returning: this.#returning,
      locking: this.#locking,
      nested: this.#nested,
      settings: this.#settings,
    }
  }

  statement(name: string, content: JsonObject): void {
    const scope: Scope = new Set()
    if (name === 'SelectStmt') {
      this.#hasWhere = this.#selects(content)
      this.#select(content, scope)
    } else if (writesRows(name)) {
      const [write, ...others] = this.#writes(name, content, scope)
      for (const other of others) this.#nested.push({ ...other, tagged: true })
      this.#hasWhere = write.hasWhere
      this.#returning = write.returning
      for (const column of write.columnsWritten) this.#columnsWritten.add(column)
      for (const relation of write.written) this.#add(this.#written, relation)
    } else if (name === 'CopyStmt') {
      this.#copy(content, scope)
    } else {
      this.#utility(name, content, scope)
    }
  }

  #add(to: Map<string, RelationName>, relation: RelationName): void {
    to.set(JSON.stringify([relation.schema, relation.name]), relation)
  }

  /** Goes through expressions and FROM clauses: everything found is read. */
  #visit(value: Json | undefined, scope: Scope): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#visit(item, scope)
      return
    }
    if (!isObject(value)) return
    for (const key of Object.keys(value)) {
      const child = value[key]
      if (typeof child !== 'object' || child === null) continue
      if (isObject(child) && this.#visitNode(key, child, scope)) continue
      this.#typeName(key, child)
      this.#collation(key, child)
      this.#visit(child, scope)
    }
  }

  /** True when the node's children have been dealt with. */
  #visitNode(name: string, content: JsonObject, scope: Scope): boolean {
    switch (name) {
      case 'SelectStmt':
        this.#select(content, scope)
        return true
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
      case 'MergeStmt':
        this.#nested.push(...this.#writes(name, content, scope))
        return true
      case 'RangeVar': {
        const relation = relationOf(content)
        if (relation.schema === undefined && scope.has(relation.name)) return true
        this.#tables += 1
        this.#add(this.#reads, relation)
        return true
      }
      case 'FuncCall':
        this.#call(content)
        return false
      case 'SubLink':
      case 'SortBy':
        this.#operator(content)
        if (content['subLinkType'] === 'ANY_SUBLINK') this.#operators.add('=')
        return false
      case 'ColumnRef':
        this.#columns.add(columnName(content).join('.'))
        for (const field of list(content['fields']).slice(1)) this.#field(field)
        return true
      case 'A_Indirection':
        for (const item of list(content['indirection'])) this.#field(item)
        return false
      case 'A_Expr':
        this.#operator(content)
        return false
      case 'CaseExpr':
        if (content['arg'] !== undefined) this.#operators.add('=')
        return false
      case 'JoinExpr':
        if (content['usingClause'] !== undefined || content['isNatural'] === true) this.#operators.add('=')
        return false
      case 'CreateTrigStmt':
        this.#functions.add(calledName(strings(content['funcname'])))
        return false
      default:
        for (const called of newerCall(name, content)) this.#newer.add(called)
        return false
    }
  }

  /** OPERATOR(schema.name) counts by its name: whoever could shadow a known one is caught by it too. */
  #operator(content: JsonObject): void {
    for (const operator of strings(content['name'] ?? content['operName'] ?? content['useOp']).slice(-1))
      for (const name of spelled[operator] ?? [operator]) this.#operators.add(name)
  }

  #field(value: Json): void {
    const name = text(as(value, 'String')?.['sval'])
    if (name !== '') this.#fields.add(name)
  }

  /** A field `typeName`, `argType`, … or a node of a list. */
  #typeName(key: string, value: Json): void {
    if (!isObject(value) || !/type(name)?$/i.test(key)) return
    const names = strings(value['names'])
    const name = names.at(-1)
    if (name !== undefined && names[0] !== 'pg_catalog') this.#types.add(name)
  }

  /** COLLATE, also of a domain; and what a collation is copied from, by FROM or by an option. */
  #collation(key: string, value: Json): void {
    if (!isObject(value)) return
    const names = /^collateclause$|^collclause$/i.test(key)
      ? value['collname']
      : key === 'DefElem' && value['defname'] === 'from'
        ? copied(value['arg'])
        : undefined
    for (const name of strings(names).slice(-1)) this.#collations.add(name)
  }

  #call(content: JsonObject): void {
    const name = strings(content['funcname'])
    this.#functions.add(calledName(name))
    if (name.at(-1) === 'set_config') this.#settings.push(changedSetting(content, this.#said))
  }

  #select(content: JsonObject, outer: Scope): void {
    const scope = this.#with(content['withClause'], outer)
    const around = this.#said
    this.#locking ||= content['lockingClause'] !== undefined
    for (const key of Object.keys(content)) {
      const child = content[key]
      this.#said = key === 'targetList' ? saidBy(content['whereClause']) : new Map()
      // FOR UPDATE OF says names of what is in FROM.
      if (key === 'withClause' || key === 'lockingClause') continue
      if (key === 'larg' || key === 'rarg') this.#select(object(child), scope)
      else if (key === 'intoClause') this.#add(this.#written, relationOf(object(child)['rel']))
      else this.#visit(child, scope)
    }
    this.#said = around
  }

  /** A CTE sees the ones before it, and with RECURSIVE all of them; the statement sees all. */
  #with(clause: Json | undefined, outer: Scope): Scope {
    if (!isObject(clause)) return outer
    const expressions = list(clause['ctes']).map(entry => object(as(entry, 'CommonTableExpr')))
    const names = expressions.map(expression => text(expression['ctename']))
    const all: Scope = new Set([...outer, ...names])
    for (const [index, expression] of expressions.entries()) {
      const scope = clause['recursive'] === true ? all : new Set([...outer, ...names.slice(0, index)])
      this.#visit(expression['ctequery'], scope)
    }
    return all
  }

  #selects(content: JsonObject): boolean {
    const [from] = list(content['fromClause'])
    return namedIn(from).some(table => choosesRows(content['whereClause'], table))
  }

  #writes(name: string, content: JsonObject, outer: Scope): [NestedWrite, ...NestedWrite[]] {
    const before = this.#tables
    const scope = this.#with(content['withClause'], outer)
    const source = content['selectStmt']
    this.#visit(source, scope)
    const made = makesRows(source, object(content['withClause']))
    const chosen = (this.#tables === before && !made) || this.#saysWhich(object(as(source, 'SelectStmt')), made)
    for (const [key, child] of Object.entries(content)) {
      if (!['withClause', 'relation', 'selectStmt'].includes(key)) this.#visit(child, scope)
    }
    return writesOf(name, content, chosen)
  }

  /** Whether rows to insert are those that a statement writes down, or chosen by a WHERE; `made`: a few words make any number. */
  #saysWhich(source: JsonObject, made: boolean): boolean {
    if (source['valuesLists'] !== undefined || this.#selects(source)) return true
    return source['fromClause'] === undefined && source['larg'] === undefined && !made
  }

  #copy(content: JsonObject, scope: Scope): void {
    const range = content['relation']
    if (isObject(range)) this.#add(content['is_from'] === true ? this.#written : this.#reads, relationOf(range))
    this.#visit(content['query'], scope)
    this.#visit(content['whereClause'], scope)
    for (const column of strings(content['attlist'])) {
      if (content['is_from'] === true) this.#columnsWritten.add(column)
      else this.#columns.add(column)
    }
  }

  /** Commands about objects: every relation they name is written, except what a query inside them reads. */
  #utility(name: string, content: JsonObject, scope: Scope): void {
    const { relations, others, functions } = objectsOf(name, content)
    for (const relation of relations) this.#add(this.#written, relation)
    this.#others.push(...others)
    for (const called of functions) {
      this.#functions.add(called)
      // An aggregate that is made of it sets what its first state names.
      if (called.split('.').at(-1) === 'set_config') this.#settings.push(anySetting)
    }
    this.#ranges(content, scope)
  }

  #ranges(value: Json | undefined, scope: Scope): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#ranges(item, scope)
      return
    }
    if (!isObject(value)) return
    if (typeof value['relname'] === 'string') {
      this.#add(this.#written, relationOf(value))
      return
    }
    for (const [key, child] of Object.entries(value)) {
      if (key === 'RangeVar') this.#add(this.#written, relationOf(child))
      else if (isObject(child) && this.#visitNode(key, child, scope)) continue
      else {
        this.#typeName(key, child ?? null)
        this.#collation(key, child ?? null)
        this.#ranges(child, scope)
      }
    }
  }
}
