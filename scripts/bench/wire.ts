// The few PostgreSQL messages that the benchmarks send or make up, by hand. Pure.

const value = (bytes: Buffer): Buffer => Buffer.concat([int32(bytes.length), bytes])

export function int16(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [index, each] of values.entries()) bytes.writeInt16BE(each, index * 2)
  return bytes
}

export function int32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, each] of values.entries()) bytes.writeInt32BE(each, index * 4)
  return bytes
}

/** One message: type letter, length, body. */
export function message(type: string, ...body: readonly (Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(body.map(part => Buffer.from(part as string)))
  return Buffer.concat([Buffer.from(type, 'latin1'), int32(bytes.length + 4), bytes])
}

export const client = {
  startup: (user: string, database: string): Buffer => {
    const body = Buffer.from(`user\0${user}\0database\0${database}\0client_encoding\0UTF8\0\0`)
    return Buffer.concat([int32(body.length + 8, 196_608), body])
  },
  query: (sql: string): Buffer => message('Q', `${sql}\0`),
  parse: (name: string, sql: string): Buffer => message('P', `${name}\0${sql}\0`, int16(0)),
  bind: (statement: string, parameter: string): Buffer =>
    message('B', `\0${statement}\0`, int16(0, 1), value(Buffer.from(parameter)), int16(0)),
  /** Without parameters, with all of the result in binary. */
  bindBinary: (statement: string): Buffer => message('B', `\0${statement}\0`, int16(0, 0, 1, 1)),
  describe: message('D', 'P\0'),
  execute: message('E', '\0', int32(0)),
  sync: message('S'),
  terminate: message('X'),
}

/** Text columns of one table. */
const TEXT_OID = 25

export const server = {
  /** Columns 1, 2, … of the table with this OID. */
  rowDescription: (table: number, columns: number): Buffer =>
    message(
      'T',
      int16(columns),
      ...Array.from({ length: columns }, (_, index) =>
        Buffer.concat([
          Buffer.from(`c${index + 1}\0`),
          int32(table),
          int16(index + 1),
          int32(TEXT_OID),
          int16(-1),
          int32(-1),
          int16(0),
        ]),
      ),
    ),
  dataRow: (values: readonly Buffer[]): Buffer => message('D', int16(values.length), ...values.map(value)),
  commandComplete: (tag: string): Buffer => message('C', `${tag}\0`),
  parseComplete: message('1'),
  bindComplete: message('2'),
  ready: message('Z', 'I'),
}
