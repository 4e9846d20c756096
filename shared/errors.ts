// The one error class of gate: a stable code, who is at fault, and what to do next.

/** Who has to act for the error to go away: the person or tool that asked, the private system behind, or gate itself. */
export type Fault = 'client' | 'target' | 'gate'

interface CodeMeaning {
  readonly fault: Fault
  /** HTTP status of the relay's API when it answers with this code. */
  readonly status: number
  /** Exit code of `gate` when a command ends with this code; documented in docs/cli.md. */
  readonly exit: number
  readonly meaning: string
}

/** Every error code of gate. Users and tests match codes, never texts. */
export const errorCodes = {
  ERR_GATE_USAGE: {
    fault: 'client',
    status: 400,
    exit: 2,
    meaning: 'The command line or the request is not understood.',
  },
  ERR_GATE_CONFIG: { fault: 'client', status: 400, exit: 2, meaning: 'A configuration or policy file is not valid.' },
  ERR_GATE_UNAUTHENTICATED: { fault: 'client', status: 401, exit: 3, meaning: 'No valid login: run gate login.' },
  ERR_GATE_TOKEN: {
    fault: 'client',
    status: 401,
    exit: 3,
    meaning: 'A token was shown that the relay does not accept.',
  },
  ERR_GATE_FORBIDDEN: { fault: 'client', status: 403, exit: 4, meaning: 'Policy or ownership does not permit this.' },
  ERR_GATE_REFUSED: {
    fault: 'client',
    status: 403,
    exit: 4,
    meaning: 'Policy, or a person who was asked, refused the command.',
  },
  ERR_GATE_NOT_FOUND: {
    fault: 'client',
    status: 404,
    exit: 5,
    meaning: 'There is no such target, request or session.',
  },
  ERR_GATE_CONFLICT: {
    fault: 'client',
    status: 409,
    exit: 6,
    meaning: 'The state changed meanwhile: decided, withdrawn, taken.',
  },
  ERR_GATE_EXPIRED: { fault: 'client', status: 410, exit: 6, meaning: 'The request, token or enrolment is too old.' },
  ERR_GATE_LIMIT: { fault: 'client', status: 413, exit: 1, meaning: 'A named limit was exceeded.' },
  ERR_GATE_PROTOCOL: { fault: 'client', status: 400, exit: 1, meaning: 'A peer broke the rules of its protocol.' },
  ERR_GATE_PORT_IN_USE: {
    fault: 'client',
    status: 409,
    exit: 8,
    meaning: 'The local port is taken by another program.',
  },
  ERR_GATE_PEER: { fault: 'client', status: 403, exit: 4, meaning: "Another user's process knocked at a local port." },
  ERR_GATE_RELAY_UNREACHABLE: { fault: 'gate', status: 503, exit: 7, meaning: 'The relay does not answer.' },
  ERR_GATE_RELAY_CHANGED: {
    fault: 'gate',
    status: 503,
    exit: 7,
    meaning: "The relay's certificate is not the pinned one.",
  },
  ERR_GATE_NO_AGENT: { fault: 'gate', status: 503, exit: 7, meaning: 'No agent that serves the target is online.' },
  ERR_GATE_AGENT_LOST: { fault: 'gate', status: 502, exit: 7, meaning: 'The agent went away in mid-connection.' },
  ERR_GATE_TARGET_UNREACHABLE: { fault: 'target', status: 502, exit: 7, meaning: 'The agent cannot reach the target.' },
  ERR_GATE_TARGET_LOGIN: {
    fault: 'target',
    status: 502,
    exit: 7,
    meaning: "The target refused gate's service identity.",
  },
  ERR_GATE_TARGET_PROTOCOL: {
    fault: 'target',
    status: 502,
    exit: 1,
    meaning: 'The target broke the rules of its protocol.',
  },
  ERR_GATE_TIMEOUT: { fault: 'gate', status: 504, exit: 7, meaning: 'A wait reached its named limit.' },
  ERR_GATE_CLIENT_TIMEOUT: {
    fault: 'client',
    status: 408,
    exit: 1,
    meaning: 'The client did not send what it had begun within a named limit.',
  },
  ERR_GATE_TAMPERED: {
    fault: 'gate',
    status: 500,
    exit: 9,
    meaning: 'A record, checkpoint or receipt is not what was signed.',
  },
  ERR_GATE_RECORD: {
    fault: 'gate',
    status: 503,
    exit: 7,
    meaning: 'The record cannot be written, so nothing may run.',
  },
  ERR_GATE_STORE: { fault: 'gate', status: 503, exit: 7, meaning: 'The store does not answer, so nothing may run.' },
  ERR_GATE_IDENTITY_ENDED: { fault: 'client', status: 401, exit: 3, meaning: 'The login behind a connection ended.' },
  ERR_GATE_KILLED: { fault: 'client', status: 403, exit: 4, meaning: 'Somebody ended the session.' },
  ERR_GATE_LOCKED: { fault: 'client', status: 403, exit: 4, meaning: 'The person, the target or the agent is locked.' },
  ERR_GATE_SHUTDOWN: { fault: 'gate', status: 503, exit: 7, meaning: 'The relay is going down.' },
  ERR_GATE_CANCELLED: {
    fault: 'client',
    status: 499,
    exit: 130,
    meaning: 'The person or program that asked went away.',
  },
  ERR_GATE_INTERNAL: { fault: 'gate', status: 500, exit: 1, meaning: 'A defect in gate; nothing was forwarded.' },
} as const satisfies Record<string, CodeMeaning>

