// What a request's body says, for rules: JSON, forms, GraphQL. Pure.
import { isUtf8 } from 'node:buffer'
import { GateError } from '@gate/shared/errors'
import { type Inner, requestsInParts, requestsWithin } from './batch.ts'
import { linesOf } from './document.ts'
import {
  anyRenames,
  type GraphqlFacts,
  graphqlFacts,
  graphqlOf,
  hasRenames,
  holdsRenames,
  isAllListed,
  MAX_LISTED,
  mayHoldRenames,
  noGraphql,
  renamesFields,
  requestsIn,
} from './graphql.ts'
import { charsetOf } from './masking/media-type.ts'
import { everyMember, type Member, plainName, readMembers } from './members.ts'
import { mayHoldOperation, mayHoldPatch } from './patch.ts'
import { isPersisted, requestOf } from './persisted.ts'
import { membersIn, membersOf, membersOfParts } from './select.ts'

/** `none` has no byte, `unread` was not kept, and of `other` nothing is known but its length. */
export type BodyKind = 'none' | 'json' | 'form' | 'other' | 'unread'

export interface BodyFacts extends GraphqlFacts {
  readonly contentType: string
  readonly bodyKind: BodyKind
  /** -1 when it is not known before the body has come. */
  readonly bodyBytes: number
  /** Names of members, with those that they are in, joined by dots. */
  readonly bodyFields: readonly string[]
}

export interface Body {
  readonly facts: BodyFacts
  /** What rules see as `op.body`. */
  readonly document: unknown
  /** Whether that is all that a target could read in it: where not, rules are told that they cannot know. */
  readonly isKnown: boolean
  /** Whether it may ask for fields under other names (GraphQL's aliases), where masks would not find them. Undefined when it was not read. */
  readonly renames: (() => boolean) | undefined
  /** The same of what is no document, by its words alone: an upload may have them as well. */
  readonly mayRename?: () => boolean
  /** What may choose fields of the answer in it, as parameters of a query do. */
  readonly members?: () => readonly Member[]
  /** The documents in it: of lines each. */
  readonly documents?: () => readonly unknown[]
  /** Requests in it, as batches have them. */
  readonly requests?: () => readonly Inner[]
  /** What is no document: a statement in some language may be all there is. */
  readonly text?: string
  /** Whether it asks for a query of GraphQL by its name, so that nobody here knows its fields. */
  readonly isPersisted?: boolean
  /** Of what was read and is no document: whether somebody could read a patch in it (RFC 6902). */
  readonly mayPatch?: () => boolean
}

const MAX_DEPTH = 64

