// Keeps what sessions are found by: from the record into the store, in batches, never in the way of a command.
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import { sql } from 'kysely'
import type { EventBody, StoredEvent } from '../record/events.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { type Batch, readPosition, setBack, writeBatch } from './batch.ts'
import { charactersOf, Gathering } from './gathering.ts'
import { KnownTerms } from './known-terms.ts'
import type { EventSource } from './source.ts'
import type { Tally } from './terms.ts'

/** Events wait this long for others to be written with. */
const BATCH_DELAY_MS = 1_000
/** Events, and characters of their texts, that wait for the store; what comes then is read from the record afterwards. */
const MAX_QUEUED_EVENTS = 5_000
const MAX_QUEUED_CHARACTERS = 16 * 1024 * 1024
/** Ends of sessions that wait for the end of a repair. */
const MAX_CLOSING_EVENTS = 50_000
/** Sessions whose counts do. */
const MAX_REPAIRED_SESSIONS = 50_000
/** While the store does not answer. */
const RETRY_MS = 1_000
/** The planner's statistics are taken anew after so many new terms: an embedded store does not do it by itself. */
const ANALYZE_AFTER_TERMS = 100_000

/** Events that the index learns from; of the others it knows the number only. */
const learned = new Set([
  'session.start',
  'session.open',
  'session.end',
  'command',
  'hold',
  'rows',
  'view',
  'retention',
] satisfies StoredEvent['body']['type'][] as string[])

const nothingCounted: ReadonlyMap<string, Tally> = new Map()

/** Nothing is counted of a session after its end, and of one that is deleted nothing is left. */
const isClosing = ({ type }: EventBody): boolean => type === 'session.end' || type === 'retention'

export class SessionIndexer implements AsyncDisposable {
  readonly #store: Store
  readonly #relay: string
  readonly #source: EventSource
  readonly #clock: Clock
  readonly #log: Log
  readonly #subscription: Disposable
  /** What waits; the last takes what comes. */
  #queue: Gathering[] = []
  /** What is being written, until it is. */
  #writing: Gathering | undefined
  #queuedEvents = 0
  #queuedCharacters = 0
  /** The first event that is in neither queue nor store. */
  #gap: number | undefined
  #newest: number
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #closed = false
  #failing = false
  readonly #terms = new KnownTerms()
  #unanalysed = 0

  private constructor(store: Store, relay: string, source: EventSource, position: number, clock: Clock, log: Log) {
    this.#store = store
    this.#relay = relay
    this.#source = source
    this.#clock = clock
    this.#log = log
    this.#newest = source.sequence
    // Outcomes that waited when the relay was killed were counted and never written: the record may be behind.
    if (position < source.sequence) this.#gap = position + 1
    this.#subscription = source.watch(event => this.#take(event))
  }

  /**
   * Starts following the record; what the store does not know yet is read from it in the background.
   * Sessions of an earlier life of this relay are over: they are marked so.
   * @throws {GateError} ERR_GATE_STORE.
   */
  static async start(
    store: Store,
    relay: string,
    source: EventSource,
    clock: Clock,
    log: Log,
  ): Promise<SessionIndexer> {
    const position = await storeErrors(() => readPosition(store, relay))
    // A record that was cut in a crash gives numbers once more which the store has seen.
    if (position > source.sequence) await storeErrors(() => setBack(store, relay, source.sequence))
    await storeErrors(() => endLost(store, relay, source.sequence, clock.now(), 'all'))
    const indexer = new SessionIndexer(store, relay, source, position, clock, log)
    indexer.#schedule(0)
    return indexer
  }

  /** Resolves when everything recorded so far can be found, or the store does not take it. */
  async caughtUp(): Promise<void> {
    await this.#running
    await this.#run()
  }

  /** On the way of a command: it only notes the event. */
  #take(event: StoredEvent): void {
    this.#newest = event.sequence
    if (this.#gap !== undefined || !learned.has(event.body.type)) return
    if (
      this.#queuedEvents >= MAX_QUEUED_EVENTS ||
      this.#queuedCharacters + charactersOf(event.body) > MAX_QUEUED_CHARACTERS
    ) {
      this.#gap = event.sequence
      return
    }
    if (this.#gathering().add(event)) {
      this.#queuedEvents += 1
      this.#queuedCharacters += charactersOf(event.body)
    }
    this.#schedule(BATCH_DELAY_MS)
  }

