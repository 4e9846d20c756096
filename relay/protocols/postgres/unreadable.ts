// Statements that gate cannot read, where the server itself says what is wrong with them, and nothing of them can run. Pure.
import { GateError } from '@gate/shared/errors'
import type { ErrorFields } from './codec.ts'
import type { Answer, TooLong } from './questions.ts'
import type { ReadingNow } from './reading.ts'
import { errorOf } from './refuse.ts'
import { encodingRefusal } from './settings.ts'

/** Text that is no SQL in any version: the server's answer to it is always a syntax error. */
export const NO_SQL = 'refused_by_gate'

/**
 * Behind any text, this makes the whole of it fail. The server parses all of a message before it runs any of it
 * (raw_parser in src/backend/parser/parser.c). Either it reads a statement that begins with a name, and there is none; or
 * its lexer is inside a literal, a quoted name or a comment, which this does not end, and then they never end.
 */
const TAIL = `\n;${NO_SQL}`

/** Of statements that are not read so much is kept, for the record. */
export const BEGINNING_BYTES = 1024

export function beginningOf(text: Buffer): Omit<TooLong, 'kind'> {
  return { bytes: text.length, beginning: text.subarray(0, BEGINNING_BYTES), isCrowded: false }
}

export function longerThan(limitBytes: number, bytes: number, isCrowded: boolean): GateError {
  if (isCrowded)
    return new GateError('ERR_GATE_LIMIT', `too many statements of more than ${limitBytes} bytes are on their way`, {
      hint: 'Try again in a moment, or bind the values.',
    })
  return new GateError(
    'ERR_GATE_LIMIT',
    `statements of more than ${limitBytes} bytes, long values in them aside, are not analysed, so they are refused; this one has ${bytes}`,
    { hint: 'Bind long values as parameters.' },
  )
}

/** Text that fails at the server as the client's own does. */
export interface Failing {
  readonly text: Buffer
  /** An error that is placed further on is about what gate put behind the client's text. */
  readonly lastPosition: number
}

/** For bytes of a text that the grammar of gate's parser does not know; `message` is what it says. */
export function unparsable(bytes: Buffer, reading: ReadingNow | undefined, message: string): Failing {
  // The other encodings that are read have one byte for a character.
  const isUtf8 = (reading?.encoding ?? 'UTF8') === 'UTF8'
  const characters = isUtf8 ? [...bytes.toString('utf8')].length : bytes.length
  // With something behind it, the server would not miss the end of the input; it misses it behind the last character.
  if (message.endsWith('at end of input'))
    return { text: Buffer.from('('.padEnd(characters)), lastPosition: characters + 1 }
  return { text: Buffer.concat([bytes, Buffer.from(TAIL)]), lastPosition: characters + 1 }
}

/** For bytes that are no UTF-8. Where the server does not mind, its errors are about something else. */
export function undecodable(text: Buffer): Failing {
  return { text: Buffer.concat([text, Buffer.from(TAIL)]), lastPosition: 0 }
}

/** For several statements in a Parse: the server says so before it looks at them. */
export const severalStatements: Failing = { text: Buffer.from('select;select'), lastPosition: 0 }

/** The server's own error, if it is about the client's text. */
export function ownError(error: ReadonlyMap<string, string>, { lastPosition }: Failing): ErrorFields | undefined {
  // What the grammar itself objects to may have no place; a word that it does not expect always has one.
  const position = error.get('P')
  if (position !== undefined && Number(position) > lastPosition) return undefined
  const message = error.get('M') ?? ''
  // A literal without an end is quoted up to the end.
  return message.includes(TAIL) ? new Map([...error, ['M', message.replace(TAIL, '')]]) : error
}

/** Something is masked, and the session took an encoding in which it could not be. */
export const otherEncoding: Answer = {
  kind: 'refuse',
  error: errorOf(
    new GateError('ERR_GATE_REFUSED', `client_encoding ${encodingRefusal}`, {
      hint: 'Connect again, with client_encoding UTF8.',
    }),
    'ERROR',
  ),
}
