// Connections of people to targets: who may open one, what it hangs on, where it is written down, how it ends.
import { asGateError, GateError } from '@gate/shared/errors'
import { PerSubject } from '../identity/per-subject.ts'
import type { Lock, Person } from '../locks/locks.ts'
import { type ConnectRequest, RelaySession, type SessionsContext } from './relay-session.ts'
import { TaskRows } from './task-rows.ts'

export class Sessions {
  readonly #context: SessionsContext
  /** Set when the relay goes down: why. */
  #closing: GateError | undefined
  readonly #running = new Set<Promise<void>>()
  readonly #sessions = new Map<string, RelaySession>()
  readonly #perSubject = new PerSubject()
  readonly #taskRows = new TaskRows()

  constructor(context: SessionsContext) {
    this.#context = context
  }

  /** What a connection that runs here has done so far. */
  countsOf(id: string): { commands: number; refused: number; held: number } | undefined {
    return this.#sessions.get(id)?.gate.counts
  }

  /** Ends a connection that runs here; false when none of that id does. */
  kill(id: string, by: Person, reason: string): boolean {
    const session = this.#sessions.get(id)
    session?.kill(by, reason)
    return session !== undefined
  }

  /** Ends every connection that one of the locks is about. */
  lock(locks: readonly Lock[]): void {
    for (const session of [...this.#sessions.values()]) session.lock(locks)
  }

  get count(): number {
    return this.#running.size
  }

  /** Serves one connection until it ends; everything that goes wrong has been said to the client in its own protocol. */
  async connect(request: ConnectRequest): Promise<void> {
    const subject = request.login.subject.id
    const before = this.#perSubject.of(subject)
    const leave = this.#perSubject.enter(subject)
    const running = this.#serve(request, before)
    this.#running.add(running)
    try {
      await running
    } finally {
      this.#running.delete(running)
      leave()
    }
  }

  async #serve(request: ConnectRequest, ofSubject: number): Promise<void> {
    const { agents, protocols, logins, limits, log } = this.#context
    const target = await agents.target(request.target)
    const protocol = protocols.find(room => room.name === target.protocol)
    if (protocol === undefined)
      throw new GateError('ERR_GATE_NOT_FOUND', `this relay does not speak ${target.protocol}`)
    using watched = logins.watch(request.login)
    const { subject, signal } = watched
    const session = new RelaySession(this.#context, this.#taskRows, request, target, protocol, subject, signal)
    // One signal for all of them would remember each: node keeps a weak reference of what AbortSignal.any() makes of it.
    if (this.#closing !== undefined) session.stop(this.#closing)
    if (ofSubject >= limits.connectionsPerSubject || this.#running.size >= limits.connections) {
      session.overLimit = new GateError(
        'ERR_GATE_LIMIT',
        `too many connections are open (yours: ${ofSubject}, all: ${this.#running.size})`,
      )
    }
    let end: GateError | undefined
    this.#sessions.set(session.id, session)
    try {
      await protocol.serve(session)
    } catch (thrown) {
      end = asGateError(thrown)
      const level = end.fault === 'gate' && end.code === 'ERR_GATE_INTERNAL' ? 'error' : 'info'
      log[level]('session.failed', { session: session.id, target: target.name, error: end })
    } finally {
      this.#sessions.delete(session.id)
      await session.end(end)
    }
  }

  /** Ends every connection with a clear word and waits for them. */
  async close(): Promise<void> {
    const closing = new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down', {
      hint: 'Connect again in a moment.',
    })
    this.#closing = closing
    for (const session of [...this.#sessions.values()]) session.stop(closing)
    await Promise.allSettled(this.#running)
  }
}
