// A request → an Operation: what policy and people see. Pure.
import { requestText, type WordedContent } from '@gate/shared/http-command'
import type { Operation, Vocabulary } from '@gate/shared/model'
import type { Body } from './body.ts'
import type { CopySource } from './copy-source.ts'
import type { FieldList, Fields } from './fields.ts'
import { type Location, targetOf } from './location.ts'
import { everyMember, type Member, phpName, plainName } from './members.ts'
import type { RouteOf } from './routes.ts'

/** The facts of this room's operations, by type, for policy. */
export const vocabulary = {
  method: 'string',
  path: 'string',
  route: 'string',
  query: 'list<string>',
  parameters: 'list<string>',
  headers: 'list<string>',
  contentType: 'string',
  bodyKind: 'string',
  bodyBytes: 'int',
  bodyFields: 'list<string>',
  graphqlType: 'string',
  graphqlNames: 'list<string>',
  graphqlFields: 'list<string>',
  direction: 'string',
} as const satisfies Vocabulary

/** Methods that change nothing (RFC 9110 section 9.2.1). */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What only a body says. */
export const ofContent: readonly string[] = ['body', 'bodyFields', 'graphqlType', 'graphqlNames', 'graphqlFields']
const ofPersisted: readonly string[] = ['graphqlNames', 'graphqlFields']
export const ofBody: readonly string[] = ['text', ...ofContent]

export interface Request {
  readonly method: string
  readonly location: Location
  readonly fields: Fields
  /** The second path of COPY and MOVE. */
  readonly destination: Location | undefined
  /** Paths that headers name as what is copied. */
  readonly sources: readonly CopySource[]
  readonly body: Body
  /** What the text shows of the body; undefined when it was not read, or there is none. */
  readonly content: WordedContent | undefined
  readonly isUpgrade: boolean
}

/** What a request asks, when it is read far enough. `shownHeaders` are those of its fields that rules may see. */
export function operationOf(request: Request, routeOf: RouteOf, shownHeaders: FieldList): Operation {
  const { method, location, destination, sources, body, content, isUpgrade } = request
  const writes = !safe.has(method)
  const { plain: path } = location
  const copied = sources.map(source => source.location)
  const locations = [location, ...(destination === undefined ? [] : [destination]), ...copied]
  const isShown = content?.kind !== 'bytes'
  return {
    protocol: 'http',
    action: isUpgrade ? 'websocket' : method.toLowerCase(),
    resources: [
      { kind: 'path', name: path, mode: writes || isUpgrade ? 'write' : 'read' },
      ...(destination === undefined ? [] : [{ kind: 'path', name: destination.plain, mode: 'write' as const }]),
      ...copied.map(source => ({ kind: 'path', name: source.plain, mode: 'read' as const })),
    ],
    text: textOf(request, name => fieldOf(request, name)),
    parameters: [],
    writes: writes || isUpgrade,
    routine: false,
    facts: {
      method,
      path,
      route: routeOf(path),
      query: [...new Set(locations.flatMap(namesIn))],
      ...factsOfParameters(locations),
      ...factsOfHeaders(shownHeaders),
      ...body.facts,
      direction: '',
    },
    document: body.document,
    ...unknownIn(body, isShown),
  }
}

/** What rules cannot know: of a query that is persisted its type is `unknown`, which they may ask for. */
export function unknownIn(body: Body, isShown: boolean): Pick<Operation, 'unknown'> {
  if (body.isKnown) return body.isPersisted === true ? { unknown: ofPersisted } : {}
  return { unknown: isShown && body.facts.bodyKind !== 'unread' ? ofContent : ofBody }
}

export function factsOfParameters(locations: readonly Location[]): { readonly parameters: readonly string[] } {
  const written = ([name, value]: Member): string => `${name}=${value}`
  const parameters = locations.flatMap(each => each.parameters).map(written)
  const others = new Set(locations.flatMap(membersIn).map(written))
  for (const known of parameters) others.delete(known)
  return { parameters: [...parameters, ...others] }
}

export function factsOfHeaders(headers: FieldList): { readonly headers: readonly string[] } {
  return { headers: headers.map(([name, value]) => `${name}: ${value}`) }
}

/** Names in the query, and what else servers may take them for. */
function namesIn(location: Location): string[] {
  const names = [...location.parameters, ...membersIn(location)].map(([name]) => name)
  return [...new Set(names)].filter(name => name !== '')
}

/** Members of the query as others may read them: cut at semicolons, and with plain names. */
function membersIn({ query }: Location): Member[] {
  return everyMember(query.slice(1))
    .flatMap(([name, value]): Member[] => [...new Set([plainName(name), phpName(name)])].map(each => [each, value]))
    .filter(([name]) => name !== '')
}

/** The request in words, with the fields that are to be shown. */
export function textOf(
  { method, location, body, content }: Request,
  field: (name: string) => string | undefined,
): string {
  const { bodyKind, bodyBytes } = body.facts
  const worded = bodyKind === 'none' ? undefined : (content ?? { kind: 'unread' as const, bytes: bodyBytes })
  return requestText({ method, target: targetOf(location), field, content: worded })
}

/** A field of the request as it goes to the target. */
export function fieldOf({ fields, destination, sources }: Request, name: string): string | undefined {
  if (name === 'destination' && destination !== undefined) return targetOf(destination)
  return sources.find(({ field }) => field === name)?.written ?? fields.one(name)
}
