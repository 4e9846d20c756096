// What an agent may send in answer to one request, held to what it said: a client would take what is too much for another answer.
import { GateError } from '@gate/shared/errors'
import type { AnswerLines } from '@gate/shared/http-frames'
import { type FieldList, firstOf, lowerPairsOf } from './fields.ts'
import { hasBody } from './plan.ts'
import { type AnswerHandler, answerHeadOf } from './way.ts'

export class AskedAnswer {
  readonly #method: string
  readonly #handler: AnswerHandler
  readonly #resume: () => void
  #isBegun = false
  /** Answers without one may say how long it would be (RFC 9110 section 8.6). */
  #hasBody = true
  /** Of what the answer says that it holds; undefined where it does not. */
  #leftBytes: number | undefined

  /** `resume` has the stream that it comes on go on. */
  constructor(method: string, handler: AnswerHandler, resume: () => void) {
    this.#method = method
    this.#handler = handler
    this.#resume = resume
  }

  /** @throws {GateError} ERR_GATE_PROTOCOL for a second head and a length that is none; what the handler throws. */
  head(said: AnswerLines): void {
    if (this.#isBegun) throw new GateError('ERR_GATE_PROTOCOL', 'a second head of one answer')
    this.#isBegun = true
    const head = answerHeadOf(said.status, said.phrase, said.fields)
    this.#hasBody = hasBody(this.#method, head.status, undefined)
    if (this.#hasBody) this.#leftBytes = contentLength(head.fields)
    this.#handler.head(head, this.#resume)
  }

  /**
   * Gives false when no more is wanted for now.
   * @throws {GateError} ERR_GATE_PROTOCOL without a head, and for more than was said; what the handler throws.
   */
  data(bytes: Buffer): boolean {
    if (!this.#isBegun) throw new GateError('ERR_GATE_PROTOCOL', 'data without a head')
    if (!this.#hasBody) return true
    if (this.#leftBytes !== undefined) this.#leftBytes -= bytes.length
    if ((this.#leftBytes ?? 0) < 0) throw new GateError('ERR_GATE_PROTOCOL', 'an answer is longer than it said')
    return this.#handler.data(bytes)
  }

  /** Whether it may end here. @throws {GateError} ERR_GATE_PROTOCOL without a head, and for less than was said. */
  checkEnd(): void {
    if (!this.#isBegun || (this.#leftBytes ?? 0) !== 0)
      throw new GateError('ERR_GATE_PROTOCOL', 'an answer is shorter than it said')
  }

  end(trailers: readonly string[]): void {
    this.#handler.end(lowerPairsOf(trailers))
  }

  fail(cause: GateError): void {
    this.#handler.fail(cause)
  }
}

/** A second one is refused with the fields. */
function contentLength(fields: FieldList): number | undefined {
  const said = firstOf(fields, 'content-length')
  if (said === undefined) return undefined
  if (!/^\d{1,15}$/.test(said)) throw new GateError('ERR_GATE_PROTOCOL', 'the length of an answer is none')
  return Number(said)
}
