// Statement text → facts, with a cache: short texts at once, others through a worker that has a deadline and is replaced.
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { type Analysis, loadGrammar, readText } from './read.ts'
import { Shapes } from './shapes.ts'
import type { Json } from './tree.ts'
import type { AnalysisData, AnalysisReply, AnalysisRequest } from './worker.ts'

/** Parse trees of left-recursive expressions recurse as deep as the text is long; 128 KiB of `1+1+…` needs about this. */
const STACK_MB = 64
const HEAP_MB = 512
const START_DEADLINE_MS = 30_000
const BASE_DEADLINE_MS = 2_000
/** A statement of values parses at about 3 MB a second; ten times that is a loop. */
const DEADLINE_MS_PER_KIB = 5
/** On a busy machine a text may take so many times longer, as long as this process did not get the deadline's worth of CPU. */
const BUSY_FACTOR = 10
/** Less CPU than this missing is no reason to wait on. */
const MISSING_MS = 50
/** Facts of statements seen before, counted by the bytes of their text and of what may be recorded of it. */
const CACHE_BYTES = 16 * 1024 * 1024
const CACHE_ENTRY_OVERHEAD_BYTES = 1024
const MAX_WAITING = 1_000
/**
 * Texts up to this length are read on the main thread: the way to the worker and back costs more than it saves. The longest
 * that hostile texts of this length took (80 shapes, and 30,000 made by mutation) was 1 ms, ten times a common statement:
 * `1+1+…`, of which the time grows in proportion to the length. None came near the end of the stack at eight times of it.
 */
const SHORT_TEXT_LENGTH = 256
/** Reading them may take this share of the main thread's time, and so much of it at once; beyond it the worker takes over. */
const SHORT_TEXTS_SHARE = 0.5
const SHORT_TEXTS_MS = 2

interface Waiting {
  readonly id: number
  readonly text: string
  resolve(analysis: Analysis): void
  reject(cause: GateError): void
}

const tooComplex = (): GateError =>
  new GateError('ERR_GATE_LIMIT', 'the statement is too complex to be analysed, so it is refused', {
    hint: 'Split it, or pass long lists as parameters.',
  })

export class Analyser implements AsyncDisposable {
  readonly #log: Log
  readonly #maximumBytes: number
  readonly #recordKey: Uint8Array
  readonly #shapes: Shapes
  /** What was used lately, and what was used before that: of a single map the oldest entries would have to be looked for. */
  #young = new Map<string, Analysis>()
  #youngBytes = 0
  #old: ReadonlyMap<string, Analysis> = new Map()
  /** Whether texts can be read on this thread: not before the grammar is loaded, and not after it failed. */
  #readsHere = false
  /** Time that reading took here, less its share of the time since then. */
  #spentMs = 0
  #spentAtMs = 0
  #worker: Worker | undefined
  #starting: Promise<Worker> | undefined
  readonly #queue: Waiting[] = []
  #current: Waiting | undefined
  #timer: NodeJS.Timeout | undefined
  #next = 1
  #closed = false

  /** `recordKey` is that of placeholders in recorded texts; with one of its own, nobody can look values up. */
  constructor(maximumBytes: number, log: Log, recordKey: Uint8Array = randomBytes(32)) {
    this.#maximumBytes = maximumBytes
    this.#recordKey = recordKey
    this.#shapes = new Shapes()
    this.#log = log
    loadGrammar().then(
      () => {
        this.#readsHere = true
      },
      error => log.warn('postgres.parser-not-loaded', { error }),
    )
  }

  get maximumBytes(): number {
    return this.#maximumBytes
  }

  get recordKey(): Uint8Array {
    return this.#recordKey
  }

  /** The facts of a text that was analysed before, or can be at once; undefined when it has to be waited for. */
  known(text: string): Analysis | undefined {
    const young = this.#young.get(text)
    if (young !== undefined) return young
    const old = this.#old.get(text)
    if (old === undefined) return this.#readHere(text)
    this.#remember(text, old)
    return old
  }

  #readHere(text: string): Analysis | undefined {
    if (!this.#readsHere || text.length > SHORT_TEXT_LENGTH) return undefined
    const alike = this.#shapes.find(text)
    if (alike !== undefined) {
      this.#remember(text, alike)
      return alike
    }
    const began = performance.now()
    this.#spentMs = Math.max(0, this.#spentMs - (began - this.#spentAtMs) * SHORT_TEXTS_SHARE)
    this.#spentAtMs = began
    if (this.#spentMs > SHORT_TEXTS_MS) return undefined
    try {
      let tree: Json = null
      const analysis = readText(text, this.#recordKey, parsed => {
        tree = parsed
      })
      this.#shapes.learn(text, tree, analysis)
      this.#remember(text, analysis)
      return analysis
    } catch (error) {
      // The worker says what becomes of the text; here none is read any more.
      this.#readsHere = false
      this.#log.warn('postgres.parser-failed', { error })
      return undefined
    } finally {
      this.#spentMs += performance.now() - began
    }
  }

