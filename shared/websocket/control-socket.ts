// One WebSocket of whole messages, beside the streams.
import { WebSocket } from 'ws'
import { MAX_CONTROL_BYTES } from '../messages.ts'
import { CLOSE_GRACE_MS, PING_INTERVAL_MS, SEND_HIGH_WATER_BYTES, SILENCE_LIMIT_MS } from './limits.ts'
import { Mailbox } from './mailbox.ts'

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
