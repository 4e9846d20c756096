// Texts that hold a document themselves, as programs write one into a field of another: `{"payload":"{\\"email\\":…}"}`. Pure.
import { GateError } from '@gate/shared/errors'
import { REDACTED_TEXT } from '../../../mask/values.ts'
import { BACKSLASH } from './json-grammar.ts'
import { textOfString } from './json-values.ts'
import type { BodyMasker } from './masker.ts'
import type { Paths } from './paths.ts'

/** What is shown of a string of JSON from its first character on, its closing quote included; undefined where all of it is. */
export type MaskText = (raw: Buffer) => Buffer | undefined

/** Masks the documents of a text. */
export interface DocumentMasker extends BodyMasker {
  /** Whether anything of what was pushed is masked. */
  readonly hasHidden: boolean
}

/** More bytes than stand before a document, unless nobody sees them. */
const START_BYTES = 256

/**
 * What may stand before a document: what nobody sees, signs, numbers and words of JSON, as of documents before it, record
 * separators and guards against scripts (`)]}'`). No part of it can be read in two ways, so that it is linear.
 */
const before = /^[^\p{L}"{[]*(?:(?:true|false|null|(?<=\d)[eE](?=[\d+-]|$))[^\p{L}"{[]*)*/u
const word = /^(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)$/
const unseen = /^[\s\p{Cc}\p{Cf}\p{DI}]*$/u
/** How a document begins, also one that others than JSON's readers read (`{'a': …}`, comments); `$` is where no more has come. */
const gap = String.raw`[\s\p{Cc}\p{Cf}\p{DI}]*`
const start = new RegExp(
  String.raw`^(?:"|\{${gap}(?:$|["'}/#])|\[${gap}(?:$|["'[{\]/#\d-]|t(?:$|r)|f(?:$|a)|n(?:$|u)))`,
  'u',
)

/**
 * First characters of texts in which names may stand without escapes, in single quotes. Of other texts only those with
 * escapes may be documents, since a name of JSON stands in quotes.
 */
export const beginsBare: Uint8Array = bytesLike(/[ {[]/)

/** Letters that none of the words and numbers of JSON has first, and the end of the string. */
const endsIt = bytesLike(/[a-dg-mo-su-z"]/i)
/** What may stand before a document as it is. */
const isSign = bytesLike(/[^A-Za-z"\\[{]/)

/** Whether a string of JSON whose text begins so may be a document. A text in its quotes may hold one in turn. */
export function mayBeDocument(raw: Buffer): boolean {
  // Most texts are told apart here.
  let at = 0
  while (at < START_BYTES && isSign[raw[at] ?? BACKSLASH] === 1) at += 1
  if (endsIt[raw[at] ?? BACKSLASH] === 1) return false
  const written = raw.toString('utf8', 0, START_BYTES)
  const string = /^(?:[^"\\]|\\[\s\S])*/.exec(written)?.[0] ?? ''
  const text = beginningOf(string)
  const rest = text.slice(before.exec(text)?.[0].length)
  if (rest === '') return written[string.length] !== '"' && (raw.length < START_BYTES || unseen.test(text))
  return start.test(rest) || word.test(rest)
}

/** Of a text in which a document may stand behind words so much is kept, since nothing tells at its beginning; longer ones pass. */
export const MAX_WORDED_BYTES = 65_536

const BRACE = 0x7b

/** The same of a whole string, with its closing quote, in which a document may stand behind words: its names are in escaped quotes. */
export function mayHoldDocument(raw: Buffer): boolean {
  if (mayBeDocument(raw)) return true
  if (raw.length > MAX_WORDED_BYTES || !raw.includes(BACKSLASH)) return false
  return raw.includes(BRACE) || raw.includes('\\u007')
}

/** The text of the first characters of a string; an escape that is cut off is left out. */
function beginningOf(raw: string): string {
  if (!raw.includes('\\')) return raw
  return raw.replace(/\\(?:u([0-9a-f]{4})|([^u])|u?[0-9a-f]{0,3}$)/gi, (_, hex: string | undefined, sign = '') =>
    hex === undefined ? (escapes[sign as string] ?? (sign as string)) : String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

const escapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }

/** What is shown of a string of JSON, from behind its opening quote on, that may be a document; undefined where all of it is. */
export function maskString(raw: Buffer, paths: Paths, documents: () => DocumentMasker): Buffer | undefined {
  if (beginsBare[raw[0] ?? 0] === 0 && !raw.includes(BACKSLASH)) return undefined
  if (!mayBeDocument(raw) && raw.length > MAX_WORDED_BYTES) return undefined
  const shown = maskText(textOfString(Buffer.concat([QUOTE, raw])), paths, documents)
  return shown === undefined ? undefined : Buffer.from(JSON.stringify(shown)).subarray(QUOTE.length)
}

const QUOTE = Buffer.from('"')

/** Without one nothing in a text has a name; within a text in quotes it may be escaped. */
const object = /\{|\\u007b/i

/**
 * The same for a text that stands by itself. One that is a document up to something that is masked, and none afterwards, such
 * as a document that was cut off, is hidden whole; so is one that is nested too deep, and one that is broken before it comes to
 * a name that `paths` hold: programs write NaN, comments and the like into what others read. So is one that has such a name
 * behind words: `log: {"email":…}`.
 */
export function maskText(text: string, paths: Paths, documents: () => DocumentMasker): string | undefined {
  if (!object.test(text)) return undefined
  const first = before.exec(text)?.[0] ?? ''
  const rest = text.slice(first.length)
  if (!start.test(rest)) return holdsName(text, paths) ? REDACTED_TEXT : undefined
  let masker: DocumentMasker | undefined
  try {
    masker = documents()
    const left = Buffer.from(masker.push(Buffer.from(rest)))
    const shown = Buffer.concat([left, masker.end()])
    return masker.hasHidden ? `${first}${shown.toString('utf8')}` : undefined
  } catch (thrown) {
    if (!(thrown instanceof GateError)) throw thrown
    const isHidden = masker?.hasHidden === true || thrown.code === 'ERR_GATE_LIMIT' || holdsName(text, paths)
    return isHidden ? REDACTED_TEXT : undefined
  }
}

/** Whether a text has a name in quotes, escaped or not, that patterns have. Others than JSON's writers put it in single ones, or an arrow behind it. */
function holdsName(text: string, paths: Paths): boolean {
  const plain = text
    .replace(/(?<!\\)\\+u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replaceAll('\\', '')
  for (const names of [/"([^"]*)"\s*(?::|=>)/g, /'([^']*)'\s*(?::|=>)/g])
    for (const [, name = ''] of plain.matchAll(names)) if (paths.holds(name)) return true
  return false
}

/** Which bytes are characters of ASCII that are like this. */
function bytesLike(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (byte < 0x80 && pattern.test(String.fromCharCode(byte)) ? 1 : 0))
}