export type ErrorCode = keyof typeof errorCodes

export interface GateErrorOptions {
  cause?: unknown
  /** The next step for whoever reads the message: a command or a setting. */
  hint?: string
  /** What a protocol can show beside the message, for example the rule that matched. */
  detail?: string
  /** The target's own error, field by field, when the target refused. */
  fields?: Readonly<Record<string, string>>
}

/** An error that a person may see. `message` never holds secrets, tokens or the content of results. */
export class GateError extends Error {
  override readonly name = 'GateError'
  readonly code: ErrorCode
  readonly fault: Fault
  readonly hint: string | undefined
  readonly detail: string | undefined
  readonly fields: Readonly<Record<string, string>> | undefined

  constructor(code: ErrorCode, message: string, options: GateErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.fault = errorCodes[code].fault
    this.hint = options.hint
    this.detail = options.detail
    this.fields = options.fields
  }

  /** The form in which an error travels between the programs of gate and to `--json`. */
  toJSON(): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      ...(this.hint === undefined ? {} : { hint: this.hint }),
      ...(this.detail === undefined ? {} : { detail: this.detail }),
      ...(this.fields === undefined ? {} : { fields: { ...this.fields } }),
    }
  }
}

export interface ErrorBody {
  code: ErrorCode
  message: string
  hint?: string
  detail?: string
  fields?: Record<string, string>
}

/** Makes an error of what another program of gate sent; an unknown code becomes ERR_GATE_INTERNAL. */
export function errorFromBody(body: {
  code: string
  message: string
  hint?: string | undefined
  detail?: string | undefined
  fields?: Record<string, string> | undefined
}): GateError {
  const code = Object.hasOwn(errorCodes, body.code) ? (body.code as ErrorCode) : 'ERR_GATE_INTERNAL'
  return new GateError(code, body.message, {
    ...(body.hint === undefined ? {} : { hint: body.hint }),
    ...(body.detail === undefined ? {} : { detail: body.detail }),
    ...(body.fields === undefined ? {} : { fields: body.fields }),
  })
}

/** Gives a GateError back as it is and wraps anything else; the text of a foreign error stays in `cause`. */
export function asGateError(thrown: unknown, code: ErrorCode = 'ERR_GATE_INTERNAL', message?: string): GateError {
  if (thrown instanceof GateError) return thrown
  return new GateError(code, message ?? 'something went wrong inside gate', { cause: thrown })
}

/** The reason an AbortSignal was aborted with, as a GateError. */
export function abortReason(signal: AbortSignal): GateError {
  return asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'cancelled')
}
