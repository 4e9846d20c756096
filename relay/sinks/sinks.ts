// Sends the record on to sinks, each at its own pace and at least once: where it is stands in a file, and moves only when events were taken.
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Backoff, DELIVERY_BACKOFF } from '@gate/shared/backoff'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { writeWhole } from '@gate/shared/whole-file'
import * as z from 'zod'
import type { StoredEvent } from '../record/events.ts'
import { EcsDocuments } from './ecs.ts'
import type { Sink } from './sink.ts'

/** Events, and characters, that are sent at once. */
const BATCH_EVENTS = 500
const BATCH_CHARACTERS = 4 * 1024 * 1024
/** Events wait this long for others. */
const BATCH_DELAY_MS = 500

const placeSchema = z.object({ origin: z.string(), sequence: z.int().nonnegative() })

/** What the sinks need of the record. */
export interface SinkSource {
  /** The number of the newest event. */
  readonly sequence: number
  readonly verifier: { readonly name: string }
  watch(listener: (event: StoredEvent) => void): Disposable
  readFrom(sequence: number): AsyncIterable<StoredEvent>
}

export class Sinks implements AsyncDisposable {
  readonly #stop = new AbortController()
  readonly #running: Promise<void>[]

  private constructor(followers: readonly Follower[]) {
    this.#running = followers.map(follower => follower.run(this.#stop.signal))
  }

  /** @throws {GateError} ERR_GATE_CONFIG when a file with a sink's place cannot be read. */
  static async start(
    sinks: readonly Sink[],
    directory: string,
    source: SinkSource,
    clock: Clock,
    log: Log,
  ): Promise<Sinks> {
    if (sinks.length > 0) await mkdir(directory, { recursive: true, mode: 0o700 })
    const followers = sinks.map(async sink => {
      const path = join(directory, `${sink.name}.json`)
      return new Follower(sink, path, await readPlace(path, source.verifier.name), source, clock, log)
    })
    return new Sinks(await Promise.all(followers))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down'))
    await Promise.all(this.#running)
  }
}

/** The number of the last event that a sink has taken; none of a record that is another one. */
async function readPlace(path: string, origin: string): Promise<number> {
  try {
    const place = placeSchema.parse(JSON.parse(await readFile(path, 'utf8')))
    return place.origin === origin ? place.sequence : 0
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return 0
    throw asGateError(cause, 'ERR_GATE_CONFIG', `${path} cannot be read`)
  }
}

class Follower {
  readonly #sink: Sink
  readonly #path: string
  readonly #source: SinkSource
  readonly #clock: Clock
  readonly #log: Log
  readonly #documents: EcsDocuments
  /** The last event that was taken. */
  #place: number
  #wake = (): void => {}
  #failing = false

  constructor(sink: Sink, path: string, place: number, source: SinkSource, clock: Clock, log: Log) {
    this.#sink = sink
    this.#path = path
    this.#place = place
    this.#source = source
    this.#clock = clock
    this.#log = log
    this.#documents = new EcsDocuments(source.verifier.name)
  }

  /** Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    using _watching = this.#source.watch(() => this.#wake())
    const woken = (): void => this.#wake()
    signal.addEventListener('abort', woken)
    const backoff = new Backoff(DELIVERY_BACKOFF, this.#clock)
    while (!signal.aborted) {
      try {
        if (!(await this.#sendOn(signal))) await this.#sleep(signal)
        backoff.reset()
      } catch (thrown) {
        if (signal.aborted) break
        if (!this.#failing) this.#log.warn('sink.failing', { sink: this.#sink.name, error: asGateError(thrown) })
        this.#failing = true
        await backoff.wait(signal)
      }
    }
    signal.removeEventListener('abort', woken)
  }

  /** Until something is recorded, and a little longer for what comes with it. */
  async #sleep(signal: AbortSignal): Promise<void> {
    await new Promise<void>(resolve => {
      this.#wake = resolve
      if (signal.aborted || this.#source.sequence > this.#place) resolve()
    })
    this.#wake = () => {}
    await this.#clock.sleep(BATCH_DELAY_MS, signal).catch(() => {})
  }

  /** Sends what is recorded since, in batches; false when there was nothing. */
  async #sendOn(signal: AbortSignal): Promise<boolean> {
    let lines: string[] = []
    let characters = 0
    let last = this.#place
    for await (const event of this.#source.readFrom(this.#place + 1)) {
      const line = `${JSON.stringify(this.#documents.document(event))}\n`
      lines.push(line)
      characters += line.length
      last = event.sequence
      if (lines.length < BATCH_EVENTS && characters < BATCH_CHARACTERS) continue
      await this.#deliver(lines, last, signal)
      lines = []
      characters = 0
    }
    if (lines.length === 0) return last > this.#place
    await this.#deliver(lines, last, signal)
    return true
  }

  async #deliver(lines: readonly string[], last: number, signal: AbortSignal): Promise<void> {
    await this.#sink.deliver(lines.join(''), signal)
    this.#place = last
    await writeWhole(this.#path, JSON.stringify({ origin: this.#source.verifier.name, sequence: last }))
    if (this.#failing) this.#log.info('sink.taking-again', { sink: this.#sink.name })
    this.#failing = false
  }
}
