// What a request's body says, for rules: JSON, forms, GraphQL. Pure.
import { isUtf8 } from 'node:buffer'
import { GateError } from '@gate/shared/errors'
import { type DocumentNode, type FragmentDefinitionNode, Kind, parse, type SelectionSetNode, visit } from 'graphql'
import { readMediaType } from './masking/media-type.ts'

/** `none` has no byte, `unread` was not kept, and of `other` nothing is known but its length. */
export type BodyKind = 'none' | 'json' | 'form' | 'other' | 'unread'

export interface BodyFacts {
  readonly contentType: string
  readonly bodyKind: BodyKind
  /** -1 when it is not known before the body has come. */
  readonly bodyBytes: number
  /** Names of members, with those that they are in, joined by dots. */
  readonly bodyFields: readonly string[]
  /** query, mutation, subscription; unknown when it cannot be told. */
  readonly graphqlType: string
  readonly graphqlNames: readonly string[]
  /** Fields that operations begin with. */
  readonly graphqlFields: readonly string[]
}

export interface Body {
  readonly facts: BodyFacts
  /** What rules see as `op.body`. */
  readonly document: unknown
  /** Whether that is all that a target could read in it: where not, rules are told that they cannot know. */
  readonly isKnown: boolean
  /** Whether it asks for fields under other names (GraphQL's aliases), where masks would not find them. */
  readonly renames: boolean
}

const MAX_FIELDS = 200
const MAX_DEPTH = 64
const MAX_GRAPHQL_TOKENS = 20_000

/** A part of a form that holds a query (GraphQL multipart requests). */
const asks = /\bname\s*=\s*"?(?:operations|query)\b/i

const noGraphql = { graphqlType: '', graphqlNames: [], graphqlFields: [] } as const

/** A media type without its parameters, in lower case. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

/** What is known of a body that was not read. `bytes` is undefined when it does not say how long it is. */
export function unreadBody(contentType: string | undefined, bytes: number | undefined): Body {
  const facts = { contentType: mediaType(contentType), bodyBytes: bytes ?? -1, bodyFields: [], ...noGraphql }
  return { facts: { ...facts, bodyKind: 'unread' }, document: null, isKnown: false, renames: false }
}

/**
 * Reads a body by what it holds, since targets do not always go by what it is called. `parameters` are those of the query,
 * where GraphQL may be as well.
 * @throws {GateError} ERR_GATE_PROTOCOL for JSON that parsers read in different ways.
 */
export function readBody(
  contentType: string | undefined,
  bytes: Buffer,
  parameters: readonly (readonly [string, string])[],
): Body {
  const type = mediaType(contentType)
  const base = { contentType: type, bodyBytes: bytes.length }
  const asked = parameters.flatMap(([name, value]) => (name === 'query' ? [value] : []))
  if (bytes.length === 0) {
    const { renames, ...graphql } = graphqlFacts(asked, true)
    return {
      facts: { ...base, bodyKind: 'none', bodyFields: [], ...graphql },
      document: null,
      isKnown: isListed(graphql),
      renames,
    }
  }
  const text = bytes.toString('utf8')
  const isForm = type === 'application/x-www-form-urlencoded'
  const document = !isUtf8(bytes) || !isReadable(contentType) ? undefined : isForm ? readForm(text) : readJson(text)
  if (document === undefined) {
    const texts = type === 'application/graphql' ? [...asked, text] : asked
    const { renames, ...graphql } = graphqlFacts(texts, true)
    const graphqlType = graphql.graphqlType === '' ? 'unknown' : graphql.graphqlType
    const facts: BodyFacts = { ...base, bodyKind: 'other', bodyFields: [], ...graphql, graphqlType }
    return {
      facts,
      document: null,
      isKnown: false,
      renames: renames || (type === 'multipart/form-data' && asks.test(text)),
    }
  }
  const { renames, ...graphql } = graphqlOf(document, asked)
  const bodyFields = fieldsOf(document)
  return {
    facts: { ...base, bodyKind: isForm ? 'form' : 'json', bodyFields, ...graphql },
    document,
    isKnown: isForm || !hasTwins(document) ? bodyFields.length <= MAX_FIELDS && isListed(graphql) : false,
    renames,
  }
}

/** The lists hold one more than they may where there are more. */
function isListed({ graphqlNames, graphqlFields }: Pick<BodyFacts, 'graphqlNames' | 'graphqlFields'>): boolean {
  return graphqlNames.length <= MAX_FIELDS && graphqlFields.length <= MAX_FIELDS
}

/** Targets decode what their type says; in other charsets the same bytes say something else. */
function isReadable(contentType: string | undefined): boolean {
  if (contentType === undefined) return true
  const charset = readMediaType(contentType)?.parameters.get('charset')
  return readMediaType(contentType) !== undefined && /^(?:utf-?8|us-ascii)$/i.test(charset ?? 'utf-8')
}

/** Whether an object has two names that differ in case alone: some parsers take them for one. */
function hasTwins(document: unknown): boolean {
  if (typeof document !== 'object' || document === null) return false
  if (Array.isArray(document)) return document.some(hasTwins)
  const names = Object.keys(document)
  if (new Set(names.map(name => name.toUpperCase().toLowerCase())).size < names.length) return true
  return Object.values(document).some(hasTwins)
}

/**
 * Names and values; a name that stands several times has a list.
 * @throws {GateError} ERR_GATE_PROTOCOL for JSON that calls itself a form: many a target reads it without asking for its type.
 */
