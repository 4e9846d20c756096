// Whether the other side of a WebSocket is still there, and how one is left.
import { WebSocket } from 'ws'
import { CLOSE_GRACE_MS, PING_INTERVAL_MS, SILENCE_LIMIT_MS } from './limits.ts'

/** Pings the other side, and tears the socket down when nothing was heard of it for too long. */
export class Liveness {
  readonly #socket: WebSocket
  #heardMs = performance.now()
  /** Resolves when the socket is closed, whatever the reason. */
  readonly closed: Promise<void>

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', () => this.#hear())
    socket.on('pong', () => this.#hear())
    const timer = setInterval(() => {
      if (performance.now() - this.#heardMs > SILENCE_LIMIT_MS) socket.terminate()
      else this.ping()
    }, PING_INTERVAL_MS)
    timer.unref()
    this.closed = new Promise(resolve => {
      socket.on('close', () => {
        clearInterval(timer)
        resolve()
      })
    })
  }

  /** When the other side was last heard of, by `performance.now()`. */
  get heardMs(): number {
    return this.#heardMs
  }

  /** Asks the other side for a sign of life, which `heardMs` shows. */
  ping(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.ping()
  }

  #hear(): void {
    this.#heardMs = performance.now()
  }
}

/** Closes a socket, and does not wait for ever for the other side to agree. */
export function closeSocket(socket: WebSocket): void {
  if (socket.readyState < WebSocket.CLOSING) socket.close(1000)
  setTimeout(() => socket.terminate(), CLOSE_GRACE_MS).unref()
}
