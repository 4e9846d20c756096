// When it is looked whether events became too old, as long as the relay runs.
import type { Clock } from '@gate/shared/clock'
import { asGateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Archive } from './archive.ts'
import type { EventBody } from './events.ts'
import type { Journal } from './journal.ts'
import type { ObjectStore } from './object-store.ts'
import type { Retention, RetentionSource } from './retention.ts'

/** How often it is looked, and how soon when something is left to do. */
const CHECK_MS = 60 * 60_000
const SOON_MS = 10_000

export class Expiry {
  readonly #retention: Retention
  readonly #ageMs: number | undefined
  readonly #source: (signal: AbortSignal) => RetentionSource
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #now: Promise<boolean> | undefined

  /** Events older than `ageMs` are deleted from the source; undefined: never. */
  constructor(
    retention: Retention,
    ageMs: number | undefined,
    source: (signal: AbortSignal) => RetentionSource,
    clock: Clock,
    log: Log,
  ) {
    this.#retention = retention
    this.#ageMs = ageMs
    this.#source = source
    this.#clock = clock
    this.#log = log
  }

  /** What an earlier configuration has decided to delete is still deleted. */
  start(): void {
    if (this.#ageMs !== undefined || this.#retention.isPending) this.#running = this.#nowAndThen()
  }

  /** Deletes events that became too old; true when something is left to do at once. @throws what disk and storage say. */
  expire(): Promise<boolean> {
    this.#now ??= this.#retention.expire(this.#ageMs, this.#source(this.#stop.signal)).finally(() => {
      this.#now = undefined
    })
    return this.#now
  }

  /** Never rejects. */
  async #nowAndThen(): Promise<void> {
    const { signal } = this.#stop
    let failing = false
    while (!signal.aborted) {
      let more = false
      try {
        more = await this.expire()
        failing = false
      } catch (thrown) {
        if (!failing) this.#log.warn('record.retention-failing', { error: asGateError(thrown) })
        failing = true
      }
      const sleepMs = more || failing ? SOON_MS : CHECK_MS
      await this.#clock.sleep(sleepMs, signal).catch(() => {})
    }
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
  }
}

/** What deleting needs of the record that goes on. */
export interface ExpiringRecord {
  now(): number
  /** Events that are where they are kept, under a signed checkpoint. */
  kept(): number
  /** The number of the newest event in the journal. */
  written(): number
  append(body: EventBody): number
  sync(): Promise<void>
  seal(): Promise<unknown>
  /** The storage beside this machine. */
  readonly elsewhere: ObjectStore | undefined
}

/** What is deleted from, anew for each time that something is. */
export function retentionSource(
  archive: Archive,
  journal: Journal,
  record: ExpiringRecord,
): (signal: AbortSignal) => RetentionSource {
  return signal => ({
    now: record.now,
    kept: record.kept,
    head: archive.head,
    bundle: index => archive.wholeBundle(index),
    record: async body => {
      const sequence = record.append(body)
      await record.sync()
      await record.seal()
      return sequence
    },
    forget: deleted => {
      archive.deleted = deleted
    },
    forgetJournal: deleted => forgetJournal(journal, record, deleted),
    signal,
    removeElsewhere: async path => record.elsewhere?.delete(path),
  })
}

/** A journal that never became full would keep what the tree has long deleted. */
async function forgetJournal(journal: Journal, record: ExpiringRecord, deleted: number): Promise<boolean> {
  await record.seal()
  if (journal.holds(deleted, 'newest')) journal.rotate(record.written() + 1)
  // What is in the tree is in no need of the journal, whether its bundle is whole or not.
  await journal.forget(record.kept())
  return !journal.holds(deleted, 'oldest')
}
