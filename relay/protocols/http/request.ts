// A request as node read it → what is decided: normalised, or refused because it could be read in several ways. Pure.

import { createHash } from 'node:crypto'
import { asGateError, GateError } from '@gate/shared/errors'
import { contentOf } from '@gate/shared/http-command'
import type { Deny } from '@gate/shared/model'
import type { Asked, Command, Gate } from '../protocol.ts'
import { admit } from './admission.ts'
import { routesWithin } from './batch.ts'
import { type Body, readBody, unreadBody } from './body.ts'
import { type CopySource, readSources, withSources } from './copy-source.ts'
import { copiesOf } from './copying.ts'
import { readDestination, withDestination } from './destination.ts'
import { disguisedField, type FieldList, Fields, hiddenField, repeatedField } from './fields.ts'
import { undone } from './json-overrides.ts'
import { type KeptInPaths, type Location, parametersOf, readLocation, refusedLocation } from './location.ts'
import { charsetOf } from './masking/media-type.ts'
import { operationOf, type Request } from './operation.ts'
import { type FormKind, formOf, holdsOverride, isOverride, overrideScan, thrownBy } from './overrides.ts'
import { deny, type Performed, perform } from './perform.ts'
import { recordedHeaders, recordedRequest } from './recording.ts'
import { compileRoutes, withRoutesOfMasks } from './routes.ts'

/** The head of a request. */
export interface Head {
  readonly method: string
  readonly target: string
  readonly raw: readonly string[]
  readonly isUpgrade: boolean
  /** Of HTTP, when it is not 1.1. */
  readonly version?: string
}

/** A head that was read. `fault` is set where it is not to be believed: then the request is refused, and recorded as it came. */
export interface ReadHead {
  readonly method: string
  readonly location: Location
  readonly fields: Fields
  /** Of COPY and MOVE. */
  readonly destination: Location | undefined
  readonly sources: readonly CopySource[]
  readonly isUpgrade: boolean
  readonly fault: GateError | undefined
}

const noFields = new Fields([])

/** @throws nothing: what is wrong with the head is its fault. */
export function readHead(head: Head, targetName: string, keeps: KeptInPaths = {}): ReadHead {
  const { method, target, raw, isUpgrade, version } = head
  try {
    const fields = new Fields(raw)
    const location = readLocation(target, keeps)
    admit(method, location.authority, fields, targetName)
    checkTransfer(method, fields, version)
    const destination = readDestination(method, fields, keeps)
    const sources = readSources(fields, keeps)
    if (isUpgrade) checkHandshake(fields)
    if ([location, destination].some(each => each !== undefined && holdsOverride(each.query.slice(1))))
      throw new GateError('ERR_GATE_PROTOCOL', 'the query has _method', { hint: 'Send the method itself.' })
    return { method, location, fields, destination, sources, isUpgrade, fault: undefined }
  } catch (thrown) {
    const location = refusedLocation(target)
    const fault = asGateError(thrown)
    return { method, location, fields: noFields, destination: undefined, sources: [], isUpgrade, fault }
  }
}

/** RFC 9112 section 6: what says how long a body is must say it once and plainly. */
function checkTransfer(method: string, fields: Fields, version: string | undefined): void {
  const encoding = fields.one('transfer-encoding')
  const length = fields.one('content-length')
  if (encoding !== undefined && length !== undefined)
    throw new GateError('ERR_GATE_PROTOCOL', 'a request with both Transfer-Encoding and Content-Length')
  if (encoding !== undefined && version === '1.0')
    throw new GateError('ERR_GATE_PROTOCOL', 'a transfer coding in a request of HTTP/1.0')
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked')
    throw new GateError('ERR_GATE_PROTOCOL', 'a transfer coding other than chunked')
  if (length !== undefined && !/^\d{1,15}$/.test(length))
    throw new GateError('ERR_GATE_PROTOCOL', 'a Content-Length that is no number')
  const hidden = hiddenField(fields)
  if (hidden !== undefined)
    throw new GateError('ERR_GATE_PROTOCOL', `Connection names ${hidden}, which is for the target`)
  const expected = fields.one('expect')
  if (expected !== undefined && expected.toLowerCase() !== '100-continue')
    throw new GateError('ERR_GATE_PROTOCOL', 'an Expect of something other than 100-continue')
  if (method === 'TRACE') throw new GateError('ERR_GATE_PROTOCOL', 'TRACE would show what the gate adds')
}

/** RFC 6455 section 4.1: the only one there is. */
export const WEBSOCKET_VERSION = '13'

