// Tunnels of people: how many there may be, and what each channel in them is for. A channel shows a token of its own.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { StreamMessage } from '@gate/shared/messages'
import type { Channel } from '@gate/shared/websocket/channel'
import type { Tunnel } from '@gate/shared/websocket/tunnel'

/** A tunnel is looked at this often, and closed when nothing is open in it; `gate connect` dials it again when it needs it. */
const IDLE_TUNNEL_MS = 10 * 60_000
const MAX_TASK_LENGTH = 200
const MAX_REASON_LENGTH = 1_000

/** What a person wants to connect to, and what for. */
export interface ConnectWish {
  readonly target: string
  readonly task: string | undefined
  readonly reason: string | undefined
  readonly breakGlass: boolean
  /** The local port could not see whose process it is: it had closed its socket. */
  readonly isPeerGone: boolean
  /** Where the connection comes from: the other end of its tunnel's socket. What the tunnel says of that is not believed. */
  readonly clientAddress: string
}

/** Says who shows a token and serves the channel. @throws {GateError} when the token is none. */
export type Connect = (token: string, wish: ConnectWish) => Promise<(channel: Channel) => Promise<void>>

export interface TunnelLimits {
  readonly connections: number
  readonly connectionsPerSubject: number
  /** Channels whose token is being looked up. */
  readonly handshakes: number
}

export class ClientTunnels {
  readonly #connect: Connect
  readonly #limits: TunnelLimits
  readonly #log: Log
  readonly #perSubject = new Map<string, number>()
  #count = 0
  #handshakes = 0

  constructor(connect: Connect, limits: TunnelLimits, log: Log) {
    this.#connect = connect
    this.#limits = limits
    this.#log = log
  }

  /** Counts a tunnel that is about to be accepted; call what is returned when it is over. @throws {GateError} ERR_GATE_LIMIT. */
  admit(subject: string): () => void {
    const ofSubject = this.#perSubject.get(subject) ?? 0
    if (ofSubject >= this.#limits.connectionsPerSubject || this.#count >= this.#limits.connections)
      throw new GateError('ERR_GATE_LIMIT', `too many tunnels are open (yours: ${ofSubject}, all: ${this.#count})`, {
        hint: 'Each gate connect has one; close those that are not used.',
      })
    this.#count += 1
    this.#perSubject.set(subject, ofSubject + 1)
    return () => {
      this.#count -= 1
      const left = (this.#perSubject.get(subject) ?? 1) - 1
      if (left === 0) this.#perSubject.delete(subject)
      else this.#perSubject.set(subject, left)
    }
  }

  keep(tunnel: Tunnel, leave: () => void): void {
    tunnel.closeWhenIdle(IDLE_TUNNEL_MS)
    void tunnel.closed.then(leave)
  }

  /** Serves one channel that a client opened; whatever goes wrong is said on it. Never throws. */
  async serve(channel: Channel, message: StreamMessage, clientAddress: string): Promise<void> {
    try {
      const serve = await this.#admitChannel(message, clientAddress)
      if (channel.broken !== undefined) return
      channel.send({ type: 'accepted' })
      await serve(channel)
      channel.destroy()
    } catch (thrown) {
      const error = asGateError(thrown)
      if (error.code === 'ERR_GATE_INTERNAL') this.#log.error('stream.failed', { error })
      channel.destroy(error)
    }
  }

  async #admitChannel(message: StreamMessage, clientAddress: string): ReturnType<Connect> {
    if (message.type !== 'connect')
      throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the command line`)
    if (this.#handshakes >= this.#limits.handshakes)
      throw new GateError('ERR_GATE_LIMIT', 'too many connections are being opened', { hint: 'Try again.' })
    const { token, target, breakGlass, isPeerGone } = message
    const task = text('task', message.task, MAX_TASK_LENGTH)
    const reason = text('reason', message.reason, MAX_REASON_LENGTH)
    if (breakGlass && reason === undefined)
      throw new GateError('ERR_GATE_USAGE', 'the glass is not broken without a reason', { hint: 'Add --reason TEXT.' })
    this.#handshakes += 1
    try {
      return await this.#connect(token, { target, task, reason, breakGlass, isPeerGone, clientAddress })
    } finally {
      this.#handshakes -= 1
    }
  }
}

function text(name: string, value: string | undefined, limit: number): string | undefined {
  if (value === undefined || value === '') return undefined
  if (value.length > limit) throw new GateError('ERR_GATE_LIMIT', `${name} has more than ${limit} characters`)
  return value
}