  #gathering(): Gathering {
    const last = this.#queue.at(-1)
    if (last !== undefined && !last.isFull) return last
    const next = new Gathering()
    this.#queue.push(next)
    return next
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== undefined || this.#running !== undefined || this.#closed) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#run()
    }, delayMs)
    this.#timer.unref()
  }

  /** One at a time; it never rejects. */
  #run(): Promise<void> {
    this.#running ??= this.#work()
      .then(
        () => this.#worked(undefined),
        error => this.#worked(error),
      )
      .finally(() => {
        this.#running = undefined
        if (this.#waits) this.#schedule(this.#failing ? RETRY_MS : BATCH_DELAY_MS)
      })
    return this.#running
  }

  get #waits(): boolean {
    return this.#queue.length > 0 || this.#writing !== undefined || this.#gap !== undefined
  }

  #worked(error: unknown): void {
    if (error !== undefined && !this.#failing) this.#log.warn('index.failing', { error })
    if (error === undefined && this.#failing) this.#log.info('index.writing-again')
    this.#failing = error !== undefined
  }

  async #work(): Promise<void> {
    // Few events wait for more: one by one they would keep an embedded store busy all the time.
    const until = this.#newest
    for (;;) {
      this.#writing ??= this.#next(until)
      if (this.#writing === undefined) break
      const { events, tallies, newest, characters } = this.#writing
      await this.#write({ events, tallies, position: newest, repairing: false })
      this.#writing = undefined
      this.#queuedEvents -= events.length
      this.#queuedCharacters -= characters
    }
    const from = this.#gap
    if (from === undefined) return
    // From here on new events queue up again, and the record has everything before them.
    const newest = this.#newest
    this.#gap = undefined
    try {
      // Of a repair that failed at its very end nobody knows whether it is written.
      const known = await storeErrors(() => readPosition(this.#store, this.#relay))
      await this.#repair(Math.max(from, known + 1), newest)
    } catch (thrown) {
      this.#gap = from
      this.#queue = []
      this.#queuedEvents = 0
      this.#queuedCharacters = 0
      throw thrown
    }
  }

  /** Takes what is to be written next: what is full, or has waited since before `until`; before a gap is filled, everything. */
  #next(until: number): Gathering | undefined {
    const [next] = this.#queue
    return next !== undefined && (next.isFull || next.first <= until || this.#gap !== undefined)
      ? this.#queue.shift()
      : undefined
  }

  async #repair(from: number, until: number): Promise<void> {
    const begun = this.#clock.monotonic()
    // What is read is read from the start again when this fails half-way: it is counted in the end, and what is over is not counted.
    const counts = new Map<string, Tally>()
    const closing: StoredEvent[] = []
    let gathering = new Gathering(counts)
    let count = 0
    for await (const event of this.#source.readFrom(from)) {
      if (this.#closed) return
      if (event.sequence > until || !learned.has(event.body.type)) continue
      count += 1
      if (isClosing(event.body)) closing.push(event)
      else gathering.add(event)
      const isTooMuch = closing.length >= MAX_CLOSING_EVENTS || counts.size >= MAX_REPAIRED_SESSIONS
      if (!gathering.isFull && !isTooMuch) continue
      // Sessions may come one after the other: only at the end is everything before `until` known.
      const events = isTooMuch ? [...gathering.events, ...closing.splice(0)] : gathering.events
      await this.#write({ events, tallies: isTooMuch ? counts : nothingCounted, position: undefined, repairing: true })
      if (isTooMuch) counts.clear()
      gathering = new Gathering(counts)
    }
    const events = [...gathering.events, ...closing]
    await this.#write({ events, tallies: counts, position: until, repairing: true })
    await storeErrors(() => endLost(this.#store, this.#relay, until, this.#clock.now(), 'restored'))
    this.#log.info('index.repaired', { count, durationMs: Math.round(this.#clock.monotonic() - begun) })
  }

  async #write(part: Omit<Batch, 'relay' | 'terms'>): Promise<void> {
    const { events } = part
    const terms = new Map<string, string[]>()
    for (const { body } of events) if ('session' in body) this.#terms.collect(terms, body.session, body)
    const batch: Batch = { ...part, relay: this.#relay, terms }
    try {
      this.#unanalysed += await storeErrors(() => writeBatch(this.#store, batch))
    } catch (thrown) {
      // What was taken for written is not.
      this.#terms.clear()
      throw thrown
    }
    for (const { body } of events) if (body.type === 'session.end') this.#terms.forget(body.session)
    if (this.#unanalysed < ANALYZE_AFTER_TERMS) return
    this.#unanalysed = 0
    await analyze(this.#store)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#subscription[Symbol.dispose]()
    clearTimeout(this.#timer)
    await this.#running
    // What a stopping relay has still to say is indexed; what that does not reach is read from the record at the next start.
    if (this.#gap === undefined) await this.#run()
    this.#closed = true
    clearTimeout(this.#timer)
  }
}

/**
 * Sessions that were open when the relay died: all that are open now, or only those that were restored from the record. Those
 * that go on have put down their login.
 */
async function endLost(
  store: Store,
  relay: string,
  sequence: number,
  nowMs: number,
  which: 'all' | 'restored',
): Promise<void> {
  let update = store.db
    .updateTable('sessions')
    .set({ ended_ms: nowMs, end_code: 'lost', last_event: sequence })
    .where('relay', '=', relay)
    .where('ended_ms', 'is', null)
  if (which === 'restored') update = update.where('login_id', '=', '')
  await update.execute()
}

async function analyze(store: Store): Promise<void> {
  await storeErrors(async () => void (await sql`analyze sessions, session_terms`.execute(store.db)))
}
