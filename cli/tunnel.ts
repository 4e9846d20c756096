// The tunnel from gate connect to the relay: dialled when the first connection needs it, and again when it broke.
import { abortReason, GateError } from '@gate/shared/errors'
import type { StreamMessage } from '@gate/shared/messages'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialTunnel, type TlsOptions } from '@gate/shared/websocket/dial'
import type { Tunnel } from '@gate/shared/websocket/tunnel'

const DIAL_TIMEOUT_MS = 10_000
/** The relay looks up who asks within this time. */
const ACCEPT_TIMEOUT_MS = 20_000

export type ConnectWish = Omit<Extract<StreamMessage, { type: 'connect' }>, 'type'>

export class RelayTunnel implements Disposable {
  readonly #url: string
  readonly #tls: TlsOptions | undefined
  #current: Promise<Tunnel> | undefined
  readonly #over = new AbortController()

  constructor(relay: string, tls: TlsOptions | undefined) {
    this.#url = `${relay.replace(/^http/, 'ws')}/v1/connect`
    this.#tls = tls
  }

  /**
   * Opens a connection, which the relay has accepted when this resolves. `notice` gets what the relay says beside the stream.
   * @throws {GateError} ERR_GATE_RELAY_UNREACHABLE, what the relay refuses it with, or why `signal` aborted.
   */
  async connect(wish: ConnectWish, notice: (text: string) => void, signal: AbortSignal): Promise<Channel> {
    const tunnel = await unlessAborted(this.#usable(wish.token), signal)
    const channel = tunnel.openChannel({ type: 'connect', ...wish })
    try {
      await unlessAborted(accepted(channel), signal)
    } catch (thrown) {
      channel.destroy()
      throw thrown
    }
    channel.onMessage = message => {
      if (message.type === 'notice') notice(message.text)
      else channel.destroy(unexpected(message))
    }
    return channel
  }

  [Symbol.dispose](): void {
    this.#over.abort(new GateError('ERR_GATE_CANCELLED', 'gate connect is closed'))
    this.#current?.then(
      tunnel => tunnel.destroy(),
      () => {},
    )
  }

  /** Connections that begin at the same time share one attempt. */
  async #usable(token: string): Promise<Tunnel> {
    const before = this.#current
    const tunnel = await before?.catch(() => undefined)
    if (tunnel?.usable === true) return tunnel
    if (this.#current !== before && this.#current !== undefined) return this.#current
    this.#current = this.#dial(token)
    return this.#current
  }

  #dial(token: string): Promise<Tunnel> {
    return dialTunnel(
      this.#url,
      { lost: 'ERR_GATE_RELAY_UNREACHABLE' },
      {
        headers: { authorization: `Bearer ${token}` },
        tls: this.#tls,
        timeoutMs: DIAL_TIMEOUT_MS,
        signal: this.#over.signal,
      },
    )
  }
}

function accepted(channel: Channel): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new GateError('ERR_GATE_RELAY_UNREACHABLE', 'the relay does not answer')),
      ACCEPT_TIMEOUT_MS,
    )
    const settle = (outcome: () => void): void => {
      clearTimeout(timer)
      outcome()
    }
    channel.onMessage = message => settle(() => (message.type === 'accepted' ? resolve() : reject(unexpected(message))))
    channel.onFailure = cause => settle(() => reject(cause))
    void channel.closed.then(() => clearTimeout(timer))
  })
}

function unexpected({ type }: StreamMessage): GateError {
  return new GateError('ERR_GATE_PROTOCOL', `unexpected ${type} from the relay`)
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(abortReason(signal))
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(abortReason(signal))
    signal.addEventListener('abort', abort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
  })
}
