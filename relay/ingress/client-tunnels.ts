// Tunnels of people: how many there may be, and what each channel in them is for. A channel shows a token of its own.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { StreamMessage } from '@gate/shared/messages'
import type { Channel } from '@gate/shared/websocket/channel'
import type { Tunnel } from '@gate/shared/websocket/tunnel'
import { PerSubject } from '../identity/per-subject.ts'
import type { ConnectRequest } from '../session/relay-session.ts'

/** A tunnel is looked at this often, and closed when nothing is open in it; `gate connect` dials it again when it needs it. */
const IDLE_TUNNEL_MS = 10 * 60_000
const MAX_TASK_LENGTH = 200
const MAX_REASON_LENGTH = 1_000

/** What a person wants to connect to, and what for. */
export type ConnectWish = Omit<ConnectRequest, 'login' | 'channel'>

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
  readonly #tunnels = new PerSubject()
  readonly #handshakes = new PerSubject()

  constructor(connect: Connect, limits: TunnelLimits, log: Log) {
    this.#connect = connect
    this.#limits = limits
    this.#log = log
  }

  /** Counts a tunnel that is about to be accepted; call what is returned when it is over. @throws {GateError} ERR_GATE_LIMIT. */
  admit(subject: string): () => void {
    const { all } = this.#tunnels
    const ofSubject = this.#tunnels.of(subject)
    if (ofSubject >= this.#limits.connectionsPerSubject || all >= this.#limits.connections)
      throw new GateError('ERR_GATE_LIMIT', `too many tunnels are open (yours: ${ofSubject}, all: ${all})`, {
        hint: 'Each gate connect has one; close those that are not used.',
      })
    return this.#tunnels.enter(subject)
  }

  keep(tunnel: Tunnel, leave: () => void): void {
    tunnel.closeWhenIdle(IDLE_TUNNEL_MS)
    void tunnel.closed.then(leave)
  }

  /** Serves one channel that was opened in a tunnel of the subject; whatever goes wrong is said on it. Never throws. */
  async serve(channel: Channel, message: StreamMessage, subject: string, clientAddress: string): Promise<void> {
    try {
      const serve = await this.#admitChannel(message, subject, clientAddress)
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

  async #admitChannel(message: StreamMessage, subject: string, clientAddress: string): ReturnType<Connect> {
    if (message.type !== 'connect')
      throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the command line`)
    // One who opens many at once must not take the places of all others.
    const isFull = this.#handshakes.of(subject) >= this.#limits.connectionsPerSubject
    if (isFull || this.#handshakes.all >= this.#limits.handshakes)
      throw new GateError('ERR_GATE_LIMIT', 'too many connections are being opened', { hint: 'Try again.' })
    const { token, target, breakGlass, isPeerGone } = message
    const task = text('task', message.task, MAX_TASK_LENGTH)
    const reason = text('reason', message.reason, MAX_REASON_LENGTH)
    if (breakGlass && reason === undefined)
      throw new GateError('ERR_GATE_USAGE', 'the glass is not broken without a reason', { hint: 'Add --reason TEXT.' })
    const leave = this.#handshakes.enter(subject)
    try {
      return await this.#connect(token, { target, task, reason, breakGlass, isPeerGone, clientAddress })
    } finally {
      leave()
    }
  }
}

function text(name: string, value: string | undefined, limit: number): string | undefined {
  if (value === undefined || value === '') return undefined
  if (value.length > limit) throw new GateError('ERR_GATE_LIMIT', `${name} has more than ${limit} characters`)
  return value
}