/** RFC 6455 section 4.1; what is no handshake is not brought to the target. Bytes behind it are frames. */
function checkHandshake(fields: Fields): void {
  const wrong = (what: string): GateError => new GateError('ERR_GATE_PROTOCOL', `a WebSocket handshake with ${what}`)
  if (fields.one('transfer-encoding') !== undefined || (fields.one('content-length') ?? '0') !== '0')
    throw wrong('a body')
  if (!/^[A-Za-z0-9+/]{22}==$/.test(fields.one('sec-websocket-key') ?? '')) throw wrong('no Sec-WebSocket-Key')
  if (fields.one('sec-websocket-version') !== WEBSOCKET_VERSION)
    throw wrong(`another version than ${WEBSOCKET_VERSION}`)
  const protocols = fields.members('sec-websocket-protocol')
  if (protocols.some(each => !token.test(each)) || new Set(protocols).size < protocols.length)
    throw wrong('subprotocols that are no tokens, or named twice')
}

/** RFC 9110 section 5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9a-z-]+$/

/** What was read of a body; `start` is undefined where none of it was. */
export interface ReadContent {
  readonly start: Buffer | undefined
  readonly isWhole: boolean
  /** As the request says. */
  readonly length: number | undefined
}

export interface Decidable {
  readonly command: Command
  /** The routes that masks go by. */
  readonly maskRoutes: readonly string[]
  /** The request in words, for people; undefined where its body was not read, so that nobody can be asked. */
  readonly whole: string | undefined
  /** Headers that rules may see, for people, should they be asked. */
  readonly headers: () => Readonly<Record<string, string>>
}

/** What people are asked of a request. `later`: the client does not wait for them. */
export function askedOf({ command, whole, headers }: Decidable, later: boolean): Asked {
  return {
    command: whole ?? command.operation.text,
    parameters: whole === undefined ? undefined : [],
    context: headers(),
    later,
    estimate: () => Promise.resolve(undefined),
  }
}

/** A value of a context has this many characters at most. */
const MAX_CONTEXT_LENGTH = 4_096

const MAX_CONTEXT_NAME_LENGTH = 64
const DIGEST_LENGTH = 16

/** Headers as the context of a request for approval: what is approved goes with these and with no others. */
function contextOf(shown: FieldList): Record<string, string> {
  const headers = new Map<string, string>()
  for (const [name, value] of shown) {
    const known = headers.get(name)
    headers.set(name, known === undefined ? value : `${known}, ${value}`)
  }
  const short = (value: string): string =>
    value.length <= MAX_CONTEXT_LENGTH ? value : `SHA-256 ${createHash('sha256').update(value).digest('hex')}`
  return Object.fromEntries([...headers].map(([name, value]) => [contextName(name), short(value)]))
}

/** A name of a context has 64 characters at most; two headers with the same beginning have two. */
function contextName(header: string): string {
  const name = `header ${header}`
  if (name.length <= MAX_CONTEXT_NAME_LENGTH) return name
  const digest = createHash('sha256').update(name).digest('hex').slice(0, DIGEST_LENGTH)
  return `${name.slice(0, MAX_CONTEXT_NAME_LENGTH - DIGEST_LENGTH - 1)}~${digest}`
}

/** Requests without a body that are remembered for one policy; beyond it all are forgotten. */
const MAX_PLAIN = 1_000
/** Longer ones are not: they would be kept in memory. */
const MAX_PLAIN_LENGTH = 1_024

/** By the lists that policy gives, which are others when it is another. */
const plain = new WeakMap<Gate['routes'], WeakMap<Gate['recordFields'], Map<string, Decidable>>>()

/**
 * The command that a request is. Everything that is wrong with it is its refusal. Requests of which nothing but the first
 * line counts have the same command each time, so that policy and record know them again. `recordKey` is always the same.
 */
export function commandOf(head: ReadHead, content: ReadContent, gate: Gate, recordKey: Uint8Array): Decidable {
  const { method, fields, location, fault, isUpgrade } = head
  const key = `${method} ${location.path}${location.query}`
  const isPlain =
    fault === undefined &&
    !isUpgrade &&
    content.length === 0 &&
    gate.headers.length === 0 &&
    key.length <= MAX_PLAIN_LENGTH
  const isWorded =
    fields.one('content-type') !== undefined || fields.one('destination') !== undefined || head.sources.length > 0
  if (!isPlain || isWorded || disguise(fields, gate.headers) !== undefined)
    return readCommand(head, content, gate, recordKey)
  const byFields = plain.get(gate.routes) ?? new WeakMap<Gate['recordFields'], Map<string, Decidable>>()
  plain.set(gate.routes, byFields)
  const known = byFields.get(gate.recordFields) ?? new Map<string, Decidable>()
  byFields.set(gate.recordFields, known)
  const found = known.get(key)
  if (found !== undefined) return found
  const made = readCommand(head, content, gate, recordKey)
  if (known.size >= MAX_PLAIN) known.clear()
  known.set(key, made)
  return made
}

