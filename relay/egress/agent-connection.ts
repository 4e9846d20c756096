// One connected agent: its control socket, its tunnel, and the streams opened in it.
import { setTimeout as wait } from 'node:timers/promises'
import type { SignedDecision } from '@gate/shared/approval'
import { abortReason, GateError } from '@gate/shared/errors'
import { packControl, type StreamMessage, unpackControl } from '@gate/shared/messages'
import type { Target } from '@gate/shared/model'
import type { Channel } from '@gate/shared/websocket/channel'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import type { Tunnel } from '@gate/shared/websocket/tunnel'

/** An agent that is welcome dials its tunnel, and dials it again when it broke, within this time. */
const TUNNEL_TIMEOUT_MS = 10_000
/** The agent reaches and logs in to the target within this time. */
const OPEN_TIMEOUT_MS = 20_000
/** The agent hands a cancel request to the target within this time. */
const CANCEL_TIMEOUT_MS = 15_000
const MAX_WAITING = 1_000

/** An open, logged-in stream to a target. */
export interface TargetConnection {
  readonly agent: string
  readonly port: Channel
  /** What the agent's connector says of the connection, for example the server's version. */
  readonly detail: Readonly<Record<string, string>>
  /** Tells the agent what the next command on this stream is. */
  declare(declaration: { readonly actions: readonly string[]; readonly approvals: readonly SignedDecision[] }): void
  /** Asks the agent to cancel what runs on this stream, in the protocol's own way; resolves when the target has taken it. */
  cancel(): Promise<void>
}

export interface CheckpointSource {
  /** The newest checkpoint of this relay's record, and a proof that it goes on from what is known of it; undefined when there is none to be had now. */
  show(
    known: readonly { readonly origin: string; readonly size: number }[],
  ): Promise<{ checkpoint: string; verifier: string; proof: string[] } | undefined>
}

export class AgentConnection {
  readonly name: string
  readonly targets: readonly Target[]
  /** Of the enrolment that it came with. */
  readonly enrolledMs: number
  readonly dataTokenHash: string
  readonly #control: ControlSocket
  readonly #maximumStreams: number
  readonly #checkpoints: CheckpointSource
  #tunnel: Tunnel | undefined
  readonly #waiting: ((tunnel: Tunnel) => void)[] = []
  /** Who waits for the end of which stream's cancel requests, in the order of the requests. */
  readonly #cancelling = new Map<string, (() => void)[]>()
  #streams = 0
  #closed = false

  constructor(
    name: string,
    control: ControlSocket,
    targets: readonly Target[],
    enrolledMs: number,
    dataTokenHash: string,
    maximumStreams: number,
    checkpoints: CheckpointSource,
  ) {
    this.name = name
    this.#control = control
    this.targets = targets
    this.enrolledMs = enrolledMs
    this.dataTokenHash = dataTokenHash
    this.#maximumStreams = maximumStreams
    this.#checkpoints = checkpoints
  }

  get streams(): number {
    return this.#streams
  }

  serves(target: string): boolean {
    return !this.#closed && this.targets.some(known => known.name === target)
  }

