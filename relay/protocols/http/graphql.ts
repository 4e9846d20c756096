// GraphQL in what a request says: its operations, for rules, and whether it asks for fields under other names. Pure.
import { type DocumentNode, type FragmentDefinitionNode, Kind, parse, type SelectionSetNode, visit } from 'graphql'
import { documentIn } from './document.ts'
import { isObject, someInside } from './inside.ts'
import { decoded } from './members.ts'

/** More are not listed; the lists then hold one more than they may. */
export const MAX_LISTED = 200
const MAX_TOKENS = 20_000
/** Of objects and arrays; what is deeper may hold anything. */
const MAX_DEPTH = 256
/** A document in a text counts for so many: each costs as much as all that is in it. */
const TEXT_DEPTH = 16

export interface GraphqlFacts {
  /** query, mutation, subscription; unknown when it cannot be told. */
  readonly graphqlType: string
  readonly graphqlNames: readonly string[]
  /** Fields that operations begin with. */
  readonly graphqlFields: readonly string[]
}

export const noGraphql: GraphqlFacts = { graphqlType: '', graphqlNames: [], graphqlFields: [] }

export interface ReadGraphql {
  readonly facts: GraphqlFacts
  /** Whether names and fields are all that there are. */
  readonly isAll: boolean
}

/** `isGuess`: a text that is no GraphQL is something else, and not to be worried about. */
export function graphqlFacts(texts: readonly string[], isGuess: boolean): ReadGraphql {
  const types = new Set<string>()
  const names = new Set<string>()
  const fields = new Set<string>()
  const tries = newTries()
  for (const text of texts) {
    const isOne = firstToken.test(text)
    if (isOne) tries.left -= 1
    if (tries.left < 0) break
    const document = isOne ? parsed(text) : undefined
    if (document === undefined) {
      if (!isGuess) types.add('unknown')
      continue
    }
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
  if (tries.left < 0) types.add('unknown')
  return {
    facts: {
      graphqlType: ['unknown', 'mutation', 'subscription', 'query'].find(each => types.has(each)) ?? '',
      graphqlNames: [...names].slice(0, MAX_LISTED + 1),
      graphqlFields: [...fields].slice(0, MAX_LISTED + 1),
    },
    isAll: tries.left >= 0 && names.size <= MAX_LISTED && fields.size <= MAX_LISTED,
  }
}

/**
 * GraphQL over HTTP: `query` of the body, of each member of a batch, or of a message's payload (graphql-ws). `asked` are the
 * query string's.
 */
export function graphqlOf(document: unknown, asked: readonly string[]): ReadGraphql {
  const texts: string[] = []
  for (const request of requestsIn(document))
    for (const value of valuesOf(request, 'query').flat()) if (typeof value === 'string') texts.push(value)
  return graphqlFacts([...asked, ...texts], texts.length === 0)
}

/** Objects in which a request may stand: a document, the members of a batch, the payload of a message. */
export function requestsIn(document: unknown): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = []
  for (const each of Array.isArray(document) ? (document as unknown[]) : [document]) {
    if (!isObject(each)) continue
    found.push(each)
    for (const payload of valuesOf(each, 'payload')) if (isObject(payload)) found.push(payload)
  }
  return found
}

/** What is looked for in requests. */
const memberNames = ['query', 'payload', 'extensions', 'persistedquery', 'variables', 'operationname'] as const
type MemberName = (typeof memberNames)[number]

const isMemberName = new RegExp(`^(?:${memberNames.join('|')})$`, 'i')
const nothing: readonly unknown[] = []
/** Requests may have as many members as a body has room for: they are gone through once. */
const membersByRequest = new WeakMap<object, ReadonlyMap<string, readonly unknown[]>>()

/** Members of this name: some services take names in any case. */
export function valuesOf(request: Readonly<Record<string, unknown>>, name: MemberName): readonly unknown[] {
  const members = membersByRequest.get(request) ?? namedMembers(request)
  membersByRequest.set(request, members)
  return members.get(name) ?? nothing
}

function namedMembers(request: Readonly<Record<string, unknown>>): ReadonlyMap<string, readonly unknown[]> {
  const found = new Map<string, unknown[]>()
  for (const each in request) {
    if (!isMemberName.test(each)) continue
    const name = each.toLowerCase()
    found.set(name, [...(found.get(name) ?? []), request[each]])
  }
  return found
}

const mayRename = (text: string): boolean => text.includes('{') && (text.includes(':') || text.includes(STREAM))

/** Elements of a list that are sent one by one come without its name: `{"items":["ann@example.com"],"path":["emails",0]}`. */
const STREAM = 'stream'

/** Texts of one request that are read as GraphQL; each costs what some hundred others do, and no request has so many. */
const MAX_TRIES = 1_000

/** How many more are read. */
export interface Tries {
  left: number
}

export const newTries = (): Tries => ({ left: MAX_TRIES })

/**
 * Whether a text asks for fields under other names, or without them. What is no GraphQL to this parser may be to another: it counts when it
 * begins as GraphQL does and holds what an alias takes. So does one that could be and is not read any more.
 */
