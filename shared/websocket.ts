// WebSocket ⇄ Port with back-pressure. The only file that knows ws.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import {
  abortReason,
  asGateError,
  type ErrorBody,
  type ErrorCode,
  errorCodes,
  errorFromBody,
  GateError,
  relayError,
} from './errors.ts'
import { MAX_CONTROL_BYTES, MAX_TEXT_LENGTH, parseRefusal, parseStreamMessage, type StreamMessage } from './messages.ts'
import { Inbox, type Port } from './port.ts'

/** Largest message either side sends; longer writes are cut into several. */
export const MAX_MESSAGE_BYTES = 1024 * 1024
/** Bytes waiting to be sent on one socket before writers have to wait. */
const SEND_HIGH_WATER_BYTES = 1024 * 1024
/** Bytes received and not yet consumed before the socket is paused. */
const RECEIVE_HIGH_WATER_BYTES = 256 * 1024
/** A peer that is silent for this long, although it was pinged, is gone. */
const SILENCE_LIMIT_MS = 45_000
const PING_INTERVAL_MS = 15_000
/** Time for the closing handshake before the socket is torn down. */
const CLOSE_GRACE_MS = 2_000
const MAX_REFUSAL_BODY_BYTES = 64 * 1024

const serverOptions = {
  noServer: true,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  skipUTF8Validation: false,
  clientTracking: false,
} as const

/** Messages that a peer may send before anybody here takes them: its first words can come along with the handshake. */
const MAX_EARLY_MESSAGES = 8

class Mailbox<Message> {
  readonly #early: Message[] = []
  readonly #overflow: () => void
  #take: ((message: Message) => void) | undefined

  constructor(overflow: () => void) {
    this.#overflow = overflow
  }

  put(message: Message): void {
    if (this.#take !== undefined) this.#take(message)
    else if (this.#early.length >= MAX_EARLY_MESSAGES) this.#overflow()
    else this.#early.push(message)
  }

  open(take: (message: Message) => void): void {
    this.#take = take
    for (const message of this.#early.splice(0)) this.put(message)
  }
}

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
function trim(error: GateError): ErrorBody {
  const { fields, ...texts } = error.toJSON()
  const cut = (entries: object): Record<string, string> =>
    Object.fromEntries(Object.entries(entries).map(([key, text]) => [key, String(text).slice(0, MAX_TEXT_LENGTH)]))
  return { ...(cut(texts) as unknown as ErrorBody), ...(fields === undefined ? {} : { fields: cut(fields) }) }
}

/** One WebSocket that carries whole binary messages, for the agent's control socket. */
export class ControlSocket {
  readonly #socket: WebSocket
  readonly #timer: NodeJS.Timeout
  #heardMs = performance.now()
  readonly closed: Promise<void>
  readonly #messages = new Mailbox<Buffer>(() => this.destroy())

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data, isBinary) => {
      this.#heardMs = performance.now()
      const bytes = data as Buffer
      if (!isBinary || bytes.length > MAX_CONTROL_BYTES) return this.destroy()
      this.#messages.put(bytes)
    })
    socket.on('pong', () => {
      this.#heardMs = performance.now()
    })
    // Every error is followed by 'close', which is where owners react.
    socket.on('error', () => {})
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        clearInterval(this.#timer)
        resolve()
      })
    })
    this.#timer = setInterval(() => {
      if (performance.now() - this.#heardMs > SILENCE_LIMIT_MS) socket.terminate()
      else if (socket.readyState === WebSocket.OPEN) socket.ping()
    }, PING_INTERVAL_MS)
    this.#timer.unref()
  }

  /** Whoever takes the messages; those that came before are handed over at once. */
  set onBytes(take: (bytes: Buffer) => void) {
    this.#messages.open(take)
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  send(bytes: Buffer): void {
    if (!this.open) return
    // A peer that does not read its control messages is as good as gone.
    if (this.#socket.bufferedAmount > SEND_HIGH_WATER_BYTES) return this.destroy()
    this.#socket.send(bytes)
  }

  destroy(): void {
    if (this.#socket.readyState < WebSocket.CLOSING) this.#socket.close(1000)
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref()
  }
}

/** How a client checks the relay's certificate; see pinnedTls. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'checkServerIdentity' | 'rejectUnauthorized' | 'servername'>

export interface DialOptions {
  headers: Record<string, string>
  tls?: TlsOptions | undefined
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Dials a WebSocket towards a relay.
 * Frames carry a zero mask: RFC 6455 section 5.3 masks them so that a script in a browser cannot choose the bytes
 * that an intermediary sees; gate's clients are no browsers and the tunnel is TLS, so masking would only cost
 * a pass over every byte. @see https://www.rfc-editor.org/rfc/rfc6455#section-10.3
 */
function dial<T>(url: string, options: DialOptions, wrap: (socket: WebSocket) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      headers: options.headers,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handshakeTimeout: options.timeoutMs,
      generateMask: mask => mask.fill(0),
      ...options.tls,
    })
    const { signal } = options
    const abort = (): void => {
      socket.terminate()
      if (signal !== undefined) reject(abortReason(signal))
    }
    const settled = (): void => signal?.removeEventListener('abort', abort)
    signal?.addEventListener('abort', abort, { once: true })
    // The wrapper listens before the socket is open: ws drops a message that nobody listens for.
    const wrapped = wrap(socket)
    socket.once('upgrade', response => response.socket.setNoDelay(true))
    socket.once('open', () => {
      settled()
      resolve(wrapped)
    })
    socket.once('error', thrown => {
      settled()
      reject(relayError(url, thrown))
    })
    socket.once('unexpected-response', (_request, response) => {
      readRefusal(response)
        .then(reject, reject)
        .finally(() => socket.terminate())
    })
    if (signal?.aborted === true) abort()
  })
}

