// The tunnel from gate connect to the relay: dialled when the first connection needs it, and again when it broke.
import { abortReason, GateError } from '@gate/shared/errors'
import type { StreamMessage } from '@gate/shared/messages'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialTunnel, type TlsOptions } from '@gate/shared/websocket/dial'
import type { Tunnel } from '@gate/shared/websocket/tunnel'

const DIAL_TIMEOUT_MS = 10_000
/** The relay looks up who asks within this time. */
const ACCEPT_TIMEOUT_MS = 20_000
/** A tunnel that says nothing for so long after it was asked is taken for dead, as after a night's sleep, and another is dialled. */
const SILENCE_MS = 2_000
/** Of one that was heard of so shortly before, or was just dialled, that is not assumed. */
const ALIVE_MS = 1_000

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
    const open = async (): Promise<Channel | undefined> =>
      this.#open(await unlessAborted(this.#usable(wish.token), signal), wish, notice, signal)
    const channel = (await open()) ?? (await open())
    if (channel === undefined) throw new GateError('ERR_GATE_RELAY_UNREACHABLE', 'the relay does not answer')
    return channel
  }

  /** Undefined when the tunnel turns out to be dead: nothing was asked of a target in it, so that another may be tried. */
  async #open(
    tunnel: Tunnel,
    wish: ConnectWish,
    notice: (text: string) => void,
    signal: AbortSignal,
  ): Promise<Channel | undefined> {
    const channel = tunnel.openChannel({ type: 'connect', ...wish })
    try {
      if (await unlessAborted(accepted(channel, tunnel, notice), signal)) return channel
      // Other connections in it may be alive nevertheless.
      tunnel.retire()
      channel.destroy()
      return undefined
    } catch (thrown) {
      channel.destroy()
      throw thrown
    }
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

/** False when the tunnel is dead. `notice` gets what comes after. @throws {GateError} what the relay refuses it with. */
function accepted(channel: Channel, tunnel: Tunnel, notice: (text: string) => void): Promise<boolean> {
  const askedMs = performance.now()
  return new Promise((resolve, reject) => {
    const wasAlive = askedMs - tunnel.heardMs < ALIVE_MS
    // A relay that is busy answers this nevertheless.
    if (!wasAlive) tunnel.ping()
    const silent = setTimeout(() => {
      if (!wasAlive && tunnel.heardMs < askedMs) resolve(false)
    }, SILENCE_MS)
    const late = setTimeout(
      () => reject(new GateError('ERR_GATE_RELAY_UNREACHABLE', 'the relay does not answer')),
      ACCEPT_TIMEOUT_MS,
    )
    void channel.closed.then(() => {
      clearTimeout(silent)
      clearTimeout(late)
    })
    channel.onMessage = message => {
      clearTimeout(silent)
      clearTimeout(late)
      if (message.type !== 'accepted') return reject(unexpected(message))
      // The next one may be in the same frame as this.
      channel.onMessage = next => {
        if (next.type === 'notice') notice(next.text)
        else channel.destroy(unexpected(next))
      }
      resolve(true)
    }
    channel.onFailure = cause => (tunnel.open ? reject(cause) : resolve(false))
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
