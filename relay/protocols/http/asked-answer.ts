// What an agent may send in answer to one request, held to what it said: a client would take what is too much for another answer.
import { GateError } from '@gate/shared/errors'
import type { AnswerLines } from '@gate/shared/http-frames'
import type { FieldList } from './fields.ts'
import { spellingOf } from './spelling.ts'
import type { AnswerHandler, AnswerHead } from './way.ts'

const NO_CONTENT = 204
const NOT_MODIFIED = 304

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
    const head = readHead(said)
    this.#hasBody = this.#method !== 'HEAD' && head.status !== NO_CONTENT && head.status !== NOT_MODIFIED
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
    this.#handler.end(pairs(trailers))
  }

  fail(cause: GateError): void {
    this.#handler.fail(cause)
  }
}

/** One character for each byte, as node writes them. */
function readHead({ status, phrase, fields }: AnswerLines): AnswerHead {
  return { status, phrase, fields: pairs(fields), spelling: spellingOf(fields) }
}

function pairs(raw: readonly string[]): FieldList {
  const fields: [string, string][] = []
  for (let at = 0; at + 1 < raw.length; at += 2) fields.push([(raw[at] ?? '').toLowerCase(), raw[at + 1] ?? ''])
  return fields
}

/** A second one is refused with the fields. */
function contentLength(fields: FieldList): number | undefined {
  const said = fields.find(([name]) => name === 'content-length')?.[1]
  if (said === undefined) return undefined
  if (!/^\d{1,15}$/.test(said)) throw new GateError('ERR_GATE_PROTOCOL', 'the length of an answer is none')
  return Number(said)
}
