// Parts of a body (RFC 2046 section 5.1), as any reader may find them. Pure.
import { documentIn } from './document.ts'
import { readMediaType } from './masking/media-type.ts'

export interface Part {
  /** Empty where it has none. */
  readonly name: string
  /** Without its transfer encoding. */
  readonly content: string
}

/** The parts between lines that begin with two dashes, and those between the lines that are said to be between them. */
export function partsIn(text: string, boundary: string | undefined): readonly Part[] {
  const any = cut(text, '\n--')
  const said = boundary === undefined ? any : cut(text, `\n--${boundary}`)
  // Each of these lines is one of those: where there are as many they are the same.
  return (said.length === any.length ? any : [...any, ...said]).flatMap(partsOf)
}

const cut = (text: string, line: string): string[] => `\n${text}`.split(line).slice(1)

function partsOf(text: string): Part[] {
  const end = /\r?\n\r?\n/.exec(text)
  if (end === null) return []
  return named(text.slice(0, end.index), text.slice(end.index + end[0].length).replace(/\r$/, ''))
}

const nameOf = /[;\s]name\*?\s*=\s*(?:[\w-]+'[^']{0,20}')?["']?([^"';\r\n]{0,200})/gi
/** Each is looked at with all of the content; more are one. */
const MAX_NAMES = 2
const MAX_HEAD_LENGTH = 16 * 1024

/** Some readers join lines, undo backslashes and transfer encodings, or take blanks where none should be; and of two names any. */
function named(written: string, content: string): Part[] {
  const head = written.slice(0, MAX_HEAD_LENGTH).replaceAll(/\r?\n[ \t]+|\\/g, found => (found === '\\' ? '' : ' '))
  const names = [...head.matchAll(nameOf)].map(([, name = '']) => name.trim())
  const [, encoding = ''] = /\ncontent-transfer-encoding\s*:\s*(base64|quoted-printable)/i.exec(head) ?? []
  const it = undone(content, encoding.toLowerCase())
  const read = names.length === 0 || names.length > MAX_NAMES ? [names.join(' ')] : names
  return read.map(name => ({ name, content: it }))
}

function undone(content: string, encoding: string): string {
  if (encoding === 'base64') return Buffer.from(content, 'base64').toString('utf8')
  if (encoding === '') return content
  const bytes = content
    .replaceAll(/=\r?\n/g, '')
    .replaceAll(/=([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** What is said to stand between the parts of a body of such a type. */
export function boundaryOf(contentType: string | undefined): string | undefined {
  return contentType === undefined ? undefined : readMediaType(contentType)?.parameters.get('boundary')
}

/** The document that a part holds, as it is and under its name. */
export function documentsInPart({ name, content }: Part): readonly unknown[] {
  const found = documentIn(content)
  if (found === undefined) return []
  return name === '' ? [found] : [found, { [name]: found }]
}