function readCommand(head: ReadHead, content: ReadContent, gate: Gate, recordKey: Uint8Array): Decidable {
  const { method, fields, location } = head
  const contentType = fields.one('content-type')
  let fault = head.fault ?? disguise(fields, gate.headers)
  let body: Body = unreadBody(contentType, content.length)
  const isRead = content.isWhole && content.start !== undefined && fields.one('content-encoding') === undefined
  try {
    if (isRead || content.length === 0)
      body = readBody(contentType, content.start ?? Buffer.alloc(0), location.query.slice(1))
    fault ??= bodyFault(head, body, content)
  } catch (thrown) {
    fault ??= asGateError(thrown)
  }
  const shown = content.isWhole && content.start !== undefined ? contentOf(content.start) : undefined
  const request: Request = { ...head, body, content: shown }
  const { routeOf } = compileRoutes(gate.routes)
  const templates = withRoutesOfMasks(gate.routes, gate.recordFields)
  const { maskRoutesOf } = compileRoutes(templates)
  const maskRoutes = maskRoutesOf(location.plain)
  const sent = withSources(withDestination(fields.list, head.destination), head.sources)
  const shownHeaders = sent.filter(([name]) => gate.headers.includes(name))
  const operation = operationOf(request, routeOf, shownHeaders)
  const hiding = { masks: gate.recordFields, templatesOf: maskRoutesOf, key: recordKey }
  const performed: Performed = {
    ...{ method, path: location.plain, query: location.query.slice(1), body },
    copies: () => copiesOf(head, templates),
    parameters: () => (location.path.includes(';') ? parametersOf(location.path, '') : []),
    within: () => routesWithin(body.requests?.() ?? [], location.plain, templates),
  }
  const command: Command = {
    operation,
    recorded: recordedRequest(request, operation, shownHeaders, content.start, hiding),
    ...(fault === undefined ? {} : { refusal: faultDeny(fault) }),
    perform: obligations => perform(obligations, maskRoutes, performed),
    people: 'now',
  }
  const isShown = content.length === 0 || shown !== undefined
  return {
    command,
    maskRoutes,
    whole: isShown ? operation.text : undefined,
    headers: () => contextOf(recordedHeaders(request, shownHeaders, hiding)),
  }
}

function disguise(fields: Fields, shownHeaders: readonly string[]): GateError | undefined {
  const twice = repeatedField(fields, shownHeaders)
  if (twice !== undefined) return new GateError('ERR_GATE_PROTOCOL', `a request with two ${twice} fields`)
  const name = disguisedField(fields, shownHeaders)
  if (name === undefined) return undefined
  return new GateError('ERR_GATE_PROTOCOL', `some servers take the field ${name.slice(0, 100)} for another`, {
    hint: 'Write its name with hyphens.',
  })
}

/** Frameworks take the method of a POST from a member of its body. */
function bodyFault({ method, fields }: ReadHead, { document }: Body, content: ReadContent): GateError | undefined {
  const hint = 'Send the method itself.'
  if (
    typeof document === 'object' &&
    document !== null &&
    !Array.isArray(document) &&
    Object.keys(document).some(isOverride)
  )
    return new GateError('ERR_GATE_PROTOCOL', 'the body has _method', { hint })
  const contentType = fields.one('content-type')
  const kind = formOf(method, contentType)
  if (kind === undefined || content.length === 0) return undefined
  const unreadable = (what: string): GateError =>
    new GateError('ERR_GATE_PROTOCOL', `${what} that gate cannot read: it could hold a _method`, { hint })
  const coding = fields.one('content-encoding')
  if (kind === 'json') {
    if (!isAsciiJson(contentType)) return unreadable('JSON in a charset')
    if (coding === undefined) return overrideFault(kind, content)
    const start = content.isWhole && content.start !== undefined ? undone(content.start, coding) : undefined
    return start === undefined ? unreadable('encoded JSON') : overrideFault(kind, { ...content, start })
  }
  if (coding !== undefined || (kind !== 'multipart' && !isAsciiForm(contentType))) return unreadable('a form')
  return overrideFault(kind, content)
}

/** The same of JSON, of which a type that cannot be read is no other charset's. */
function isAsciiJson(contentType = ''): boolean {
  return charsetOf(contentType) === undefined
    ? !/charset\W*utf\W?(?:7|16|32)/i.test(contentType)
    : isAsciiForm(contentType)
}

/** Whether names in a form stand in it as they are: in charsets that have ASCII in its place. */
function isAsciiForm(contentType: string | undefined): boolean {
  return /^(?:utf-?8|us-ascii|iso-8859-\d{1,2}|windows-125\d)$/i.test(charsetOf(contentType) ?? '')
}

/** In what was read; the rest is looked through on its way. */
function overrideFault(kind: FormKind, { start, isWhole }: ReadContent): GateError | undefined {
  const scan = overrideScan(kind)
  return thrownBy(() => {
    if (start !== undefined) scan.push(start)
    if (isWhole) scan.end()
  })
}

function faultDeny(fault: GateError): Deny {
  return deny(fault.message, fault.hint)
}
