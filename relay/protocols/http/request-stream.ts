// One stream to the agent: requests go out in frames, and the answers are read from it.
import { Readable } from 'node:stream'
import { asGateError, GateError } from '@gate/shared/errors'
import {
  checkFields,
  FrameReader,
  type FrameSink,
  FrameWriter,
  type LinesKind,
  readAnswer,
  readFailure,
  requestLines,
} from '@gate/shared/http-frames'
import type { Declaration } from '../machine.ts'
import type { TargetStream } from '../protocol.ts'
import { AskedAnswer } from './asked-answer.ts'
import { type FieldList, firstOf } from './fields.ts'
import { spelled } from './spelling.ts'
import type { Abort, AnswerHandler, SentRequest } from './way.ts'

/** Nothing is sent twice, and nobody knows how far it came. */
const MAY_BE_DONE = 'The service may have done what was asked: look before you send that again.'

/** The client has done nothing wrong. */
function ofAgent(error: GateError): GateError {
  if (error.code !== 'ERR_GATE_PROTOCOL') return error
  return new GateError('ERR_GATE_TARGET_PROTOCOL', 'the agent sent something else than an answer', { cause: error })
}

/** Undefined where only the end of it will tell. */
function lengthOf(body: SentRequest['body'], fields: FieldList): number | undefined {
  if (body === undefined || Buffer.isBuffer(body)) return body?.length ?? 0
  const said = firstOf(fields, 'content-length')
  return said === undefined ? undefined : Number(said)
}

/** Nobody takes the body of a request that is not sent: what comes of it is dropped. */
export function discard(body: SentRequest['body']): void {
  if (body instanceof Readable) body.destroy()
}

const lost = (): GateError => new GateError('ERR_GATE_AGENT_LOST', 'the connection to the target broke')

export class RequestStream implements FrameSink {
  readonly #target: TargetStream
  readonly #reader = new FrameReader(this)
  readonly #writer: FrameWriter
  /** The request that is not answered yet. */
  #answer: AskedAnswer | undefined
  /** A body that is not sent yet. */
  #body: Readable | undefined
  /** Set while the client takes no more of an answer. */
  #paused: Promise<void> | undefined
  #resume = (): void => {}
  /** Set while the way takes no more of a request. */
  #full: Promise<void> | undefined
  #broken: GateError | undefined
  #free = (): void => {}
  /** Resolves when nothing is asked on it. */
  free: Promise<void> = Promise.resolve()

  constructor(target: TargetStream) {
    this.#target = target
    this.#writer = new FrameWriter(bytes => {
      this.#full = target.port.write(bytes) ?? this.#full
    })
    void this.#read()
  }

  get isBroken(): boolean {
    return this.#broken !== undefined || this.#target.port.broken !== undefined
  }

  get isFree(): boolean {
    return this.#answer === undefined
  }

  /** Sends a request, declared first. The handler is told of the answer or of one failure. Gives what ends it, as long as it is not over. */
  ask(request: SentRequest, declaration: Declaration, handler: AnswerHandler): Abort {
    this.free = new Promise(resolve => {
      this.#free = resolve
    })
    const answer = new AskedAnswer(request.method, handler, () => this.#resume())
    this.#answer = answer
    this.#begin(request, declaration)
    return cause => {
      if (this.#answer === answer) this.destroy(cause)
    }
  }

  #begin({ method, path, fields, spelling, body }: SentRequest, declaration: Declaration): void {
    try {
      const length = lengthOf(body, fields)
      const lines = requestLines({ method, path, length, fields: spelled(fields, spelling) })
      this.#target.declare(declaration)
      this.#writer.lines('request', lines)
    } catch (thrown) {
      discard(body)
      return this.destroy(asGateError(thrown))
    }
    if (Buffer.isBuffer(body)) this.#sendWhole(body)
    else if (body !== undefined) void this.#send(body)
    else this.#writer.flush()
  }

  #sendWhole(body: Buffer): void {
    if (body.length > 0) {
      this.#writer.data(body)
      this.#writer.lines('end', [])
    }
    this.#writer.flush()
  }

  async #send(body: Readable): Promise<void> {
    this.#body = body
    try {
      for await (const chunk of body) {
        if (this.#body !== body) return
        this.#writer.data(chunk as Buffer)
        this.#writer.flush()
        await this.#full
        this.#full = undefined
      }
      if (this.#body !== body) return
      this.#body = undefined
      this.#writer.lines('end', [])
      this.#writer.flush()
    } catch (thrown) {
      if (this.#body === body) this.destroy(asGateError(thrown))
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const bytes of this.#target.port) {
        this.#reader.push(bytes)
        if (this.#paused !== undefined) await this.#paused
      }
      this.#fail(lost())
    } catch (thrown) {
      this.#fail(ofAgent(asGateError(thrown)))
    }
    this.#target.port.destroy(this.#broken)
  }

  lines(kind: LinesKind, lines: string[]): void {
    const answer = this.#answer
    if (answer === undefined || kind === 'request')
      throw new GateError('ERR_GATE_PROTOCOL', `the agent sent ${kind}, and nothing was asked`)
    if (kind === 'answer') return answer.head(readAnswer(lines))
    if (kind === 'failure') {
      const failure = readFailure(lines)
      this.#done()
      return answer.fail(failure)
    }
    checkFields(lines)
    answer.checkEnd()
    this.#done()
    answer.end(lines)
  }

  /** What comes of a body after the answer would be taken for the next request's: then another stream is opened for that. */
  #done(): void {
    this.#answer = undefined
    // Nobody takes more of an answer that is over.
    this.#resume()
    this.#free()
    if (this.#body === undefined) return
    const cause = new GateError('ERR_GATE_CANCELLED', 'it was answered before all of it was sent')
    this.#leave(cause)
    this.#target.port.destroy(cause)
  }

  data(bytes: Buffer): void {
    if (this.#answer === undefined)
      throw new GateError('ERR_GATE_PROTOCOL', 'the agent sent data, and nothing was asked')
    if (this.#answer.data(bytes)) return
    this.#paused ??= new Promise(resolve => {
      this.#resume = () => {
        this.#paused = undefined
        this.#resume = () => {}
        resolve()
      }
    })
  }

  /** Ends it, and with it the request that is under way. */
  destroy(cause: GateError): void {
    this.#fail(cause)
    this.#target.port.destroy(cause)
  }

  #fail(cause: GateError): void {
    const answer = this.#answer
    this.#leave(cause)
    if (answer === undefined) return
    const isUnclear = cause.code === 'ERR_GATE_AGENT_LOST' && cause.hint === undefined
    answer.fail(isUnclear ? new GateError(cause.code, cause.message, { cause, hint: MAY_BE_DONE }) : cause)
  }

  /** It is not used again. */
  #leave(cause: GateError): void {
    this.#answer = undefined
    this.#free()
    this.#broken ??= cause
    const body = this.#body
    this.#body = undefined
    body?.destroy()
    this.#resume()
  }
}
