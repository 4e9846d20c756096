// One stream: a WebSocket as a Port of bytes, with back-pressure.
import { type RawData, WebSocket } from 'ws'
import { asGateError, type ErrorBody, type ErrorCode, errorFromBody, GateError } from '../errors.ts'
import { MAX_CONTROL_BYTES, MAX_TEXT_LENGTH, parseStreamMessage, type StreamMessage } from '../messages.ts'
import { Inbox, type Port } from '../port.ts'
import {
  CLOSE_GRACE_MS,
  MAX_MESSAGE_BYTES,
  PING_INTERVAL_MS,
  SEND_HIGH_WATER_BYTES,
  SILENCE_LIMIT_MS,
} from './limits.ts'
import { Mailbox } from './mailbox.ts'

/** Bytes received and not yet consumed before the socket is paused. */
const RECEIVE_HIGH_WATER_BYTES = 256 * 1024

/**
 * One WebSocket as a Port of bytes. Binary messages are the bytes; text messages are StreamMessages, of which
 * `end` (half-close) and `error` are handled here and the others are given to `onMessage`.
 */
export class Channel implements Port<Buffer> {
  readonly #socket: WebSocket
  readonly #inbox: Inbox<Buffer>
  readonly #lost: ErrorCode
  readonly #timer: NodeJS.Timeout
  #heardMs = performance.now()
  #endSent = false
  #endReceived = false
  /** Both ends were exchanged: what closes the socket now is no failure. */
  #over = false
  #broken: GateError | undefined
  /** Resolves when the socket is closed, whatever the reason. */
  readonly closed: Promise<void>
  #onFailure: ((cause: GateError) => void) | undefined
  #failureTold = false
  /** Receives the text messages that are not handled by the channel itself. Set it before yielding to the event loop. */
  readonly #messages = new Mailbox<StreamMessage>(() =>
    this.destroy(new GateError('ERR_GATE_PROTOCOL', 'an unexpected message on a stream')),
  )

  /** `lost` is the code of the error that a connection which breaks without a word becomes. */
  constructor(socket: WebSocket, lost: ErrorCode) {
    this.#socket = socket
    this.#lost = lost
    this.#inbox = new Inbox<Buffer>(
      RECEIVE_HIGH_WATER_BYTES,
      () => socket.pause(),
      () => {
        this.#heardMs = performance.now()
        socket.resume()
      },
    )
    socket.on('message', (data, isBinary) => this.#received(data, isBinary))
    socket.on('pong', () => {
      this.#heardMs = performance.now()
    })
    socket.on('error', thrown => this.#fail(asGateError(thrown, this.#lost, 'the tunnel broke')))
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        clearInterval(this.#timer)
        this.#fail(new GateError(this.#lost, 'the tunnel was closed'))
        resolve()
      })
    })
    this.#timer = setInterval(() => this.#checkAlive(), PING_INTERVAL_MS)
    this.#timer.unref()
  }

  /** Whoever takes the messages; those that came before are handed over at once. */
  set onMessage(take: (message: StreamMessage) => void) {
    this.#messages.open(take)
  }

  /** Told once when the channel breaks or the other side reports an error, also when it has done so already; iterating throws the same. */
  set onFailure(told: (cause: GateError) => void) {
    this.#onFailure = told
    this.#tellFailure()
  }

  #tellFailure(): void {
    if (this.#broken === undefined || this.#failureTold || this.#onFailure === undefined) return
    this.#failureTold = true
    this.#onFailure(this.#broken)
  }

  #fail(cause: GateError): void {
    if (this.#over) return
    this.#broken ??= cause
    this.#inbox.fail(cause)
    this.#tellFailure()
  }

  #received(data: RawData, isBinary: boolean): void {
    this.#heardMs = performance.now()
    const bytes = data as Buffer
    if (isBinary) {
      if (this.#endReceived) return this.destroy(new GateError('ERR_GATE_PROTOCOL', 'bytes after the end of a stream'))
      if (bytes.length > 0) this.#inbox.push(bytes)
      return
    }
    try {
      if (bytes.length > MAX_CONTROL_BYTES) throw new GateError('ERR_GATE_LIMIT', 'a control message is too long')
      this.#handle(parseStreamMessage(bytes.toString('utf8')))
    } catch (thrown) {
      this.destroy(asGateError(thrown))
    }
  }

  #handle(message: StreamMessage): void {
    if (message.type === 'end') {
      this.#endReceived = true
      this.#inbox.finish()
      this.#closeWhenDone()
    } else if (message.type === 'error') {
      this.#fail(errorFromBody(message.error))
      this.#close()
    } else {
      this.#messages.put(message)
    }
  }

  /** A paused socket cannot show its pongs, so silence counts only while we listen. */
  #checkAlive(): void {
    if (this.#inbox.paused) return
    if (performance.now() - this.#heardMs > SILENCE_LIMIT_MS) this.#socket.terminate()
    else if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping()
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN && !this.#endSent
  }

  get broken(): GateError | undefined {
    return this.#broken
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return this.#inbox
  }

  write(bytes: Buffer): Promise<void> | undefined {
    if (!this.open) return undefined
    let at = 0
    for (; bytes.length - at > MAX_MESSAGE_BYTES; at += MAX_MESSAGE_BYTES) {
      this.#socket.send(bytes.subarray(at, at + MAX_MESSAGE_BYTES))
    }
    const rest = at === 0 ? bytes : bytes.subarray(at)
    if (this.#socket.bufferedAmount + rest.length <= SEND_HIGH_WATER_BYTES) {
      this.#socket.send(rest)
      return undefined
    }
    // The callback also comes, with an error, when the socket breaks; then the reading side tells why.
    return new Promise(resolve => this.#socket.send(rest, () => resolve()))
  }

  send(message: StreamMessage): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message))
  }

  end(): void {
    if (!this.open) return
    this.send({ type: 'end' })
    this.#endSent = true
    this.#closeWhenDone()
  }

  destroy(cause?: GateError): void {
    this.#fail(cause ?? new GateError(this.#lost, 'the tunnel was closed'))
    if (cause !== undefined && !this.#endSent) this.send({ type: 'error', error: trim(cause) })
    this.#close()
  }

  #closeWhenDone(): void {
    if (!this.#endSent || !this.#endReceived) return
    this.#over = true
    this.#close()
  }

  #close(): void {
    this.#endSent = true
    if (this.#socket.readyState >= WebSocket.CLOSING) return
    // A paused socket would never see the peer's closing frame.
    this.#socket.resume()
    this.#socket.close(1000)
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref()
  }
}

/** The other side refuses longer texts, and would then not know what happened. */
export function trim(error: GateError): ErrorBody {
  const { fields, ...texts } = error.toJSON()
  const cut = (entries: object): Record<string, string> =>
    Object.fromEntries(Object.entries(entries).map(([key, text]) => [key, String(text).slice(0, MAX_TEXT_LENGTH)]))
  return { ...(cut(texts) as unknown as ErrorBody), ...(fields === undefined ? {} : { fields: cut(fields) }) }
}