export function dialChannel(url: string, lost: ErrorCode, options: DialOptions): Promise<Channel> {
  return dial(url, options, socket => new Channel(socket, lost))
}

export function dialControl(url: string, options: DialOptions): Promise<ControlSocket> {
  return dial(url, options, socket => new ControlSocket(socket))
}

async function readRefusal(response: IncomingMessage): Promise<GateError> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length
      if (bytes > MAX_REFUSAL_BODY_BYTES) break
      chunks.push(chunk as Buffer)
    }
    const refusal = parseRefusal(JSON.parse(Buffer.concat(chunks).toString('utf8')))
    if (refusal !== undefined) return refusal
  } catch (cause) {
    return new GateError('ERR_GATE_RELAY_UNREACHABLE', `the relay answered ${response.statusCode}`, { cause })
  }
  return new GateError('ERR_GATE_RELAY_UNREACHABLE', `the relay answered ${response.statusCode}`)
}

/** Completes the upgrade of an accepted request; the caller has authenticated it. */
export function createAcceptor(): {
  channel(request: IncomingMessage, socket: Duplex, head: Buffer, lost: ErrorCode): Promise<Channel>
  control(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<ControlSocket>
} {
  const server = new WebSocketServer(serverOptions)
  const accept = <T>(request: IncomingMessage, socket: Duplex, head: Buffer, wrap: (socket: WebSocket) => T) =>
    new Promise<T>((resolve, reject) => {
      const failed = (): void => reject(new GateError('ERR_GATE_PROTOCOL', 'the WebSocket handshake failed'))
      if (socket.destroyed) return failed()
      socket.once('error', reject)
      // ws answers a request that is no WebSocket handshake by itself, and tells nobody.
      socket.once('close', failed)
      server.handleUpgrade(request, socket, head, accepted => resolve(wrap(accepted)))
    })
  return {
    channel: (request, socket, head, lost) => accept(request, socket, head, ws => new Channel(ws, lost)),
    control: (request, socket, head) => accept(request, socket, head, ws => new ControlSocket(ws)),
  }
}

/** Refuses an upgrade with an HTTP answer whose JSON body is the error. */
export function refuseUpgrade(socket: Duplex, error: GateError): void {
  const body = JSON.stringify(trim(error))
  socket.end(
    `HTTP/1.1 ${errorCodes[error.code].status} Refused\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
