// HTTP between relay and agent: requests and answers in frames, of which nobody can be mistaken about where they end. Pure.
import { errorFromBody, GateError } from './errors.ts'
import { MAX_TEXT_LENGTH, parseRefusal } from './messages.ts'

/** Parameters of a stream that is to become a WebSocket: HTTP/1.1 is spoken on it, by the library that goes on with it. */
export const forHandshake = { upgrade: 'websocket' } as const

/** What a frame holds. `data` and `end` are of the request on the way to the agent, and of the answer on the way back. */
const kinds = { request: 1, answer: 2, data: 3, end: 4, failure: 5 } as const
export type FrameKind = keyof typeof kinds
/** Those that are read as a whole: lines, one character for each byte. */
export type LinesKind = Exclude<FrameKind, 'data'>

/** The kind, and the length of the content in four bytes, the highest first. */
const HEADER_BYTES = 5
/** Of lines: more than the heads that both sides read. */
export const MAX_LINES_BYTES = 128 * 1024

const nameOf: ReadonlyMap<number, FrameKind> = new Map(
  Object.entries(kinds).map(([name, code]) => [code, name as FrameKind]),
)

/** What may stand in a field (RFC 9110 section 5.5), and what stands between lines. */
const text = /^[\t\n\x20-\x7e\x80-\xff]*$/

function header(kind: FrameKind, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + (kind === 'data' ? 0 : length))
  bytes[0] = kinds[kind]
  bytes.writeUInt32BE(length, 1)
  return bytes
}

/**
 * A frame of lines.
 * @throws {GateError} ERR_GATE_PROTOCOL for a character that no field may hold, ERR_GATE_LIMIT above 128 KiB.
 */
export function linesFrame(kind: LinesKind, lines: readonly string[]): Buffer {
  const content = lines.join('\n')
  if (!text.test(content) || lines.some(line => line.includes('\n')))
    throw new GateError('ERR_GATE_PROTOCOL', 'a header with characters that none may have')
  if (content.length > MAX_LINES_BYTES)
    throw new GateError('ERR_GATE_LIMIT', `headers of more than ${MAX_LINES_BYTES} bytes`)
  const frame = header(kind, content.length)
  frame.write(content, HEADER_BYTES, 'latin1')
  return frame
}

/** What stands before so many bytes of a body. */
export function dataHeader(length: number): Buffer {
  return header('data', length)
}

/** Told of frames as they come; what it throws ends the reading. */
export interface FrameSink {
  lines(kind: LinesKind, lines: string[]): void
  /** A piece of a body, however the frames were cut. */
  data(bytes: Buffer): void
}

export class FrameReader {
  readonly #sink: FrameSink
  /** The beginning of a frame that has not come whole, and how much of it has to come before it is looked at again. */
  readonly #begun: Buffer[] = []
  #begunBytes = 0
  #neededBytes = HEADER_BYTES
  /** Of the data frame that is being read. */
  #dataLeft = 0

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** Whether what came so far ends with a frame. */
  get isBetweenFrames(): boolean {
    return this.#begunBytes === 0 && this.#dataLeft === 0
  }

  /** @throws {GateError} ERR_GATE_PROTOCOL for anything that is no frame; what the sink throws. */
  push(pushed: Buffer): void {
    const bytes = this.#withBegun(pushed)
    if (bytes === undefined) return
    let at = 0
    while (at < bytes.length) {
      const read = this.#dataLeft > 0 ? this.#data(bytes, at) : this.#frame(bytes, at)
      if (read === 0) return this.#keep(bytes.subarray(at))
      at += read
    }
  }

  #withBegun(bytes: Buffer): Buffer | undefined {
    if (this.#begunBytes === 0) return bytes
    this.#keep(bytes)
    if (this.#begunBytes < this.#neededBytes) return undefined
    const all = Buffer.concat(this.#begun.splice(0))
    this.#begunBytes = 0
    return all
  }

  #keep(bytes: Buffer): void {
    this.#begun.push(bytes)
    this.#begunBytes += bytes.length
  }

  #data(bytes: Buffer, at: number): number {
    const piece = bytes.subarray(at, at + this.#dataLeft)
    this.#dataLeft -= piece.length
    this.#sink.data(piece)
    return piece.length
  }

  /** Gives how far it has read: nothing of a frame that is not there as a whole. */
  #frame(bytes: Buffer, at: number): number {
    this.#neededBytes = HEADER_BYTES
    if (bytes.length - at < HEADER_BYTES) return 0
    const kind = nameOf.get(bytes[at] ?? 0)
    const length = bytes.readUInt32BE(at + 1)
    if (kind === undefined || (kind !== 'data' && length > MAX_LINES_BYTES))
      throw new GateError('ERR_GATE_PROTOCOL', 'what came between relay and agent is no frame')
    if (kind === 'data') {
      this.#dataLeft = length
      return HEADER_BYTES
    }
    const end = at + HEADER_BYTES + length
    this.#neededBytes = HEADER_BYTES + length
    if (bytes.length < end) return 0
    const content = bytes.toString('latin1', at + HEADER_BYTES, end)
    if (!text.test(content)) throw new GateError('ERR_GATE_PROTOCOL', 'a header with characters that none may have')
    this.#sink.lines(kind, length === 0 ? [] : content.split('\n'))
    return HEADER_BYTES + length
  }
}

