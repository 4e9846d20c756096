// Statement text → facts, through the parsing worker, with a cache, a deadline and a replacement for a worker that died.
import { randomBytes } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { StatementFacts } from './facts.ts'
import type { AnalysisData, AnalysisReply, AnalysisRequest, Unparsable } from './worker.ts'

/** Parse trees of left-recursive expressions recurse as deep as the text is long; 128 KiB of `1+1+…` needs about this. */
const STACK_MB = 64
const HEAP_MB = 512
const START_DEADLINE_MS = 30_000
const BASE_DEADLINE_MS = 2_000
/** A statement of values parses at about 3 MB a second; ten times that is a loop. */
const DEADLINE_MS_PER_KIB = 5
/** Facts of statements seen before, counted by the bytes of their text and of what may be recorded of it. */
const CACHE_BYTES = 16 * 1024 * 1024
const CACHE_ENTRY_OVERHEAD_BYTES = 1024
const MAX_WAITING = 1_000

export type Analysis = { readonly statements: readonly StatementFacts[] } | Unparsable

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
  readonly #cache = new Map<string, Analysis>()
  #cachedBytes = 0
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
    this.#log = log
  }

  get maximumBytes(): number {
    return this.#maximumBytes
  }

  get recordKey(): Uint8Array {
    return this.#recordKey
  }

  /** The facts of a text that was analysed before; undefined when it has to be analysed. */
  known(text: string): Analysis | undefined {
    const analysis = this.#cache.get(text)
    if (analysis === undefined) return undefined
    // The order of a Map is the order of insertion: what is used moves to the young end.
    this.#cache.delete(text)
    this.#cache.set(text, analysis)
    return analysis
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
    this.#timer = setTimeout(() => this.#replace('deadline'), deadlineMs)
    worker.postMessage({ id: waiting.id, text: waiting.text } satisfies AnalysisRequest)
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
    const analysis: Analysis =
      'statements' in reply
        ? { statements: reply.statements }
        : { syntaxError: reply.syntaxError, position: reply.position, recordable: reply.recordable }
    this.#remember(waiting.text, analysis)
    this.#finish(waiting)?.resolve(analysis)
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
    const size = (entry: string): number => entry.length * 4 + CACHE_ENTRY_OVERHEAD_BYTES
    if (!this.#cache.has(text)) this.#cachedBytes += size(text)
    this.#cache.set(text, analysis)
    for (const oldest of this.#cache.keys()) {
      if (this.#cachedBytes <= CACHE_BYTES) return
      this.#cache.delete(oldest)
      this.#cachedBytes -= size(oldest)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#worker?.terminate()
  }
}
