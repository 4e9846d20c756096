// The store without a server: PGlite (PostgreSQL in WebAssembly) in a worker thread, one query at a time.
import { Worker } from 'node:worker_threads'
import { GateError } from '@gate/shared/errors'
import { PostgresDialect, type PostgresPoolClient } from 'kysely'
import type { Channel, Engine } from './engine.ts'

/** A query that takes longer has lost its worker. */
const QUERY_DEADLINE_MS = 30_000
/** The first start creates the database cluster. */
const START_DEADLINE_MS = 120_000
/** Callers that wait for their turn. */
const MAX_WAITING = 1_000

export type ToWorker =
  | { id: number; sql: string; parameters: readonly unknown[] }
  | { id: number; listen: string }
  | { id: number; close: true }
export type FromWorker =
  | { id: number; rows: unknown[]; affectedRows: number; command: string }
  | { id: number; error: { message: string; code: string | undefined } }
  | { channel: string; payload: string }
  | { ready: true }

interface Waiting {
  resolve(answer: { rows: unknown[]; affectedRows: number; command: string }): void
  reject(cause: unknown): void
  timer: NodeJS.Timeout
}

/** A distributive Omit, so that each kind of message keeps its own fields. */
type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

class EmbeddedDatabase {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #handlers = new Map<string, ((payload: string) => void)[]>()
  #next = 1
  #failure: Error | undefined
  readonly #ready: Promise<void>

  constructor(directory: string) {
    this.#worker = new Worker(new URL('./embedded-worker.js', import.meta.url), { workerData: { directory } })
    this.#ready = new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new GateError('ERR_GATE_STORE', 'the embedded store did not start in time')),
        START_DEADLINE_MS,
      )
      const stopped = (cause: Error): void => {
        clearTimeout(timer)
        reject(cause)
        this.#fail(cause)
      }
      this.#worker.on('message', (message: FromWorker) => {
        if ('ready' in message) {
          clearTimeout(timer)
          resolve()
        } else this.#receive(message)
      })
      this.#worker.on('error', stopped)
      this.#worker.on('exit', code => stopped(new Error(`the embedded store stopped (${code})`)))
    })
  }

  ready(): Promise<void> {
    return this.#ready
  }

  #receive(message: Exclude<FromWorker, { ready: true }>): void {
    if ('channel' in message) {
      for (const handler of this.#handlers.get(message.channel) ?? []) handler(message.payload)
      return
    }
    const waiting = this.#waiting.get(message.id)
    if (waiting === undefined) return
    this.#waiting.delete(message.id)
    clearTimeout(waiting.timer)
    if ('error' in message)
      waiting.reject(Object.assign(new Error(message.error.message), { code: message.error.code }))
    else waiting.resolve(message)
  }

  #fail(cause: Error): void {
    this.#failure ??= cause
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer)
      reject(cause)
    }
    this.#waiting.clear()
  }

  ask(message: WithoutId<ToWorker>): Promise<{ rows: unknown[]; affectedRows: number; command: string }> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    const id = this.#next
    this.#next += 1
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(new Error('the embedded store does not answer')), QUERY_DEADLINE_MS)
      this.#waiting.set(id, { resolve, reject, timer })
      this.#worker.postMessage({ ...message, id })
    })
  }

  async listen(channel: string, handler: (payload: string) => void): Promise<void> {
    const handlers = this.#handlers.get(channel)
    if (handlers !== undefined) {
      handlers.push(handler)
      return
    }
    this.#handlers.set(channel, [handler])
    await this.ask({ listen: channel })
  }

  async close(): Promise<void> {
    if (this.#failure === undefined) await this.ask({ close: true }).catch(() => {})
    await this.#worker.terminate()
  }
}

/** PGlite has one session: whoever has the turn has it until released, so that transactions do not mix. */
class Turn {
  #busy = false
  readonly #queue: (() => void)[] = []

  async take(): Promise<void> {
    if (!this.#busy) {
      this.#busy = true
      return
    }
    if (this.#queue.length >= MAX_WAITING) throw new GateError('ERR_GATE_STORE', 'the embedded store is overloaded')
    await new Promise<void>(resolve => this.#queue.push(resolve))
  }

  give(): void {
    const next = this.#queue.shift()
    if (next === undefined) this.#busy = false
    else next()
  }
}

export async function openEmbedded(directory: string): Promise<Engine> {
  const database = new EmbeddedDatabase(directory)
  await database.ready()
  const turn = new Turn()
  const query = async (sql: string, parameters: readonly unknown[] = []) => {
    const { rows, affectedRows, command } = await database.ask({ sql, parameters })
    return { rows, rowCount: affectedRows, command }
  }
  const client = { query, release: () => turn.give() } as unknown as PostgresPoolClient
  const withTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    await turn.take()
    try {
      return await work()
    } finally {
      turn.give()
    }
  }
  return {
    dialect: new PostgresDialect({
      pool: {
        connect: async () => {
          await turn.take()
          return client
        },
        end: async () => {},
      },
    }),
    listen: (channel: Channel, handler) => withTurn(() => database.listen(`gate_${channel}`, handler)),
    notify: (channel, payload) =>
      withTurn(async () => {
        await query('select pg_notify($1, $2)', [`gate_${channel}`, payload])
      }),
    close: () => database.close(),
  }
}
