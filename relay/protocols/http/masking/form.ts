// Masks members of forms and queries: `name=value&name=value`, each part percent-encoded. Pure.
import { GateError } from '@gate/shared/errors'
import { type Searches, searchValue } from './detecting.ts'
import { maskDocumentsIn, maskIn, placeOfName } from './field-paths.ts'
import { Held } from './held.ts'
import { maskedText } from './json-values.ts'
import { type BodyMasker, NOTHING } from './masker.ts'
import type { FieldMasks } from './paths.ts'

/** One name with its value. */
export const MAX_PAIR_BYTES = 1_048_576

const [AMPERSAND, SEMICOLON] = [0x26, 0x3b]

/**
 * Where a form is. Of an answer's, which somebody reads, all has to be as forms are written: what only calls itself one may be
 * read as something else. What is only recorded is written by all kinds of clients, and queries are cut at semicolons as well.
 */
export type FormPlace = 'answer' | 'record' | 'query'

const alphabets: Readonly<Record<FormPlace, RegExp>> = {
  answer: /^[A-Za-z0-9*._~+%!'()[\]=-]*$/,
  record: /^[^\s{}"<>\\;]*$/,
  query: /^[^\s{}"<>\\]*$/,
}

/** @see https://url.spec.whatwg.org/#urlencoded-parsing */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'a form with a percent sign that encodes nothing', { cause })
  }
}

const encoded = (text: string): string => new URLSearchParams([['', text]]).toString().slice(1)
/** For people, who see where a member ends. */
const shownEncoded = (text: string): string => text.replace(/[%&;+#]/g, encodeURIComponent)

export interface FormMasks {
  readonly fields: FieldMasks | undefined
  readonly searches: Searches
  readonly place: FormPlace
  /** Replaces what is masked in a value that is a text in a language of its own. */
  readonly literals?: ((text: string) => string) | undefined
}

export class FormMasker implements BodyMasker {
  readonly #masks: FormMasks
  readonly #held = new Held('a member of a form', MAX_PAIR_BYTES)

  constructor(masks: FormMasks) {
    this.#masks = masks
  }

  push(bytes: Buffer): Buffer {
    const out: Buffer[] = []
    let at = 0
    for (let end = this.#separator(bytes, 0); end < bytes.length; end = this.#separator(bytes, at)) {
      out.push(this.#pair(this.#held.takeWith(bytes, at, end)), bytes.subarray(end, end + 1))
      at = end + 1
    }
    this.#held.add(bytes, at)
    return Buffer.concat(out)
  }

  #separator(bytes: Buffer, from: number): number {
    let at = from
    const other = this.#masks.place === 'query' ? SEMICOLON : AMPERSAND
    while (at < bytes.length && bytes[at] !== AMPERSAND && bytes[at] !== other) at += 1
    return at
  }

  end(): Buffer {
    return this.#held.length === 0 ? NOTHING : this.#pair(this.#held.take())
  }

  /** A part without `=` is a name that has no value: whichever it is meant to be, it is looked at as both. */
  #pair(bytes: Buffer): Buffer {
    const text = bytes.toString('utf8')
    const equals = text.indexOf('=')
    const name = decoded(equals < 0 ? text : text.slice(0, equals))
    const value = equals < 0 ? '' : decoded(text.slice(equals + 1))
    const { fields, place } = this.#masks
    const isMember = equals >= 0 || place !== 'answer' || text === ''
    if (fields !== undefined && !(isMember && alphabets[place].test(text)))
      throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'the body is not written as forms are')
    // Servers cut names at NUL, and drop blanks around them.
    const plain = (name.split('\0', 1)[0] ?? '').trim()
    const shownName = this.#searched(name)
    const shown = equals < 0 ? '' : this.#shown(plain, value)
    if (shownName === name && shown === value) return bytes
    const encode = this.#masks.place === 'answer' ? encoded : shownEncoded
    const first = shownName === name ? text.slice(0, equals < 0 ? text.length : equals) : encode(shownName)
    if (equals < 0) return Buffer.from(first)
    return Buffer.from(`${first}=${shown === value ? text.slice(equals + 1) : encode(shown)}`)
  }

  #shown(name: string, value: string): string {
    const { fields, literals } = this.#masks
    if (fields === undefined) return this.#searched(value)
    const place = placeOfName(fields, name)
    const mask = maskIn(fields, place)
    if (mask !== undefined) return maskedText(mask, value)
    const shown = maskDocumentsIn(fields, place, value) ?? value
    return this.#searched(literals?.(shown) ?? shown)
  }

  #searched(text: string): string {
    if (this.#masks.searches.length === 0) return text
    const bytes = Buffer.from(text)
    const masked = searchValue(this.#masks.searches, bytes)
    return masked === bytes ? text : masked.toString('utf8')
  }
}
