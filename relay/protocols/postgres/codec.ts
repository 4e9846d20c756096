// PostgreSQL's messages: every type by name, their limits, and reading and writing the ones gate looks into. Pure.
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

function broken(what: string): GateError {
  return new GateError('ERR_GATE_PROTOCOL', `malformed PostgreSQL message: ${what}`)
}

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

export interface ParseMessage {
  readonly name: string
  readonly text: Buffer
  readonly parameterTypes: readonly number[]
}

export function readParse(body: Buffer): ParseMessage {
  const reader = new Reader(body)
  const name = reader.name()
  const text = reader.cstring()
  const count = reader.uint16()
  const parameterTypes = Array.from({ length: count }, () => reader.uint32())
  reader.end()
  return { name, text, parameterTypes }
}

/** A bound value; null stands for SQL NULL. */
interface Value {
  readonly format: number
  readonly value: Buffer | null
}

export interface BindMessage {
  readonly portal: string
  readonly statement: string
  readonly parameters: readonly Value[]
  readonly resultFormats: readonly number[]
}

export function readBind(body: Buffer): BindMessage {
  const reader = new Reader(body)
  const portal = reader.name()
  const statement = reader.name()
  const formats = readFormats(reader)
  const count = reader.uint16()
  if (formats.length > 1 && formats.length !== count)
    throw broken('Bind has another number of formats than of parameters')
  const parameters = readValues(reader, count, formats, 'Bind')
  const resultFormats = readFormats(reader)
  reader.end()
  return { portal, statement, parameters, resultFormats }
}

function readFormats(reader: Reader): number[] {
  const formats: number[] = []
  for (let left = reader.uint16(); left > 0; left -= 1) formats.push(reader.int16())
  return formats
}

function readValues(reader: Reader, count: number, formats: readonly number[], what: string): Value[] {
  const values: Value[] = []
  for (let index = 0; index < count; index += 1) {
    const length = reader.int32()
    if (length < -1) throw broken(`${what} has a negative length`)
    const format = formats[formats.length === 1 ? 0 : index] ?? 0
    values.push({ format, value: length === -1 ? null : reader.bytes(length) })
  }
  return values
}

/** The two names that a Bind begins with; undefined when `prefix` does not hold them both yet. */
export function readBindNames(prefix: Buffer): { portal: string; statement: string } | undefined {
  const portalEnd = prefix.indexOf(0)
  const statementEnd = portalEnd === -1 ? -1 : prefix.indexOf(0, portalEnd + 1)
  if (statementEnd === -1) return undefined
  return {
    portal: nameKey(prefix.subarray(0, portalEnd)),
    statement: nameKey(prefix.subarray(portalEnd + 1, statementEnd)),
  }
}

export function readExecute(body: Buffer): { portal: string; maximumRows: number } {
  const reader = new Reader(body)
  const portal = reader.name()
  const maximumRows = reader.int32()
  reader.end()
  return { portal, maximumRows }
}

/** Describe and Close have one form: what ('S' a statement, 'P' a portal), and its name. */
export function readNamed(body: Buffer): { what: 'statement' | 'portal'; name: string } {
  const reader = new Reader(body)
  const what = reader.int8()
  const name = reader.name()
  reader.end()
  if (what !== S && what !== P) throw broken('Describe or Close of neither statement nor portal')
  return { what: what === S ? 'statement' : 'portal', name }
}

export interface FunctionCallMessage {
  readonly function: number
  readonly parameters: readonly Value[]
}

export function readFunctionCall(body: Buffer): FunctionCallMessage {
  const reader = new Reader(body)
  const oid = reader.uint32()
  const formats = readFormats(reader)
  const parameters = readValues(reader, reader.uint16(), formats, 'FunctionCall')
  reader.int16()
  reader.end()
  return { function: oid, parameters }
}

export interface Field {
  readonly name: string
  /** 0 when the column is not a plain column of a table. */
  readonly tableOid: number
  readonly attributeNumber: number
  readonly typeOid: number
  readonly format: number
}

export function readRowDescription(body: Buffer): Field[] {
  const reader = new Reader(body)
  const fields = Array.from({ length: reader.uint16() }, () => {
    const name = reader.cstring().toString('utf8')
    const tableOid = reader.uint32()
    const attributeNumber = reader.int16()
    const typeOid = reader.uint32()
    reader.int16()
    reader.int32()
    return { name, tableOid, attributeNumber, typeOid, format: reader.int16() }
  })
  reader.end()
  return fields
}

/** Fields of an ErrorResponse or NoticeResponse, by their one-letter codes. */
export function readErrorFields(body: Buffer): Map<string, string> {
  const reader = new Reader(body)
  const fields = new Map<string, string>()
  for (let type = reader.int8(); type !== 0; type = reader.int8()) {
    fields.set(String.fromCharCode(type), reader.cstring().toString('utf8'))
  }
  reader.end()
  return fields
}

/** The fields that are whole in the beginning of an ErrorResponse or NoticeResponse that is too long to be kept. */
export function readFirstErrorFields(beginning: Buffer): Map<string, string> {
  const fields = new Map<string, string>()
  let at = 0
  for (let end = beginning.indexOf(0, 1); end > at; end = beginning.indexOf(0, at + 1)) {
    fields.set(String.fromCharCode(beginning.readUInt8(at)), beginning.toString('utf8', at + 1, end))
    at = end + 1
  }
  return fields
}

/** CopyOutResponse: whether the data are binary, and how many columns a row has. */
export function readCopyOut(body: Buffer): { binary: boolean; columns: number } {
  const reader = new Reader(body)
  const binary = reader.int8() === 1
  const columns = reader.uint16()
  reader.bytes(columns * 2)
  reader.end()
  return { binary, columns }
}

/** The command tag of a CommandComplete, for example `INSERT 0 5`. */
export function readCommandTag(body: Buffer): string {
  const reader = new Reader(body)
  const tag = reader.cstring().toString('utf8')
  reader.end()
  return tag
}

/** The rows that a command tag counts; undefined for commands that count none. */
export function rowsOf(tag: string): number | undefined {
  const match = / (\d+)$/.exec(tag)
  return match === null ? undefined : Number(match[1])
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
