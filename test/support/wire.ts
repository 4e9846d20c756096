// PostgreSQL messages by hand, for tests that need exactly these bytes.

/** One message: type letter and body. */
export function message(type: string, ...body: readonly (Buffer | string | number[])[]): Buffer {
  const bytes = Buffer.concat(
    body.map(part => (typeof part === 'string' ? Buffer.from(part, 'utf8') : Buffer.from(part as Buffer))),
  )
  const head = Buffer.alloc(5)
  head.write(type, 'latin1')
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}

export const int16 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [index, value] of values.entries()) bytes.writeInt16BE(value, index * 2)
  return bytes
}

export const int32 = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeInt32BE(value, index * 4)
  return bytes
}

export const uint32 = (value: number): Buffer => int32(value | 0)

const value = (bytes: Buffer | null): Buffer =>
  bytes === null ? int32(-1) : Buffer.concat([int32(bytes.length), bytes])

/** What a client sends. */
export const client = {
  startup: (parameters: Readonly<Record<string, string>>, version = 196_608): Buffer => {
    const body = Object.entries(parameters).map(([name, text]) => `${name}\0${text}\0`)
    const bytes = Buffer.from(`${body.join('')}\0`)
    return Buffer.concat([int32(bytes.length + 8, version), bytes])
  },
  sslRequest: int32(8, 80_877_103),
  gssRequest: int32(8, 80_877_104),
  cancel: (processId: number, secret: Buffer): Buffer =>
    Buffer.concat([int32(12 + secret.length, 80_877_102, processId), secret]),
  query: (text: string | Buffer): Buffer => message('Q', text, '\0'),
  parse: (name: string, text: string, types: readonly number[] = []): Buffer =>
    message('P', `${name}\0${text}\0`, int16(types.length), int32(...types)),
  bind: (
    portal: string,
    statement: string,
    values: readonly (Buffer | null)[] = [],
    formats: readonly number[] = [],
    resultFormats: readonly number[] = [],
  ): Buffer =>
    message(
      'B',
      `${portal}\0${statement}\0`,
      int16(formats.length, ...formats),
      int16(values.length),
      ...values.map(value),
      int16(resultFormats.length, ...resultFormats),
    ),
  describe: (what: 'S' | 'P', name: string): Buffer => message('D', `${what}${name}\0`),
  close: (what: 'S' | 'P', name: string): Buffer => message('C', `${what}${name}\0`),
  execute: (portal: string, rows = 0): Buffer => message('E', `${portal}\0`, int32(rows)),
  sync: message('S'),
  flush: message('H'),
  terminate: message('X'),
  copyData: (text: string): Buffer => message('d', text),
  copyDone: message('c'),
  copyFail: (why: string): Buffer => message('f', `${why}\0`),
  functionCall: (oid: number, values: readonly (Buffer | null)[] = []): Buffer =>
    message('F', uint32(oid), int16(1, 1, values.length), ...values.map(value), int16(1)),
}

export interface FieldSpec {
  readonly name: string
  readonly table?: number
  readonly column?: number
  readonly type?: number
  readonly format?: number
}

/** What a server sends. */
export const server = {
  authenticationOk: message('R', int32(0)),
  parameterStatus: (name: string, text: string): Buffer => message('S', `${name}\0${text}\0`),
  ready: (status: 'I' | 'T' | 'E' = 'I'): Buffer => message('Z', status),
  rowDescription: (fields: readonly FieldSpec[]): Buffer =>
    message(
      'T',
      int16(fields.length),
      ...fields.map(field =>
        Buffer.concat([
          Buffer.from(`${field.name}\0`),
          uint32(field.table ?? 0),
          int16(field.column ?? 0),
          uint32(field.type ?? 25),
          int16(-1),
          int32(-1),
          int16(field.format ?? 0),
        ]),
      ),
    ),
  dataRow: (values: readonly (string | Buffer | null)[]): Buffer =>
    message(
      'D',
      int16(values.length),
      ...values.map(each => value(typeof each === 'string' ? Buffer.from(each) : each)),
    ),
  complete: (tag: string): Buffer => message('C', `${tag}\0`),
  error: (code: string, text: string, more: Readonly<Record<string, string>> = {}): Buffer =>
    message('E', fields({ S: 'ERROR', V: 'ERROR', C: code, M: text, ...more })),
  notice: (text: string, more: Readonly<Record<string, string>> = {}): Buffer =>
    message('N', fields({ S: 'NOTICE', V: 'NOTICE', C: '00000', M: text, ...more })),
  notification: (channel: string, payload: string): Buffer => message('A', int32(4711), `${channel}\0${payload}\0`),
  parseComplete: message('1'),
  bindComplete: message('2'),
  closeComplete: message('3'),
  noData: message('n'),
  parameterDescription: (types: readonly number[]): Buffer => message('t', int16(types.length), int32(...types)),
  suspended: message('s'),
  emptyQuery: message('I'),
  copyIn: message('G', [0], int16(0)),
  copyOut: message('H', [0], int16(0)),
  copyData: (text: string): Buffer => message('d', text),
  copyDone: message('c'),
  functionResult: message('V', int32(-1)),
}

function fields(values: Readonly<Record<string, string>>): string {
  return `${Object.entries(values)
    .map(([letter, text]) => `${letter}${text}\0`)
    .join('')}\0`
}

export interface Message {
  readonly type: string
  readonly body: Buffer
}

/** Splits bytes into messages; throws when they are not whole ones. */
export function messages(bytes: Buffer): Message[] {
  const found: Message[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < 5) throw new Error('half a header')
    const length = bytes.readInt32BE(at + 1)
    if (length < 4 || at + 1 + length > bytes.length) throw new Error('half a message')
    found.push({ type: String.fromCharCode(bytes.readUInt8(at)), body: bytes.subarray(at + 5, at + 1 + length) })
    at += 1 + length
  }
  return found
}

/** The fields of an ErrorResponse or NoticeResponse. */
export function errorFields({ body }: Message): Record<string, string> {
  const found: Record<string, string> = {}
  for (const part of body.toString('utf8').split('\0')) if (part !== '') found[part.charAt(0)] = part.slice(1)
  return found
}

export const types = (bytes: Buffer): string =>
  messages(bytes)
    .map(({ type }) => type)
    .join('')
