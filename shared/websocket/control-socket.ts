// One WebSocket of whole messages, beside the streams.
import { WebSocket } from 'ws'
import { MAX_CONTROL_BYTES } from '../messages.ts'
import { SEND_HIGH_WATER_BYTES } from './limits.ts'
import { closeSocket, Liveness } from './liveness.ts'
import { Mailbox } from './mailbox.ts'

/** One WebSocket that carries whole binary messages, for the agent's control socket. */
export class ControlSocket {
  readonly #socket: WebSocket
  readonly closed: Promise<void>
  readonly #messages = new Mailbox<Buffer>(() => this.destroy())

  constructor(socket: WebSocket) {
    this.#socket = socket
    this.closed = new Liveness(socket).closed
    socket.on('message', (data, isBinary) => {
      const bytes = data as Buffer
      if (!isBinary || bytes.length > MAX_CONTROL_BYTES) return this.destroy()
      this.#messages.put(bytes)
    })
    // Every error is followed by 'close', which is where owners react.
    socket.on('error', () => {})
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
    closeSocket(this.#socket)
  }
}
