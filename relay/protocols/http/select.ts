// Parameters with which a request chooses fields of the answer: whether one may ask for what is masked under another name. Pure.
import { documentIn } from './document.ts'
import { borrowsNames, isLanguage, renamesInLanguage } from './languages.ts'
import { everyMember, type Member } from './members.ts'
import { type Asked, namesIn, plainValue } from './names-in.ts'
import type { Part } from './parts.ts'

/** Documents in texts of each other, and objects and arrays in each other, that are looked into; what is deeper nobody reads as a parameter. */
const MAX_TEXTS = 16
const MAX_DEPTH = 64

/** As PostgREST, Solr, OData, Typesense and others call them, without signs before and what stands in brackets behind. */
const choosing =
  /^(?:(?:include|return|out|output|response|result)_?)?(?:select|fields?|fl|columns?|projections?|compute|apply|expand|returning|group_?by)$/
/** These only in a query: in bodies they are what is sent, and their words anybody's. */
const choosingInQuery = /^(?:expr|project|attributes|properties|props)$/
/** What stands in these, as in `alias[e]`, is called otherwise in any case (Directus). */
const renaming = /(?:^|[^\p{L}])(?:alias|aliases|aggregates?|rename)(?=\]?[.[])/iu
/** The same of an object; a text under such a name is one by itself, and MongoDB has that of a collection there. */
const renamingObject = /^[^\p{L}]*(?:alias|aliases|aggregates?|rename)$/iu
/** `select[v]=vin`, `attributes[0][0]=vin`: of `fields[cars]=vin` it is the type of what has them (JSON:API). */
const pair = /(?:select|columns|projections?|returning|attributes)\]?(?:\[(?!\d*\]$)[^\]]*\]|\[\d+\]\[\d+\])$/i
/** Values of fields become names, or come without any: `{"facet_counts":[{"counts":[{"value":"ann@example.com"}]}]}`. */
const countingAnywhere = /^facets?(?:_?(?:by|fields?|pivot|name))?$/
const counting = /^(?:aggs|aggregations?|group_?(?:by|field)|groupbyfieldsforstatistics|outstatistics|distinct)$/
/** Solr's parameters in a value: `{!key=v}vin`, and what is computed as the score. */
const localNames = /\{!(?:[^}]{0,200}\bkey\s?=|\s?func\b)/
/** What Solr reads as the body of a request, also where it is not strict JSON. */
const wholeRequest = /^json$/

