// Searches whose answers have values of fields without their names: by what is sorted or listed, and in tables. Pure.
import { isObject, someMember } from './inside.ts'
import type { Member } from './members.ts'
import { namesIn } from './names-in.ts'

/** Each hit has what it was sorted by: `{"sort":["ann@example.com"]}` (Elasticsearch, and through Kibana; CouchDB's `order`). */
const sorted = /\/_(?:m?search|async_search)(?:\/|$)|\/internal\/b?search(?:\/|$)|\/api\/console\/proxy$/
/** Answers with nothing but values: of the field that is named so. */
const listed: readonly (readonly [path: RegExp, name: string])[] = [
  [/\/_terms_enum$/, 'field'],
  [/\/_graph\/_?explore$/, 'field'],
  [/\/facet$/, 'key'],
]
/** Those of them that also take YAML, CBOR and SMILE. */
const ofElasticsearch = /\/_(?:m?search|async_search|terms_enum|graph|eql|sql|query|plugins)(?:\/|$)/
/** Those of a field that stands in the path: Algolia, Prometheus and Loki, Tempo. */
const listedInPath = /\/facets\/([^/]+)\/query$|\/(?:label|tag)\/([^/]+)\/values$/
/** They say which words of the field matched, also of those that begin with a letter or are like another (Elasticsearch, Solr). */
const explained = /\/_explain\/|\/_validate\/query$/
const explaining = /^(?:explain|profile|debug|debugquery|explainother|rewrite)$/i
/** To Solr: anybody's `/query` may have a profile. */
const explainingToSolr = /^(?:debug|debugquery|explainother)$/i
/** What a search gets its fields from besides: they may be anywhere. */
const template = /\/_m?search\/template$/
/** Each sequence has what its events have in common: `{"join_keys":["ann@example.com"]}`. */
const sequences = /\/_eql\/search(?:\/|$)/
const joinedBy = /\bby\b([^[|]*)/gi
/** Answers with columns and rows. */
const tabled = /\/_(?:plugins\/_)?(?:sql|ppl|query)(?:\/async)?$/
/** Of ES|QL and PPL, a statement that says of no field that it is kept. */
const keepsAll = /^\s*(?:from|source)\b(?!.*\|\s*(?:keep|stats|fields)\b)/is

/** Whether a statement takes whatever there is: a star behind a `select` without a bracket between. */
function takesAll(text: string): boolean {
  const isAll = (part: string): boolean => {
    const at = part.search(/\bselect\b/i)
    return at >= 0 && part.includes('*', at)
  }
  return keepsAll.test(text) || text.split(/[()]/).some(isAll)
}

/** Parameters with which rows come without names, or with others: Airtable, CKAN, Datasette, Druid, Solr, ClickHouse. */
const shapes: readonly (readonly [name: RegExp, value: RegExp])[] = [
  [/^returnfieldsbyfieldid$/i, /^(?:true|1)$/i],
  [/^records_format$/i, /^(?:lists|csv|tsv)$/i],
  [/^_shape$/i, /^array(?:s|first)$/i],
  [/^(?:resultformat|row_?(?:mode|format))$/i, /^(?:array|compactedlist|lists?)$/i],
  [/^(?:.*\.)?json\.nl$/i, /^(?:flat|arr)/i],
  [/^default_format$/i, /compact/i],
  [/^query$/i, /\bformat\s+json\w*compact/i],
]

/** Whether a request asks for rows without the names of their fields. */
export function takesNamesAway(members: readonly Member[], documents: readonly unknown[]): boolean {
  const isShape = (name: string, value: unknown): boolean =>
    (typeof value === 'string' || value === true) &&
    shapes.some(shape => shape[0].test(name) && shape[1].test(String(value)))
  return (
    members.some(([name, value]) => isShape(name, value)) ||
    documents.some(document => isObject(document) && someMember(document, isShape))
  )
}

const MAX_DEPTH = 64

/**
 * Whether a search asks for values of one of these fields where the answer does not say so, or may in a language that nobody
 * reads here. `members` are its query's; `isForeign` says that it has a body that is no document.
 */
export function hidesNames(
  path: string,
  members: readonly Member[],
  documents: readonly unknown[],
  isForeign: boolean,
  isMasked: (name: string) => boolean,
): boolean {
  if (ofElasticsearch.test(path) && (isForeign || members.some(([name, value]) => isForeignSource(name, value))))
    return true
  const isNamed = (text: string): boolean => namesIn(text).some(isMasked)
  const [, ofFacet, inPath = ofFacet] = listedInPath.exec(path) ?? []
  // Prometheus calls its metrics so, which are no field.
  if (inPath !== undefined) return inPath !== '__name__' && isNamed(inPath)
  if (
    sorted.test(path) &&
    (members.some(([name, value]) => name === 'sort' && isNamed(value)) ||
      documents.some(each => sortsIn(each, 0, isNamed)))
  )
    return true
  if (
    isExplained(path, members, documents) &&
    (members.some(([, value]) => isNamed(value)) || documents.some(each => namesAnywhere(each, 0, isNamed)))
  )
    return true
  const texts =
    listed.some(each => each[0].test(path)) || template.test(path) ? documents.flatMap(each => textsIn(each)) : []
  if (template.test(path)) return texts.some(([name, text]) => name !== 'id' && isNamed(text))
  if (listed.some(([its, field]) => its.test(path) && texts.some(([name, text]) => name === field && isNamed(text))))
    return true
  const inQuery = members.flatMap(([name, text]) => (name === 'query' ? [text] : []))
  const statements = [...inQuery, ...documents.flatMap(queryIn)]
  if (sequences.test(path))
    return statements.some(text => [...text.matchAll(joinedBy)].some(([, by = '']) => isNamed(by)))
  return tabled.test(path) && statements.some(text => takesAll(text) || isNamed(text))
}

const isSearchOfSolr = /\/(?:select|query)$/
const isSearch = /\/_(?:m?search|async_search)(?:\/|$)|\/(?:select|query)$/

function isExplained(path: string, members: readonly Member[], documents: readonly unknown[]): boolean {
  if (explained.test(path)) return true
  if (!isSearch.test(path)) return false
  const names = isSearchOfSolr.test(path) ? explainingToSolr : explaining
  const isAsked = (name: string, value: unknown): boolean =>
    names.test(name) && value !== false && value !== 'false' && value !== 'off' && !isObject(value)
  // Solr takes parameters in a body as well.
  const hasAsked = (given: unknown): boolean => isObject(given) && someMember(given, isAsked)
  return (
    members.some(([name, value]) => isAsked(name, value)) ||
    documents.some(each => isObject(each) && [each, each['params']].some(hasAsked))
  )
}

/** Whether a document has such a name among its names or texts. */
function namesAnywhere(value: unknown, depth: number, isNamed: (text: string) => boolean): boolean {
  if (typeof value === 'string') return isNamed(value)
  if (typeof value !== 'object' || value === null || depth === MAX_DEPTH) return false
  return Object.entries(value).some(([name, each]) => isNamed(name) || namesAnywhere(each, depth + 1, isNamed))
}

/** A body in a parameter. */
const isForeignSource = (name: string, value: string): boolean =>
  name === 'source_content_type' && !value.includes('json')

/** Texts anywhere in a document, with their names. */
function textsIn(value: unknown, name = '', depth = 0): Member[] {
  if (typeof value === 'string') return [[name, value]]
  if (typeof value !== 'object' || value === null || depth === MAX_DEPTH) return []
  const isList = Array.isArray(value)
  return Object.entries(value).flatMap(([each, member]) => textsIn(member, isList ? name : each, depth + 1))
}

/** What a document has as its `query`, if that is a text. */
const queryIn = (document: unknown): string[] =>
  isObject(document) && typeof document['query'] === 'string' ? [document['query']] : []

/** Whether a document has such a field in a `sort`, in its texts or names. */
function sortsIn(value: unknown, depth: number, isNamed: (text: string) => boolean): boolean {
  if (typeof value !== 'object' || value === null || depth === MAX_DEPTH) return false
  return Object.entries(value).some(([name, member]) =>
    name === 'sort' ? sortedBy(member).some(isNamed) : sortsIn(member, depth + 1, isNamed),
  )
}

/** `"vin"`, `["vin"]`, `[{"vin":"asc"}]`, `{"vin":{"order":"asc"}}`. */
function sortedBy(sort: unknown): string[] {
  return [sort]
    .flat()
    .flatMap(each =>
      typeof each === 'string' ? [each] : typeof each === 'object' && each !== null ? Object.keys(each) : [],
    )
}