/** A media type without its parameters, in lower case. */
export function mediaType(contentType: string | undefined): string {
  return (contentType ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

/** Pictures and the like are no patch, and hold any words. */
const isMedia = (type: string): boolean => /^(?:image|audio|video|font|model)\//.test(type)
/** Parts hold any words as well, but a patch may be one of them. */
const isParts = (type: string): boolean => type.startsWith('multipart/')

/** What is known of a body that was not read. `bytes` is undefined when it does not say how long it is. */
export function unreadBody(contentType: string | undefined, bytes: number | undefined): Body {
  const facts = { contentType: mediaType(contentType), bodyBytes: bytes ?? -1, bodyFields: [], ...noGraphql }
  return { facts: { ...facts, bodyKind: 'unread' }, document: null, isKnown: false, renames: undefined }
}

/**
 * Reads a body by what it holds, since targets do not always go by what it is called. `query` is the request's, without its
 * question mark: GraphQL may be there as well.
 * @throws {GateError} ERR_GATE_PROTOCOL for JSON that parsers read in different ways.
 */
export function readBody(contentType: string | undefined, bytes: Buffer, query: string): Body {
  const type = mediaType(contentType)
  const base = { contentType: type, bodyBytes: bytes.length }
  const asked = askedIn(query)
  // Services call it otherwise as well, or put a whole request into one parameter.
  const inQuery = (): boolean =>
    asked.some(text => renamesFields(text)) ||
    (/%7b/i.test(query) && everyMember(query).some(([, value]) => holdsRenames(value)))
  const inAddress = query === '' ? [] : everyMember(query).map(([name, value]) => [plainName(name), value] as const)
  const isPersistedInQuery = isPersisted(requestOf(inAddress))
  if (bytes.length === 0) {
    const graphql = withUnknown(graphqlFacts(asked, true), isPersistedInQuery)
    const facts: BodyFacts = { ...base, bodyKind: 'none', bodyFields: [], ...graphql }
    const isKnown = isAllListed(graphql)
    return { facts, document: null, isKnown, renames: inQuery, isPersisted: isPersistedInQuery }
  }
  const text = bytes.toString('utf8')
  const found = isUtf8(bytes) && isReadable(contentType) ? readDocument(type, text) : undefined
  if (found === undefined) {
    const graphql = graphqlFacts(type === 'application/graphql' ? [...asked, text] : asked, true)
    const graphqlType = graphql.graphqlType === '' ? 'unknown' : graphql.graphqlType
    const facts: BodyFacts = { ...base, bodyKind: 'other', bodyFields: [], ...graphql, graphqlType }
    const isForeign = hasForeignLetters(contentType)
    // Some readers find out for themselves that it is UTF-16, of which ASCII has a NUL in each sign.
    const plain = text.includes('\0') ? text.replaceAll('\0', '').replace(/^[\ufffd\ufeff]+/, '') : text
    let lines: readonly unknown[] | undefined
    const documents = (): readonly unknown[] => {
      lines ??= isMedia(type) || isParts(type) ? [] : linesOf(plain)
      return lines
    }
    const renames = (): boolean =>
      inQuery() ||
      isForeign ||
      (type === 'application/graphql' ? renamesFields(text) : hasRenames(text) || anyRenames(documents()))
    const mayRename = (): boolean => type !== 'application/graphql' && documents().length === 0 && mayHoldRenames(bytes)
    const mayPatch = (): boolean =>
      !isMedia(type) && (isForeign || (isParts(type) ? mayHoldOperation(bytes) : mayHoldPatch(bytes)))
    // OData takes a query as a text.
    const members = (): readonly Member[] =>
      isParts(type)
        ? membersOfParts(plain)
        : [
            ...(plain.includes('=') ? membersOf(plain) : []),
            ...documents().flatMap(each => membersIn(each)),
            // As Solr takes it: with comments, single quotes, or none.
            ...(/json|^$/.test(type) && /^\s*\{/.test(plain) && documents().length === 0
              ? [['json', plain] as const]
              : []),
          ]
    return {
      ...{ facts, document: null, isKnown: false, renames, mayRename, mayPatch, members, documents },
      requests: () => (isParts(type) ? requestsInParts(plain) : documents().flatMap(each => requestsWithin(each))),
      ...(isMedia(type) || isParts(type) ? {} : { text: plain }),
      isPersisted: isPersistedInQuery,
    }
  }
  const { document, kind, isPlain } = found
  const requests = requestsIn(document)
  // Some services put a request together of both. Of a batch nobody does, and with each of its members it would take seconds.
  const together = Array.isArray(document) || query === '' ? [] : requests
  const isByName =
    isPersistedInQuery ||
    requests.some(isPersisted) ||
    together.some(each => isPersisted(requestOf([...inAddress, ...Object.entries(each)])))
  const graphql = withUnknown(graphqlOf(document, asked), isByName)
  const bodyFields = fieldsOf(document)
  return {
    facts: { ...base, bodyKind: kind, bodyFields, ...graphql },
    document,
    isKnown: isPlain && bodyFields.length <= MAX_LISTED && isAllListed(graphql),
    isPersisted: isByName,
    members: () => (kind === 'form' ? membersOf(text) : membersIn(document)),
    documents: () => [document],
    requests: () => requestsWithin(document),
    renames: () =>
      inQuery() ||
      anyRenames(document) ||
      (kind === 'form' && text.includes(';') && everyMember(text).some(([, value]) => renamesFields(value))),
  }
}

/** A batch may hold a query that is known and one that is not. */
const withUnknown = (facts: GraphqlFacts, isUnknown: boolean): GraphqlFacts =>
  isUnknown ? { ...facts, graphqlType: 'unknown' } : facts

/** Texts of GraphQL in a query, wherever a server may look for them. */
function askedIn(query: string): string[] {
  if (!/query/i.test(query) && !query.includes('%')) return []
  return everyMember(query).flatMap(([name, value]) => (plainName(name).toLowerCase() === 'query' ? [value] : []))
}

interface Found {
  readonly document: unknown
  readonly kind: 'json' | 'form'
  /** Whether every target reads it so. */
  readonly isPlain: boolean
}

/** Undefined for what is neither JSON nor a form. @throws {GateError} ERR_GATE_PROTOCOL. */
function readDocument(type: string, text: string): Found | undefined {
  const isForm = type === 'application/x-www-form-urlencoded'
  const isObject = /^[\s\ufeff]*[{[]/.test(text)
  const document = isForm && !isObject ? undefined : readJson(text)
  if (document !== undefined) {
    // Some targets read a body without a type as a form, and some a form that is JSON as that.
    const isTwofold = isForm || (type === '' && text.includes('&'))
    return { document, kind: 'json', isPlain: !isTwofold && !hasTwins(document) && isExact(document) }
  }
  if (!isForm) return undefined
  const { list, isPlain } = readMembers(text)
  return list.length === 0 ? undefined : { document: formOf(list), kind: 'form', isPlain }
}

/** Names and values; a name that stands several times has a list. */
function formOf(members: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  const form = new Map<string, string[]>()
  for (const [name, value] of members) {
    const known = form.get(name)
    if (known === undefined) form.set(name, [value])
    else known.push(value)
  }
  return Object.fromEntries([...form].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values]))
}

/** Whether no number lost digits: parsers differ in what they make of such. */
function isExact(document: unknown): boolean {
  if (typeof document === 'number') return Math.abs(document) <= Number.MAX_SAFE_INTEGER
  return typeof document !== 'object' || document === null || Object.values(document).every(isExact)
}

/** Targets decode what their type says; in other charsets the same bytes say something else. */
function isReadable(contentType: string | undefined): boolean {
  return /^(?:utf-?8|us-ascii)$/i.test(charsetOf(contentType) ?? '')
}

/** Charsets in which letters of ASCII are themselves, perhaps with NULs between them. */
const likeAscii =
  /^(?:utf-?(?:8|16|32)(?:[bl]e)?|(?:us-)?ascii|iso-8859-\d{1,2}|latin-?1|(?:windows-|cp)125\d|koi8-[ru]|gb(?:k|2312|18030)|big5|shift[-_]jis|euc-(?:jp|kr))$/i

/** Whether a body is in a charset in which words look otherwise (UTF-7, EBCDIC): what is looked for by its words would not be found. */
function hasForeignLetters(contentType: string | undefined): boolean {
  const charset = charsetOf(contentType)
  return charset !== undefined && !likeAscii.test(charset)
}

/** Whether an object has two names that differ in case alone: some parsers take them for one. */
function hasTwins(document: unknown): boolean {
  if (typeof document !== 'object' || document === null) return false
  if (Array.isArray(document)) return document.some(hasTwins)
  const names = Object.keys(document)
  if (new Set(names.map(name => name.toUpperCase().toLowerCase())).size < names.length) return true
  return Object.values(document).some(hasTwins)
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
    if (found.size > MAX_LISTED || typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const each of value) look(each, prefix)
      return
    }
    for (const [name, member] of Object.entries(value)) {
      if (found.size > MAX_LISTED) return
      found.add(`${prefix}${name}`)
      look(member, `${prefix}${name}.`)
    }
  }
  look(document, '')
  return [...found]
}