export function renamesFields(text: string, depth = 0, tries = newTries()): boolean {
  if (!mayRename(text)) return false
  // A request may stand in it (AppSync's `payload.data`). Names stand in quotes, so that it is no GraphQL.
  const inner = documentIn(text)
  if (inner !== undefined) return anyRenames(inner, depth, tries)
  if (beginsAsJson.test(text) || !mayBeGraphql(text)) return beginsAsGraphql(text)
  tries.left -= 1
  if (tries.left < 0) return true
  const document = parsed(text)
  return document === undefined ? beginsAsGraphql(text) : hasAliases(document)
}

/** The same of a text that only counts where it is GraphQL: a body that does not say so. */
export function hasRenames(text: string, tries = newTries()): boolean {
  if (!mayRename(text) || beginsAsJson.test(text) || !mayBeGraphql(text)) return false
  tries.left -= 1
  if (tries.left < 0) return true
  const document = read(text, false)
  return document === 'long' || (document !== undefined && hasAliases(document))
}

/** The same of a value that is not called a query: a document in it counts as one anywhere, and GraphQL where it is valid. */
export function holdsRenames(text: string, tries = newTries()): boolean {
  return hasRenames(text, tries) || anyRenames(documentIn(text), 0, tries)
}

/** The same of every string in a document, whatever it is called: which of them a target reads is its own affair. */
export function anyRenames(document: unknown, depth = 0, tries = newTries()): boolean {
  if (typeof document === 'string') return renamesFields(document, depth + TEXT_DEPTH, tries)
  if (typeof document !== 'object' || document === null) return false
  if (depth >= MAX_DEPTH) return true
  return someInside(document, each => anyRenames(each, depth + 1, tries))
}

/**
 * Whether a text that could not be read as a document may hold a request of GraphQL for fields under other names, as some
 * target could read it: JSON with something behind it, a form, parts, another charset.
 */
export function mayHoldRenames(bytes: Buffer): boolean {
  const raw = bytes.toString('latin1').replaceAll('\0', '')
  // Escapes of JSON and of forms undone, and what quoted strings may hold before any character.
  const text = decoded(raw.replace(/\\u00(?=[0-9a-f]{2})/gi, '%')).replaceAll('\\', '')
  return mayRename(text) && /query|operations/i.test(text)
}

/** What no text of GraphQL begins with. To find that out by reading it takes fifty times as long. */
const beginsAsJson = /^\s*(?:\[|\{\s*["}])/

/** How the first token of GraphQL begins, and with it the rest: blanks, commas and comments mean nothing before and in it. */
const firstToken =
  /^(?:[\s,\ufeff]|#[^\r\n]*)*(?:\{(?:[\s,\ufeff]|#[^\r\n]*)*[_a-z.]|"|(?:query|mutation|subscription|fragment|schema|scalar|type|interface|union|enum|input|directive|extend)\b)/i

/** Whether a text can be GraphQL that has an alias or `@stream`. To find out by reading what cannot takes fifty times as long. */
const mayBeGraphql = (text: string): boolean =>
  (aliasLike.test(text) || text.includes('#') || text.includes(STREAM)) && firstToken.test(text)

/** What another parser may take for the beginning of GraphQL: `{{name}}` and `query: who is it?` none does. */
const beginning =
  /^(?:"(?:""[\s\S]*?""|[^"\r\n]*)"[\s,]*)?(?:\{[\s,]*(?:[_\p{L}".]|$)|(?:query|mutation|subscription)(?:[\s,]+[_\p{L}][\p{L}\w]*)?[\s,]*[({@$]|fragment[\s,]+[_\p{L}])/u
/** A name behind another, where neither is in a bracket of its own. */
const aliasLike = /[_\p{L}\p{N}"][\s,\ufeff]*:[\s,\ufeff]*[_\p{L}"]/u

/** Blanks, commas and comments mean nothing before the first token and around a colon. */
function beginsAsGraphql(text: string): boolean {
  const plain = text.replaceAll(/#[^\r\n]*/g, '')
  const start = plain.replace(/^[\s,\ufeff]+/, '')
  return beginning.test(start) && [text, plain].some(each => aliasLike.test(each) || each.includes(STREAM))
}

function hasAliases(document: DocumentNode): boolean {
  let found = false
  visit(document, {
    Field: ({ alias, name }) => {
      found ||= alias !== undefined && alias.value !== name.value
    },
    Directive: ({ name }) => {
      found ||= name.value === STREAM
    },
  })
  return found
}

/** A text of GraphQL, with where its parts stand if wanted; undefined for what is none, or too long. */
export function parsed(text: string, { located = false } = {}): DocumentNode | undefined {
  const document = read(text, located)
  return document === 'long' ? undefined : document
}

/** `long`: it is GraphQL as far as anybody read it. */
function read(text: string, located: boolean): DocumentNode | 'long' | undefined {
  try {
    return parse(text, { noLocation: !located, maxTokens: MAX_TOKENS })
  } catch (thrown) {
    return thrown instanceof Error && thrown.message.includes(`${MAX_TOKENS} tokens`) ? 'long' : undefined
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
