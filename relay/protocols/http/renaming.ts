// Documents that ask for a masked field under another name, or under none: pairs of names, aggregations, scripts. Pure.
import { documentIn } from './document.ts'
import { someMember } from './inside.ts'
import { comparedName } from './masking/names.ts'
import { type Asked, namesIn } from './names-in.ts'

/** Objects and arrays in each other, and documents in texts of each other, that are looked into. */
const MAX_DEPTH = 64
const MAX_TEXTS = 16
/** Below an object that has another name for something, so far the name of that is looked for. */
const MAX_NAMED_DEPTH = 4

/** What chooses in any document. */
const choosing = /^[$_]?(?:select|projections?|returning|fl)$/i
/** What chooses beside what asks: alone they are what is sent, as in Jira and Airtable. */
const choosingInQuery = /^[$_]?(?:fields?|columns?|attributes|project|source)$/i
const asking =
  /^[$_]?(?:query|where|filters?|from|limit|size|sort|order(?:_?by)?|selector|index|collection|dataset|table|find|size|q)$/i
/** Of a member of a list that says which field it is about, and gives it no name. */
const describing =
  /^(?:name|fields?|columns?|col|paths?|properties|property|dimension|attribute|expr|expression|key|ref|source_?field|field_?path|field_?name|column_?name|property_?name|on_?statistic_?field|local_?field|type|value|label|title|id|format|sort|order|dir)$/i
/** What a field is called by from then on. */
const otherName =
  /^(?:as|alias|output_?(?:name|column|field)|out_?statistic_?field_?name|target_?(?:name|field|column)|rename(?:_?to)?|new_?(?:name|field|column))$/i

/** Values of fields become names, or come without any: `{"buckets":[{"key":"ann@example.com"}]}`. */
const counting =
  /^(?:aggs|aggregations?|facets?|facet_?(?:by|fields?|pivot|name)|group_?(?:by|field)|summaries|suggest)$/i
