// What requests of one connection share: the session, the way to the target, and the room's keys.
import type { Duplex } from 'node:stream'
import type { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Session } from '../protocol.ts'
import type { HttpLimits } from './limits.ts'
import type { Upstream } from './upstream.ts'

export interface Keys {
  /** Of hashed masks. */
  readonly maskKey: Uint8Array
  /** Of placeholders in the record. */
  readonly recordKey: Uint8Array
}

/** One connection of a client, as its requests see it. */
export interface Shared {
  readonly session: Session
  readonly keys: Keys
  readonly limits: HttpLimits
  readonly log: Log
  readonly upstream: Upstream
  /** Bytes that came from the client so far. */
  readonly receivedBytes: number
  /** Nothing else is on its way: the stream may become something other than requests. */
  readonly isIdle: boolean
  /** The client says nothing more: it waits for answers, or it is gone. */
  readonly isHalfClosed: boolean
  /** Begins the session's record with the first request. @throws {GateError} when the person may not open the target. */
  begin(program: string): Promise<void>
  /** Ends the connection; a request that has no answer yet gets this one. */
  end(cause: GateError): void
  /** The answer to this request is the last one: requests behind it are not served. */
  endAfter(number: number): void
  /** What came makes something else of the stream, whose answers node no longer writes. */
  refuseUpgrade(stream: Duplex, cause: GateError): void
  /** The stream is somebody else's from now on; `until` ends when they are done with it. */
  hand(until: Promise<void>): void
  /** Answers for which there is no request that could be answered, and ends. */
  refuse(stream: Duplex, cause: GateError): void
}
