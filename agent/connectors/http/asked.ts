// A request as it came from the relay, and where its answer goes; whatever carries them.
import type { Readable } from 'node:stream'
import type { GateError } from '@gate/shared/errors'
import type { RequestHead } from '@gate/shared/http-frames'

export interface AskedRequest extends RequestHead {
  /** Undefined where there is none. It is read once. */
  readonly body: Readable | undefined
}

/** Takes one answer: its head, its data and its end, or a failure in their place. */
export interface AnswerSink {
  /** A head went out: a failure can only break the answer off. */
  readonly isBegun: boolean
  /** `headers` are names and values in turn. @throws {GateError} ERR_GATE_TARGET_PROTOCOL for what cannot be written. */
  head(status: number, phrase: string, headers: string[]): void
  /** False when no more is wanted until `onDrain` is called. */
  data(chunk: Buffer): boolean
  end(trailers: string[]): void
  fail(error: GateError): void
  onDrain: () => void
}