/** Joined up to this length when they are sent; joining longer ones would copy too much. */
const JOINED_BYTES = 64 * 1024

/** Sends what is written in one turn as one piece, or as few. */
export class FrameWriter {
  readonly #send: (bytes: Buffer) => void
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #isScheduled = false

  constructor(send: (bytes: Buffer) => void) {
    this.#send = send
  }

  /** @throws {GateError} as linesFrame does. */
  lines(kind: LinesKind, lines: readonly string[]): void {
    this.#put(linesFrame(kind, lines))
  }

  data(bytes: Buffer): void {
    this.#put(dataHeader(bytes.length))
    this.#put(bytes)
  }

  /** Sends what waits. */
  flush(): void {
    const [first] = this.#waiting
    if (first === undefined) return
    const waiting = this.#waiting
    const bytes = this.#waitingBytes
    this.#waiting = []
    this.#waitingBytes = 0
    this.#send(waiting.length === 1 ? first : Buffer.concat(waiting, bytes))
  }

  /** Many short pieces of one turn, as a service sends that writes single bytes, are few to whoever takes them. */
  #put(bytes: Buffer): void {
    if (this.#waitingBytes + bytes.length > JOINED_BYTES) this.flush()
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#isScheduled) return
    this.#isScheduled = true
    process.nextTick(() => {
      this.#isScheduled = false
      this.flush()
    })
  }
}

const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/**
 * Looks at lines that are names and values in turn.
 * @throws {GateError} ERR_GATE_PROTOCOL for what is no list of fields.
 */
export function checkFields(lines: readonly string[]): void {
  if (lines.length % 2 !== 0) throw new GateError('ERR_GATE_PROTOCOL', 'a header without a value')
  for (let at = 0; at < lines.length; at += 2)
    if (!token.test(lines[at] ?? '')) throw new GateError('ERR_GATE_PROTOCOL', 'a header without a name')
}

/** A request before its body; `length` is undefined where the body does not say it, and 0 where there is none. */
export interface RequestHead {
  readonly method: string
  /** Path and query. */
  readonly path: string
  readonly length: number | undefined
  /** Names and values in turn, without those of framing. */
  readonly fields: readonly string[]
}

const UNKNOWN_LENGTH = '*'

export function requestLines({ method, path, length, fields }: RequestHead): string[] {
  return [method, path, length === undefined ? UNKNOWN_LENGTH : String(length), ...fields]
}

/** @throws {GateError} ERR_GATE_PROTOCOL for what is no request. */
export function readRequest([method = '', path = '', length = '', ...fields]: readonly string[]): RequestHead {
  // CONNECT would make something else of the connection to the service.
  if (!token.test(method) || method === 'CONNECT' || !/^[\x21-\xff]+$/.test(path) || !/^(?:\*|\d{1,15})$/.test(length))
    throw new GateError('ERR_GATE_PROTOCOL', 'what the relay sent is no request')
  checkFields(fields)
  return { method, path, length: length === UNKNOWN_LENGTH ? undefined : Number(length), fields }
}

/** An answer before its body. */
export interface AnswerLines {
  readonly status: number
  readonly phrase: string
  /** Names and values in turn. */
  readonly fields: readonly string[]
}

export function answerLines({ status, phrase, fields }: AnswerLines): string[] {
  return [String(status), phrase, ...fields]
}

/** @throws {GateError} ERR_GATE_PROTOCOL for what is no answer. */
export function readAnswer([status = '', phrase = '', ...fields]: readonly string[]): AnswerLines {
  if (!/^[2-9]\d\d$/.test(status)) throw new GateError('ERR_GATE_PROTOCOL', 'what the agent sent is no answer')
  checkFields(fields)
  return { status: Number(status), phrase, fields }
}

/** A failure in its own words, in place of an answer; what is not ASCII is escaped, as it could not stand in a line, and what is too long is cut. */
export function failureLines({ code, message, hint }: GateError): string[] {
  const cut = (text: string): string => text.slice(0, MAX_TEXT_LENGTH)
  const body = JSON.stringify({ code, message: cut(message), ...(hint === undefined ? {} : { hint: cut(hint) }) })
  return [body.replace(/[^\x20-\x7e]/g, sign => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)]
}

/** @throws {GateError} ERR_GATE_PROTOCOL for what is no failure. */
export function readFailure([body = '']: readonly string[]): GateError {
  let said: unknown
  try {
    said = JSON.parse(body)
  } catch (cause) {
    throw new GateError('ERR_GATE_PROTOCOL', 'what the agent sent is no failure', { cause })
  }
  return parseRefusal(said) ?? errorFromBody({ code: '', message: 'the agent failed to reach the target' })
}