  /** Takes a tunnel that the agent dialled, in place of the one before. */
  offer(tunnel: Tunnel): void {
    if (this.#closed) return tunnel.destroy()
    this.#tunnel?.retire()
    this.#tunnel = tunnel
    for (const take of this.#waiting.splice(0)) take(tunnel)
  }

  /** A channel of the tunnel; waits for the tunnel where the agent is about to dial it. */
  async #channel(message: StreamMessage, signal: AbortSignal): Promise<Channel> {
    if (this.#tunnel?.usable === true) return this.#tunnel.openChannel(message)
    if (this.#waiting.length >= MAX_WAITING)
      throw new GateError('ERR_GATE_LIMIT', `too many connections wait for agent ${this.name}`)
    let take: (tunnel: Tunnel) => void = () => {}
    const taken = new Promise<Tunnel>(resolve => {
      take = resolve
    })
    this.#waiting.push(take)
    const stop = new AbortController()
    try {
      const timeout = wait(TUNNEL_TIMEOUT_MS, undefined, { signal: stop.signal })
      const tunnel = await Promise.race([taken, timeout, aborted(signal, stop.signal), this.#control.closed])
      if (tunnel === undefined) throw new GateError('ERR_GATE_NO_AGENT', `agent ${this.name} does not answer`)
      return tunnel.openChannel(message)
    } finally {
      stop.abort()
      const at = this.#waiting.indexOf(take)
      if (at !== -1) this.#waiting.splice(at, 1)
    }
  }

  /** @throws {GateError} what the agent says when the target cannot be opened. */
  async open(
    target: string,
    stream: string,
    parameters: Record<string, string>,
    signal: AbortSignal,
  ): Promise<TargetConnection> {
    if (this.#streams >= this.#maximumStreams) {
      throw new GateError('ERR_GATE_LIMIT', `agent ${this.name} carries ${this.#streams} connections already`)
    }
    this.#streams += 1
    try {
      const channel = await this.#channel({ type: 'open', target, stream, parameters }, signal)
      const detail = await this.#opened(channel, target, signal)
      channel.closed.then(
        () => {
          this.#streams -= 1
        },
        () => {},
      )
      return {
        agent: this.name,
        port: channel,
        detail,
        declare: ({ actions, approvals }) =>
          channel.send({ type: 'command', actions: [...actions], approvals: [...approvals] }),
        cancel: () => this.#cancel(stream),
      }
    } catch (thrown) {
      this.#streams -= 1
      throw thrown
    }
  }

  /** Takes what the agent says on its control socket once it is welcome. @throws {GateError} ERR_GATE_PROTOCOL. */
  receive(bytes: Buffer): void {
    const message = unpackControl(bytes)
    if (message.type === 'held') return void this.#showCheckpoint(message.trees)
    if (message.type !== 'cancelled')
      throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the agent`)
    this.#cancelling.get(message.stream)?.shift()?.()
  }

  /** Agents keep checkpoints, so that the record cannot be cut off or rewritten without them. */
  async #showCheckpoint(trees: readonly { readonly origin: string; readonly size: number }[]): Promise<void> {
    const answer = await this.#checkpoints.show(trees)
    if (answer !== undefined && this.#control.open) this.#control.send(packControl({ type: 'checkpoint', ...answer }))
  }

  async #cancel(stream: string): Promise<void> {
    const waiting = this.#cancelling.get(stream) ?? []
    this.#cancelling.set(stream, waiting)
    const stop = new AbortController()
    let take = (): void => {}
    const taken = new Promise<void>(resolve => {
      take = resolve
    })
    waiting.push(take)
    this.#control.send(packControl({ type: 'cancel', stream }))
    const late = wait(CANCEL_TIMEOUT_MS, undefined, { signal: stop.signal })
    await Promise.race([taken, late, this.#control.closed])
    stop.abort()
    late.catch(() => {})
    const at = waiting.indexOf(take)
    if (at !== -1) waiting.splice(at, 1)
    if (waiting.length === 0) this.#cancelling.delete(stream)
  }

  async #opened(channel: Channel, target: string, signal: AbortSignal): Promise<Record<string, string>> {
    const stop = new AbortController()
    try {
      const answer = new Promise<Record<string, string>>((resolve, reject) => {
        channel.onMessage = message => {
          if (message.type === 'opened') resolve(message.detail)
          else channel.destroy(new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the agent`))
        }
        channel.onFailure = reject
      })
      const timeout = wait(OPEN_TIMEOUT_MS, undefined, { signal: stop.signal }).then(() => {
        throw new GateError('ERR_GATE_TIMEOUT', `${target} did not answer within ${OPEN_TIMEOUT_MS} ms`)
      })
      const detail = await Promise.race([answer, timeout, aborted(signal, stop.signal)])
      channel.onMessage = message =>
        channel.destroy(new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the agent`))
      channel.onFailure = () => {}
      return detail
    } catch (thrown) {
      channel.destroy()
      throw thrown
    } finally {
      stop.abort()
    }
  }

  /** Opens nothing any more; what is open goes on. */
  close(): void {
    this.#closed = true
    this.#tunnel?.retire()
    this.#control.destroy()
  }

  /** Ends all that is open as well. */
  destroy(): void {
    this.close()
    this.#tunnel?.destroy()
  }
}

/** Rejects when `signal` aborts; forgets about it when `done` does. */
function aborted(signal: AbortSignal, done: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(abortReason(signal))
    signal.addEventListener('abort', () => reject(abortReason(signal)), { once: true, signal: done })
  })
}
