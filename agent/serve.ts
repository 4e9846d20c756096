// One stream that the relay asked for: log in to the target, say so, move bytes until either side is done.
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { StreamMessage } from '@gate/shared/messages'
import { join } from '@gate/shared/port'
import type { Channel } from '@gate/shared/websocket/channel'
import { ApprovalGuard } from './approvals/guard.ts'
import { Trust } from './approvals/trust.ts'
import type { AgentConfig, TargetConfig } from './config.ts'
import type { Connection } from './connectors/connector.ts'
import { connectorFor } from './connectors/registry.ts'

type Open = Extract<StreamMessage, { type: 'open' }>

export class Streams {
  readonly #config: AgentConfig
  readonly #log: Log
  readonly #open = new Map<string, Connection>()
  readonly #channels = new Set<Channel>()
  readonly #trust: ReadonlyMap<string, Trust>

  constructor(config: AgentConfig, clock: Clock, log: Log) {
    this.#config = config
    this.#log = log
    this.#trust = new Map(config.targets.flatMap(target => trustOf(target, clock)))
  }

  get count(): number {
    return this.#channels.size
  }

  /** Ends all of them, each with a word to the relay, as far as it takes one at once. */
  stop(cause: GateError): void {
    for (const channel of [...this.#channels]) channel.destroy(cause)
  }

  /** Serves an opened stream until it ends; whatever goes wrong is said to the relay on the stream. */
  async serve(channel: Channel, open: Open): Promise<void> {
    this.#channels.add(channel)
    const gone = new AbortController()
    channel.onFailure = cause => gone.abort(cause)
    try {
      const connection = await this.#connect(open, gone.signal, this.#guardOf(channel, open.target))
      this.#open.set(open.stream, connection)
      channel.send({ type: 'opened', detail: { ...connection.detail } })
      await join(channel, connection.port)
    } catch (thrown) {
      const error = asGateError(thrown)
      this.#log.info('stream.failed', { stream: open.stream, target: open.target, error })
      channel.destroy(error)
    } finally {
      this.#open.delete(open.stream)
      this.#channels.delete(channel)
    }
  }

  /** What stands before the target where this agent checks approvals itself. */
  #guardOf(channel: Channel, target: string): ApprovalGuard | undefined {
    const trust = this.#trust.get(target)
    if (trust === undefined) return undefined
    const guard = new ApprovalGuard(trust)
    channel.onMessage = message => {
      try {
        if (message.type !== 'command')
          throw new GateError('ERR_GATE_PROTOCOL', `unexpected ${message.type} from the relay`)
        guard.declare(message)
      } catch (thrown) {
        channel.destroy(asGateError(thrown))
      }
    }
    return guard
  }

  async #connect(open: Open, signal: AbortSignal, guard: ApprovalGuard | undefined): Promise<Connection> {
    if (this.count > this.#config.limits.streams)
      throw new GateError('ERR_GATE_LIMIT', `the agent carries ${this.count} streams already`)
    const target = this.#config.targets.find(each => each.name === open.target)
    if (target === undefined) throw new GateError('ERR_GATE_NOT_FOUND', `this agent does not serve ${open.target}`)
    return connectorFor(target).connect(target, open.parameters, signal, guard, error => {
      this.#log.info('request.failed', { stream: open.stream, target: target.name, error, reason: error.hint })
    })
  }

  /** Cancels what runs on a stream, until the target has taken it; one that is not there any more has nothing to cancel. */
  async cancel(stream: string): Promise<void> {
    try {
      await this.#open.get(stream)?.cancel()
    } catch (error) {
      this.#log.warn('stream.cancel-failed', { stream, error })
    }
  }
}

/** Entries for a map by the target's name; none for a target whose approvals are the relay's business alone. */
function trustOf(target: TargetConfig, clock: Clock): [string, Trust][] {
  const { name, protocol, require_approval: actions, approver_keys: keys, approvals_needed: count } = target
  if (actions === undefined || keys === undefined || count === undefined) return []
  return [[name, new Trust({ target: name, protocol, actions, keys, count }, clock)]]
}
