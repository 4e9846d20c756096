// Texts that hold a document themselves, as programs write one into a field of another: `{"payload":"{\\"email\\":…}"}`. Pure.
import { GateError } from '@gate/shared/errors'
import { REDACTED_TEXT } from '../../../mask/values.ts'
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

/** A byte order mark, byte by byte. */
const MARK = '\xef\xbb\xbf'

/** The first bytes of strings that may be documents: blanks, a mark and what begins one, as they are or escaped. */
export const beginsDocument: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) =>
  ` {[\\${MARK[0]}`.includes(String.fromCharCode(byte)) ? 1 : 0,
)

/** More blanks than stand before anything. */
const START_BYTES = 256

const blank = String.raw`(?: |\\[nrt])*`
/** As it stands in a string of JSON; `$` is where no more has come. */
const start = new RegExp(
  String.raw`^(?:${MARK})?${blank}(?:$|\\(?:$|["u])|\{${blank}(?:$|\}|\\(?:$|["u]))|\[${blank}(?:$|[[{\]\d-]|\\(?:$|["u])|t(?:$|r)|f(?:$|a)|n(?:$|u)))`,
)

/** Whether a string of JSON whose text begins so may be a document. A text in its quotes may hold one in turn. */
export function mayBeDocument(raw: Buffer): boolean {
  return start.test(raw.toString('latin1', 0, START_BYTES))
}

/** What is shown of a text that may be a document; undefined where all of it is. */
export function maskString(raw: Buffer, paths: Paths, documents: () => DocumentMasker): Buffer | undefined {
  if (!mayBeDocument(raw)) return undefined
  const shown = maskText(textOfString(Buffer.concat([QUOTE, raw])), paths, documents)
  return shown === undefined ? undefined : Buffer.from(JSON.stringify(shown)).subarray(QUOTE.length)
}

const QUOTE = Buffer.from('"')

const textStart = /^\s*(?:"|\{\s*["}]|\[\s*(?:["[{\]\d-]|tr|fa|nu))/
/** Without one nothing in a text has a name; within a text in quotes it may be escaped. */
const object = /\{|\\u007b/i

/**
 * The same for a text that stands by itself. One that is a document up to something that is masked, and none afterwards, such
 * as a document that was cut off, is hidden whole; so is one that is nested too deep, and one that is broken before it comes to
 * a name that `paths` hold: programs write NaN, comments and the like into what others read.
 */
export function maskText(text: string, paths: Paths, documents: () => DocumentMasker): string | undefined {
  if (!textStart.test(text) || !object.test(text)) return undefined
  const masker = documents()
  try {
    const first = Buffer.from(masker.push(Buffer.from(text)))
    const shown = Buffer.concat([first, masker.end()])
    return masker.hasHidden ? shown.toString('utf8') : undefined
  } catch (thrown) {
    if (!(thrown instanceof GateError)) throw thrown
    const isHidden = masker.hasHidden || thrown.code === 'ERR_GATE_LIMIT' || holdsName(text, paths)
    return isHidden ? REDACTED_TEXT : undefined
  }
}

/** Whether a text has a name in quotes, escaped or not, that patterns have. */
function holdsName(text: string, paths: Paths): boolean {
  const plain = text
    .replace(/\\+u00([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replaceAll('\\', '')
  for (const [, name = ''] of plain.matchAll(/"([^"]*)"\s*:/g)) if (paths.holds(name)) return true
  return false
}
