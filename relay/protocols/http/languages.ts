// Texts in languages that ask for fields: whether one gives a masked field another name. Pure.
import { plainValue } from './names-in.ts'

/** As services call a parameter that holds a query in some language. */
const holdsQuery =
  /^(?:q|queries|query|sql|raw_?sql|stmt|statements?|query_?string|soql|search|command|commands|cypher|esql|kql|csl|ksql|yql|aql|tq|gremlin|fetch_?xml|flux|expr|expressions?|match)$/i
/** What is nothing but choosing and naming. */
const isTransformer = /^(?:jq|jmes_?path|jsonata|json_?path)$/i

/** Whether a parameter of this name holds a text in a language of queries. */
export const isLanguage = (parts: readonly string[]): boolean =>
  parts.some(part => holdsQuery.test(part) || isTransformer.test(part))

/**
 * Whether a text under such a name asks for one of these fields under another name. What people look for is no query: a
 * text has to begin as one, or has to have what only queries have. `hasNoSource`: it says of nothing that it selects from it (Socrata's `$query`).
 */
export function renamesInLanguage(
  parts: readonly string[],
  written: string,
  isMasked: (name: string) => boolean,
  hasNoSource = false,
): boolean {
  if (parts.some(part => isTransformer.test(part))) return wordsIn(plainValue(written)).some(isMasked)
  return renamesInStatement(written, isMasked, hasNoSource)
}

