// Masks fields of JSON while it streams by: what is not masked leaves byte for byte (RFC 8259). Pure.

import { GateError } from '@gate/shared/errors'
import { Held } from './held.ts'
import {
  blanks,
  brokenJson,
  QUOTE,
  requireNumber,
  type Scan,
  scanNumber,
  scanString,
  scanWord,
  wordOf,
} from './json-grammar.ts'
import { JsonOutput } from './json-output.ts'
import type { JsonSearch } from './json-search.ts'
import { kindOf, textOfString } from './json-values.ts'
import { type BodyMasker, NOTHING } from './masker.ts'
import { type FieldMasks, type PathState, Paths } from './paths.ts'
import { beginsDocument, maskString, mayBeDocument } from './text-document.ts'

/** Objects and arrays within each other. */
export const MAX_DEPTH = 512
/** A name, quotes and escapes included; longer ones could not be compared while they stream by. */
export const MAX_NAME_BYTES = 65_536

/** One value; one value after another; or such, each behind a record separator (RFC 7464). */
export type Documents = 'one' | 'many' | 'sequence'

const NO_FIELDS: FieldMasks = { paths: new Paths([]), masks: [] }

const RECORD_SEPARATOR = 0x1e
const BYTE_ORDER_MARK = Buffer.from('\ufeff')
const [COMMA, COLON, MINUS] = [0x2c, 0x3a, 0x2d]
const [OPEN_OBJECT, CLOSE_OBJECT, OPEN_ARRAY, CLOSE_ARRAY] = [0x7b, 0x7d, 0x5b, 0x5d]
const [ZERO, NINE] = [0x30, 0x39]
const LETTER_N = 0x6e

// What comes next. Up to AT_STRING one is inside a token.
const IN_STRING = 0
const IN_NAME = 1
const IN_NUMBER = 2
const IN_WORD = 3
const AT_STRING = 4
const START_OF_BODY = 5
const VALUE = 6
const FIRST_ELEMENT = 7
const FIRST_NAME = 8
const NAME = 9
const COLON_NEXT = 10
const AFTER_VALUE = 11
const BETWEEN = 12

export class JsonMasker implements BodyMasker {
  readonly #fields: FieldMasks
  readonly #start: PathState
  readonly #output: JsonOutput
  readonly #documents: Documents
  readonly #scan: Scan = { escape: 0, hasEscapes: false, number: 0, word: NOTHING, wordAt: 0 }
  #next = START_OF_BODY
  #bytes: Buffer = NOTHING
  /** Containers around, and the path of each; the last is the one we are in. */
  #depth = 0
  readonly #isArray: boolean[] = []
  readonly #states: PathState[] = []
  /** The path of the value that comes next. */
  #state: PathState
  #nameStart = 0
  readonly #name = new Held('a name in the body', MAX_NAME_BYTES)

  /** `start` is the place that documents stand in. */
  constructor(
    fields: FieldMasks = NO_FIELDS,
    documents: Documents,
    search: JsonSearch | undefined,
    start = fields.paths.start,
  ) {
    this.#fields = fields
    this.#documents = documents
    this.#output = new JsonOutput(search)
    this.#start = this.#state = start
  }

  /** Whether anything of what was pushed is masked. */
  get hasHidden(): boolean {
    return this.#output.hasHidden
  }

