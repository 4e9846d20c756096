// What a client is told when the gate answers in the target's place (RFC 9457, application/problem+json). Pure.
import { errorCodes, type GateError } from '@gate/shared/errors'
import type { Deny } from '@gate/shared/model'
import { phraseOf } from './phrase.ts'
import { rawAnswer } from './raw-answer.ts'

export interface Problem {
  readonly status: number
  readonly title: string
  readonly detail: string
  /** Of an error; what is accepted has none. */
  readonly code?: string
  readonly rule?: string
  readonly hint?: string
  readonly request?: string
  readonly session: string
}

export const problemType = 'application/problem+json'

/** Codes whose status says more here than in the relay's own API. */
const statuses: Readonly<Partial<Record<GateError['code'], number>>> = {
  ERR_GATE_NO_AGENT: 503,
  ERR_GATE_AGENT_LOST: 502,
  ERR_GATE_IDENTITY_ENDED: 403,
  ERR_GATE_UNAUTHENTICATED: 403,
  ERR_GATE_TOKEN: 403,
  ERR_GATE_INTERNAL: 500,
  // 499 is no status of HTTP; nobody is there to read it in any case.
  ERR_GATE_CANCELLED: 400,
}

export function problemOf(error: GateError, session: string): Problem {
  return {
    status: statuses[error.code] ?? errorCodes[error.code].status,
    title: errorCodes[error.code].meaning,
    detail: error.message,
    code: error.code,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    session,
  }
}

/** The answer to a request that policy, a person or the room refused. `status` is the room's own, where it refused. */
export function refusalOf(deny: Deny, request: string | undefined, session: string, status = 403): Problem {
  return {
    status,
    title: 'gate refused the request',
    detail: deny.reason,
    code: 'ERR_GATE_REFUSED',
    rule: deny.rule,
    ...(deny.hint === undefined ? {} : { hint: deny.hint }),
    ...(request === undefined ? {} : { request }),
    session,
  }
}

/** The answer to a request that waits for people, and whose client asked not to: nothing has gone wrong (RFC 9110 section 15.3.3). */
export function acceptedOf(deny: Deny, request: string | undefined, session: string): Problem {
  const { code: _code, ...answer } = refusalOf(deny, request, session, 202)
  return { ...answer, title: 'gate accepted the request, which waits for approval' }
}

/** The body, and the fields that go with it: nobody keeps such an answer. */
export function problemMessage(problem: Problem): { readonly body: Buffer; readonly fields: Record<string, string> } {
  const isProblem = problem.status >= 400
  const body = Buffer.from(`${JSON.stringify(isProblem ? { type: 'about:blank', ...problem } : problem)}\n`)
  return {
    body,
    fields: {
      'content-type': isProblem ? problemType : 'application/json',
      // RFC 7240 section 3: which preference the answer follows.
      ...(isProblem ? {} : { 'preference-applied': 'respond-async' }),
      'content-length': String(body.length),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
    },
  }
}

/** A whole answer, for streams that node's server has let go of. */
export function rawProblem(problem: Problem, more: Readonly<Record<string, string>> = {}): Buffer {
  const { body, fields } = problemMessage(problem)
  const { 'content-length': _length, ...others } = fields
  return rawAnswer(problem.status, phraseOf(problem.status, undefined), Object.entries({ ...others, ...more }), body)
}