/** In these anything but a field is named by a text as well. */
const byField = /^(?:aggs|aggregations?|suggest)$/i
const scripts = /^(?:script_?fields|runtime_?mappings|scripted_?metric)$/i
/** Words with nothing but a blank between: at most the name of a column. */
const isProse = /[\p{L}\p{N}] [\p{L}\p{N}]/u
/** Elasticsearch's Painless, by how it reads a document. */
const readsDocument = /\b(?:doc\s*[.[(]|ctx\s*[.[]|emit\s*\()|_source/
const readsSource = /_source\s*(?:$|[^.[\w\s]|\.\s*(?:values|entrySet|forEach|toString|get)\b|\[\s*[^'"\s])/

/** Where a value stands. */
interface Place {
  readonly depth: number
  readonly texts: number
  /** The name of its member, or of the list that it is in. */
  readonly name: string
  /** Whether it is a list of what is chosen, or an object of it. */
  readonly isChosen: boolean
  /** What it is in that counts fields. */
  readonly counts: 'all' | 'field' | undefined
  readonly isScript: boolean
  /** Whether it is in a pipeline of Elasticsearch, whose texts take fields. */
  readonly isPipeline: boolean
}

const outermost: Place = {
  ...{ depth: 0, texts: 0, name: '', isChosen: false },
  ...{ counts: undefined, isScript: false, isPipeline: false },
}

/** Whether a document asks for one of these fields so that the answer has it under another name, or under none. */
export function givesOtherNames(document: unknown, { isMasked, isAround }: Asked): boolean {
  const isNamed = remembering(isAround)
  const isCounted = remembering(isMasked)
  const looks = (value: unknown, place: Place): boolean => {
    if (place.depth > MAX_DEPTH) return false
    if (typeof value === 'string') return looksInText(value, place)
    if (typeof value !== 'object' || value === null) return false
    if (Array.isArray(value)) return isPair(value, place, isNamed) || value.some(each => looks(each, inList(place)))
    const object = value as Record<string, unknown>
    if (renamesIn(object, place, isNamed)) return true
    const isQuery = someMember(object, each => asking.test(each))
    for (const name in object) {
      const member = object[name]
      // Nothing is in numbers and the like.
      const isText = typeof member === 'string' || (typeof member === 'object' && member !== null)
      if (isText && looks(member, below(place, name, isQuery))) return true
    }
    return false
  }
  const looksInText = (text: string, place: Place): boolean => {
    if (place.isScript && (isNamed(text) || readsSource.test(text))) return true
    if (place.isPipeline && place.name !== 'processors' && text.includes('{{') && isNamed(text)) return true
    if (place.counts === 'all' && !isProse.test(text) && isCounted(text)) return true
    if (place.counts === 'all' && isMasked(text)) return true
    if (place.counts === 'field' && /^fields?$/i.test(place.name) && isCounted(text)) return true
    const inner = place.texts < MAX_TEXTS ? documentIn(text) : undefined
    return inner !== undefined && looks(inner, { ...place, depth: place.depth + 1, texts: place.texts + 1 })
  }
  return looks(document, outermost)
}

/** Whether a text has one of these names. Documents have the same few texts over and over. */
function remembering(isOne: (name: string) => boolean): (text: string) => boolean {
  const known = new Map<string, boolean>()
  return text => {
    const found = known.get(text) ?? namesIn(text).some(isOne)
    known.set(text, found)
    return found
  }
}

const inList = (place: Place): Place => ({ ...place, depth: place.depth + 1 })

function below(place: Place, name: string, isQuery: boolean): Place {
  const counts = !counting.test(name) ? place.counts : byField.test(name) ? 'field' : 'all'
  const isChosen = choosing.test(name) || (isQuery && choosingInQuery.test(name))
  // A script has a name of its own only where it is one to nobody else.
  const isScript = place.isScript || scripts.test(name)
  const isPipeline = place.isPipeline || name === 'processors'
  return { depth: place.depth + 1, texts: place.texts, name, isChosen, counts, isScript, isPipeline }
}

/** `["vin","v"]` in a list of what is chosen. */
function isPair(list: readonly unknown[], place: Place, isNamed: (text: string) => boolean): boolean {
  if (!/^[$_]?(?:select|fields?|columns?|attributes|include|projections?)$/i.test(place.name)) return false
  return list.some(each => {
    if (!Array.isArray(each) || each.length !== 2) return false
    const [from, to] = each as unknown[]
    return typeof to === 'string' && textsIn(from).some(isNamed) && !isNamed(to)
  })
}

function renamesIn(
  object: Readonly<Record<string, unknown>>,
  place: Place,
  isNamed: (text: string) => boolean,
): boolean {
  const isOf = (name: string): boolean => typeof object[name] === 'string' && isNamed(object[name])
  if (hasOtherName(object) && namesBeside(object, isNamed)) return true
  if (place.isChosen && Object.entries(object).some(([name, value]) => isOther(name, value, isNamed))) return true
  // Hasura's answers with rows under a list of columns.
  if (typeof object['type'] === 'string' && object['type'].endsWith('run_sql')) return true
  // Views of CouchDB, whose keys are whatever is emitted.
  if (typeof object['map'] === 'string' && /emit\s*\(/i.test(object['map']) && isNamed(object['map'])) return true
  // MongoDB's distinct, aliases and copies of Elasticsearch.
  if (object['distinct'] !== undefined && isOf('key')) return true
  if (object['type'] === 'alias' && isOf('path')) return true
  if (object['type'] === 'expression' && isOf('expression')) return true
  // Hasura's names of columns, and columns of Superset.
  if (typeof object['custom_name'] === 'string' && isNamed(place.name)) return true
  const { custom_column_names: custom } = object
  if (typeof custom === 'object' && custom !== null && Object.keys(custom).some(isNamed)) return true
  if (typeof object['expressionType'] === 'string' && !/^adhoc_?filters$/i.test(place.name)) {
    // A label only says what the column is called.
    const { label, optionName, ...made } = object
    if (textsIn(made).some(isNamed)) return true
  }
  if (isOf('copy_from') || (object['copy_to'] !== undefined && isNamed(place.name))) return true
  return isScriptOf(object['script'], isNamed)
}

/** None of these names describes anything, so that it is looked at once what does, however many there are. */
const hasOtherName = (object: Readonly<Record<string, unknown>>): boolean =>
  someMember(object, (name, value) => typeof value === 'string' && otherName.test(name))

/** A text, or those that a function gets: `{"fn":"max","args":["vin"]}`. */
function textsIn(value: unknown, depth = 0): string[] {
  if (typeof value === 'string') return [value]
  if (typeof value !== 'object' || value === null || depth === MAX_NAMED_DEPTH) return []
  return Object.values(value).flatMap(each => textsIn(each, depth + 1))
}

/** `{"v":"vin"}` and `{"v":{"field":"vin"}}`, and not `{"field":"vin"}`. */
function isOther(name: string, written: unknown, isNamed: (text: string) => boolean): boolean {
  const value = asking.test(name) ? written : onlyText(written)
  if (typeof value !== 'string' || describing.test(name)) return false
  return comparedName(name) !== comparedName(value) && isNamed(value)
}

function onlyText(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const [member, ...others] = Object.entries(value)
  return member !== undefined && others.length === 0 && describing.test(member[0].replace(/^\$/, ''))
    ? member[1]
    : value
}

/** Whether what has another name here is a masked field: `{"name":"vin","as":"v"}`, `{"alias":"v","sum":{"field":…}}`. */
function namesBeside(object: Readonly<Record<string, unknown>>, isNamed: (text: string) => boolean): boolean {
  const look = (value: unknown, name: string, depth: number): boolean => {
    if (typeof value === 'string')
      return (
        describing.test(name) &&
        !/^(?:type|label|title|id|key|value|format|sort|order|dir)$/i.test(name) &&
        isNamed(value)
      )
    if (typeof value !== 'object' || value === null || depth === MAX_NAMED_DEPTH) return false
    return Object.entries(value).some(([each, member]) => look(member, Array.isArray(value) ? name : each, depth + 1))
  }
  return Object.entries(object).some(([name, value]) => look(value, name, 1))
}

/** A text of Painless, or an object around one. */
function isScriptOf(value: unknown, isNamed: (text: string) => boolean): boolean {
  if (typeof value === 'string') return readsDocument.test(value) && isNamed(value)
  if (typeof value !== 'object' || value === null) return false
  const { source, inline, params } = value as Record<string, unknown>
  const text = [source, inline].find(each => typeof each === 'string')
  if (typeof text !== 'string' || !readsDocument.test(text)) return false
  const given = typeof params === 'object' && params !== null ? Object.values(params) : []
  return [text, ...given].some(each => typeof each === 'string' && isNamed(each))
}
