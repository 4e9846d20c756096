// Brings the tree of the record to a store of objects: what it covers first, its checkpoint last, and nothing is forgotten here before.
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { Backoff } from '@gate/shared/backoff'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { TreeHead } from '@gate/shared/record/checkpoint'
import { bundlePath, hashesAt, levelsOf, TILE_WIDTH, tilePath } from '@gate/shared/record/tiles'
import { syncDirectory, writeWhole } from '@gate/shared/whole-file'
import * as z from 'zod'
import type { ObjectStore } from './object-store.ts'

export const UPLOADED_FILE = 'uploaded.json'
/** Objects on their way at once. */
const UPLOADS_AT_ONCE = 8
/** Events wait this long for others to be uploaded with. */
const UPLOAD_DELAY_MS = 5_000
const FIRST_BACKOFF_MS = 1_000
/** Short enough that commands which had to stop go on soon after the store is back. */
const LONGEST_BACKOFF_MS = 15_000
/** Bytes of events that may wait for the store; beyond it commands are refused. They lie in journal and tree, twice as many on the disk. */
export const MAX_BACKLOG_BYTES = 1024 * 1024 * 1024
/** Newest whole bundles that stay here as well: most reading is of what was just written. */
const KEPT_BUNDLES = 64

export interface UploadTerms {
  readonly store: ObjectStore
  /** Names the bucket and prefix: what was uploaded elsewhere is not there. */
  readonly place: string
  readonly delayMs?: number
  readonly backoffMs?: number
  readonly longestBackoffMs?: number
  readonly backlogBytes?: number
  readonly keptBundles?: number
}

const stateSchema = z.strictObject({
  place: z.string(),
  /** Records that the store has, with a checkpoint over them. */
  size: z.int().nonnegative(),
  /** Whole bundles before this one are no longer here. */
  pruned: z.int().nonnegative(),
  /** Parts in the store that will be superseded: those of its checkpoint, and of the one before. */
  parts: z.array(z.string()).max(100),
  earlier: z.array(z.string()).max(100),
})
type State = z.infer<typeof stateSchema>

/** What is uploaded: the newest signed state of the tree in this directory. */
export interface UploadSource {
  readonly head: TreeHead
  readonly note: string
  /** Events up to this number are deleted everywhere, or will be. */
  readonly deleted: number
}

export class Uploads {
  readonly #directory: string
  readonly #source: UploadSource
  readonly #terms: Required<UploadTerms>
  readonly #clock: Clock
  readonly #log: Log
  #state: State
  /** Bytes of events since the newest state that is being uploaded, and of those in it that the store has not acknowledged. */
  #waitingBytes: number
  #movingBytes = 0
  #failing = false
  #wake = (): void => {}
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined

