// Bodies of the PostgreSQL messages that gate looks into. Pure.
import { broken, nameKey, P, Reader, S } from './codec.ts'

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
