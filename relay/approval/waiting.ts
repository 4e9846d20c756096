// Commands of this relay that wait for people: each is told of its request's end, whoever brings it about.
import type { Clock } from '@gate/shared/clock'
import { asGateError, type GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { type Store, storeErrors } from '../store/store.ts'
import { forgetting } from './forgetting.ts'
import { type Decision, readDecisions, readRequest } from './requests.ts'
import { type RequestEvent, type RequestState, statesBefore, transitions } from './states.ts'

/** Notifications can be lost; waiting requests are looked at this often besides. */
const POLL_INTERVAL_MS = 1_000

/** How a hold ended. */
export interface Answer {
  readonly request: string
  readonly state: Exclude<RequestState, 'waiting' | 'used'>
  readonly decisions: readonly Decision[]
}

interface Waiter {
  readonly expiresMs: number
  settle(answer: Answer): void
  fail(cause: GateError): void
}

export class Waiting {
  readonly #store: Store
  readonly #clock: Clock
  readonly #log: Log
  readonly #waiters = new Map<string, Waiter>()
  readonly #ended: (request: string) => void
  #poll: NodeJS.Timeout | undefined

  /** `ended` is told of every request that ends from this side. */
  constructor(store: Store, clock: Clock, log: Log, ended: (request: string) => void) {
    this.#ended = ended
    this.#store = store
    this.#clock = clock
    this.#log = log
  }

  /**
   * Waits for the end of a request. An aborted signal withdraws it.
   * @throws {GateError} when the store is lost: nothing may run then.
   */
  async until(request: string, expiresMs: number, signal: AbortSignal): Promise<Answer> {
    const settled = new Promise<Answer>((resolve, reject) => {
      this.#waiters.set(request, { expiresMs, settle: resolve, fail: reject })
    })
    // The store can be lost before anybody waits for this; unhandled, that would end the relay.
    settled.catch(() => {})
    const abort = (): void => void this.withdraw(request)
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    this.#poll ??= setInterval(() => this.look(), POLL_INTERVAL_MS)
    try {
      await this.announce(request)
      return await settled
    } finally {
      signal.removeEventListener('abort', abort)
      this.#waiters.delete(request)
      if (this.#waiters.size === 0) {
        clearInterval(this.#poll)
        this.#poll = undefined
      }
    }
  }

  /** Nobody waits for the request any more. What goes wrong is logged: the command does not run in any case. */
  async withdraw(request: string): Promise<void> {
    await this.#finish(request, 'withdraw').catch(error =>
      this.#log.warn('request.withdraw-failed', { request, error }),
    )
  }

  async announce(request: string): Promise<void> {
    try {
      await this.#store.notify('requests', request)
    } catch (error) {
      // Whoever waits for news polls as well.
      this.#log.warn('request.notify-failed', { request, error })
    }
  }

  /** Looks what became of every request. */
  look(): void {
    for (const id of this.#waiters.keys())
      this.#lookAt(id).catch(thrown => this.#waiters.get(id)?.fail(asGateError(thrown)))
  }

  async #lookAt(id: string): Promise<void> {
    const request = await storeErrors(() => readRequest(this.#store, id))
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return
    if (request.state === 'waiting') {
      if (waiter.expiresMs <= this.#clock.now()) await this.#finish(id, 'expire')
      return
    }
    // Only whoever waits here uses it.
    if (request.state === 'used') throw asGateError(undefined, 'ERR_GATE_INTERNAL', `${id} was used by somebody else`)
    const decisions = await storeErrors(() => readDecisions(this.#store, id))
    waiter.settle({ request: id, state: request.state, decisions })
  }

  /** Ends a waiting request from our side, unless people were faster. */
  async #finish(id: string, event: 'expire' | 'withdraw'): Promise<void> {
    const waiter = this.#waiters.get(id)
    const ended = await this.happen(id, event, ['waiting']).catch(thrown => {
      // Without the store nobody can say what became of the request: the command does not run.
      waiter?.fail(asGateError(thrown))
      throw thrown
    })
    if (ended === undefined) return this.#lookAt(id)
    waiter?.settle({ request: id, state: event === 'expire' ? 'expired' : 'withdrawn', decisions: [] })
    this.#ended(id)
    await this.announce(id)
  }

  /**
   * Lets an event happen to a request; undefined when it is in none of these states any more.
   * @throws {GateError} ERR_GATE_STORE.
   */
  async happen(
    id: string,
    event: RequestEvent,
    states: readonly RequestState[] = statesBefore(event),
  ): Promise<RequestState | undefined> {
    const [first] = states
    const after = first === undefined ? undefined : transitions[first][event]
    if (after === undefined) return undefined
    const { numUpdatedRows } = await storeErrors(() =>
      this.#store.db
        .updateTable('requests')
        .set({ state: after, settled_ms: this.#clock.now(), ...forgetting(after) })
        .where('id', '=', id)
        .where('state', 'in', [...states])
        .executeTakeFirst(),
    )
    return numUpdatedRows === 1n ? after : undefined
  }

  /** Withdraws everything that waits. */
  async close(): Promise<void> {
    clearInterval(this.#poll)
    await Promise.allSettled([...this.#waiters.keys()].map(id => this.#finish(id, 'withdraw')))
  }
}