  /** @throws {GateError} ERR_GATE_LIMIT for a text that is too long, too deep or takes too long. */
  analyse(text: string): Promise<Analysis> {
    if (Buffer.byteLength(text) > this.#maximumBytes) {
      return Promise.reject(
        new GateError(
          'ERR_GATE_LIMIT',
          `statements of more than ${this.#maximumBytes} bytes are not analysed, so they are refused`,
        ),
      )
    }
    if (this.#queue.length >= MAX_WAITING) {
      return Promise.reject(new GateError('ERR_GATE_LIMIT', 'too many statements wait to be analysed'))
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ id: this.#next, text, resolve, reject })
      this.#next += 1
      this.#advance()
    })
  }

  /** One statement at a time: when the worker dies, it is known which one killed it. */
  #advance(): void {
    if (this.#current !== undefined) return
    const waiting = this.#queue.shift()
    if (waiting === undefined) return
    this.#current = waiting
    this.#send(waiting).catch(cause => {
      this.#finish(waiting)?.reject(new GateError('ERR_GATE_INTERNAL', 'the SQL parser cannot be started', { cause }))
    })
  }

  async #send(waiting: Waiting): Promise<void> {
    const worker = await this.#start()
    const deadlineMs = BASE_DEADLINE_MS + (waiting.text.length / 1024) * DEADLINE_MS_PER_KIB
    this.#expect(deadlineMs, deadlineMs * BUSY_FACTOR)
    worker.postMessage({ id: waiting.id, text: waiting.text } satisfies AnalysisRequest)
  }

  /**
   * The deadline is one of CPU: of time that goes to other processes a text would be refused today that was read yesterday.
   * The whole process's is counted, since node 20 does not say that of a thread; so nothing gets more than it should.
   */
  #expect(deadlineMs: number, patienceMs: number): void {
    const before = process.cpuUsage()
    const waitMs = Math.min(deadlineMs, patienceMs)
    this.#timer = setTimeout(() => {
      const { user, system } = process.cpuUsage(before)
      const missingMs = deadlineMs - (user + system) / 1_000
      if (missingMs < MISSING_MS || patienceMs <= waitMs) this.#replace('deadline')
      else this.#expect(missingMs, patienceMs - waitMs)
    }, waitMs)
  }

  #finish(waiting: Waiting): Waiting | undefined {
    if (this.#current !== waiting) return undefined
    clearTimeout(this.#timer)
    this.#current = undefined
    queueMicrotask(() => this.#advance())
    return waiting
  }

  #start(): Promise<Worker> {
    this.#starting ??= new Promise((resolve, reject) => {
      if (this.#closed) return reject(new Error('closed'))
      const worker = new Worker(new URL('./worker.js', import.meta.url), {
        resourceLimits: { stackSizeMb: STACK_MB, maxOldGenerationSizeMb: HEAP_MB },
        stderr: true,
        workerData: { recordKey: this.#recordKey } satisfies AnalysisData,
      })
      const timer = setTimeout(() => reject(new Error('the parser did not start in time')), START_DEADLINE_MS)
      worker.on('message', (reply: AnalysisReply) => {
        if ('ready' in reply) {
          clearTimeout(timer)
          this.#worker = worker
          worker.unref()
          resolve(worker)
        } else this.#receive(reply)
      })
      worker.on('error', error => {
        reject(error)
        if (this.#worker === worker) this.#replace(error.name)
      })
    })
    // A worker that did not start is tried again with the next statement.
    this.#starting.catch(() => {
      this.#starting = undefined
    })
    return this.#starting
  }

  #receive(reply: Exclude<AnalysisReply, { ready: true }>): void {
    const waiting = this.#current
    if (waiting === undefined || waiting.id !== reply.id) return
    this.#remember(waiting.text, reply.analysis)
    this.#finish(waiting)?.resolve(reply.analysis)
  }

  /** The statement at hand is refused, the thread is thrown away; those that wait go to the next one. */
  #replace(reason: string): void {
    this.#log.warn('postgres.parser-replaced', { reason })
    const worker = this.#worker
    this.#worker = undefined
    this.#starting = undefined
    worker?.terminate().catch(error => this.#log.warn('postgres.parser-replaced', { error }))
    const waiting = this.#current
    if (waiting !== undefined) this.#finish(waiting)?.reject(tooComplex())
  }

  #remember(text: string, analysis: Analysis): void {
    this.#young.set(text, analysis)
    this.#youngBytes += text.length * 4 + CACHE_ENTRY_OVERHEAD_BYTES
    if (this.#youngBytes <= CACHE_BYTES / 2) return
    this.#old = this.#young
    this.#young = new Map()
    this.#youngBytes = 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#worker?.terminate()
  }
}
