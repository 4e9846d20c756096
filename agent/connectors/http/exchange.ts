// One request at the service: what is told of it becomes the answer on the stream, with back-pressure.
import type { Duplex } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import type { Waiting } from '@gate/shared/waiting'
import type { AnswerSink } from './asked.ts'
import { targetError } from './errors.ts'
import { answerHeaders, answerTrailers, type Passed, type RawHeaders, valuesOf, without } from './headers.ts'
import { type Asked, type Place, rewriteReferences } from './redirects.ts'
import type { Controller, Handler } from './service-connection.ts'

export interface ExchangeOptions {
  readonly place: Place
  /** A body whose length is known must not be silent for longer. */
  readonly silenceMs: number
  readonly pass: readonly Passed[]
  readonly asked: Asked
  readonly answer: AnswerSink
  /** Whoever waits for the answer. */
  readonly asker: Waiting
  /** Takes the connection when the service agrees to speak WebSocket on it. */
  readonly upgraded?: (socket: Duplex, headers: RawHeaders) => void
  /** The service does not accept the credential. */
  readonly unauthorized: () => void
}

/** Answers before the answer: each says that there will be one, and a service that says so for ever has none. */
const MAX_EARLY_ANSWERS = 10_000

export class Exchange implements Handler {
  readonly #options: ExchangeOptions
  #resolve: () => void = () => {}
  #reject: (cause: unknown) => void = () => {}
  #stop = (): void => {}
  #started = false
  #status = 0
  #isPaused = false
  #hasTrailers = false
  #earlyAnswers = 0
  #silence: NodeJS.Timeout | undefined
  /** Resolves when the answer is complete; rejects when there is none, or not all of it. */
  readonly done: Promise<void>

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  onRequestStart(controller: Controller): void {
    const { asker, answer } = this.#options
    const abort = (): void => controller.abort(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    // undici reports here before it writes the first byte: what is given up by now is never sent, and nothing is sent twice.
    if (asker.gone !== undefined || this.#started) return abort()
    this.#started = true
    asker.onGone = abort
    answer.onDrain = () => {
      if (!this.#isPaused) return
      this.#isPaused = false
      this.#silence?.refresh()
      controller.resume()
    }
    this.#stop = () => {
      asker.onGone = undefined
      answer.onDrain = () => {}
      clearTimeout(this.#silence)
    }
  }

  /** What says how long it is has no reason to stop half-way; what does not may be events, hours apart. */
  #watch(controller: Controller, raw: RawHeaders): void {
    const { asked, place, silenceMs } = this.#options
    if (asked.method === 'HEAD' || valuesOf(raw, 'content-length').length === 0) return
    this.#silence = setTimeout(() => {
      // Whoever asked does not read.
      if (this.#isPaused) return void this.#silence?.refresh()
      controller.abort(
        new GateError(
          'ERR_GATE_TIMEOUT',
          `${place.name} was silent for ${silenceMs / 1000} s in the middle of its answer`,
        ),
      )
    }, silenceMs)
  }

  onRequestUpgrade(controller: Controller, status: number, _headers: unknown, socket: Duplex): void {
    this.#stop()
    const raw = texts(controller.rawHeaders)
    const { upgraded, place } = this.#options
    if (upgraded === undefined || status !== 101 || valuesOf(raw, 'upgrade').join().toLowerCase() !== 'websocket') {
      socket.destroy()
      this.#reject(
        new GateError('ERR_GATE_TARGET_PROTOCOL', `${place.name} wants to speak something else than was asked`),
      )
      return
    }
    try {
      upgraded(socket, raw)
      this.#resolve()
    } catch (thrown) {
      socket.destroy()
      this.#reject(thrown)
    }
  }

  /** Throws what undici then aborts the request with. */
  onResponseStart(controller: Controller, status: number, _headers: unknown, statusMessage?: string): void {
    // Early hints and the like: the relay answers Expect by itself, and nothing else has a meaning for the client.
    if (status < 200) return this.#early()
    this.#status = status
    const { answer, asked, place, pass, unauthorized } = this.#options
    const raw = texts(controller.rawHeaders)
    if (status === 401) unauthorized()
    refuseCodings(raw, place)
    let headers = rewriteReferences(answerHeaders(raw, pass), status, asked, place)
    this.#hasTrailers = canHaveTrailers(asked, status, raw)
    if (!this.#hasTrailers) headers = without(headers, 'trailer')
    if (isBodiless(status)) headers = without(headers, 'content-length')
    this.#watch(controller, raw)
    answer.head(status, sendable(statusMessage ?? ''), headers)
  }

  #early(): void {
    this.#earlyAnswers += 1
    if (this.#earlyAnswers <= MAX_EARLY_ANSWERS) return
    const { name } = this.#options.place
    throw new GateError('ERR_GATE_TARGET_PROTOCOL', `${name} sent ${MAX_EARLY_ANSWERS} answers before its answer`)
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#silence?.refresh()
    if (this.#options.answer.data(chunk)) return
    this.#isPaused = true
    controller.pause()
  }

  onResponseEnd(controller: Controller): void {
    this.#stop()
    const { answer, pass } = this.#options
    answer.end(this.#hasTrailers ? answerTrailers(texts(controller.rawTrailers), pass) : [])
    this.#resolve()
  }

  onResponseError(_controller: Controller, error: Error): void {
    this.#stop()
    const { answer, place } = this.#options
    // The answer was complete with its head. undici has closed the connection, so that nothing else comes of it.
    if (isBodiless(this.#status) && isLengthMismatch(error)) {
      answer.end([])
      return this.#resolve()
    }
    const cause = targetError(place.name, error)
    this.#reject(
      answer.isBegun && cause.code === 'ERR_GATE_TARGET_UNREACHABLE'
        ? new GateError(cause.code, `${place.name} broke off in the middle of its answer`, { cause })
        : cause,
    )
  }
}

/**
 * undici undoes chunks and nothing else: what is coded beneath them would pass for the body.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL for transfer codings other than `chunked`, once.
 */
function refuseCodings(raw: RawHeaders, place: Place): void {
  const codings = valuesOf(raw, 'transfer-encoding')
  if (codings.length === 0 || (codings.length === 1 && /^\s*chunked\s*$/i.test(codings[0] ?? ''))) return
  throw new GateError('ERR_GATE_TARGET_PROTOCOL', `${place.name} used a transfer coding that nobody asked for`)
}

/**
 * Answers that never have a body. A 304 may say the length that a 200 would have (RFC 9110 section 8.6), and undici waits
 * for as much; the relay's would as well, so that the length does not go on.
 */
const isBodiless = (status: number): boolean => status === 204 || status === 304

function isLengthMismatch(error: Error): boolean {
  return 'code' in error && error.code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
}

/** A reason phrase means nothing to programs: one that node would not write is left out. */
function sendable(reason: string): string {
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(reason) ? reason : ''
}

function canHaveTrailers({ method }: Asked, status: number, raw: RawHeaders): boolean {
  return method !== 'HEAD' && !isBodiless(status) && valuesOf(raw, 'content-length').length === 0
}

/** Headers come as bytes, name and value alternately; they are Latin-1 to node on both sides. */
function texts(raw: Controller['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return []
  return raw.map((value: unknown) => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value)))
}
