// Items of FROM in a parse tree: tables, subqueries, functions that return rows, and joins of them. Pure.
import { type Expressions, Unfollowed } from './expressions.ts'
import type { Expression, From, Query, Use } from './lineage.ts'
import { relationOf } from './objects.ts'
import { isCertainName, outputName } from './output-name.ts'
import { as, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

export class FromClause {
  readonly #expressions: Expressions
  readonly #query: (select: JsonObject) => Query

  /** `query` reads a subquery; given from outside, since queries have items of FROM and the other way round. */
  constructor(expressions: Expressions, query: (select: JsonObject) => Query) {
    this.#expressions = expressions
    this.#query = query
  }

  /** A table or view by its name. */
  relation(range: JsonObject): Extract<From, { kind: 'relation' }> {
    return {
      kind: 'relation',
      ...relationOf(range),
      ...aliasOf(range),
      written: false,
      sampled: [],
    }
  }

  /** @throws {Unfollowed} for what columns cannot be followed through. */
  item(item: Json | undefined): From {
    const [name, content] = node(item)
    switch (name) {
      case 'RangeVar':
        return this.relation(content)
      case 'RangeSubselect': {
        const query = this.#query(object(as(content['subquery'], 'SelectStmt')))
        return { kind: 'query', query, lateral: content['lateral'] === true, ...aliasOf(content) }
      }
      case 'RangeFunction':
      case 'RangeTableFunc':
      case 'JsonTable': {
        const alias = aliasOf(content)
        const defined = list(content['coldeflist']).map(entry => text(as(entry, 'ColumnDef')?.['colname']))
        const { alias: _alias, coldeflist: _columns, ...made } = content
        const columns = defined.length > 0 ? defined : alias.columns
        const given = together(this.#expressions, [made])
        // As many rows come as there are in the document.
        const felt: Use[] =
          name === 'RangeFunction' ? [] : [{ kind: 'condition', where: 'FROM', expression: { ...given, uses: [] } }]
        const expression = { ...given, uses: [...given.uses, ...felt] }
        return { kind: 'function', expression, alias: alias.alias ?? nameInFrom(content), columns }
      }
      case 'RangeTableSample':
        return this.#sample(content)
      case 'JoinExpr':
        return this.#join(content)
      default:
        throw new Unfollowed(`columns cannot be followed through ${name} in FROM`)
    }
  }

  /** How many rows come, and which, depends on the arguments. */
  #sample(content: JsonObject): From {
    const relation = as(content['relation'], 'RangeVar')
    if (relation === undefined) throw new Unfollowed('TABLESAMPLE of what is no table is not followed')
    const given = together(this.#expressions, [...list(content['args']), content['repeatable']])
    return { ...this.relation(relation), sampled: [{ kind: 'condition', where: 'TABLESAMPLE', expression: given }] }
  }

  #join(content: JsonObject): From {
    const using = strings(content['usingClause'])
    if (content['join_using_alias'] !== undefined) throw new Unfollowed('an alias of JOIN USING is not followed')
    return {
      kind: 'join',
      left: this.item(content['larg']),
      right: this.item(content['rarg']),
      using: content['isNatural'] === true ? 'natural' : using.length > 0 ? using : undefined,
      conditions: this.#expressions.condition(content['quals'], 'ON'),
      ...aliasOf(content),
    }
  }
}

/** One expression that several values flow into. */
export function together(expressions: Expressions, values: readonly (Json | undefined)[]): Expression {
  return { ...expressions.expression(...values), form: 'computed', cast: false }
}

/** The name of a function in FROM that has no alias; undefined where it is no plain call of one. */
function nameInFrom({ functions, is_rowsfrom: isRowsFrom }: JsonObject): string | undefined {
  const [only, second] = list(functions)
  const [call] = list(object(as(only, 'List'))['items'])
  if (isRowsFrom === true || second !== undefined || as(call, 'FuncCall') === undefined) return undefined
  return isCertainName(call) ? outputName(call) : undefined
}

/** The alias of an item, and the names that it gives to columns. */
export function aliasOf(content: JsonObject): { alias: string | undefined; columns: readonly string[] } {
  const alias = object(content['alias'])
  return { alias: text(alias['aliasname']) || undefined, columns: strings(alias['colnames']) }
}
