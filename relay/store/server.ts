// The store on a PostgreSQL server: a pool for queries and one connection that listens.
import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import { PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Channel, Engine } from './engine.ts'

const CONNECT_TIMEOUT_MS = 5_000
const STATEMENT_TIMEOUT_MS = 10_000
const RECONNECT_MS = 1_000
const INT8_OID = 20

/** int8 as number: every bigint column of the store is a time or a count, far below 2^53. */
const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: 'text' | 'binary') =>
    oid === INT8_OID ? Number : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
}

export async function openServer(url: string, maximumConnections: number, clock: Clock, log: Log): Promise<Engine> {
  const pool = new pg.Pool({
    connectionString: url,
    max: maximumConnections,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + CONNECT_TIMEOUT_MS,
    application_name: 'gate-relay',
    types,
  })
  // A connection that breaks is replaced by the pool; queries in flight get their own error. Each connection has a listener
  // of its own, since the pool's is for idle ones: one that broke between two statements of a transaction ended the relay.
  pool.on('connect', client => client.on('error', error => log.warn('store.connection-lost', { error })))
  pool.on('error', () => {})
  await pool.query('select 1')
  const listener = new Listener(url, clock, log)
  return {
    dialect: new PostgresDialect({ pool }),
    listen: (channel, handler) => listener.add(channel, handler),
    notify: async (channel, payload) => {
      await pool.query('select pg_notify($1, $2)', [`gate_${channel}`, payload])
    },
    close: () => listener.close(),
  }
}

/** Keeps one connection with LISTEN, and a new one when that breaks. */
class Listener {
  readonly #url: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #handlers = new Map<string, ((payload: string) => void)[]>()
  #client: pg.Client | undefined
  #closed = false

  constructor(url: string, clock: Clock, log: Log) {
    this.#url = url
    this.#clock = clock
    this.#log = log
  }

  async add(channel: Channel, handler: (payload: string) => void): Promise<void> {
    const name = `gate_${channel}`
    const handlers = this.#handlers.get(name) ?? []
    handlers.push(handler)
    this.#handlers.set(name, handlers)
    if (this.#client === undefined) await this.#connect()
    else await this.#client.query(`listen ${name}`)
  }

  async #connect(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#url,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
    })
    this.#client = client
    client.on('notification', ({ channel, payload }) => {
      for (const handler of this.#handlers.get(channel) ?? []) handler(payload ?? '')
    })
    client.on('error', error => this.#log.warn('store.listener-lost', { error }))
    client.on('end', () => {
      if (!this.#closed) this.#reconnect()
    })
    await client.connect()
    for (const name of this.#handlers.keys()) await client.query(`listen ${name}`)
  }

  #reconnect(): void {
    this.#clock
      .sleep(RECONNECT_MS)
      .then(() => (this.#closed ? undefined : this.#connect()))
      .then(() => {
        // What was notified in between is lost: wake everyone, they look at the tables.
        for (const handlers of this.#handlers.values()) for (const handler of handlers) handler('')
      })
      .catch(error => this.#log.warn('store.listener-lost', { error }))
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.race([this.#client?.end(), wait(CONNECT_TIMEOUT_MS, undefined, { ref: false })])
  }
}
