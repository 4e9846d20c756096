// PostgreSQL's messages: every type by name, their limits, reading fields, and writing the messages that gate makes. Pure.
import { GateError } from '@gate/shared/errors'

const code = (letter: string): number => letter.charCodeAt(0)

/** Type byte and length. */
export const HEADER_BYTES = 5

/** PQ_SMALL_MESSAGE_LIMIT in src/include/libpq/libpq.h: messages that never need to be long. */
const SMALL = 10_000
/** PQ_LARGE_MESSAGE_LIMIT there: MaxAllocSize - 1. */
export const LARGE = 0x3fffffff - 1

interface ClientMessage {
  readonly name: string
  /** Largest length field the server takes for it: SocketBackend in src/backend/tcop/postgres.c. */
  readonly limit: number
}

/** Every message that a client may send after start-up. What is not here is a protocol violation, as it is for the server. */
export const clientMessages: ReadonlyMap<number, ClientMessage> = new Map([
  [code('Q'), { name: 'Query', limit: LARGE }],
  [code('F'), { name: 'FunctionCall', limit: LARGE }],
  [code('X'), { name: 'Terminate', limit: SMALL }],
  [code('B'), { name: 'Bind', limit: LARGE }],
  [code('P'), { name: 'Parse', limit: LARGE }],
  [code('C'), { name: 'Close', limit: SMALL }],
  [code('D'), { name: 'Describe', limit: SMALL }],
  [code('E'), { name: 'Execute', limit: SMALL }],
  [code('H'), { name: 'Flush', limit: SMALL }],
  [code('S'), { name: 'Sync', limit: SMALL }],
  [code('d'), { name: 'CopyData', limit: LARGE }],
  [code('c'), { name: 'CopyDone', limit: SMALL }],
  [code('f'), { name: 'CopyFail', limit: SMALL }],
])

/** The transaction status of ReadyForQuery. */
export const IDLE = code('I')
export const IN_TRANSACTION = code('T')
export const FAILED = code('E')

/** Type bytes by the protocol's own names; one letter can mean two messages, by direction. */
export const Q = code('Q')
export const F = code('F')
export const X = code('X')
export const B = code('B')
export const P = code('P')
export const C = code('C')
export const D = code('D')
export const E = code('E')
export const H = code('H')
export const S = code('S')
export const d = code('d')
export const c = code('c')
export const f = code('f')
export const T = code('T')
export const Z = code('Z')
export const N = code('N')
export const A = code('A')
export const I = code('I')
export const G = code('G')
export const W = code('W')
export const V = code('V')
export const s = code('s')
export const t = code('t')
export const n = code('n')
export const K = code('K')
export const R = code('R')
export const one = code('1')
export const two = code('2')
export const three = code('3')

/** Names are hash keys of NAMEDATALEN in the server: longer ones that begin alike are the same name there. */
const NAME_BYTES = 63

/**
 * The key under which the server knows a statement or portal. Read as Latin-1, so that every byte string has its own key.
 * @see src/backend/commands/prepare.c InitQueryHashTable, src/backend/utils/mmgr/portalmem.c
 */
export function nameKey(name: Buffer): string {
  return name.toString('latin1', 0, Math.min(name.length, NAME_BYTES))
}

/** Within its length, a message does not have the fields that its type has. Where the next one begins is known all the same. */
export class MalformedMessage extends GateError {
  constructor(what: string) {
    super('ERR_GATE_PROTOCOL', `malformed PostgreSQL message: ${what}`)
  }
}

export const broken = (what: string): MalformedMessage => new MalformedMessage(what)

/** Reads the fields of one message's body; every read checks that the message goes that far. */
export class Reader {
  readonly #bytes: Buffer
  #at: number

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  #need(count: number, what: string): number {
    const at = this.#at
    if (count < 0 || at + count > this.#bytes.length) throw broken(`${what} goes beyond its end`)
    this.#at = at + count
    return at
  }

  int8(): number {
    return this.#bytes.readUInt8(this.#need(1, 'a byte'))
  }

  int16(): number {
    return this.#bytes.readInt16BE(this.#need(2, 'an Int16'))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#need(2, 'an Int16'))
  }

  int32(): number {
    return this.#bytes.readInt32BE(this.#need(4, 'an Int32'))
  }

  uint32(): number {
    return this.#bytes.readUInt32BE(this.#need(4, 'an Int32'))
  }

  bytes(count: number): Buffer {
    const at = this.#need(count, 'a value')
    return this.#bytes.subarray(at, at + count)
  }

  skip(count: number): void {
    this.#need(count, 'a value')
  }

  /** A String: bytes up to a NUL, which is not part of it. */
  cstring(): Buffer {
    const end = this.#bytes.indexOf(0, this.#at)
    if (end === -1) throw broken('a String has no end')
    const text = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    return text
  }

  /** A String that is a name; see nameKey. */
  name(): string {
    const at = this.#at
    const end = this.#bytes.indexOf(0, at)
    if (end === -1) throw broken('a String has no end')
    this.#at = end + 1
    return end === at ? '' : this.#bytes.toString('latin1', at, Math.min(end, at + NAME_BYTES))
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw broken('bytes after the last field')
  }
}

/** One message: type, length, body. */
export function message(type: number, body: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  out.writeUInt8(type, 0)
  out.writeInt32BE(body.length + 4, 1)
  body.copy(out, HEADER_BYTES)
  return out
}

const cstring = (text: string): Buffer => Buffer.from(`${text.replaceAll('\0', ' ')}\0`, 'utf8')

export type ErrorFields = ReadonlyMap<string, string>

/** An ErrorResponse ('E') or NoticeResponse ('N'). */
export function errorMessage(type: typeof E | typeof N, fields: ErrorFields): Buffer {
  const parts = [...fields].flatMap(([letter, value]) => [Buffer.from(letter, 'latin1'), cstring(value)])
  return message(type, Buffer.concat([...parts, Buffer.from([0])]))
}

export function parameterStatus(name: string, value: string): Buffer {
  return message(S, Buffer.concat([cstring(name), cstring(value)]))
}

export function backendKeyData(processId: number, secret: Buffer): Buffer {
  const body = Buffer.alloc(4)
  body.writeInt32BE(processId)
  return message(K, Buffer.concat([body, secret]))
}

/** NegotiateProtocolVersion: the newest minor version served, and the `_pq_.` options that are not. */
export function negotiateProtocolVersion(minor: number, unsupported: readonly string[]): Buffer {
  const head = Buffer.alloc(8)
  head.writeInt32BE((3 << 16) | minor, 0)
  head.writeInt32BE(unsupported.length, 4)
  return message(code('v'), Buffer.concat([head, ...unsupported.map(cstring)]))
}

export const authenticationOk = message(R, Buffer.from([0, 0, 0, 0]))
export const parseComplete = message(one, Buffer.alloc(0))
