// The way to the agent: requests written anew, one at a time, on a stream that is opened when the first one goes out.
import type { Duplex, Readable } from 'node:stream'
import { asGateError, GateError } from '@gate/shared/errors'
import { portStream } from '@gate/shared/port-stream'
import { Client } from 'undici'
import type { Declaration } from '../machine.ts'
import type { TargetStream } from '../protocol.ts'
import type { FieldList } from './fields.ts'
import { type Spelling, spelled, spellingOf } from './spelling.ts'

const MAX_HEADER_BYTES = 64 * 1024
/** The stream lives as long as the client's connection; undici would close it when it is idle. */
const NEVER_MS = 2 ** 31 - 1
/** No name of a host: the agent alone knows where the target is. */
const ORIGIN = 'http://target'

export interface SentRequest {
  readonly method: string
  readonly path: string
  readonly fields: FieldList
  readonly spelling: Spelling
  readonly body: Buffer | Readable | undefined
}

/** What a target says before its body; names of fields in lower case. */
export interface AnswerHead {
  readonly status: number
  /** The words behind it, as the target said them. */
  readonly phrase: string
  readonly fields: FieldList
  readonly spelling: Spelling
}

/** What comes back; `data` gives false when no more is wanted until `resume` is called. */
export interface AnswerHandler {
  head(said: AnswerHead, resume: () => void, abort: (cause: GateError) => void): void
  data(chunk: Buffer): boolean
  end(trailers: FieldList): void
  fail(cause: GateError): void
}

/** Nothing is sent twice, and nobody knows how far it came. */
const MAY_BE_DONE = 'The service may have done what was asked: look before you send that again.'

export class Upstream {
  readonly #open: () => Promise<TargetStream>
  readonly #client: Client
  #stream: TargetStream | undefined
  #opening: GateError | undefined

  /** `open` opens another stream each time: one that broke is not used again. */
  constructor(open: () => Promise<TargetStream>) {
    this.#open = open
    this.#client = new Client(ORIGIN, {
      connect: (_options, connected) =>
        void this.#connect(connected as (error: Error | null, socket: Duplex | null) => void),
      pipelining: 1,
      keepAliveTimeout: NEVER_MS,
      keepAliveMaxTimeout: NEVER_MS,
      // How long a target may take is the agent's to say, which knows the target.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxHeaderSize: MAX_HEADER_BYTES,
    })
  }

  async #connect(connected: (error: Error | null, socket: Duplex | null) => void): Promise<void> {
    try {
      this.#stream = await this.#open()
      const stream = portStream(this.#stream.port)
      stream.on('error', () => {})
      connected(null, stream)
    } catch (thrown) {
      this.#opening = asGateError(thrown)
      connected(this.#opening, null)
    }
  }

  /** Sends a request, declared first; never twice. The handler is told of the answer or of one failure. */
  send(request: SentRequest, declaration: Declaration, handler: AnswerHandler): void {
    const { method, path, fields, spelling, body } = request
    let abort: (cause: GateError) => void = () => {}
    let isSent = false
    this.#opening = undefined
    this.#client.dispatch(
      {
        origin: ORIGIN,
        method: method as 'GET',
        path,
        headers: spelled(fields, spelling),
        body: body ?? null,
        blocking: false,
      },
      {
        onConnect: stop => {
          // Nothing of the request is written yet, and the stream is the one that it goes on.
          this.#stream?.declare(declaration)
          isSent = true
          abort = stop as (cause: GateError) => void
        },
        onHeaders: (status, raw, resume, phrase) => {
          // Answers that come before the answer (RFC 9110 section 15.2) are the agent's to deal with.
          if (status >= 200) handler.head({ status, phrase, ...readFields(raw) }, resume, abort)
          return true
        },
        onData: chunk => handler.data(chunk),
        onComplete: trailers =>
          handler.end(trailers === null ? [] : readFields(trailers as unknown as Buffer[]).fields),
        onError: thrown => handler.fail(this.#failure(thrown, isSent)),
      },
    )
  }

  #failure(thrown: Error, isSent: boolean): GateError {
    const error = this.#opening ?? asGateError(thrown, 'ERR_GATE_AGENT_LOST', 'the connection to the target broke')
    if (!isSent || error.code !== 'ERR_GATE_AGENT_LOST' || error.hint !== undefined) return error
    return new GateError(error.code, error.message, { cause: error, hint: MAY_BE_DONE })
  }

  destroy(cause: GateError): void {
    void this.#client.destroy(cause).catch(() => {})
  }
}

/** One character for each byte, as node writes them. */
function readFields(raw: readonly Buffer[]): Pick<AnswerHead, 'fields' | 'spelling'> {
  const texts = raw.map(bytes => bytes.toString('latin1'))
  const fields: [string, string][] = []
  for (let at = 0; at + 1 < texts.length; at += 2) fields.push([(texts[at] ?? '').toLowerCase(), texts[at + 1] ?? ''])
  return { fields, spelling: spellingOf(texts) }
}
