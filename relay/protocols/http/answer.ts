// The answer of a target on its way to the client: passed on as it comes, masked, or replaced by a problem.
import type { ServerResponse } from 'node:http'
import { PassThrough, pipeline, Transform, Writable } from 'node:stream'
import { sendHead } from '@gate/shared/answer-head'
import { asGateError, GateError } from '@gate/shared/errors'
import { decoders, encoders } from './coding.ts'
import type { FieldList } from './fields.ts'
import type { Following } from './following.ts'
import type { BodyMasker } from './masking/masker.ts'
import { phraseOf } from './phrase.ts'
import { plainSink, type Sink } from './plain-sink.ts'
import { type Masking, type Plan, planAnswer } from './plan.ts'
import { type Problem, problemMessage, problemOf } from './problem.ts'
import { type Spelling, spelled } from './spelling.ts'
import type { Abort, AnswerHandler, AnswerHead } from './way.ts'

export interface AnswerContext {
  /** Answers in the target's place, if nothing was answered yet. */
  problem(problem: Problem): void
  observe(status: string, bytes: number, firstByteAtMs: number | undefined): void
  now(): number
  readonly session: string
  /** What the client said. */
  readonly acceptEncoding: string | undefined
  /** The rule that let the request pass, for what has to be refused after all. */
  readonly rule: string
}

type Mask = Extract<Plan, { do: 'mask' }>
type Refusal = Extract<Plan, { do: 'refuse' }>

const FIRST_REDIRECT = 300
/** Of a body that does not go on so much is read, so that the way to the agent can be used again. */
const MAX_WITHHELD_BYTES = 1024 * 1024

const unreadable = (why: string): GateError =>
  new GateError('ERR_GATE_REFUSED', `parts of this answer are masked for you: ${why}`, {
    hint: 'Ask for JSON or another form in which gate finds fields, or have the masks limited to other routes.',
  })

export class Answer implements AnswerHandler {
  readonly #response: ServerResponse
  readonly #method: string
  readonly #following: Following
  #masking: Masking | undefined
  readonly #context: AnswerContext
  #status = 0
  #phrase = ''
  #spelling: Spelling = new Map()
  #bytes = 0
  #headAtMs: number | undefined
  #resume: () => void = () => {}
  /** Set when it is asked for. */
  abort: Abort = () => {}
  /** Where the body goes. */
  #source: Sink | undefined
  /** Set where the body cannot be read, and has to be. */
  #unreadable: Refusal | undefined
  #isOver = false

