// Sessions that somebody ended: each relay ends those that run on it, whoever asked on whichever relay.
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import type { Person } from '../locks/locks.ts'
import { type Store, storeErrors } from '../store/store.ts'
import type { Sessions } from './sessions.ts'

/** Notifications can be lost; what is to end is looked at this often besides. */
const POLL_INTERVAL_MS = 1_000

export class Kills implements AsyncDisposable {
  readonly #store: Store
  readonly #relay: string
  readonly #sessions: Sessions
  readonly #clock: Clock
  readonly #log: Log
  readonly #poll: NodeJS.Timeout
  #looking: Promise<void> | undefined
  #failing = false

  private constructor(store: Store, relay: string, sessions: Sessions, clock: Clock, log: Log) {
    this.#store = store
    this.#relay = relay
    this.#sessions = sessions
    this.#clock = clock
    this.#log = log
    this.#poll = setInterval(() => {
      if (sessions.count > 0) void this.look()
    }, POLL_INTERVAL_MS)
    this.#poll.unref()
  }

  static async start(store: Store, relay: string, sessions: Sessions, clock: Clock, log: Log): Promise<Kills> {
    const kills = new Kills(store, relay, sessions, clock, log)
    await store.listen('stops', () => void kills.look())
    return kills
  }

  /** Ends what is to end here. It never rejects: what the store does not say now it says later. */
  look(): Promise<void> {
    this.#looking ??= this.#work()
      .then(
        () => {
          this.#failing = false
        },
        error => {
          if (!this.#failing) this.#log.warn('kills.unknown', { error })
          this.#failing = true
        },
      )
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  async #work(): Promise<void> {
    const asked = await storeErrors(() =>
      this.#store.db
        .selectFrom('session_kills')
        .selectAll()
        .where('relay', '=', this.#relay)
        .where('done_ms', 'is', null)
        .execute(),
    )
    for (const { session_id, by_id, by_email, reason } of asked) {
      this.#sessions.kill(session_id, { id: by_id, email: by_email ?? undefined }, reason)
      await storeErrors(() =>
        this.#store.db
          .updateTable('session_kills')
          .set({ done_ms: this.#clock.now() })
          .where('session_id', '=', session_id)
          .execute(),
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll)
    await this.#looking
  }
}

/** Asks for the end of a session, on whichever relay it runs. The first who asks is the one who is named. @throws {GateError} ERR_GATE_STORE. */
export async function askKill(
  store: Store,
  session: { readonly id: string; readonly relay: string },
  by: Person,
  reason: string,
  nowMs: number,
): Promise<void> {
  await storeErrors(() =>
    store.db
      .insertInto('session_kills')
      .values({
        session_id: session.id,
        relay: session.relay,
        by_id: by.id,
        by_email: by.email ?? null,
        reason,
        asked_ms: nowMs,
        done_ms: null,
      })
      .onConflict(conflict => conflict.doNothing())
      .execute(),
  )
  await storeErrors(() => store.notify('stops', session.id))
}
