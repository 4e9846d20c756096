// Tells the hooks what happens, each in its own time: a slow or broken one waits, is tried again, and in the end is given up.
import type { Clock } from '@gate/shared/clock'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Grant } from '../approval/grants.ts'
import type { ApprovalRequest } from '../approval/requests.ts'
import type { Review } from '../approval/reviews.ts'
import type { Hook } from './hooks.ts'
import { grantNotice, type Notice, requestNotice, reviewNotice } from './notice.ts'

/** Notices that wait for one hook; beyond it the newest are dropped, and that is logged. */
const MAX_WAITING = 1_000
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000
/** With the waits in between about a quarter of an hour. */
const MAX_ATTEMPTS = 20

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
  readonly #closed = new AbortController()
  #delivering: Promise<void> | undefined

  constructor(hook: Hook, clock: Clock, log: Log) {
    this.#hook = hook
    this.#clock = clock
    this.#log = log
  }

  add(notice: Notice): void {
    if (this.#hook.kinds?.includes(notice.kind) === false) return
    if (this.#notices.length >= MAX_WAITING) {
      this.#log.error('notice.dropped', { hook: this.#hook.name, kind: notice.kind, notice: notice.id })
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
      await this.#deliver(notice)
      if (this.#closed.signal.aborted) return
      this.#notices.shift()
    }
  }

  async #deliver(notice: Notice): Promise<void> {
    const { signal } = this.#closed
    let retryMs = FIRST_RETRY_MS
    for (let attempt = 1; attempt <= MAX_ATTEMPTS && !signal.aborted; attempt += 1) {
      try {
        return await this.#hook.deliver(notice, signal)
      } catch (error) {
        if (signal.aborted) return
        this.#log.warn('notice.failed', { hook: this.#hook.name, notice: notice.id, count: attempt, error })
      }
      await this.#clock.sleep(retryMs, signal).catch(() => {})
      retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS)
    }
    if (!signal.aborted)
      this.#log.error('notice.dropped', { hook: this.#hook.name, kind: notice.kind, notice: notice.id })
  }

  async close(): Promise<void> {
    this.#closed.abort()
    await this.#delivering
  }
}