  constructor(response: ServerResponse, method: string, following: Following, context: AnswerContext) {
    this.#response = response
    this.#method = method
    this.#following = following
    this.#context = context
    response.on('drain', this.#drained)
  }

  readonly #drained = (): void => this.#resume()

  /** Nobody waits for the answer any more. */
  stop(cause: GateError): void {
    if (this.#status === 0) this.#over(cause.code === 'ERR_GATE_CANCELLED' ? 'cancelled' : cause.code)
    this.abort(cause)
    this.#break(cause)
  }

  /** Says once how it ended. */
  #over(status: string): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#response.off('drain', this.#drained)
    this.#context.observe(status, this.#bytes, this.#headAtMs)
  }

  head({ status, phrase, fields: raw, spelling }: AnswerHead, resume: () => void): void {
    this.#resume = resume
    const refusal = this.#following.refusal()
    if (refusal !== undefined) return this.#end(refusal)
    this.#status = status
    this.#masking = this.#following.begin()
    // Free text, in which no mask would find anything.
    this.#phrase = phraseOf(status, this.#masking === undefined ? phrase : undefined)
    this.#spelling = spelling
    this.#headAtMs = this.#context.now()
    const plan = planAnswer(this.#method, status, raw, this.#masking, this.#context.acceptEncoding)
    switch (plan.do) {
      case 'pass':
        this.#writeHead(plan.fields)
        this.#source = this.#response
        return
      case 'mask':
        this.#source = plan.codings.length === 0 ? this.#maskedPlain(plan) : this.#masked(plan)
        return
      case 'refuse':
        this.#unreadable = plan
    }
  }

  /** There is a body, and it cannot be read. */
  #withoutBody(unread: Refusal): void {
    if (this.#response.headersSent) {
      if (this.#bytes > MAX_WITHHELD_BYTES) this.abort(unreadable(unread.why))
      return
    }
    const refusal = this.#following.refusal()
    if (refusal !== undefined) this.#end(refusal)
    else if (this.#status >= FIRST_REDIRECT) this.#withhold(unread)
    else this.#refuse(unreadable(unread.why))
  }

  /** An error or a redirect is worth more than its page: the client gets its status and fields. */
  #withhold({ fields, why }: Refusal): void {
    const problem = { ...problemOf(unreadable(why), this.#context.session), status: this.#status }
    const { body, fields: own } = problemMessage({ ...problem, rule: this.#context.rule })
    this.#response.writeHead(this.#status, this.#phrase, spelled([...fields, ...Object.entries(own)], this.#spelling))
    this.#response.end(body)
  }

  #writeHead(fields: FieldList): void {
    this.#response.writeHead(this.#status, this.#phrase, spelled(fields, this.#spelling))
    sendHead(this.#response)
  }

  #maskedPlain({ fields, masker }: Mask): Sink {
    return plainSink(
      masker,
      this.#response,
      () => this.#writeHead(fields),
      thrown => this.#refuse(thrown),
    )
  }

  /** The way of a body that is masked and encoded. The head goes out with the first masked byte: until then the answer can be replaced. */
  #masked({ fields, masker, codings, again, isLive }: Mask): Writable {
    const source = new PassThrough()
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        if (!this.#response.headersSent) this.#writeHead(fields)
        if (this.#response.write(chunk)) done()
        else this.#response.once('drain', () => done())
      },
      final: done => {
        if (!this.#response.headersSent) this.#writeHead(fields)
        done()
      },
    })
    const stages = [source, ...decoders(codings), maskStage(masker), ...encoders(again, isLive), sink]
    pipeline(stages, thrown => {
      if (thrown === null || thrown === undefined) this.#response.end()
      else this.#refuse(asGateError(thrown, 'ERR_GATE_TARGET_PROTOCOL', 'the answer cannot be decoded'))
    })
    source.on('drain', () => this.#resume())
    return source
  }

  /** Refuses what has come: with a problem, or, when parts of it are out already, by breaking off. */
  #refuse(cause: GateError): void {
    this.#over(this.#status === 0 ? cause.code : `${this.#status} ${cause.code}`)
    const problem = problemOf(cause, this.#context.session)
    if (!this.#response.headersSent) this.#context.problem({ ...problem, rule: this.#context.rule })
    this.abort(cause)
    this.#break(cause)
  }

  /** It may not go on. */
  #end(cause: GateError): void {
    this.#fail(cause)
    this.abort(cause)
  }

  /** What is cut off must not look whole. */
  #break(cause: GateError): void {
    this.#source?.destroy()
    if (this.#response.headersSent && !this.#response.writableEnded) this.#response.destroy(cause)
  }

  data(chunk: Buffer): boolean {
    this.#bytes += chunk.length
    if (this.#unreadable !== undefined) {
      this.#withoutBody(this.#unreadable)
      return true
    }
    if (this.#source === undefined || this.#source.destroyed) return true
    // Every chunk is one by the policy of its moment.
    const refusal = this.#following.refusal()
    if (refusal !== undefined) {
      this.#end(refusal)
      return true
    }
    return this.#source.write(chunk)
  }

  end(trailers: FieldList): void {
    // Trailers, and what a masker has kept to the end, are by the policy of this moment as well.
    const refusal = this.#response.writableEnded ? undefined : this.#following.refusal()
    if (refusal !== undefined) return this.#end(refusal)
    // There is nothing in an empty body that would have to be masked.
    if (this.#unreadable !== undefined && !this.#response.headersSent) {
      this.#writeHead([...this.#unreadable.whole, ['content-length', '0']])
      this.#response.end()
    }
    if (this.#source === this.#response && this.#masking === undefined && trailers.length > 0)
      this.#response.addTrailers(trailers.map(([name, value]): [string, string] => [name, value]))
    this.#source?.end()
    // What the end of a body brought to light was told of by then.
    this.#over(String(this.#status))
  }

  fail(cause: GateError): void {
    if (this.#isOver) return
    this.#fail(cause)
  }

  #fail(cause: GateError): void {
    this.#over(this.#status === 0 ? cause.code : `${this.#status} ${cause.code}`)
    if (!this.#response.headersSent) this.#context.problem(problemOf(cause, this.#context.session))
    this.#break(cause)
  }
}

function maskStage(masker: BodyMasker): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      try {
        done(null, masker.push(chunk))
      } catch (thrown) {
        done(asGateError(thrown))
      }
    },
    flush(done) {
      try {
        done(null, masker.end())
      } catch (thrown) {
        done(asGateError(thrown))
      }
    },
  })
}
