// Methods that hide in JSON: frameworks take it from a member of the outermost object of a POST. Pure.
import { brotliDecompressSync, gunzipSync, inflateSync } from 'node:zlib'
import { overrideMembers } from '@gate/shared/http-command'

/** Of a name so much is kept: none that asks for a method is longer, however it is escaped. */
const MAX_NAME_LENGTH = 256
/** Of an encoded body. */
const MAX_DECODED_BYTES = 4 * 1024 * 1024

/** Tells of the names in the outermost object of JSON as it comes, in charsets that have ASCII in its place. */
export class JsonNames {
  readonly #told: (name: string) => void
  #depth = 0
  #isText = false
  #isEscaped = false
  /** The last text, which is a name if a colon comes next. */
  #text = ''
  #mayBeName = false

  constructor(told: (name: string) => void) {
    this.#told = told
  }

  push(bytes: Buffer): void {
    const text = bytes.toString('latin1')
    for (let at = 0; at < text.length; ) at = this.#isText ? this.#inText(text, at) : this.#between(text, at)
  }

  #inText(text: string, from: number): number {
    if (this.#isEscaped) {
      this.#isEscaped = false
      this.#keep(text[from] ?? '')
      return from + 1
    }
    const end = nextOf(text, /["\\]/g, from)
    this.#keep(text.slice(from, Math.min(end, from + MAX_NAME_LENGTH)))
    if (end === text.length) return end
    this.#isEscaped = text[end] === '\\'
    if (this.#isEscaped) this.#keep('\\')
    this.#isText = this.#isEscaped
    this.#mayBeName = !this.#isText
    return end + 1
  }

  #keep(text: string): void {
    if (this.#depth === 1 && this.#text.length < MAX_NAME_LENGTH) this.#text += text
  }

  #between(text: string, from: number): number {
    const at = nextOf(text, /["{}[\]:,]/g, from)
    const sign = text[at]
    if (sign === undefined) return text.length
    if (sign === ':' && this.#mayBeName && this.#depth === 1) this.#told(nameOf(this.#text))
    this.#mayBeName = false
    if (sign === '{' || sign === '[') this.#depth += 1
    else if (sign === '}' || sign === ']') this.#depth -= 1
    else if (sign === '"') {
      this.#isText = true
      this.#text = ''
    }
    return at + 1
  }
}

/** As names that ask for a method stand in any text. */
const anyOverride = new RegExp(overrideMembers.map(name => name.replaceAll('-', '[-_]')).join('|'), 'i')
/** Of what was looked through so much is kept, so that no name is cut, however it is escaped. */
const OVERLAP_LENGTH = 1024

/**
 * Looks for such names anywhere in what is no JSON: readers of comments, single quotes, names without quotes, line
 * continuations or UTF-16 find them where `JsonNames` does not look.
 */
export class NamesAnywhere {
  #kept = ''
  #isFound = false

  get isFound(): boolean {
    return this.#isFound
  }

  push(bytes: Buffer): void {
    if (this.#isFound) return
    const text = (this.#kept + bytes.toString('latin1')).replace(/\0|\\\r?\n/g, '')
    this.#isFound = anyOverride.test(text.includes('\\') ? withoutEscapes(text) : text)
    this.#kept = text.slice(-OVERLAP_LENGTH)
  }
}

/** Escapes of JSON, JavaScript and YAML undone, each once. */
function withoutEscapes(text: string): string {
  return text
    .replace(
      /(?<!\\)\\+(?:u\{?0*([0-9a-f]{2})\}?|x([0-9a-f]{2})|([0-7]{3}))/gi,
      (_, ...[long, short, octal]: string[]) =>
        String.fromCharCode(octal === undefined ? Number.parseInt(long ?? short ?? '', 16) : Number.parseInt(octal, 8)),
    )
    .replaceAll('\\', '')
}

function nextOf(text: string, signs: RegExp, from: number): number {
  signs.lastIndex = from
  return signs.exec(text)?.index ?? text.length
}

/** A text as it stands in its quotes, with its escapes undone; others than those of characters stay. */
function nameOf(raw: string): string {
  return raw.replace(/\\u([0-9a-f]{4})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

const decoders: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  identity: bytes => bytes,
  gzip: bytes => gunzipSync(bytes, limit),
  'x-gzip': bytes => gunzipSync(bytes, limit),
  deflate: bytes => inflateSync(bytes, limit),
  br: bytes => brotliDecompressSync(bytes, limit),
}
const limit = { maxOutputLength: MAX_DECODED_BYTES }

/** A body without its coding; undefined where that cannot be undone, or is longer than anybody looks through. */
export function undone(bytes: Buffer, coding: string): Buffer | undefined {
  try {
    return decoders[coding.trim().toLowerCase()]?.(bytes)
  } catch {
    return undefined
  }
}
