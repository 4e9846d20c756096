// What the agent adds to each request so that the service knows it.
import type { RawHeaders } from './headers.ts'

/** A request as it goes to the service, before the credential is added. */
export interface Outgoing {
  readonly method: string
  /** With the base path. */
  readonly path: string
  readonly headers: RawHeaders
  /** The whole body where the credential signs it. */
  readonly body: Buffer | undefined
}

export interface Credential {
  /** Headers, in lower case, that only it may set. */
  readonly owned: readonly string[]
  /** Set when the request's body has to be there as a whole before the first byte goes out. */
  readonly signsBody: boolean
  /** @throws {GateError} ERR_GATE_TARGET_LOGIN when there is none; the message names neither it nor its place. */
  headers(request: Outgoing): Promise<readonly string[]>
  /** The service answered 401 to a request with these headers. */
  refused(headers: readonly string[]): void
}
