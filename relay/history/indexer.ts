// Keeps what sessions are found by: from the record into the store, in batches, never in the way of a command.
import type { Clock } from '@gate/shared/clock'
import type { Log } from '@gate/shared/log'
import { sql } from 'kysely'
import type { EventBody, StoredEvent } from '../record/events.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { type Batch, readPosition, writeBatch } from './batch.ts'
import { charactersOf, Gathering } from './gathering.ts'
import type { EventSource } from './source.ts'
import { termsOf } from './terms.ts'

/** Events wait this long for others to be written with. */
const BATCH_DELAY_MS = 1_000
/** Events, and characters of their texts, that wait for the store; what comes then is read from the record afterwards. */
const MAX_QUEUED_EVENTS = 5_000
const MAX_QUEUED_CHARACTERS = 16 * 1024 * 1024
/** While the store does not answer. */
const RETRY_MS = 1_000
/** Different terms of one session; what it has beyond them is not found. */
export const MAX_TERMS_PER_SESSION = 2_000
/** Terms remembered as written, over all sessions. */
const MAX_REMEMBERED_TERMS = 200_000
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

/** Texts of one session whose words are remembered as taken; beyond them all are forgotten. */
const MAX_TAKEN_TEXTS = 100
/** Longer ones are read again. */
const TAKEN_TEXT_LENGTH = 1_000

interface Known {
  readonly terms: Set<string>
  /** Statements with which the terms were taken, as `sayingOf` says them: the same one adds nothing. */
  readonly taken: Set<string>
  count: number
}

/** All that the terms of a command depend on; undefined when it is not worth remembering. */
function sayingOf(body: EventBody): string | undefined {
  if (body.type !== 'command' || body.text.length > TAKEN_TEXT_LENGTH) return undefined
  return `${body.action}\0${body.decision.rule}\0${body.settled?.rule ?? ''}\0${body.text}`
}

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
  readonly #sessions = new Map<string, Known>()
  #remembered = 0
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
        if (this.#queue.length > 0 || this.#gap !== undefined) this.#schedule(this.#failing ? RETRY_MS : BATCH_DELAY_MS)
      })
    return this.#running
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
      const { events, characters } = this.#writing
      await this.#write(this.#writing, false)
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
      await this.#repair(from, newest)
    } catch (thrown) {
      this.#gap = from
      this.#queue = []
      this.#queuedEvents = 0
      this.#queuedCharacters = 0
      throw thrown
    }
  }

  /** Takes what is to be written next: what is full, or has waited since before `until`. */
  #next(until: number): Gathering | undefined {
    const [next] = this.#queue
    return next !== undefined && (next.isFull || next.first <= until) ? this.#queue.shift() : undefined
  }

  async #repair(from: number, until: number): Promise<void> {
    const begun = this.#clock.monotonic()
    let gathering = new Gathering()
    let count = 0
    for await (const event of this.#source.readFrom(from)) {
      if (this.#closed) return
      if (event.sequence > until || !learned.has(event.body.type)) continue
      count += 1
      gathering.add(event)
      if (!gathering.isFull) continue
      // Sessions may come one after the other: only at the end is everything before `until` known.
      await this.#write(gathering, true, from - 1)
      gathering = new Gathering()
    }
    await this.#write(gathering, true, until)
    await storeErrors(() => endLost(this.#store, this.#relay, until, this.#clock.now(), 'restored'))
    this.#log.info('index.repaired', { count, durationMs: Math.round(this.#clock.monotonic() - begun) })
  }

  async #write({ events, tallies, newest }: Gathering, repairing: boolean, position = newest): Promise<void> {
    const terms = new Map<string, string[]>()
    for (const { body } of events) if ('session' in body) this.#collect(terms, body.session, body)
    const batch: Batch = {
      relay: this.#relay,
      events,
      tallies,
      terms,
      position,
      repairing,
    }
    try {
      this.#unanalysed += await storeErrors(() => writeBatch(this.#store, batch))
    } catch (thrown) {
      // What was taken for written is not.
      this.#sessions.clear()
      this.#remembered = 0
      throw thrown
    }
    for (const { body } of events) if (body.type === 'session.end') this.#forget(body.session)
    if (this.#unanalysed < ANALYZE_AFTER_TERMS) return
    this.#unanalysed = 0
    await analyze(this.#store)
  }

  /** Adds the terms that the session does not have yet. */
  #collect(terms: Map<string, string[]>, session: string, body: EventBody): void {
    const before = this.#sessions.get(session)
    const saying = sayingOf(body)
    if (before !== undefined && (before.count >= MAX_TERMS_PER_SESSION || before.taken.has(saying ?? ''))) return
    const found = termsOf(body)
    if (found.length === 0) return
    if (this.#remembered > MAX_REMEMBERED_TERMS) {
      this.#sessions.clear()
      this.#remembered = 0
    }
    const known = this.#sessions.get(session) ?? { terms: new Set<string>(), taken: new Set<string>(), count: 0 }
    this.#sessions.set(session, known)
    if (known.taken.size >= MAX_TAKEN_TEXTS) known.taken.clear()
    if (saying !== undefined) known.taken.add(saying)
    const news = found.filter(term => !known.terms.has(term)).slice(0, MAX_TERMS_PER_SESSION - known.count)
    for (const term of news) known.terms.add(term)
    known.count += news.length
    this.#remembered += news.length
    if (news.length > 0) terms.set(session, [...(terms.get(session) ?? []), ...news])
  }

  #forget(session: string): void {
    this.#remembered -= this.#sessions.get(session)?.terms.size ?? 0
    this.#sessions.delete(session)
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
