// Reads and writes of a parse tree → where their columns come from and go to. Pure.
import { Expressions, Unfollowed } from './expressions.ts'
import { aliasOf, FromClause, together } from './from-clause.ts'
import { besidesItself } from './kept.ts'
import type { AddedColumn, Arrangement, Body, CommonTable, Lineage, Output, Query, Sink, Use } from './lineage.ts'
import { relationOf } from './objects.ts'
import { isCertainName, outputName } from './output-name.ts'
import { referencedBy } from './referenced.ts'
import { as, explains, isObject, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

/** Deeper queries are not followed: what walks this later has an ordinary stack. */
const MAX_DEPTH = 100

/** Statements that neither show nor move what tables hold. */
const inert = new Set([
  ...['TransactionStmt', 'VariableSetStmt', 'VariableShowStmt', 'ConstraintsSetStmt', 'DeallocateStmt'],
  ...['ClosePortalStmt', 'DiscardStmt', 'UnlistenStmt', 'ListenStmt', 'CheckPointStmt', 'LockStmt', 'TruncateStmt'],
  ...['DropStmt', 'VacuumStmt', 'RefreshMatViewStmt', 'CommentStmt', 'ReindexStmt'],
])

/** What becomes of columns in a statement. What cannot be followed says why. */
export function lineageOf(name: string, content: JsonObject): Lineage {
  try {
    return new Queries().statement(name, content)
  } catch (thrown) {
    if (!(thrown instanceof Unfollowed)) throw thrown
    return { kind: 'unknown', reason: thrown.message }
  }
}

class Queries {
  readonly #expressions = new Expressions(select => this.#query(object(as(select, 'SelectStmt'))))
  readonly #from = new FromClause(this.#expressions, select => this.#query(select))
  #depth = 0

  statement(name: string, content: JsonObject): Lineage {
    if (inert.has(name) || (name === 'GrantStmt' && content['is_grant'] !== true)) return { kind: 'inert' }
    switch (name) {
      case 'SelectStmt':
        return this.#lineage(content, isInto(content) ? 'elsewhere' : 'client')
      case 'InsertStmt':
      case 'UpdateStmt':
      case 'DeleteStmt':
      case 'MergeStmt':
        return { kind: 'query', query: this.#write(name, content), sink: 'client' }
      case 'PrepareStmt':
      case 'DeclareCursorStmt':
        return this.#inner(content['query'])
      case 'ExplainStmt':
        return this.#explain(content)
      case 'CreateTableAsStmt':
      case 'ViewStmt': {
        const select = as(content['query'], 'SelectStmt')
        return select === undefined ? prepared('elsewhere') : this.#lineage(select, 'elsewhere')
      }
      case 'ExecuteStmt':
        return prepared('client')
      case 'CopyStmt':
        return this.#copy(content)
      default:
        return definition(name, content)
    }
  }

  #lineage(select: JsonObject, sink: Sink): Lineage {
    return { kind: 'query', query: this.#query(select), sink }
  }

  #inner(statement: Json | undefined): Lineage {
    const [name, content] = node(statement)
    return this.statement(name, content)
  }

  /** A plan is made without looking at rows; ANALYZE runs it. */
  #explain(content: JsonObject): Lineage {
    const inner = this.#inner(content['query'])
    // Of an UPDATE only what is another byte than before is written.
    if (explains(content, 'memory')) throw new Unfollowed('how much memory planning takes tells of statistics')
    if (explains(content, 'wal')) throw new Unfollowed('how much WAL a statement writes tells of the rows')
    const sink = explains(content, 'analyze') ? 'analysis' : 'plan'
    if (inner.kind === 'unknown' && inner.runs !== undefined) return prepared(sink)
    return inner.kind === 'query' ? { ...inner, sink } : inner
  }

  #copy(content: JsonObject): Lineage {
    if (content['is_from'] === true) throw new Unfollowed('COPY FROM is not followed')
    const sink: Sink = content['is_program'] === true || text(content['filename']) !== '' ? 'elsewhere' : 'copy'
    if (content['query'] !== undefined) {
      const inner = this.#inner(content['query'])
      return inner.kind === 'query' ? { ...inner, sink } : inner
    }
    const columns = strings(content['attlist'])
    if (columns.includes('*')) throw new Unfollowed('a column that is called * is not followed')
    const outputs = (columns.length === 0 ? ['*'] : columns).map(
      (column): Output => ({
        name: column === '*' ? undefined : column,
        expression: { columns: [[column]], queries: [], uses: [], tests: [], form: 'column', cast: false },
        ...(column === '*' ? { stored: true } : {}),
      }),
    )
    const from = [this.#from.relation(object(content['relation']))]
    const uses = this.#expressions.condition(content['whereClause'], 'WHERE')
    return { kind: 'query', query: { ...nothing, from, uses, body: { kind: 'select', outputs } }, sink }
  }

  #query(select: JsonObject): Query {
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw new Unfollowed(`queries are followed to a depth of ${MAX_DEPTH}`)
    try {
      const { tables, recursive } = this.#with(select['withClause'])
      const { from, body, uses, arrangements, distinct } = this.#expressions.windows.within(
        select['windowClause'],
        () => this.#select(select),
      )
      return { tables, recursive, from, body, uses, arrangements, distinct }
    } finally {
      this.#depth -= 1
    }
  }

  #with(clause: Json | undefined): Pick<Query, 'tables' | 'recursive'> {
    if (!isObject(clause)) return { tables: [], recursive: false }
    const tables = list(clause['ctes']).map((entry): CommonTable => {
      const table = object(as(entry, 'CommonTableExpr'))
      const [name, query] = node(table['ctequery'])
      return {
        name: text(table['ctename']),
        columns: strings(table['aliascolnames']),
        added: addedColumns(table),
        query: name === 'SelectStmt' ? this.#query(query) : this.#write(name, query),
      }
    })
    return { tables, recursive: clause['recursive'] === true }
  }

  #select(select: JsonObject): Omit<Query, 'tables' | 'recursive'> {
    const uses: Use[] = [
      ...this.#expressions.condition(select['whereClause'], 'WHERE'),
      ...this.#expressions.condition(select['havingClause'], 'HAVING'),
      ...list(select['windowClause']).flatMap(window => this.#expressions.window(object(as(window, 'WindowDef')))),
      ...['limitCount', 'limitOffset'].flatMap((field): Use[] =>
        select[field] === undefined
          ? []
          : [{ kind: 'condition', where: 'LIMIT', expression: this.#expressions.expression(select[field]) }],
      ),
    ]
    const distinct = list(select['distinctClause'])
    const on = distinct.filter(item => isObject(item) && Object.keys(item).length > 0)
    return {
      from: list(select['fromClause']).map(item => this.#from.item(item)),
      body: this.#body(select),
      uses,
      arrangements: [
        ...list(select['sortClause']).map(item => this.#arrangement(as(item, 'SortBy')?.['node'], 'ORDER BY')),
        ...list(select['groupClause']).flatMap(item => this.#groups(item)),
        ...on.map(item => this.#arrangement(item, 'DISTINCT')),
      ],
      distinct: distinct.length > on.length,
    }
  }

  #body(select: JsonObject): Body {
    const operation = select['op']
    if (operation !== undefined && operation !== 'SETOP_NONE') {
      const compares = operation !== 'SETOP_UNION' || select['all'] !== true
      const side = (field: string): Query => this.#query(object(select[field]))
      return { kind: 'set', compares, left: side('larg'), right: side('rarg') }
    }
    const rows = list(select['valuesLists']).map(row => list(object(as(row, 'List'))['items']))
    if (rows.length === 0) return { kind: 'select', outputs: this.#outputs(select['targetList']) }
    const columns = (rows[0] ?? []).map((only, index) =>
      rows.length === 1
        ? this.#expressions.expression(only)
        : together(
            this.#expressions,
            rows.map(row => row[index]),
          ),
    )
    return { kind: 'values', columns, expands: rows.some(row => row.some(isStar)) }
  }

  #outputs(targets: Json | undefined): Output[] {
    return list(targets).map(item => {
      const target = object(as(item, 'ResTarget'))
      const value = target['val']
      const given = text(target['name'])
      return {
        name: given || outputName(value),
        ...(given === '' && !isCertainName(value) ? { guessed: true } : {}),
        ...(isStar(value) && as(value, 'ColumnRef') === undefined ? { expands: true } : {}),
        expression: this.#expressions.expression(value),
      }
    })
  }

  #groups(item: Json): Arrangement[] {
    const set = as(item, 'GroupingSet')
    return set === undefined
      ? [this.#arrangement(item, 'GROUP BY')]
      : list(set['content']).flatMap(inner => this.#groups(inner).map(group => ({ ...group, inSet: true })))
  }

  #arrangement(value: Json | undefined, where: string): Arrangement {
    const constant = as(value, 'A_Const')
    const position = constant === undefined ? undefined : object(constant['ival'])['ival']
    return {
      where,
      expression: this.#expressions.expression(value),
      position: typeof position === 'number' ? position : undefined,
      inSet: false,
    }
  }

  #write(name: string, content: JsonObject): Query {
    if (!['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'].includes(name))
      throw new Unfollowed(`columns cannot be followed through ${name}`)
    const conflict = object(content['onConflictClause'])
    const whens = list(content['mergeWhenClauses']).map(clause => object(as(clause, 'MergeWhenClause')))
    const assignments = [content, conflict, ...whens].flatMap(part => list(part['targetList'])).map(targetOf)
    const isAlone = name === 'UpdateStmt' && content['fromClause'] === undefined
    const moved = assignments.map(item => this.#expressions.expression(putIn(item, content['relation'], isAlone)))
    // `a[(SELECT …)] = …`: the place shows what it was computed from.
    const places = [...assignments, ...list(content['cols']).map(targetOf)].map(item =>
      together(this.#expressions, list(item['indirection'])),
    )
    const values = whens.flatMap(when => list(when['values'])).map(value => this.#expressions.expression(value))
    const source = as(content['selectStmt'], 'SelectStmt')
    const others = [...list(content['fromClause']), ...list(content['usingClause'])]
    const merged = content['sourceRelation'] === undefined ? [] : [content['sourceRelation']]
    return {
      ...nothing,
      ...this.#with(content['withClause']),
      from: [
        { ...this.#from.relation(object(content['relation'])), written: true },
        ...[...others, ...merged].map(item => this.#from.item(item)),
      ],
      uses: [
        ...this.#expressions.condition(content['whereClause'], 'WHERE'),
        ...this.#expressions.condition(content['joinCondition'], 'ON'),
        ...this.#expressions.condition(conflict['whereClause'], 'ON CONFLICT'),
        ...whens.flatMap(when => this.#expressions.condition(when['condition'], 'WHEN')),
      ],
      body: {
        kind: 'write',
        moved: [...moved, ...values, ...places],
        source: source === undefined ? undefined : this.#query(source),
        excluded: content['onConflictClause'] !== undefined,
        ...this.#returning(object(content['returningClause'])),
      },
    }
  }

  /** `RETURNING WITH (OLD AS o) …`; without that the rows are called old and new. */
  #returning({ options, exprs }: JsonObject): Pick<Extract<Body, { kind: 'write' }>, 'versions' | 'outputs'> {
    const given = list(options).map(option => object(as(option, 'ReturningOption')))
    const called = (which: string, otherwise: string): string =>
      text(given.find(({ option }) => option === `RETURNING_OPTION_${which}`)?.['value']) || otherwise
    return { versions: [called('OLD', 'old'), called('NEW', 'new')], outputs: this.#outputs(exprs) }
  }
}

const prepared = (runs: Sink): Lineage => ({
  kind: 'unknown',
  reason: 'what it takes from a prepared statement is not followed',
  runs,
})

const nothing: Query = {
  tables: [],
  recursive: false,
  from: [],
  body: { kind: 'select', outputs: [] },
  uses: [],
  arrangements: [],
  distinct: false,
}

/** Whether it is SELECT … INTO; of a UNION and the like, the first SELECT says where all of it goes. */
function isInto(select: JsonObject): boolean {
  let first = select
  while (isObject(first['larg'])) first = first['larg']
  return first['intoClause'] !== undefined
}

/** Whether a value is written with a star at its end, and stands for several. */
function isStar(value: Json | undefined): boolean {
  const [name, content] = node(value)
  const parts = name === 'ColumnRef' ? content['fields'] : name === 'A_Indirection' ? content['indirection'] : undefined
  return as(list(parts).at(-1), 'A_Star') !== undefined
}

/** What an assignment puts into a column beside what is there; `isAlone`: no other table has a column of that name. */
function putIn(assignment: JsonObject, relation: Json | undefined, isAlone: boolean): Json | undefined {
  if (assignment['indirection'] !== undefined) return assignment['val']
  const { alias } = aliasOf(object(relation))
  const column = text(assignment['name'])
  const named = `${alias ?? text(object(relation)['relname'])}.${column}`
  return besidesItself(assignment['val'], new Set(isAlone ? [named, column] : [named]))
}

/** @throws {Unfollowed} for what is more than a definition. */
function definition(name: string, content: JsonObject): Lineage {
  const references = referencedBy(name, content)
  const reason = 'columns are not followed through this command'
  if (references === undefined) throw new Unfollowed(reason)
  const made = name === 'CreateStmt' ? relationOf(content['relation']) : undefined
  return { kind: 'definition', references, made, reason }
}

const targetOf = (item: Json): JsonObject => object(as(item, 'ResTarget'))

/** What SEARCH and CYCLE add to what a recursive query gives. */
function addedColumns(table: JsonObject): AddedColumn[] {
  const search = object(table['search_clause'])
  const cycle = object(table['cycle_clause'])
  const added = (name: Json | undefined, of: Json | undefined): AddedColumn[] =>
    name === undefined ? [] : [{ name: text(name), of: strings(of) }]
  return [
    ...added(search['search_seq_column'], search['search_col_list']),
    ...added(cycle['cycle_mark_column'], cycle['cycle_col_list']),
    ...added(cycle['cycle_path_column'], cycle['cycle_col_list']),
  ]
}
