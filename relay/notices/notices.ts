// Tells the hooks what happens, each in its own time: a slow or broken one waits, is tried again, and in the end is given up.
import { Backoff, DELIVERY_BACKOFF } from '@gate/shared/backoff'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Grant } from '../approval/grants.ts'
import type { ApprovalRequest } from '../approval/requests.ts'
import type { Review } from '../approval/reviews.ts'
import type { Hook } from './hooks.ts'
import { grantNotice, type Notice, requestNotice, reviewNotice } from './notice.ts'

/** Notices that wait for one hook; beyond it the newest are dropped, and that is logged. */
const MAX_WAITING = 1_000
/** With the waits in between about a quarter of an hour. */
const MAX_ATTEMPTS = 20
/** A relay that goes down has this long to deliver what waits; then it is lost, and that is logged. */
const LAST_DELIVERIES_MS = 3_000

export class Notices implements AsyncDisposable {
  readonly #relay: string
  readonly #clock: Clock
  readonly #queues: readonly Queue[]

  /** `relay` is the URL by which people know the relay. */
  constructor(hooks: readonly Hook[], relay: string, clock: Clock, log: Log) {
    this.#relay = relay
    this.#clock = clock
    this.#queues = hooks.map(hook => new Queue(hook, clock, log))
  }

  request(kind: 'request.waiting' | 'request.settled', request: ApprovalRequest): void {
    if (this.#queues.length > 0) this.#tell(requestNotice(this.#made(), kind, request))
  }

  review(kind: 'glass.broken' | 'review.closed', review: Review): void {
    if (this.#queues.length > 0) this.#tell(reviewNotice(this.#made(), kind, review))
  }

  revoked(grant: Grant): void {
    if (this.#queues.length > 0) this.#tell(grantNotice(this.#made(), grant))
  }

  #made(): { id: string; relay: string; timeMs: number } {
    return { id: newId('n'), relay: this.#relay, timeMs: this.#clock.now() }
  }

  #tell(notice: Notice): void {
    for (const queue of this.#queues) queue.add(notice)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#queues.map(queue => queue.close()))
  }
}

class Queue {
  readonly #hook: Hook
  readonly #clock: Clock
  readonly #log: Log
  readonly #notices: Notice[] = []
  /** Aborts when nothing new comes: what waits is tried once more each, without waits in between. */
  readonly #closing = new AbortController()
  readonly #closed = new AbortController()
  #delivering: Promise<void> | undefined

  constructor(hook: Hook, clock: Clock, log: Log) {
    this.#hook = hook
    this.#clock = clock
    this.#log = log
  }

  add(notice: Notice): void {
    if (this.#hook.kinds?.includes(notice.kind) === false) return
    if (this.#notices.length >= MAX_WAITING || this.#closing.signal.aborted) {
      this.#drop(notice)
      return
    }
    this.#notices.push(notice)
    this.#delivering ??= this.#run().finally(() => {
      this.#delivering = undefined
    })
  }

  /** One after the other, so that whoever reads them reads them in order. */
  async #run(): Promise<void> {
    for (let notice = this.#notices[0]; notice !== undefined; notice = this.#notices[0]) {
      const isTaken = await this.#deliver(notice)
      // The next one would fare no better, and must not be read before this one.
      if (!isTaken && this.#closing.signal.aborted) return
      if (!isTaken) this.#drop(notice)
      this.#notices.shift()
    }
  }

  async #deliver(notice: Notice): Promise<boolean> {
    const backoff = new Backoff(DELIVERY_BACKOFF, this.#clock)
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !this.#closed.signal.aborted; attempt += 1) {
      const isLast = this.#closing.signal.aborted
      try {
        await this.#hook.deliver(notice, this.#closed.signal)
        return true
      } catch (error) {
        this.#log.warn('notice.failed', { hook: this.#hook.name, notice: notice.id, count: attempt, error })
      }
      if (isLast) return false
      await backoff.wait(this.#closing.signal)
    }
    return false
  }

  #drop(notice: Notice): void {
    this.#log.error('notice.dropped', { hook: this.#hook.name, kind: notice.kind, notice: notice.id })
  }

  /** Delivers what waits, as far as the hook takes it at once. */
  async close(): Promise<void> {
    this.#closing.abort(new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down'))
    const enough = new AbortController()
    const limit = this.#clock.sleep(LAST_DELIVERIES_MS, enough.signal).then(
      () => this.#closed.abort(new GateError('ERR_GATE_SHUTDOWN', 'the relay is down')),
      () => {},
    )
    await this.#delivering
    enough.abort(new GateError('ERR_GATE_SHUTDOWN', 'everything was tried'))
    await limit
    for (const notice of this.#notices.splice(0)) this.#drop(notice)
  }
}
