// Answers as bytes, for streams that node's server has let go of. Pure.
import type { FieldList } from './fields.ts'

/** A whole answer, and the last one: `fields` say nothing of its length or of the connection. */
export function rawAnswer(status: number, phrase: string, fields: FieldList, body: Buffer | undefined): Buffer {
  const framing: FieldList = [
    ...(body === undefined ? [] : [['content-length', String(body.length)] as const]),
    ['connection', 'close'],
  ]
  const lines = [...fields, ...framing].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  // One byte for each character, as node reads them.
  const head = Buffer.from(`HTTP/1.1 ${status} ${phrase}\r\n${lines}\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, body])
}