  private constructor(
    directory: string,
    source: UploadSource,
    terms: UploadTerms,
    state: State,
    waiting: number,
    clock: Clock,
    log: Log,
  ) {
    this.#directory = directory
    this.#source = source
    this.#terms = {
      delayMs: UPLOAD_DELAY_MS,
      backoffMs: FIRST_BACKOFF_MS,
      longestBackoffMs: LONGEST_BACKOFF_MS,
      backlogBytes: MAX_BACKLOG_BYTES,
      keptBundles: KEPT_BUNDLES,
      ...terms,
    }
    this.#state = state
    this.#waitingBytes = waiting
    this.#clock = clock
    this.#log = log
  }

  /**
   * Takes up where the last life ended; the store is not asked, so that a relay starts without it.
   * @throws {GateError} ERR_GATE_RECORD when the file that says how far it came cannot be read.
   */
  static async open(
    directory: string,
    source: UploadSource,
    terms: UploadTerms,
    clock: Clock,
    log: Log,
  ): Promise<Uploads> {
    const state = await readState(directory, terms.place)
    if (state.size > source.head.size)
      throw new GateError(
        'ERR_GATE_RECORD',
        `the bucket has ${state.size} records, and the tree here ${source.head.size}: its end was cut off`,
      )
    let waiting = 0
    for (let index = Math.floor(state.size / TILE_WIDTH); index * TILE_WIDTH < source.head.size; index += 1)
      waiting += await sizeOf(join(directory, bundlePath(index)))
    return new Uploads(directory, source, terms, state, waiting, clock, log)
  }

  /** Records that the store has acknowledged, with a checkpoint over them. */
  get size(): number {
    return this.#state.size
  }

  /** Records in whole bundles that the store has acknowledged. */
  get whole(): number {
    return this.#state.size - (this.#state.size % TILE_WIDTH)
  }

  /** Too much waits for the store. */
  get isFull(): boolean {
    return this.#waitingBytes + this.#movingBytes > this.#terms.backlogBytes
  }

  start(): void {
    this.#running = this.#run()
  }

  /** So many bytes of events came into the tree. */
  grew(bytes: number): void {
    this.#waitingBytes += bytes
    this.#wake()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const { signal } = this.#stop
    const { backoffMs: firstMs, longestBackoffMs: longestMs } = this.#terms
    const backoff = new Backoff({ firstMs, longestMs }, this.#clock)
    while (!signal.aborted) {
      try {
        if (this.#state.size === this.#source.head.size) await this.#grown()
        if (signal.aborted) return
        await this.#upload()
        backoff.reset()
        await this.#clock.sleep(this.#terms.delayMs, signal).catch(() => {})
      } catch (thrown) {
        this.#failed(thrown)
        await backoff.wait(signal)
      }
    }
  }

  #grown(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
      this.#stop.signal.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #failed(thrown: unknown): void {
    if (!this.#failing) this.#log.error('record.upload-failing', { error: asGateError(thrown) })
    this.#failing = true
  }

  /** Everything since the last time, then the checkpoint, then the word here that it is there. */
  async #upload(): Promise<void> {
    if (this.#source.head.size === this.#state.size) return
    this.#movingBytes += this.#waitingBytes
    this.#waitingBytes = 0
    const { store } = this.#terms
    const { head, note, whole, parts, bytesOf } = await this.#snapshot()
    await atOnce(UPLOADS_AT_ONCE, [...whole, ...parts], async path => {
      // What is left after a signal would only hold up the end of the relay: it is here, and the next life uploads it.
      if (this.#stop.signal.aborted && whole.length > UPLOADS_AT_ONCE)
        throw new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down')
      const bytes = bytesOf.get(path) ?? (await readFile(join(this.#directory, path)).catch(notThere))
      if (bytes !== undefined) return store.put(path, bytes, 'once')
      if ((await store.get(path)) === undefined)
        throw new GateError('ERR_GATE_RECORD', `${path} is neither here nor in the bucket`)
    })
    await store.put('checkpoint', Buffer.from(note), 'replace')
    const superseded = this.#state.earlier.filter(path => !parts.includes(path))
    const earlier = this.#state.parts.filter(path => !parts.includes(path))
    await this.#keep({ ...this.#state, size: head.size, parts, earlier })
    this.#movingBytes = 0
    if (this.#failing) this.#log.info('record.uploading-again')
    this.#failing = false
    await atOnce(UPLOADS_AT_ONCE, superseded, path => store.delete(path))
    await this.#prune()
  }

  /** The newest state with the parts that may be superseded at any moment; they are small, and few. */
  async #snapshot(): Promise<Snapshot> {
    for (;;) {
      const { head, note } = this.#source
      const { whole, parts } = partsBetween(this.#state.size, head.size, this.#source.deleted)
      const read = await Promise.all(parts.map(path => readFile(join(this.#directory, path)).catch(notThere)))
      const bytesOf = new Map(parts.flatMap((path, at) => (read[at] === undefined ? [] : [[path, read[at]] as const])))
      if (bytesOf.size === parts.length) return { head, note, whole, parts, bytesOf }
      if (this.#source.head.size === head.size)
        throw new GateError('ERR_GATE_RECORD', `a part of the tree is missing in ${this.#directory}`)
    }
  }

  /** Bundles that are there need not be here. The hashes stay: with them every proof can be given while the store is away. */
  async #prune(): Promise<void> {
    const until = Math.floor(this.#state.size / TILE_WIDTH) - this.#terms.keptBundles
    if (until <= this.#state.pruned) return
    for (let index = this.#state.pruned; index < until; index += 1)
      await rm(join(this.#directory, bundlePath(index)), { force: true })
    await this.#keep({ ...this.#state, pruned: until })
  }

  async #keep(state: State): Promise<void> {
    await writeWhole(join(this.#directory, UPLOADED_FILE), JSON.stringify(state))
    await syncDirectory(this.#directory)
    this.#state = state
  }

  /** Uploads what is left, once; what the store does not take now is here at the next start. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#running
    try {
      if (!this.#failing && this.#running !== undefined) await this.#upload()
    } catch (thrown) {
      this.#failed(thrown)
    }
    this.#terms.store.close()
  }
}

interface Snapshot extends Pick<UploadSource, 'head' | 'note'> {
  readonly whole: readonly string[]
  readonly parts: string[]
  readonly bytesOf: ReadonlyMap<string, Buffer>
}

/** Parts that a tree of `to` records has and one of `from` had not: those that are whole, and those that will grow. */
function partsBetween(from: number, to: number, deleted: number): { whole: string[]; parts: string[] } {
  const whole: string[] = []
  const parts: string[] = []
  for (let level = 0; level < levelsOf(to); level += 1) {
    const until = Math.floor(hashesAt(level, to) / TILE_WIDTH)
    for (let index = Math.floor(hashesAt(level, from) / TILE_WIDTH); index < until; index += 1) {
      whole.push(tilePath(level, index))
      if (level === 0 && index * TILE_WIDTH >= deleted) whole.push(bundlePath(index))
    }
    const width = hashesAt(level, to) % TILE_WIDTH
    if (width > 0) parts.push(tilePath(level, until, width))
    if (width > 0 && level === 0) parts.push(bundlePath(until, width))
  }
  return { whole, parts }
}

async function atOnce<T>(count: number, all: readonly T[], work: (each: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let each = all[next++]; each !== undefined; each = all[next++]) await work(each)
  }
  // All of them end before this does: a second round must not meet the first.
  const done = await Promise.allSettled(Array.from({ length: Math.min(count, all.length) }, worker))
  for (const each of done) if (each.status === 'rejected') throw each.reason
}

function notThere(thrown: NodeJS.ErrnoException): undefined {
  if (thrown.code !== 'ENOENT') throw thrown
  return undefined
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(notThere))?.size ?? 0
}

async function readState(directory: string, place: string): Promise<State> {
  const none: State = { place, size: 0, pruned: 0, parts: [], earlier: [] }
  const path = join(directory, UPLOADED_FILE)
  const text = await readFile(path, 'utf8').catch(notThere)
  if (text === undefined) return none
  try {
    const state = stateSchema.parse(JSON.parse(text))
    // Another bucket gets everything; what is no longer here has to be in it already.
    return state.place === place ? state : { ...none, pruned: state.pruned }
  } catch (cause) {
    throw asGateError(cause, 'ERR_GATE_RECORD', `${path} cannot be read`)
  }
}