/** `e:email`, `"e":"$email"`; two colons are a cast, which renames nothing, and neither does what a projection of MongoDB has. */
const colon = /[^\s,([{:]\s?:(?!:)\s?(?!(?:true|false|null|-?\d[\d.]*)(?![\p{L}\p{N}_]))["'`]?[\p{L}\p{N}_$.]/iu
/** `email as e`, `email with max as m`, `email.max()`. */
const word = /[\s"'`\])}](?:as|with)[\s"'`[]|\.\s?[\p{L}_]{1,32}\s?\(\s?\)/iu
/** `email e`, as SQL has it. */
const aliased = /^(\S+) (?!(?:asc|desc)$)[\p{L}_]\w*$/iu
/** Of a field that something is made of the answer has the function's name beside its own, or nothing else: `year(born)`. */
const computed =
  /(?<![\p{L}\p{N}_.-])(?:group|year|month|week|day|weekday|hour|minute|second|date|count|sum|avg|min|max|lower|upper|trim|concat|substr|substring|cast|field|json|rename)\s?\(([^()]{0,1000})\)/giu
/** In Solr's `fl` whatever has an argument is a function. */
const call = /[\p{L}\p{N}_]\s?\(/u
/** The value of another parameter in the place of this, as Solr has it. */
const borrowed = /\$\{/

/**
 * Whether members of a query or a body name a masked field, or what is around it, where they give others names: which of them
 * they are about is for the service to say.
 */
export function renamesFieldsIn(members: readonly Member[], isQuery: boolean, asked: Asked): boolean {
  if (members.some(([name, value]) => asksFor(name, value, isQuery, asked))) return true
  // Which parameter is borrowed another may say.
  const mayBorrow = members.some(
    ([name, value]) => (borrowed.test(value) && chooses(partsOf(name), isQuery)) || borrowsNames(partsOf(name), value),
  )
  return mayBorrow && members.some(([, value]) => namesIn(plainValue(value)).some(asked.isAround))
}

/** Members of a query or a form, wherever a service may cut it, and those of documents in them: to some a semicolon is a sign like others. */
export function membersOf(text: string): readonly Member[] {
  const members = text.includes(';') ? [...everyMember(text), ...new URLSearchParams(text)] : everyMember(text)
  return members.flatMap(member => [member, ...inText(member[1])])
}

/** Whether a parameter of this name chooses fields. */
const chooses = (parts: readonly string[], isQuery: boolean): boolean =>
  parts.some(
    (part, at) => choosing.test(part) || wholeRequest.test(part) || (isQuery && at === 0 && choosingInQuery.test(part)),
  )

/** The same members of a body of parts, as Solr takes them. */
export function membersOfParts(parts: readonly Part[]): readonly Member[] {
  const members = parts.filter(({ name }) => name !== '').map(({ name, content }): Member => [name, content])
  return members.flatMap(member => [member, ...inText(member[1])])
}

function asksFor(name: string, value: string, isQuery: boolean, { isMasked, isAround }: Asked): boolean {
  if (askedIn(name, value, isQuery).some(isAround)) return true
  const parts = partsOf(name)
  const counts = parts.some(part => countingAnywhere.test(part) || (isQuery && counting.test(part)))
  if (counts && namesIn(plainValue(value)).some(isMasked)) return true
  return isLanguage(parts) && renamesInLanguage(parts, value, isAround, name.startsWith('$'))
}

/** Names in a member that are asked for under others. */
function askedIn(name: string, written: string, isQuery: boolean): string[] {
  if (renaming.test(name)) return namesIn(plainValue(written))
  const parts = partsOf(name)
  const value = plainValue(written)
  if (localNames.test(value)) return namesIn(value)
  if (!chooses(parts, isQuery)) return []
  if (pair.test(name) && (isQuery || /select|projection/i.test(name))) return namesIn(value)
  const isFunction = parts.at(-1) === 'fl' && call.test(value)
  // What is described has its names in members: `[{"name":"email","type":"string"}]`.
  if (Array.isArray(documentIn(written))) return []
  if (isFunction || colon.test(value) || word.test(value)) return namesIn(value)
  const called = isQuery ? value.split(',').flatMap(each => aliased.exec(each.trim())?.[1] ?? []) : []
  return [
    ...called.flatMap(namesIn),
    ...[...value.matchAll(computed)].flatMap(([, found = '']) => namesIn(found)),
    ...leftOut(value),
  ]
}

/** The words of a name, without signs before and behind them: `deep[cars][_alias]`, `json.fields`, `$select`. */
const partsOf = (name: string): string[] =>
  name
    .toLowerCase()
    .split(/[^\p{L}_]+/u)
    .map(part => part.replaceAll(/^_+|_+$/g, ''))
    .filter(part => part !== '')

/**
 * Names of which the answer does not say that what it has was in them: PostgREST calls what `billing->card->>iban` leads to
 * `iban`, an element by the name of its list, and `...customers(email)` puts into each row what is in another.
 */
function leftOut(value: string): string[] {
  if (!value.includes('->') && !value.includes('...')) return []
  const within = value.split(/[,()]/).flatMap(path => {
    const keys = path.split(/->>?/).map(key => key.replaceAll(/^[\s"']+|[\s"']+$|::.*/g, ''))
    const last = keys.findLastIndex(key => !/^-?\d+$/.test(key))
    return keys.slice(0, Math.max(0, last))
  })
  const spread = [...value.matchAll(/\.{3}\s?["']?([^,(!"']+)/g)].map(([, found = '']) => found.trim())
  return [...within, ...spread]
}

/** Members of a document that is the value of a parameter, or a text in another document. */
function inText(value: string, texts = 0): Member[] {
  const document = texts < MAX_TEXTS ? documentIn(value) : undefined
  return document === undefined ? [] : membersIn(document, texts + 1)
}

/**
 * The same members in a document, as Solr and Directus take them: texts under a name, also in a list, and all that is in an
 * object under a name that gives others.
 */
export function membersIn(document: unknown, texts = 0): Member[] {
  const found: Member[] = []
  const look = (value: unknown, depth: number): void => {
    if (typeof value === 'string') for (const each of inText(value, texts)) found.push(each)
    if (typeof value !== 'object' || value === null || depth === MAX_DEPTH) return
    if (Array.isArray(value)) {
      for (const each of value) look(each, depth + 1)
      return
    }
    for (const name in value) {
      const member: unknown = value[name as keyof typeof value]
      add(name, member, depth)
      look(member, depth + 1)
    }
  }
  const add = (name: string, value: unknown, depth: number): void => {
    if (renamingObject.test(name)) addWords(name, value, depth)
    else if (typeof value === 'string') found.push([name, value])
    else if (Array.isArray(value)) for (const each of value) if (typeof each === 'string') found.push([name, each])
  }
  // Of `alias` and the like the names are new ones, or those of functions.
  const addWords = (name: string, value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null || depth === MAX_DEPTH) return
    for (const [key, each] of Object.entries(value)) {
      if (/rename$/i.test(name)) found.push([`${name}[]`, key])
      if (typeof each === 'string') found.push([`${name}[]`, each])
      else addWords(name, each, depth + 1)
    }
  }
  look(document, 0)
  return found
}
