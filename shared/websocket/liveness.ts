// Whether the other side of a WebSocket is still there, and how one is left.
import { WebSocket } from 'ws'
import { CLOSE_GRACE_MS, PING_INTERVAL_MS, SILENCE_LIMIT_MS } from './limits.ts'

/** Pings at the start, which tell how long the way is before there is much on it. */
const FIRST_PINGS = 3

/** Pings the other side, and tears the socket down when nothing was heard of it for too long. */
export class Liveness {
  readonly #socket: WebSocket
  #heardMs = performance.now()
  /** The newest ping that was not answered yet. */
  #pinged: { readonly number: string; readonly atMs: number } | undefined
  #pings = 0
  #roundTripMs: number | undefined
  /** Resolves when the socket is closed, whatever the reason. */
  readonly closed: Promise<void>

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('open', () => this.ping())
    socket.on('message', () => this.#hear())
    socket.on('pong', data => {
      this.#hear()
      this.#ponged(data.toString())
    })
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
    this.ping()
  }

  /** The shortest time that a ping took to come back; undefined as long as none did. */
  get roundTripMs(): number | undefined {
    return this.#roundTripMs
  }

  /** When the other side was last heard of, by `performance.now()`. */
  get heardMs(): number {
    return this.#heardMs
  }

  /** Asks the other side for a sign of life, which `heardMs` shows. */
  ping(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return
    this.#pings += 1
    this.#pinged = { number: String(this.#pings), atMs: performance.now() }
    this.#socket.ping(this.#pinged.number)
  }

  #ponged(number: string): void {
    if (this.#pinged?.number !== number) return
    const tookMs = performance.now() - this.#pinged.atMs
    this.#pinged = undefined
    this.#roundTripMs = Math.min(this.#roundTripMs ?? tookMs, tookMs)
    if (this.#pings < FIRST_PINGS) this.ping()
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
