// A stream of the room's own on which it asks the target several questions at once: SQL in, rows as text out.
import { isAscii } from 'node:buffer'
import { createHash } from 'node:crypto'
import { GateError } from '@gate/shared/errors'
import { serialize } from 'pg-protocol'
import type { TargetStream } from '../protocol.ts'
import { readErrorFields } from './bodies.ts'
import { readProcessId } from './cancels.ts'
import { D, E, HEADER_BYTES, Reader, Z } from './codec.ts'

/** Rows of the answer to one message, or why there are none. */
export type Rows = readonly (readonly (string | null)[])[]

/** The answers to one set of questions; a catalog of 100,000 columns has about 10 MB. */
const MAX_ANSWERS_BYTES = 256 * 1024 * 1024
/** Texts that are remembered, so that what is asked again is prepared. */
const MAX_TEXTS = 200
/** To compile these the server takes no time. */
const SHORT_TEXT = 100
/** SQLSTATEs of a name that stands for nothing, and of one that stands for something already. */
const OF_NAMES = ['26000', '42P05']
/** Hex digits of a statement's name: whoever meets it on another connection has the same text under it. */
const NAME_DIGITS = 32

/** Who answers. */
const OWN_PROCESS = 'select pg_catalog.pg_backend_pid()'

const sync = serialize.sync()

export class CatalogStream {
  readonly #stream: TargetStream
  readonly #source: AsyncIterator<Buffer>
  #bytes: Buffer = Buffer.alloc(0)
  #total = 0
  #greeted = false
  /** Texts that were asked, with the name under which the server has them prepared, if it has. */
  readonly #asked = new Map<string, string | undefined>()
  #names = 0
  /** Not behind a pooler that gives each transaction another of its connections: names that one of them has, the others lack. */
  #prepares = true
  #isPooled = true

  constructor(stream: TargetStream) {
    this.#stream = stream
    this.#source = stream.port[Symbol.asyncIterator]()
  }

  /**
   * Whether whoever was logged in to is another than who answers: a pooler, which may give the next transaction to a third. So it is
   * said to be of a server that does not say who it is, and before anything was asked.
   */
  get isPooled(): boolean {
    return this.#isPooled
  }

