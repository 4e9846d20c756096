// Queries that functions are given as texts: read as if they were subqueries among the arguments. Pure.
import { Buffer } from 'node:buffer'
import { calledName } from './calls.ts'
import { hasOtherNames } from './other-names.ts'
import {
  constant,
  contains,
  isObject,
  type Json,
  type JsonObject,
  list,
  node,
  object,
  strings,
  text,
  walk,
} from './tree.ts'

/** Functions of tablefunc whose texts are queries, and nothing else. */
const named = /^crosstab[234]?$/

/** In what else such a function stands, it runs its texts at other times. */
const running: ReadonlySet<string> = new Set(['SelectStmt', 'InsertStmt'])

export interface Opened {
  readonly statement: Json | undefined
  /** Names of those functions, where all that they are given was read. */
  readonly functions: readonly string[]
}

/** `parse` gives the tree of a text that the grammar knows. */
export function openTexts(statement: Json | undefined, parse: (text: string) => Json | undefined): Opened {
  const unread: Opened = { statement, functions: [] }
  if (!running.has(node(statement)[0]) || callsOf(statement).length === 0) return unread
  const opened = structuredClone(statement) as Json
  const withNames = namesIn(statement)
  const functions = new Set<string>()
  for (const call of callsOf(opened)) {
    const queries = list(call['args']).flatMap(argument => queriesIn(argument, parse) ?? [undefined])
    // One that is given inside another text is not looked for.
    if (queries.some(query => query === undefined || callsOf(query).length > 0 || reads(query, withNames)))
      return unread
    const given = queries.map(subselect => ({ SubLink: { subLinkType: 'ARRAY_SUBLINK', subselect } }))
    Object.assign(call, { args: [...list(call['args']), ...given] })
    functions.add(calledName(strings(call['funcname'])))
  }
  return { statement: opened, functions: [...functions] }
}

function callsOf(value: Json | undefined): JsonObject[] {
  const found: JsonObject[] = []
  walk(value, (name, content) => {
    if (name === 'FuncCall' && named.test(strings(content['funcname']).at(-1) ?? '')) found.push(content)
    return false
  })
  return found
}

/** What WITH names in a statement. */
function namesIn(statement: Json | undefined): ReadonlySet<string> {
  const found = new Set<string>()
  walk(statement, (name, content) => {
    if (name === 'CommonTableExpr') found.add(text(content['ctename']))
    return false
  })
  return found
}

/** Whether a query says one of these names: those of the statement around it stand for nothing in it. */
function reads(query: Json, names: ReadonlySet<string>): boolean {
  let found = false
  walk(query, (name, content) => {
    if (name === 'RangeVar') found ||= names.has(text(content['relname']))
    return found
  })
  return found
}

/** The query that an argument is; none for a number. Undefined where nobody knows what it will be. */
function queriesIn(argument: Json, parse: (text: string) => Json | undefined): Json[] | undefined {
  const { ival } = object(object(argument)['A_Const'])
  if (isObject(ival)) return []
  const given = constant(argument)
  if (given === undefined || isReadOtherwise(given)) return undefined
  const [first, second] = list(object(parse(given))['stmts'])
  const query = object(first)['stmt']
  const isQuery = second === undefined && node(query)[0] === 'SelectStmt'
  if (!isQuery || query === undefined || contains(query, 'ParamRef')) return undefined
  // SELECT INTO makes a table.
  return JSON.stringify(query).includes('"intoClause"') ? undefined : [query]
}

/** What a backslash in a literal means depends on the session, which is not known here. */
const isReadOtherwise = (query: string): boolean => query.includes('\\') || hasOtherNames(Buffer.from(query))

/** Whether such a function may stand in a text: hardly any has one, and to look through a tree takes a while. */
export const mayHaveTexts = (text: string): boolean => /crosstab/i.test(text)
