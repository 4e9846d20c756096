// A request → an Operation: what policy and people see. Pure.
import { requestText, type WordedContent } from '@gate/shared/http-command'
import type { Operation, Vocabulary } from '@gate/shared/model'
import type { Body } from './body.ts'
import type { FieldList, Fields } from './fields.ts'
import { type Location, readLocation } from './location.ts'
import { everyMember, plainName } from './members.ts'
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
export const ofBody: readonly string[] = ['text', ...ofContent]

export interface Request {
  readonly method: string
  readonly location: Location
  readonly fields: Fields
  readonly body: Body
  /** What the text shows of the body; undefined when it was not read, or there is none. */
  readonly content: WordedContent | undefined
  readonly isUpgrade: boolean
}

/** What a request asks, when it is read far enough. `shownHeaders` are those of its fields that rules may see. */
export function operationOf(request: Request, routeOf: RouteOf, shownHeaders: FieldList): Operation {
  const { method, location, fields, body, content, isUpgrade } = request
  const writes = !safe.has(method)
  const { plain: path, parameters } = location
  const isShown = content?.kind !== 'bytes'
  return {
    protocol: 'http',
    action: isUpgrade ? 'websocket' : method.toLowerCase(),
    resources: [
      { kind: 'path', name: path, mode: writes || isUpgrade ? 'write' : 'read' },
      ...destinationOf(method, fields).map(name => ({ kind: 'path', name, mode: 'write' as const })),
    ],
    text: textOf(request),
    parameters: [],
    writes: writes || isUpgrade,
    routine: false,
    facts: {
      method,
      path,
      route: routeOf(path),
      query: namesIn(location),
      ...factsOfParameters(parameters),
      ...factsOfHeaders(shownHeaders),
      ...body.facts,
      direction: '',
    },
    document: body.document,
    ...(body.isKnown ? {} : { unknown: isShown && body.facts.bodyKind !== 'unread' ? ofContent : ofBody }),
  }
}

export function factsOfParameters(parameters: Location['parameters']): { readonly parameters: readonly string[] } {
  return { parameters: parameters.map(([name, value]) => `${name}=${value}`) }
}

export function factsOfHeaders(headers: FieldList): { readonly headers: readonly string[] } {
  return { headers: headers.map(([name, value]) => `${name}: ${value}`) }
}

/**
 * The second path of COPY and MOVE (RFC 4918 section 10.3).
 * @throws {GateError} ERR_GATE_PROTOCOL for one that servers read in different ways.
 */
export function destinationOf(method: string, fields: Fields): string[] {
  const destination = fields.one('destination')
  return destination === undefined || !['COPY', 'MOVE'].includes(method) ? [] : [readLocation(destination).plain]
}

/** Names in the query, and what else servers may take them for. */
function namesIn({ query, parameters }: Location): string[] {
  const names = parameters.map(([name]) => name)
  const others = everyMember(query.slice(1)).map(([name]) => plainName(name))
  return [...new Set([...names, ...others])].filter(name => name !== '')
}

/** The request in words. */
export function textOf({ method, location, fields, body, content }: Request): string {
  const { bodyKind, bodyBytes } = body.facts
  const worded = bodyKind === 'none' ? undefined : (content ?? { kind: 'unread' as const, bytes: bodyBytes })
  const target = `${location.path}${location.query}`
  return requestText({ method, target, field: name => fields.one(name), content: worded })
}