  /**
   * Sends all of it at once and reads the answers in that order. What is asked for the second time is prepared: to compile some
   * takes the server longer than to run them.
   * @throws {GateError} when the stream breaks, `signal` is aborted or the answers are too large; it is of no use then.
   */
  async ask(queries: readonly string[], signal: AbortSignal): Promise<(Rows | GateError)[]> {
    const abort = (): void => this.destroy(new GateError('ERR_GATE_TIMEOUT', 'the catalog could not be read in time'))
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    try {
      const answers = await this.#askOnce(queries)
      if (!this.#prepares || !answers.some(isAboutNames)) return answers
      this.#prepares = false
      return await this.#askOnce(queries)
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  async #askOnce(queries: readonly string[]): Promise<(Rows | GateError)[]> {
    const processId = readProcessId(this.#stream.detail['processId'])
    if (this.#greeted || processId === undefined) return this.#askAll(queries)
    const [own, ...answers] = await this.#askAll([OWN_PROCESS, ...queries])
    this.#isPooled = own === undefined || own instanceof GateError || Number(own[0]?.[0]) !== processId
    return answers
  }

  async #askAll(queries: readonly string[]): Promise<(Rows | GateError)[]> {
    this.#total = 0
    for (const _query of queries) this.#stream.declare({ actions: ['select'], approvals: [] })
    const preparing = new Map<string, string>()
    await this.#stream.port.write(Buffer.concat(queries.flatMap(query => this.#messages(query, preparing))))
    // What comes before the first ReadyForQuery belongs to the start.
    if (!this.#greeted) await this.#answer()
    this.#greeted = true
    const answers: (Rows | GateError)[] = []
    for (const query of queries) {
      const answer = await this.#answer()
      answers.push(answer)
      // After an error nobody knows whether the server has it: the next time it gets another name.
      if (!(answer instanceof GateError) && preparing.has(query)) this.#asked.set(query, preparing.get(query))
    }
    return answers
  }

  #messages(query: string, preparing: Map<string, string>): Buffer[] {
    const isNew = !this.#asked.has(query)
    if (!this.#prepares || query.length <= SHORT_TEXT || isNew || preparing.has(query)) {
      if (isNew && this.#asked.size < MAX_TEXTS) this.#asked.set(query, undefined)
      return [serialize.query(query)]
    }
    const known = this.#asked.get(query)
    const name = known ?? nameOf(query, ++this.#names)
    if (known === undefined) preparing.set(query, name)
    const parse = known === undefined ? [serialize.parse({ name, text: query })] : []
    return [...parse, serialize.bind({ statement: name }), serialize.execute({}), sync]
  }

  /** Says goodbye, so that the server's log holds no lost connection. */
  close(): void {
    this.#stream.port.write(serialize.end())?.catch(() => {})
    this.#stream.port.end()
    this.destroy()
  }

  destroy(cause?: GateError): void {
    this.#stream.port.destroy(cause)
  }

  /** Reads up to ReadyForQuery. Everything is text: the simple protocol has no other. */
  async #answer(): Promise<Rows | GateError> {
    const rows: (string | null)[][] = []
    let failure: GateError | undefined
    for (;;) {
      const message = this.#next()
      if (message === undefined) {
        await this.#more()
        continue
      }
      const { type, body } = message
      if (type === D) rows.push(readRow(body))
      else if (type === E) {
        const fields = readErrorFields(body)
        failure ??= new GateError('ERR_GATE_TARGET_PROTOCOL', 'the catalog cannot be read', {
          fields: { C: fields.get('C') ?? '', M: fields.get('M') ?? '' },
        })
      } else if (type === Z) return failure ?? rows
    }
  }

  /** The next message, if all of it has come: thousands of rows come at once, and a promise for each would cost more than it does. */
  #next(): { type: number; body: Buffer } | undefined {
    if (this.#bytes.length < HEADER_BYTES) return undefined
    const length = this.#bytes.readInt32BE(1)
    if (length < 4 || length > MAX_ANSWERS_BYTES)
      throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'a message with an impossible length')
    if (this.#bytes.length <= length) return undefined
    const type = this.#bytes.readUInt8(0)
    const body = this.#bytes.subarray(HEADER_BYTES, length + 1)
    this.#bytes = this.#bytes.subarray(length + 1)
    return { type, body }
  }

  async #more(): Promise<void> {
    const { value, done } = await this.#source.next()
    if (done === true) throw new GateError('ERR_GATE_AGENT_LOST', 'the connection ended while the catalog was read')
    this.#total += value.length
    if (this.#total > MAX_ANSWERS_BYTES)
      throw new GateError('ERR_GATE_LIMIT', `a catalog of more than ${MAX_ANSWERS_BYTES} bytes`)
    this.#bytes = this.#bytes.length === 0 ? value : Buffer.concat([this.#bytes, value])
  }
}

const nameOf = (query: string, number: number): string =>
  `asked ${number} ${createHash('sha256').update(query).digest('hex').slice(0, NAME_DIGITS)}`

const isAboutNames = (answer: Rows | GateError): boolean =>
  answer instanceof GateError && OF_NAMES.includes(answer.fields?.['C'] ?? '')

/** A row's values; of plain ones all are decoded in one go. @throws {GateError} */
function readRow(body: Buffer): (string | null)[] {
  const reader = new Reader(body)
  const text = isAscii(body) ? body.toString('latin1') : undefined
  const values: (string | null)[] = []
  for (let left = reader.uint16(); left > 0; left -= 1) {
    const length = reader.int32()
    if (length === -1) {
      values.push(null)
      continue
    }
    const { at } = reader
    reader.skip(length)
    values.push(text === undefined ? body.toString('utf8', at, at + length) : text.slice(at, at + length))
  }
  reader.end()
  return values
}
