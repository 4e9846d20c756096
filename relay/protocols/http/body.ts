// What a request's body says, for rules: JSON, forms, GraphQL. Pure.
import { isUtf8 } from 'node:buffer'
import { type Inner, requestsInParts, requestsWithin } from './batch.ts'
import { documentIn, linesOf } from './document.ts'
import {
  anyRenames,
  type GraphqlFacts,
  graphqlFacts,
  graphqlOf,
  hasRenames,
  holdsRenames,
  MAX_LISTED,
  mayHoldRenames,
  newTries,
  noGraphql,
  renamesFields,
  requestsIn,
} from './graphql.ts'
import { checkNames, hasTwins, isExact, readJson } from './json.ts'
import { charsetOf } from './masking/media-type.ts'
import { everyMember, type Member, plainName, readMembers } from './members.ts'
import { boundaryOf, documentsInPart, partsIn } from './parts.ts'
import { mayHoldOperation, mayHoldPatch } from './patch.ts'
import { isPersisted, requestOf } from './persisted.ts'
import { membersIn, membersOf, membersOfParts } from './select.ts'
import { plainText, wideText } from './wide.ts'

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
  /** Whether it is one to some readers alone, as in another charset. */
  readonly isDocument?: boolean
  /** Requests in it, as batches have them. */
  readonly requests?: () => readonly Inner[]
  /** What is no document: a statement in some language may be all there is. */
  readonly text?: string
  /** Whether it asks for a query of GraphQL by its name, so that nobody here knows its fields. */
  readonly isPersisted?: boolean
  /** Of what was read and is no document: whether somebody could read a patch in it (RFC 6902). */
  readonly mayPatch?: () => boolean
}

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
  const tries = newTries()
  const inQuery = (): boolean =>
    anyRenames(asked, 0, tries) ||
    (/%7b/i.test(query) && everyMember(query).some(([, value]) => holdsRenames(value, tries)))
  const inAddress = query === '' ? [] : everyMember(query).map(([name, value]) => [plainName(name), value] as const)
  const isPersistedInQuery = isPersisted(requestOf(inAddress))
  if (bytes.length === 0) {
    const read = graphqlFacts(asked, true)
    const graphql = withUnknown(read.facts, isPersistedInQuery)
    const facts: BodyFacts = { ...base, bodyKind: 'none', bodyFields: [], ...graphql }
    return { facts, document: null, isKnown: read.isAll, renames: inQuery, isPersisted: isPersistedInQuery }
  }
  const text = bytes.toString('utf8')
  const found =
    isUtf8(bytes) && wideText(bytes) === undefined && isReadable(contentType) ? readDocument(type, text) : undefined
  if (found === undefined) {
    const { facts: graphql } = graphqlFacts(type === 'application/graphql' ? [...asked, text] : asked, true)
    const graphqlType = graphql.graphqlType === '' ? 'unknown' : graphql.graphqlType
    const facts: BodyFacts = { ...base, bodyKind: 'other', bodyFields: [], ...graphql, graphqlType }
    const isForeign = hasForeignLetters(contentType)
    const plain = plainText(bytes, text)
    const parts = once(() => (isParts(type) ? partsIn(plain, boundaryOf(contentType)) : []))
    const whole = isParts(type) ? undefined : documentIn(plain)
    if (whole !== undefined) checkNames(plain)
    const documents = once((): readonly unknown[] => {
      if (isParts(type)) return parts().flatMap(documentsInPart)
      if (whole !== undefined) return [whole]
      return isMedia(type) ? [] : linesOf(plain)
    })
    const renames = (): boolean =>
      inQuery() ||
      isForeign ||
      (type === 'application/graphql'
        ? [text, plain].some(each => renamesFields(each))
        : hasRenames(plain) ||
          parts().some(({ content }) => hasRenames(content, tries)) ||
          anyRenames(documents(), 0, tries))
    const mayRename = (): boolean =>
      type !== 'application/graphql' && (isParts(type) || documents().length === 0) && mayHoldRenames(bytes)
    const mayPatch = (): boolean =>
      !isMedia(type) && (isForeign || (isParts(type) ? mayHoldOperation(bytes) : mayHoldPatch(bytes)))
    // OData takes a query as a text.
    const members = (): readonly Member[] =>
      isParts(type)
        ? membersOfParts(parts())
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
      isDocument: whole !== undefined,
      requests: () => [
        ...(isParts(type) ? requestsInParts(plain) : []),
        ...documents().flatMap(each => requestsWithin(each)),
      ],
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
  const read = graphqlOf(document, asked)
  const graphql = withUnknown(read.facts, isByName)
  const bodyFields = fieldsOf(document)
  // Programs send it as a form whatever it is if nobody tells them otherwise, and not every service looks.
  const lines = once(() => (kind === 'form' && /^\s*[[{]/.test(text) ? linesOf(text) : []))
  return {
    facts: { ...base, bodyKind: kind, bodyFields, ...graphql },
    document,
    isKnown: isPlain && bodyFields.length <= MAX_LISTED && read.isAll,
    isPersisted: isByName,
    members: () => (kind === 'form' ? membersOf(text) : membersIn(document)),
    documents: () => [document, ...lines()],
    requests: () => [document, ...lines()].flatMap(each => requestsWithin(each)),
    ...(kind === 'form' ? { text } : {}),
    renames: () =>
      inQuery() ||
      anyRenames(document) ||
      (kind === 'form' && (hasRenames(text) || anyRenames(lines()))) ||
      (kind === 'form' && text.includes(';') && anyRenames(everyMember(text).map(([, value]) => value))),
  }
}

function once<Made>(make: () => Made): () => Made {
  let made: { readonly it: Made } | undefined
  return () => {
    made ??= { it: make() }
    return made.it
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

function fieldsOf(document: unknown): string[] {
  const found = new Set<string>()
  const look = (value: unknown, prefix: string): void => {
    if (found.size > MAX_LISTED || typeof value !== 'object' || value === null) return
    if (Array.isArray(value)) {
      for (const each of value) look(each, prefix)
      return
    }
    // There may be many more of them than are looked at.
    for (const name in value) {
      if (found.size > MAX_LISTED) return
      found.add(`${prefix}${name}`)
      look((value as Readonly<Record<string, unknown>>)[name], `${prefix}${name}.`)
    }
  }
  look(document, '')
  return [...found]
}
