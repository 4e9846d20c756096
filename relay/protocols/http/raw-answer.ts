// Answers as bytes, for streams that node's server has let go of. Pure.
import type { FieldList } from './fields.ts'

/** RFC 9110 section 15.5.22: it has to say to what, and gate goes on in nothing else. */
const UPGRADE_REQUIRED = 426
const required: FieldList = [['upgrade', 'websocket']]

/** A whole answer, and the last one: `fields` say nothing of its length or of the connection. */
export function rawAnswer(status: number, phrase: string, fields: FieldList, body: Buffer | undefined): Buffer {
  const framing: FieldList = [
    ...(body === undefined ? [] : [['content-length', String(body.length)] as const]),
    ...(status === UPGRADE_REQUIRED ? required : []),
    ['connection', status === UPGRADE_REQUIRED ? 'upgrade, close' : 'close'],
  ]
  const lines = [...fields, ...framing].map(([name, value]) => `${name}: ${value}\r\n`).join('')
  // One byte for each character, as node reads them.
  const head = Buffer.from(`HTTP/1.1 ${status} ${phrase}\r\n${lines}\r\n`, 'latin1')
  return body === undefined ? head : Buffer.concat([head, body])
}
