// The agent's end of a stream of requests: frames are read, one request after the other, and the answers go back.
import { asGateError, GateError } from '@gate/shared/errors'
import {
  answerLines,
  checkFields,
  type FrameKind,
  FrameReader,
  type FrameSink,
  FrameWriter,
  failureLines,
  type LinesKind,
  readRequest,
} from '@gate/shared/http-frames'
import { Inbox, type Port } from '@gate/shared/port'
import { Waiting } from '@gate/shared/waiting'
import type { AnswerSink } from './asked.ts'
import { RequestBody } from './body.ts'
import type { Service, StreamOptions } from './service.ts'

/** Of answers, while the relay takes no more. */
const ANSWER_HIGH_WATER_BYTES = 256 * 1024

/** One request, from its head until it came whole and its answer went out. */
interface Current {
  readonly body: RequestBody | undefined
  readonly asker: Waiting
  isAnswered: boolean
}

/** Opens a stream to a service. */
export function openStream(service: Service, options: Omit<StreamOptions, 'connection'>): RequestStream {
  return new RequestStream(service, { ...options, connection: service.connect() })
}

export class RequestStream implements Port<Buffer>, FrameSink {
  readonly #service: Service
  readonly #options: StreamOptions
  readonly #reader = new FrameReader(this)
  readonly #answers: Inbox<Buffer>
  readonly #writer: FrameWriter
  #isFull = false
  #current: Current | undefined
  #drained = (): void => {}
  /** The relay asks for nothing more. */
  #isEnded = false
  #broken: GateError | undefined

  constructor(service: Service, options: StreamOptions) {
    this.#service = service
    this.#options = options
    this.#answers = new Inbox<Buffer>(
      ANSWER_HIGH_WATER_BYTES,
      () => {
        this.#isFull = true
      },
      () => {
        this.#isFull = false
        this.#drained()
      },
    )
    this.#writer = new FrameWriter(bytes => this.#answers.push(bytes))
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return this.#answers
  }

  get broken(): GateError | undefined {
    return this.#broken
  }

  write(bytes: Buffer): Promise<void> | undefined {
    if (this.#broken !== undefined) return undefined
    try {
      this.#reader.push(bytes)
    } catch (thrown) {
      this.destroy(asGateError(thrown))
    }
    return this.#current?.body?.room
  }

  end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    const { body } = this.#current ?? {}
    if (!this.#reader.isBetweenFrames || body?.isEnded === false)
      return this.destroy(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    this.#finishWhenDone()
  }

  destroy(cause = new GateError('ERR_GATE_CANCELLED', 'the stream was closed')): void {
    if (this.#broken !== undefined) return
    this.#broken = cause
    this.#answers.fail(cause)
    // An error costs more than the rest of this: it is made only for somebody who is still there to be told.
    if (this.#current !== undefined) {
      const gone = new GateError('ERR_GATE_CANCELLED', 'the client went away')
      this.#current.asker.leave(gone)
      this.#current.body?.destroy(gone)
    }
    this.#leave()
  }

  lines(kind: LinesKind, lines: string[]): void {
    if (kind === 'request') return this.#ask(lines)
    const body = kind === 'end' && lines.length === 0 ? this.#current?.body : undefined
    if (body === undefined) throw unexpected(kind)
    body.finish()
    this.#finishWhenDone()
  }

  data(bytes: Buffer): void {
    if (this.#current?.body === undefined) throw unexpected('data')
    this.#current.body.put(bytes)
  }

  #ask(lines: string[]): void {
    if (this.#current !== undefined)
      throw new GateError('ERR_GATE_PROTOCOL', 'a request came before the answer to the one before it')
    const head = readRequest(lines)
    const body = head.length === 0 ? undefined : new RequestBody(head.length)
    const current: Current = { body, asker: new Waiting(), isAnswered: false }
    this.#current = current
    void this.#service.forward({ ...head, body }, this.#sinkOf(current), current.asker, this.#options)
  }

  #sinkOf(current: Current): AnswerSink {
    const done = (): void => {
      this.#writer.flush()
      current.isAnswered = true
      this.#drained = () => {}
      this.#finishWhenDone()
    }
    let isBegun = false
    const stream = this
    return {
      get isBegun() {
        return isBegun
      },
      set onDrain(drained: () => void) {
        stream.#drained = drained
      },
      head: (status, phrase, fields) => {
        this.#writeHead(status, phrase, fields)
        isBegun = true
      },
      data: chunk => {
        this.#writer.data(chunk)
        return !this.#isFull
      },
      end: trailers => {
        this.#writer.lines('end', trailers)
        done()
      },
      fail: error => {
        if (isBegun) return this.destroy(error)
        this.#writer.lines('failure', failureLines(error))
        done()
      },
    }
  }

  #writeHead(status: number, phrase: string, fields: string[]): void {
    try {
      checkFields(fields)
      this.#writer.lines('answer', answerLines({ status, phrase, fields }))
    } catch (cause) {
      throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'the target sent headers that cannot be passed on', { cause })
    }
  }

  /** The next request can come when this one is answered, and all of it has come. */
  #finishWhenDone(): void {
    const { body, isAnswered } = this.#current ?? { isAnswered: true }
    if (!isAnswered || body?.isEnded === false) return
    this.#current = undefined
    if (!this.#isEnded) return
    this.#answers.finish()
    this.#leave()
  }

  #leave(): void {
    void this.#options.connection.destroy().catch(() => {})
  }
}

const unexpected = (kind: FrameKind): GateError =>
  new GateError('ERR_GATE_PROTOCOL', `a frame of ${kind} that belongs to no request`)
