// Which agents are connected to this relay, and which targets they serve.
import { randomBytes } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import { hashSecret, newSecret } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import { type ControlMessage, PROTOCOL_VERSION, packControl, unpackControl } from '@gate/shared/messages'
import type { Target } from '@gate/shared/model'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import { type Enrolments, mayAnnounce } from '../identity/enrolments.ts'
import { type Lock, type Locks, matchesLock } from '../locks/locks.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { AgentConnection, type CheckpointSource, type TargetConnection } from './agent-connection.ts'

/** An agent that connected has this long to prove who it is. */
const HELLO_TIMEOUT_MS = 10_000

export interface KnownTarget extends Target {
  readonly online: boolean
}

export class Agents {
  readonly #relay: string
  readonly #enrolments: Enrolments
  readonly #checkpoints: CheckpointSource
  readonly #locks: Locks
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: Log
  readonly #maximumStreams: number
  readonly #connections = new Map<string, AgentConnection>()
  /** Data tokens by hash, so that a memory dump of the map opens nothing. */
  readonly #byDataToken = new Map<string, AgentConnection>()

  constructor(
    relay: string,
    maximumStreams: number,
    enrolments: Enrolments,
    checkpoints: CheckpointSource,
    locks: Locks,
    store: Store,
    clock: Clock,
    log: Log,
  ) {
    this.#locks = locks
    this.#relay = relay
    this.#maximumStreams = maximumStreams
    this.#enrolments = enrolments
    this.#checkpoints = checkpoints
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  /** Takes a fresh control socket through challenge and hello, and serves it until it closes. */
  async serve(control: ControlSocket): Promise<void> {
    const nonce = randomBytes(32).toString('base64url')
    const hello = this.#hello(control)
    control.send(packControl({ type: 'challenge', version: PROTOCOL_VERSION, relay: this.#relay, nonce }))
    let connection: AgentConnection
    try {
      connection = await this.#admit(control, nonce, await hello)
    } catch (thrown) {
      const error = asGateError(thrown)
      this.#log.warn('agent.refused', { error })
      control.send(packControl({ type: 'refused', error: error.toJSON() }))
      control.destroy()
      return
    }
    await control.closed
    this.#remove(connection)
  }

  #hello(control: ControlSocket): Promise<Extract<ControlMessage, { type: 'hello' }>> {
    const received = new Promise<Extract<ControlMessage, { type: 'hello' }>>((resolve, reject) => {
      control.onBytes = bytes => {
        try {
          const message = unpackControl(bytes)
          if (message.type !== 'hello') throw new GateError('ERR_GATE_PROTOCOL', 'expected hello')
          resolve(message)
        } catch (thrown) {
          reject(asGateError(thrown))
        }
      }
      control.closed.then(
        () => reject(new GateError('ERR_GATE_AGENT_LOST', 'the agent left before it said who it is')),
        reject,
      )
    })
    const late = wait(HELLO_TIMEOUT_MS, undefined, { ref: false }).then(() => {
      throw new GateError('ERR_GATE_TIMEOUT', `no hello within ${HELLO_TIMEOUT_MS} ms`)
    })
    return Promise.race([received, late])
  }

  async #admit(
    control: ControlSocket,
    nonce: string,
    hello: Extract<ControlMessage, { type: 'hello' }>,
  ): Promise<AgentConnection> {
    if (hello.version !== PROTOCOL_VERSION) {
      throw new GateError(
        'ERR_GATE_PROTOCOL',
        `the agent speaks version ${hello.version}, this relay ${PROTOCOL_VERSION}`,
      )
    }
    const agent = await this.#enrolments.prove(this.#relay, nonce, hello.agent, hello.targets, hello.signature)
    await this.#locks.check({ agent: agent.name })
    const refused = hello.targets.filter(target => !mayAnnounce(agent.targets, target.name))
    const contested = hello.targets.filter(target => !refused.includes(target) && this.#conflicts(agent.name, target))
    const accepted = hello.targets.filter(target => !refused.includes(target) && !contested.includes(target))
    await storeErrors(() => this.#remember(agent.name, accepted))
    // The agent may have gone while we asked the store.
    if (!control.open) throw new GateError('ERR_GATE_AGENT_LOST', 'the agent left during its hello')
    this.#connections.get(agent.name)?.close()
    const dataToken = newSecret()
    const connection = new AgentConnection(
      agent.name,
      control,
      accepted,
      agent.enrolledMs,
      hashSecret(dataToken),
      this.#maximumStreams,
      this.#checkpoints,
    )
    this.#connections.set(agent.name, connection)
    this.#byDataToken.set(connection.dataTokenHash, connection)
    control.onBytes = bytes => {
      try {
        connection.receive(bytes)
      } catch (thrown) {
        this.#log.warn('agent.refused', { agent: agent.name, error: asGateError(thrown) })
        control.destroy()
      }
    }
    control.send(
      packControl({
        type: 'welcome',
        dataToken,
        refusedTargets: refused.map(target => target.name),
        contestedTargets: contested.map(target => target.name),
      }),
    )
    this.#log.info('agent.online', { agent: agent.name, count: accepted.length })
    const warn = (targets: readonly Target[], reason: string): void => {
      for (const { name } of targets)
        this.#log.warn('agent.target-refused', { agent: agent.name, target: name, reason })
    }
    warn(refused, 'its enrolment does not cover that name')
    warn(contested, 'another agent that is connected announces that name with another protocol, labels or options')
    // It may have been enrolled anew since it proved its key.
    void this.#letComeBack(agent.name)
    return connection
  }

  /** Lets go of agents that are enrolled anew, here and on the other relays: they come back at once, with what they may announce now. */
  async followEnrolments(): Promise<void> {
    await this.#store.listen('agents', name => void this.#letComeBack(name))
  }

  /** Tells every relay of the store that an agent was enrolled. It never rejects: at the latest a restart of the agent does the same. */
  async enrolled(name: string): Promise<void> {
    await this.#store
      .notify('agents', name)
      .catch(error => this.#log.warn('agent.notify-failed', { agent: name, error }))
    await this.#letComeBack(name)
  }

  async #letComeBack(name: string): Promise<void> {
    try {
      const enrolledMs = await this.#enrolments.enrolledMs(name)
      const connection = this.#connections.get(name)
      if (connection === undefined || connection.enrolledMs === enrolledMs) return
      this.#log.info('agent.enrolled-anew', { agent: name })
      this.#remove(connection)
    } catch (error) {
      this.#log.warn('agent.enrolment-unknown', { agent: name, error })
    }
  }

  /** Two agents may serve one target, but only if they mean the same: policy goes by these labels. */
  #conflicts(agent: string, target: Target): boolean {
    return [...this.#connections.values()].some(
      other =>
        other.name !== agent && other.targets.some(known => known.name === target.name && !sameTarget(known, target)),
    )
  }

  async #remember(agent: string, targets: readonly Target[]): Promise<void> {
    for (const target of targets) {
      const values = {
        protocol: target.protocol,
        labels: JSON.stringify(target.labels),
        options: JSON.stringify(target.options),
        agent,
        announced_ms: this.#clock.now(),
      }
      await this.#store.db
        .insertInto('targets')
        .values({ name: target.name, ...values })
        .onConflict(conflict => conflict.column('name').doUpdateSet(values))
        .execute()
    }
  }

  #remove(connection: AgentConnection): void {
    connection.close()
    this.#byDataToken.delete(connection.dataTokenHash)
    if (this.#connections.get(connection.name) !== connection) return
    this.#connections.delete(connection.name)
    this.#log.warn('agent.offline', { agent: connection.name })
  }

  /** The agent whose control socket handed out this data token. @throws {GateError} ERR_GATE_UNAUTHENTICATED. */
  byDataToken(token: string): AgentConnection {
    const connection = this.#byDataToken.get(hashSecret(token))
    if (connection === undefined) throw new GateError('ERR_GATE_UNAUTHENTICATED', 'unknown data token')
    return connection
  }

  /** Every target that was ever announced, and whether an agent of this relay serves it now. */
  async targets(): Promise<KnownTarget[]> {
    const rows = await storeErrors(() => this.#store.db.selectFrom('targets').selectAll().orderBy('name').execute())
    return rows.map(({ name, protocol, labels, options }) => this.#current({ name, protocol, labels, options }))
  }

  /** @throws {GateError} ERR_GATE_NOT_FOUND when no agent ever announced it. */
  async target(name: string): Promise<KnownTarget> {
    const served = this.#serving(name)[0]?.targets.find(target => target.name === name)
    if (served !== undefined) return { ...served, online: true }
    const row = await storeErrors(() =>
      this.#store.db.selectFrom('targets').selectAll().where('name', '=', name).executeTakeFirst(),
    )
    if (row === undefined) {
      throw new GateError('ERR_GATE_NOT_FOUND', `there is no target ${name} that you may open`, {
        hint: 'gate targets lists those you may.',
      })
    }
    return { name: row.name, protocol: row.protocol, labels: row.labels, options: row.options, online: false }
  }

  #current(stored: Target): KnownTarget {
    const served = this.#serving(stored.name)[0]?.targets.find(target => target.name === stored.name)
    return { ...(served ?? stored), online: served !== undefined }
  }

  #serving(target: string): AgentConnection[] {
    return [...this.#connections.values()].filter(connection => connection.serves(target))
  }

  /** Lets go of agents that are locked; they are refused when they come back. */
  lock(locks: readonly Lock[]): void {
    for (const connection of [...this.#connections.values()]) {
      if (!locks.some(lock => matchesLock(lock, { agent: connection.name }))) continue
      this.#log.warn('agent.locked', { agent: connection.name })
      this.#remove(connection)
    }
  }

  /**
   * Opens a stream to the target through the least busy agent that serves it.
   * @throws {GateError} ERR_GATE_NO_AGENT, ERR_GATE_LOCKED, or what the agent says of the target.
   */
  async open(
    target: string,
    stream: string,
    parameters: Record<string, string>,
    signal: AbortSignal,
  ): Promise<TargetConnection> {
    const agent = this.#serving(target).sort((a, b) => a.streams - b.streams)[0]
    if (agent === undefined) {
      throw new GateError('ERR_GATE_NO_AGENT', `no agent that serves ${target} is online`, {
        hint: 'gate targets shows which targets are online; the agent beside the target may be down.',
      })
    }
    // The lock may be newer than what this relay has heard of it.
    await this.#locks.check({ agent: agent.name })
    return agent.open(target, stream, parameters, signal)
  }

  close(): void {
    for (const connection of this.#connections.values()) connection.destroy()
  }
}

function sameTarget(a: Target, b: Target): boolean {
  const form = (target: Target): string =>
    JSON.stringify([target.protocol, Object.entries(target.labels).sort(), Object.entries(target.options).sort()])
  return form(a) === form(b)
}