/** What every one has that could be refused. */
const hasStatement = /select|match|with|return|\||label_|nodes|terms|alias|:=|\*\s*\[|\.(?:values|by|project)\s*\(/i

/** The same of a text that is all there is: of a body without a name. What may be a comment may be a part of it to others. */
export function renamesInStatement(written: string, isMasked: (name: string) => boolean, hasNoSource = false): boolean {
  if (!hasStatement.test(written)) return false
  const bare = withoutComments(written)
  // In some dialects a backslash takes the quote behind it out.
  const unquoted = written.replaceAll(/\\./gs, '')
  return [...new Set([written, bare, unquoted].map(plainValue))].some(
    text => renamesInSql(withoutLiterals(text), isMasked, hasNoSource) || renamesInStages(text, isMasked),
  )
}

function withoutComments(text: string): string {
  let [shown, from] = ['', 0]
  for (let at = text.indexOf('/*'); at >= 0; at = text.indexOf('/*', from)) {
    const end = text.indexOf('*/', at + 2)
    if (end < 0) break
    shown += `${text.slice(from, at)} `
    from = end + 2
  }
  return (shown + text.slice(from)).replaceAll(/(?:--|#)[^\r\n]*/g, ' ')
}

/** Identifiers with what is before their dots, in quotes or without. */
const wordsIn = (text: string): string[] => [...new Set(text.match(/[\p{L}\p{N}\p{M}_$.-]+/gu))]

/** Texts are no names; a name with blanks is one word. What is open to the end is neither, and looked for once. */
function withoutLiterals(text: string): string {
  const unclosed = new Set<string>()
  let [shown, from] = ['', 0]
  for (const { 0: open, index } of text.matchAll(/['"`[]/g)) {
    if (index < from || unclosed.has(open)) continue
    const end = text.indexOf(open === '[' ? ']' : open, index + 1)
    if (end < 0) {
      unclosed.add(open)
      continue
    }
    const name = text.slice(index + 1, end)
    // To Cosmos DB it may be a list, whose elements have no names.
    const quoted = open === '[' && name.includes('.') ? text.slice(index, end + 1) : name.replaceAll(/[\s,()]/g, '_')
    shown += `${text.slice(from, index)}${open === "'" ? "''" : ` ${quoted} `}`
    from = end + 1
  }
  return (shown + text.slice(from)).replaceAll(/ ?\. ?/g, '.')
}

/**
 * `with c as (…)`, `match (c) … return c.vin as v`, `for c in cars return c.vin`; of others nothing is known. `for name in names:`
 * is a program's, and two words behind `return` with nothing between are somebody's sentence.
 */
const other =
  /^[\s(;]*(?:(?:explain|profile)\b[^(]{0,40}?)?(?:with\s(?:recursive\s)?[\p{L}\p{N}_]+\s?(?:\([^)]*\)\s?)?as\s?(?:(?:not\s)?materialized\s?)?\(\s?(?:select|with|values|table|match|\()|(?:optional )?match\s?\(.*\breturn\b|from\s.{1,2000}?\sselect\b|(?:call\s?\{|unwind\s|with\s|use\s|cypher\s)(?=(?<begun>.*?\bmatch\s?\())\k<begun>.*\breturn\b\s?\S|(?:for\s{1,3}[\p{L}\p{N}_]+(?:\s{0,3},\s{0,3}[\p{L}\p{N}_]+){0,2}\s{1,3}in\s{1,3}(?![\p{L}\p{N}_.]+(?:\([^()]{0,200}\))?\s?[:{])|let\s[\p{L}\p{N}_]+\s?=).*\breturn\b(?!\s(?:the|an|your|my|our|their|to)\s(?!(?:in|not|like|and|or|all|any|none)\b)[\p{L}])\s?\S)/iu
/** What holds a query: `copy (select …) to stdout`, `declare c cursor for select …`, `create view x as select …`. */
const holder =
  /^\s?(?:copy\s?\(|declare\s.{1,200}?\sfor\b|(?:create|replace)\s.{1,300}?\sas\b|prepare\s.{1,200}?\sas\b|insert\s(?:ignore\s)?(?:into|overwrite)\s.{1,500}?(?=[\s)(]select\b)|use\s\S{1,200})[\s()]{0,20}\b(?:select|with)\b/i
const hasSource = /\bfrom\b/i
const select = /^[\s(;]*(?:explain\b[^(]{0,40}?)?select\b(.*)$/i
/** In these the columns of one query are called as those of another, or anything. */
const renamesAll = /\b(?:union|intersect|except|unpivot)\b|\(\s?select\b/i
/** A value as it is, without a name (N1QL, Cosmos DB, SurrealQL). */
const bareValue = /^\s?(?:distinct\s)?(?:raw|value|element)\s(?!as\s)[^\s,]/i
/** `from cars as t(a, b)`: whatever the columns are called. */
const renamesColumns =
  /\b(?:from|join)\s(?:only\s)?[\p{L}\p{N}_.]+\s(?:as\s)?(?!(?:where|on|using|group|order|having|limit|join|left|right|inner|outer|cross|full|natural|union|except|intersect|window|for|fetch|offset|values|set|when|with|partition|tablesample|final|prewhere|array|lateral|and|or)\s?\()[\p{L}\p{N}_]+\s?\([\p{L}\p{N}_, ]+\)/iu
/** A name that stands somewhere else in the request: `select {f:Identifier}`, `select c[@f]`. */
const borrowedName = /:\s?identifier\s?\}|\[\s?@/i

/** Whether a statement takes names of what it selects from elsewhere in the request. */
export const borrowsNames = (parts: readonly string[], written: string): boolean =>
  isLanguage(parts) && borrowedName.test(plainValue(written)) && /\bselect\b/i.test(written)
/** `from unnest(vin) as v`, and not `join x using (vin)`. */
const call = /(?<!(?:using|on|and|or|in|not|from|join)\s?)\([^)]{0,2000}/gi
const endOfSources = /\b(?:where|group|order|having|limit|qualify)\b/i

/** SQL and what is like it (SOQL, InfluxQL, N1QL, Cypher): a masked field may be asked for as it is, or compared. */
function renamesInSql(text: string, isMasked: (name: string) => boolean, hasNoSource: boolean): boolean {
  return text.split(';').some(statement => renamesInOne(statement, isMasked, hasNoSource))
}

function renamesInOne(text: string, isMasked: (name: string) => boolean, hasNoSource: boolean): boolean {
  const names = (part: string): boolean => wordsIn(part).some(isMasked)
  if (other.test(text) || (holder.test(text) && hasSource.test(text))) return names(text)
  const [, selected] = select.exec(text) ?? []
  if (selected === undefined) return false
  const [list, rest] = cutAtFrom(selected)
  if (rest === undefined && !hasNoSource) return false
  const columns = columnsOf(list.replace(/^\s?(?:distinct|all|top \d+)\b/i, ''))
  // There is but one, which may be a list or an object with commas: `select value v, id` has two columns.
  if (bareValue.test(list) && names(/[[{]/.test(list) ? list : (columns[0] ?? ''))) return true
  if (columns.some(column => isMade(column) && names(withoutAlias(column)) && !isSentence(column))) return true
  if (renamesAll.test(text)) return names(text)
  if (rest !== undefined && renamesColumns.test(`from${rest}`)) return true
  const sources = (rest ?? '').split(endOfSources, 1)[0] ?? ''
  return [...sources.matchAll(call)].some(([given]) => names(given))
}

/** What an expression is called by then: a field that is masked may lend its name. */
function withoutAlias(column: string): string {
  const [whole = '', before = ''] =
    /([\p{L}\p{N}_]+|[)'])\s(?:as\s)?[\p{L}\p{N}_]+$/iu.exec(column.trim().slice(-MAX_ALIAS_LENGTH)) ?? []
  const isNamed = whole !== '' && (/\sas\s/i.test(whole) || !beforeOperand.test(before))
  return isNamed ? column.trim().slice(0, before.length - whole.length) : column
}

const MAX_ALIAS_LENGTH = 200
/** Words behind which no name of the column comes, but what it is made of. */
const beforeOperand =
  /^(?:is|collate|at|over|div|mod|r?like|ilike|in|and|or|not|xor|between|filter|within|escape|case|when|then|else|distinct|all|any|some|exists|binary|prior|connect_by_root|array|row|variadic|interval|new|old|select|unique)$/i
const isMade = (column: string): boolean => wordsIn(column)[0] !== column.trim()

/** What is selected, and from what; `extract(year from born)` is no place to cut. */
function cutAtFrom(text: string): readonly [string, string | undefined] {
  let depth = 0
  for (const { 0: sign, index } of text.matchAll(/[()]|\bfrom\b/gi)) {
    if (sign === '(') depth += 1
    else if (sign === ')') depth -= 1
    else if (depth <= 0) return [text.slice(0, index), text.slice(index + sign.length)]
  }
  return [text, undefined]
}

/** What stands between commas that are in no bracket. */
function columnsOf(list: string): string[] {
  const columns = ['']
  let depth = 0
  for (const sign of list) {
    if (sign === '(') depth += 1
    if (sign === ')') depth -= 1
    if (sign === ',' && depth === 0) columns.push('')
    else columns[columns.length - 1] += sign
  }
  return columns
}

/** `select an email address from the list`: no column of a statement has three words, but where some are the language's own. */
function isSentence(column: string): boolean {
  const words = column.replace(/\sas\s/i, ' ').trim()
  return /^(?:[\p{L}\p{N}_]+\s){2,}[\p{L}\p{N}_]+$/iu.test(words) && !ofLanguage.test(words)
}

const ofLanguage = /\b(?:is|collate|at|over|div|mod|r?like|ilike|in|and|or|not|xor|between|end|filter|within|escape)\b/i

/**
 * Stages that make new fields: of LogQL, ES|QL, Kusto and Splunk, of Flux and SQL in pipes, groups of Vespa, functions of PromQL
 * and Solr, and what FetchXML gives another name.
 */
const stages = new RegExp(
  [
    '(?<!\\|)\\|\\s?(?:rename|eval|stats|eventstats|project(?:-rename)?|extend|summarize|label_format|line_format|json|logfmt|pattern|regexp|unwrap|dissect|grok|rex|chart|timechart|strcat|foreach|streamstats|convert|bin|spath|mv-apply|mv-expand|parse(?:-where|-kv)?)\\b(?![/.])[^|]{0,2000}',
    '\\|\\s?all\\s?\\([^|]{0,2000}',
    '\\|>\\s?(?:rename|map|reduce|distinct|keys?|values|top|histogram|duplicate|pivot|findColumn|findRecord|extend|select|aggregate)\\b[^|]{0,2000}',
    '\\b(?:label_replace|label_join|nodes|gatherNodes|significantTerms)\\s?\\((?:[^()|]|\\([^()|]{0,500}\\)){0,2000}',
    '<attribute\\b(?=[^<>]{0,1000}\\balias\\b)[^<>]{0,1000}',
  ].join('|'),
  'giu',
)

/** EdgeQL: `select Car { v := .vin }`. Programs in Go and Pascal assign so as well. */
const edgeql = /\b(?:select|group)\b/i
const valueOfEdgeql = /[\p{L}\p{N}_]\s?:=[^,}]{0,500}/gu
/** Gremlin begins at something: `g.V().values('vin')`. Others call functions so as well, as Django does. */
const gremlin = /\.\s?["']?(?:V|E|addV|addE|mergeV|mergeE|inject|call|vertices|edges)["']?\s?\(/
const valueOfGremlin = /\.(?:values|by|project)\s?\(\s?["'][^()]{0,500}/gi
/** GROQ: `*[…]{"v": vin}`, `*[…].vin`. `* [x] call them` is an item of a list. */
const groq = /^\s?\*\s?\[(?!\s?x?\s?\]\s[\p{L}\p{N}"'])/iu
const valueOfGroq = /(?:"\s?:|[.>])[^,{}]{0,500}/g

function renamesInStages(text: string, isMasked: (name: string) => boolean): boolean {
  const found = [
    ...text.matchAll(stages),
    ...(edgeql.test(text) ? text.matchAll(valueOfEdgeql) : []),
    ...(gremlin.test(text) ? text.matchAll(valueOfGremlin) : []),
    ...(groq.test(text) ? text.matchAll(valueOfGroq) : []),
  ]
  return found.some(([stage]) => wordsIn(stage).some(isMasked))
}
