// A request → an Operation: what policy and people see. Pure.
import { requestText } from '@gate/shared/http-command'
import type { Operation, Vocabulary } from '@gate/shared/model'
import type { Body } from './body.ts'
import type { Fields } from './fields.ts'
import type { Location } from './location.ts'
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
  /** What the text shows of the body; undefined when it was not read. */
  readonly content: string | undefined
  /** It shows of it only what tells it from others: it is no text. */
  readonly isOpaque: boolean
  readonly isUpgrade: boolean
}

/** What a request asks, when it is read far enough. `shownHeaders` are those that rules may see. */
export function operationOf(request: Request, routeOf: RouteOf, shownHeaders: readonly string[]): Operation {
  const { method, location, fields, body, content, isOpaque, isUpgrade } = request
  const writes = !safe.has(method)
  const { plain: path, parameters } = location
  const isShown = content === undefined || !isOpaque
  return {
    protocol: 'http',
    action: isUpgrade ? 'websocket' : method.toLowerCase(),
    resources: [{ kind: 'path', name: path, mode: writes || isUpgrade ? 'write' : 'read' }],
    text: textOf(request),
    parameters: [],
    writes: writes || isUpgrade,
    routine: false,
    facts: {
      method,
      path,
      route: routeOf(path),
      query: namesIn(location),
      parameters: parameters.map(([name, value]) => `${name}=${value}`),
      headers: fields.list.flatMap(([name, value]) => (shownHeaders.includes(name) ? [`${name}: ${value}`] : [])),
      ...body.facts,
      direction: '',
    },
    document: body.document,
    ...(body.isKnown ? {} : { unknown: isShown && body.facts.bodyKind !== 'unread' ? ofContent : ofBody }),
  }
}

/** Names in the query, and what else servers may take them for. */
function namesIn({ query, parameters }: Location): string[] {
  const names = parameters.map(([name]) => name)
  const others = everyMember(query.slice(1)).map(([name]) => plainName(name))
  return [...new Set([...names, ...others])].filter(name => name !== '')
}

/** The request in words: its first line, what its body is, and the body where it was read. */
export function textOf({ method, location, fields, body, content }: Request): string {
  const { bodyKind, bodyBytes } = body.facts
  const shown = bodyKind === 'none' ? undefined : (content ?? bodyBytes)
  return requestText(method, `${location.path}${location.query}`, fields.one('content-type'), shown)
}
