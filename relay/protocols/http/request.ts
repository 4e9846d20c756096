// A request as node read it → what is decided: normalised, or refused because it could be read in several ways. Pure.

import { isUtf8 } from 'node:buffer'
import { createHash } from 'node:crypto'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Deny, Obligation } from '@gate/shared/model'
import { hideFound } from '../../mask/recorded.ts'
import type { Command, Gate, Recorded } from '../protocol.ts'
import { admit } from './admission.ts'
import { type Body, readBody, unreadBody } from './body.ts'
import { Fields } from './fields.ts'
import { type Location, readLocation } from './location.ts'
import { recordedBody, recordedQuery } from './masking/recorded.ts'
import { operationOf, type Request, textOf } from './operation.ts'
import { compileRoutes } from './routes.ts'

/** A target that cannot be read is recorded up to this length. */
const RECORDED_TARGET_LENGTH = 1_000

/** The head of a request. */
export interface Head {
  readonly method: string
  readonly target: string
  readonly raw: readonly string[]
  readonly isUpgrade: boolean
}

/** A head that was read. `fault` is set where it is not to be believed: then the request is refused, and recorded as it came. */
export interface ReadHead {
  readonly method: string
  readonly location: Location
  readonly fields: Fields
  readonly isUpgrade: boolean
  readonly fault: GateError | undefined
}

const noFields = new Fields([])

/** @throws nothing: what is wrong with the head is its fault. */
export function readHead({ method, target, raw, isUpgrade }: Head, targetName: string): ReadHead {
  try {
    const fields = new Fields(raw)
    const location = readLocation(method, target)
    admit(method, location.authority, fields, targetName)
    checkTransfer(method, fields)
    if (location.parameters.some(([name]) => name === '_method'))
      throw new GateError('ERR_GATE_PROTOCOL', 'the query has _method', { hint: 'Send the method itself.' })
    return { method, location, fields, isUpgrade, fault: undefined }
  } catch (thrown) {
    const path = target.slice(0, RECORDED_TARGET_LENGTH)
    const location = { path, query: '', parameters: [], authority: undefined }
    return { method, location, fields: noFields, isUpgrade, fault: asGateError(thrown) }
  }
}

/** RFC 9112 section 6: what says how long a body is must say it once and plainly. */
function checkTransfer(method: string, fields: Fields): void {
  const encoding = fields.one('transfer-encoding')
  const length = fields.one('content-length')
  if (encoding !== undefined && length !== undefined)
    throw new GateError('ERR_GATE_PROTOCOL', 'a request with both Transfer-Encoding and Content-Length')
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked')
    throw new GateError('ERR_GATE_PROTOCOL', 'a transfer coding other than chunked')
  if (length !== undefined && !/^\d{1,15}$/.test(length))
    throw new GateError('ERR_GATE_PROTOCOL', 'a Content-Length that is no number')
  if (method === 'TRACE') throw new GateError('ERR_GATE_PROTOCOL', 'TRACE would show what the gate adds')
}

/** What was read of a body; `start` is undefined where none of it was. */
export interface ReadContent {
  readonly start: Buffer | undefined
  readonly isWhole: boolean
  /** As the request says. */
  readonly length: number | undefined
}

export interface Decidable {
  readonly command: Command
  readonly route: string
  /** The request in words, for people; undefined where its body was not read, so that nobody can be asked. */
  readonly whole: string | undefined
}

/** The command that a request is. Everything that is wrong with it is its refusal. */
export function commandOf(head: ReadHead, content: ReadContent, gate: Gate, recordKey: Uint8Array): Decidable {
  const { fields, location } = head
  const contentType = fields.one('content-type')
  let fault = head.fault
  let body: Body = unreadBody(contentType, content.length)
  const isRead = content.isWhole && content.start !== undefined && fields.one('content-encoding') === undefined
  try {
    if (isRead || content.length === 0)
      body = readBody(contentType, content.start ?? Buffer.alloc(0), location.parameters)
    fault ??= bodyFault(body)
  } catch (thrown) {
    fault ??= asGateError(thrown)
  }
  const shown =
    content.isWhole && content.start !== undefined && content.start.length > 0 ? contentText(content.start) : undefined
  const request: Request = { ...head, body, content: shown }
  const routeOf = compileRoutes(gate.routes)
  const operation = operationOf(request, routeOf, gate.headers)
  const command: Command = {
    operation,
    recorded: recorded(request, content, gate, recordKey),
    ...(fault === undefined ? {} : { refusal: faultDeny(fault) }),
    perform,
    people: 'now',
  }
  const isShown = content.length === 0 || shown !== undefined
  return { command, route: routeOf(location.path), whole: isShown ? operation.text : undefined }
}

/** Frameworks take the method from a form's field of this name. */
function bodyFault(body: Body): GateError | undefined {
  if (body.facts.bodyKind !== 'form' || !Object.hasOwn(body.document as object, '_method')) return undefined
  return new GateError('ERR_GATE_PROTOCOL', 'the form has _method', { hint: 'Send the method itself.' })
}

export function faultDeny(fault: GateError): Deny {
  return { effect: 'deny', rule: 'http', reason: fault.message, hint: fault.hint }
}

/** Columns are nothing that an answer of HTTP has: not to mask them would be to let them out. */
function perform(obligations: readonly Obligation[]): Deny | undefined {
  const columns = obligations.find(each => each.kind === 'mask' && each.columns.length > 0)
  if (columns === undefined) return undefined
  return {
    effect: 'deny',
    rule: 'http',
    reason: 'policy masks columns on this target, and an HTTP service has none',
    hint: 'Whoever writes the policy: mask fields instead, or match protocol: postgres.',
  }
}

/** Text as it is; of other bytes what tells them from others. */
function contentText(bytes: Buffer): string {
  if (isUtf8(bytes) && !bytes.includes(0)) return bytes.toString('utf8')
  return `(${bytes.length} bytes, SHA-256 ${createHash('sha256').update(bytes).digest('hex')})`
}

function recorded(request: Request, content: ReadContent, gate: Gate, key: Uint8Array): Recorded {
  const { location, fields } = request
  const masks = gate.recordFields
  const kept: Request = {
    ...request,
    location: {
      ...location,
      path: hideFound(location.path, key),
      query: location.query === '' ? '' : `?${recordedQuery(location.query.slice(1), masks, key)}`,
    },
    content:
      request.content === undefined || content.start === undefined
        ? undefined
        : request.content.startsWith('(')
          ? request.content
          : recordedBody(fields.one('content-type'), content.start, masks, key),
  }
  return { text: textOf(kept), isCut: false, parameters: [], parameterCount: 0 }
}
