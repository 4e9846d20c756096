// What goes to a target, and what comes back of it.
import type { Readable } from 'node:stream'
import type { GateError } from '@gate/shared/errors'
import { type FieldList, lowerPairsOf } from './fields.ts'
import { type Spelling, spellingOf } from './spelling.ts'

export interface SentRequest {
  readonly method: string
  readonly path: string
  readonly fields: FieldList
  readonly spelling: Spelling
  readonly body: Buffer | Readable | undefined
}

/** What a target says before its body; names of fields in lower case. */
export interface AnswerHead {
  readonly status: number
  /** The words behind it, as the target said them. */
  readonly phrase: string
  readonly fields: FieldList
  readonly spelling: Spelling
}

/** A head whose fields are names and values in turn, one character for each byte, as node writes them. */
export function answerHeadOf(status: number, phrase: string, raw: readonly string[]): AnswerHead {
  return { status, phrase, fields: lowerPairsOf(raw), spelling: spellingOf(raw) }
}

/** Ends a request that nobody waits for any more. */
export type Abort = (cause: GateError) => void

/** What comes back; `data` gives false when no more is wanted until `resume` is called. */
export interface AnswerHandler {
  head(said: AnswerHead, resume: () => void): void
  data(chunk: Buffer): boolean
  end(trailers: FieldList): void
  fail(cause: GateError): void
}