function readForm(text: string): Record<string, string | string[]> {
  if (/^\s*[{[]/.test(text) && readJson(text) !== undefined)
    throw new GateError('ERR_GATE_PROTOCOL', 'a body that is JSON, and says that it is a form')
  const form = new Map<string, string | string[]>()
  for (const [name, value] of new URLSearchParams(text)) {
    const known = form.get(name)
    form.set(name, known === undefined ? value : [known, value].flat())
  }
  return Object.fromEntries(form)
}

/** Undefined when it is no JSON. */
function readJson(text: string): unknown {
  let value: unknown
  try {
    value = JSON.parse(text.startsWith('\ufeff') ? text.slice(1) : text)
  } catch {
    return undefined
  }
  checkNames(text)
  return value
}

/** Of a name that stands twice in one object some parsers take the first value, others the last. */
function checkNames(text: string): void {
  const open: (Set<string> | undefined)[] = []
  let isName = false
  for (let at = 0; at < text.length; ) {
    const sign = text[at] ?? ''
    if (sign === '{' || sign === '[') open.push(sign === '{' ? new Set() : undefined)
    else if (sign === '}' || sign === ']') open.pop()
    if (open.length > MAX_DEPTH)
      throw new GateError('ERR_GATE_PROTOCOL', `a body nested deeper than ${MAX_DEPTH} levels`)
    if (sign !== '"') {
      if (sign === '{' || sign === ',') isName = true
      at += 1
      continue
    }
    const found = text.slice(at, endOfString(text, at))
    at += found.length
    const names = open.at(-1)
    if (!isName || names === undefined) continue
    isName = false
    const name = JSON.parse(found) as string
    if (names.has(name)) throw new GateError('ERR_GATE_PROTOCOL', 'an object in the body has two members of one name')
    names.add(name)
  }
}

/** Behind the closing quote of the string that begins at `at`. */
function endOfString(text: string, at: number): number {
  let end = at + 1
  while (text[end] !== '"') end += text[end] === '\\' ? 2 : 1
  return end + 1
}

function fieldsOf(document: unknown): string[] {
  const found = new Set<string>()
  const look = (value: unknown, prefix: string): void => {
    if (found.size > MAX_FIELDS || typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const each of value) look(each, prefix)
      return
    }
    for (const [name, member] of Object.entries(value)) {
      if (found.size > MAX_FIELDS) return
      found.add(`${prefix}${name}`)
      look(member, `${prefix}${name}.`)
    }
  }
  look(document, '')
  return [...found]
}

type Graphql = Pick<BodyFacts, 'graphqlType' | 'graphqlNames' | 'graphqlFields'> & Pick<Body, 'renames'>

/** GraphQL over HTTP: `query` of the body, of each member of a batch, or of the query string. */
function graphqlOf(document: unknown, asked: readonly string[]): Graphql {
  const requests = Array.isArray(document) ? document : [document]
  const objects = requests.filter(each => typeof each === 'object' && each !== null) as Record<string, unknown>[]
  const isPersisted = objects.some(({ extensions }) => JSON.stringify(extensions ?? '').includes('"persistedQuery"'))
  const texts = objects.flatMap(({ query }) => [query].flat().filter(each => typeof each === 'string'))
  const facts = graphqlFacts([...asked, ...texts], texts.length === 0)
  return facts.graphqlType === '' && isPersisted ? { ...facts, graphqlType: 'unknown' } : facts
}

/** `isGuess`: a text that is no GraphQL is something else, and not to be worried about. */
function graphqlFacts(texts: readonly string[], isGuess: boolean): Graphql {
  const types = new Set<string>()
  const names = new Set<string>()
  const fields = new Set<string>()
  let renames = false
  for (const text of texts) {
    const document = parseGraphql(text)
    if (document === undefined) {
      if (!isGuess) types.add('unknown')
      continue
    }
    renames ||= hasAliases(document)
    const fragments = new Map(
      document.definitions.flatMap(each => (each.kind === Kind.FRAGMENT_DEFINITION ? [[each.name.value, each]] : [])),
    )
    for (const definition of document.definitions) {
      if (definition.kind !== Kind.OPERATION_DEFINITION) continue
      types.add(definition.operation)
      if (definition.name !== undefined) names.add(definition.name.value)
      addFields(definition.selectionSet, fragments, fields, new Set())
    }
  }
  const type = ['unknown', 'mutation', 'subscription', 'query'].find(each => types.has(each)) ?? ''
  return {
    graphqlType: type,
    graphqlNames: [...names].slice(0, MAX_FIELDS + 1),
    graphqlFields: [...fields].slice(0, MAX_FIELDS + 1),
    renames,
  }
}

function hasAliases(document: DocumentNode): boolean {
  let found = false
  visit(document, {
    Field: ({ alias, name }) => {
      found ||= alias !== undefined && alias.value !== name.value
    },
  })
  return found
}

function parseGraphql(text: string): DocumentNode | undefined {
  try {
    return parse(text, { noLocation: true, maxTokens: MAX_GRAPHQL_TOKENS })
  } catch {
    return undefined
  }
}

function addFields(
  { selections }: SelectionSetNode,
  fragments: ReadonlyMap<string, FragmentDefinitionNode>,
  fields: Set<string>,
  seen: Set<string>,
): void {
  for (const selection of selections) {
    if (selection.kind === Kind.FIELD) fields.add(selection.name.value)
    else if (selection.kind === Kind.INLINE_FRAGMENT) addFields(selection.selectionSet, fragments, fields, seen)
    else if (!seen.has(selection.name.value)) {
      seen.add(selection.name.value)
      const fragment = fragments.get(selection.name.value)
      if (fragment !== undefined) addFields(fragment.selectionSet, fragments, fields, seen)
    }
  }
}
