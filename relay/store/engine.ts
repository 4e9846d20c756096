// What a database under the store gives: queries in Kysely's dialect, notifications, an end.
import type { Dialect } from 'kysely'

/** What wakes whoever waits for a change: `requests` when one is made or decided, `logins` when one ends, `stops` when a session is killed or a lock made or taken away, `agents` when an agent is enrolled anew. */
export type Channel = 'requests' | 'logins' | 'stops' | 'agents'

/** What an engine (PGlite, PostgreSQL) gives. */
export interface Engine {
  readonly dialect: Dialect
  /** Calls the handler for each notification until the engine is closed. Notifications may be lost when the engine reconnects. */
  listen(channel: Channel, handler: (payload: string) => void): Promise<void>
  notify(channel: Channel, payload: string): Promise<void>
  close(): Promise<void>
}