  push(bytes: Buffer): Buffer {
    this.#bytes = bytes
    this.#nameStart = 0
    this.#output.begin(bytes)
    for (let at = 0; at < bytes.length; ) at = this.#step(at)
    if (this.#next === IN_NAME && this.#watchesNames()) this.#name.add(bytes, this.#nameStart)
    this.#output.finish()
    // Between documents only blanks wait, and the reader of lines waits for them.
    if (this.#depth === 0 && this.#next >= START_OF_BODY) this.#output.search()
    return this.#output.take()
  }

  end(): Buffer {
    this.#bytes = NOTHING
    this.#output.begin(NOTHING)
    if (this.#next === IN_NUMBER && this.#depth === 0) {
      requireNumber(this.#scan)
      this.#ended(0)
    }
    if (this.#next < START_OF_BODY || this.#depth > 0 || (this.#next === VALUE && this.#documents === 'one'))
      throw brokenJson('it ends too early')
    this.#output.search()
    return this.#output.take()
  }

  /** Takes at least one byte, or finds out what comes next; gives the place behind what it took. */
  #step(from: number): number {
    if (this.#next < START_OF_BODY) return this.#goOn(from)
    if (this.#next === START_OF_BODY) return this.#begin(from)
    const bytes = this.#bytes
    let at = from
    while (blanks[bytes[at] ?? 0] === 1) at += 1
    if (at > from && this.#next === BETWEEN && this.#documents === 'many') this.#next = VALUE
    if (at === bytes.length) return at
    const byte = bytes[at] ?? 0
    switch (this.#next) {
      case AFTER_VALUE:
        return this.#afterValue(byte, at)
      case NAME:
      case FIRST_NAME:
        if (byte === QUOTE) return this.#beginName(at)
        if (byte === CLOSE_OBJECT && this.#next === FIRST_NAME) return this.#close(at + 1)
        throw brokenJson('a member without a name')
      case COLON_NEXT:
        if (byte !== COLON) throw brokenJson('a name without a value')
        this.#next = VALUE
        return at + 1
      case FIRST_ELEMENT:
        return byte === CLOSE_ARRAY ? this.#close(at + 1) : this.#beginValue(byte, at)
      case VALUE:
        if (byte === RECORD_SEPARATOR && this.#depth === 0 && this.#documents === 'sequence') return at + 1
        return this.#beginValue(byte, at)
      default:
        if (byte !== RECORD_SEPARATOR || this.#documents !== 'sequence') throw brokenJson('something behind its end')
        this.#next = VALUE
        return at + 1
    }
  }

  #begin(at: number): number {
    this.#next = this.#documents === 'sequence' ? BETWEEN : VALUE
    // Characters come whole, so this one does.
    const isMarked = this.#bytes.subarray(at, at + BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    return isMarked ? at + BYTE_ORDER_MARK.length : at
  }

  #goOn(at: number): number {
    switch (this.#next) {
      case IN_STRING:
        return this.#inString(at)
      case IN_NAME:
        return this.#inName(at)
      case IN_NUMBER:
        return this.#inNumber(at)
      case IN_WORD:
        return this.#inWord(at)
      default:
        return this.#atString(at)
    }
  }

  /** Names below something hidden, or where no pattern leads on, are not compared. */
  #watchesNames(): boolean {
    return !this.#output.isHiding && (this.#states[this.#depth - 1]?.alive ?? false)
  }

  #beginName(at: number): number {
    this.#next = IN_NAME
    this.#scan.escape = 0
    this.#scan.hasEscapes = false
    this.#nameStart = at
    return this.#inName(at + 1)
  }

  #inName(at: number): number {
    const end = scanString(this.#bytes, at, this.#scan)
    if (end < 0) return this.#bytes.length
    this.#next = COLON_NEXT
    const around = this.#states[this.#depth - 1] ?? this.#state
    this.#state = this.#watchesNames() ? this.#below(around, end) : around
    // What stands without blanks, as programs write it, is read on without coming back for each token.
    if (this.#bytes[end] !== COLON) return end
    this.#next = VALUE
    const value = end + 1
    const byte = this.#bytes[value] ?? 0
    return value === this.#bytes.length || blanks[byte] === 1 ? value : this.#beginValue(byte, value)
  }

  /** The path behind the name that ends here. */
  #below(around: PathState, end: number): PathState {
    if (this.#name.length === 0 && !this.#scan.hasEscapes) {
      this.#name.check(end - this.#nameStart)
      return this.#fields.paths.below(around, this.#bytes, this.#nameStart + 1, end - 1)
    }
    const raw = this.#name.takeWith(this.#bytes, this.#nameStart, end)
    return this.#scan.hasEscapes
      ? this.#fields.paths.belowText(around, textOfString(raw))
      : this.#fields.paths.below(around, raw, 1, raw.length - 1)
  }

  #beginValue(byte: number, at: number): number {
    // null tells nothing, and stays.
    if (this.#state.mask >= 0 && byte !== LETTER_N && !this.#output.isHiding)
      this.#output.hide(this.#fields.masks[this.#state.mask] ?? { with: 'redact' }, kindOf(byte), this.#depth, at)
    switch (byte) {
      case QUOTE:
        this.#next = AT_STRING
        return at + 1 === this.#bytes.length ? at + 1 : this.#atString(at + 1)
      case OPEN_OBJECT:
        return this.#open(false, at + 1)
      case OPEN_ARRAY:
        return this.#open(true, at + 1)
      default:
        break
    }
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      this.#next = IN_NUMBER
      this.#scan.number = 0
      return this.#inNumber(at)
    }
    this.#next = IN_WORD
    this.#scan.word = wordOf(byte)
    this.#scan.wordAt = 0
    return this.#inWord(at)
  }

  /** At the first character of a text, which may be a document in turn. */
  #atString(at: number): number {
    this.#next = IN_STRING
    this.#scan.escape = 0
    const state = this.#state
    const isKept = beginsDocument[this.#bytes[at] ?? 0] === 1 && state.alive && !this.#output.isHiding
    if (isKept && mayBeDocument(this.#bytes.subarray(at)))
      this.#output.keep(raw => maskString(raw, () => new JsonMasker(this.#fields, 'many', undefined, state)), at)
    return this.#inString(at)
  }

  #inString(at: number): number {
    const end = scanString(this.#bytes, at, this.#scan)
    return end < 0 ? this.#bytes.length : this.#ended(end)
  }

  #inNumber(at: number): number {
    const end = scanNumber(this.#bytes, at, this.#scan)
    return end < 0 ? this.#bytes.length : this.#ended(end)
  }

  #inWord(at: number): number {
    const end = scanWord(this.#bytes, at, this.#scan)
    return end < 0 ? this.#bytes.length : this.#ended(end)
  }

  #open(isArray: boolean, at: number): number {
    if (this.#depth === MAX_DEPTH)
      throw new GateError('ERR_GATE_LIMIT', `objects and arrays within each other, more than ${MAX_DEPTH}`)
    this.#isArray[this.#depth] = isArray
    this.#states[this.#depth] = this.#state
    this.#depth += 1
    this.#next = isArray ? FIRST_ELEMENT : FIRST_NAME
    return at
  }

  #close(at: number): number {
    this.#depth -= 1
    return this.#ended(at)
  }

  /** A value ends in front of `at`. */
  #ended(at: number): number {
    this.#output.valueEnds(this.#depth, at)
    this.#next = this.#depth === 0 ? BETWEEN : AFTER_VALUE
    if (this.#depth === 0) {
      this.#state = this.#start
      this.#output.leave(at)
      this.#output.search()
    }
    return at
  }

  #afterValue(byte: number, at: number): number {
    const isArray = this.#isArray[this.#depth - 1] ?? false
    if (byte === (isArray ? CLOSE_ARRAY : CLOSE_OBJECT)) return this.#close(at + 1)
    if (byte !== COMMA) throw brokenJson('a value that is followed by neither a comma nor an end')
    this.#next = isArray ? VALUE : NAME
    // Elements have the path of their array.
    if (isArray) this.#state = this.#states[this.#depth - 1] ?? this.#state
    this.#output.cut(at + 1)
    return this.#next === NAME && this.#bytes[at + 1] === QUOTE ? this.#beginName(at + 1) : at + 1
  }
}
