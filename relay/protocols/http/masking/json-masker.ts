// Masks fields of JSON while it streams by: what is not masked leaves byte for byte (RFC 8259). Pure.

import { GateError } from '@gate/shared/errors'
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
import {
  AFTER_VALUE,
  AT_STRING,
  BETWEEN,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COLON,
  COLON_NEXT,
  COMMA,
  FIRST_ELEMENT,
  FIRST_NAME,
  IN_NAME,
  IN_NUMBER,
  IN_STRING,
  IN_WORD,
  type JsonPlace,
  LETTER_N,
  MAX_DEPTH,
  MINUS,
  NAME,
  NINE,
  OPEN_ARRAY,
  OPEN_OBJECT,
  START_OF_BODY,
  VALUE,
  ZERO,
} from './json-place.ts'
import type { JsonSearch } from './json-search.ts'
import { readTokens } from './json-tokens.ts'
import { kindOf } from './json-values.ts'
import { type BodyMasker, NOTHING } from './masker.ts'
import { MemberName } from './member-name.ts'
import { type FieldMasks, type PathState, Paths } from './paths.ts'
import { maskString, mayHoldDocument } from './text-document.ts'

/**
 * One value; one, or objects one after another, as watches of Kubernetes and grpc-gateway that call themselves JSON; values one
 * after another; such, each behind a record separator (RFC 7464); or such with separators anywhere between.
 */
export type Documents = 'one' | 'objects' | 'many' | 'sequence' | 'separated'

const NO_FIELDS: FieldMasks = { paths: new Paths([]), masks: [] }

/** Texts within texts that are looked through: each costs as much as all that is in it. */
const MAX_NESTED_TEXTS = 16

const RECORD_SEPARATOR = 0x1e
const BYTE_ORDER_MARK = Buffer.from('\ufeff')

export class JsonMasker implements BodyMasker {
  readonly #fields: FieldMasks
  readonly #start: PathState
  readonly #output: JsonOutput
  readonly #documents: Documents
  #mayFollow: boolean
  /** No value has to come any more. */
  #mayBeNone: boolean
  readonly #hasSeparators: boolean
  readonly #scan: Scan = { escape: 0, hasEscapes: false, number: 0, word: NOTHING, wordAt: 0 }
  readonly #place: JsonPlace
  #bytes: Buffer = NOTHING
  readonly #name: MemberName
  readonly #nesting: number

  /** `start` is the place that documents stand in, and `nesting` the number of texts that they stand in. */
  constructor(
    fields: FieldMasks = NO_FIELDS,
    documents: Documents,
    search: JsonSearch | undefined,
    start = fields.paths.start,
    nesting = 0,
  ) {
    this.#fields = fields
    this.#name = new MemberName(fields.paths, this.#scan)
    this.#documents = documents
    this.#mayFollow = documents === 'many' || documents === 'separated'
    this.#mayBeNone = documents !== 'one' && documents !== 'objects'
    this.#hasSeparators = documents === 'sequence' || documents === 'separated'
    this.#output = new JsonOutput(search)
    this.#start = start
    this.#nesting = nesting
    this.#place = { next: START_OF_BODY, depth: 0, isArray: [], states: [], state: start }
  }

  /** Whether anything of what was pushed is masked. */
  get hasHidden(): boolean {
    return this.#output.hasHidden
  }

  push(bytes: Buffer): Buffer {
    this.#bytes = bytes
    this.#name.next()
    this.#output.begin(bytes)
    for (let at = 0; at < bytes.length; ) {
      at = readTokens(bytes, at, this.#place, this.#fields, this.#output)
      if (at < bytes.length) at = this.#step(at)
    }
    if (this.#place.next === IN_NAME && this.#watchesNames()) this.#name.keep(bytes)
    this.#output.finish()
    // Between documents only blanks wait, and the reader of lines waits for them.
    if (this.#place.depth === 0 && this.#place.next >= START_OF_BODY) this.#output.search()
    return this.#output.take()
  }

  end(): Buffer {
    this.#bytes = NOTHING
    this.#output.begin(NOTHING)
    if (this.#place.next === IN_NUMBER && this.#place.depth === 0) {
      requireNumber(this.#scan)
      this.#ended(0)
    }
    if (this.#place.next < START_OF_BODY || this.#place.depth > 0 || (this.#place.next === VALUE && !this.#mayBeNone))
      throw brokenJson('it ends too early')
    this.#output.search()
    return this.#output.take()
  }

  /** Takes at least one byte, or finds out what comes next; gives the place behind what it took. */
  #step(from: number): number {
    if (this.#place.next < START_OF_BODY) return this.#goOn(from)
    if (this.#place.next === START_OF_BODY) return this.#begin(from)
    const bytes = this.#bytes
    let at = from
    while (blanks[bytes[at] ?? 0] === 1) at += 1
    if (at > from && this.#place.next === BETWEEN && this.#mayFollow) this.#place.next = VALUE
    if (at === bytes.length) return at
    const byte = bytes[at] ?? 0
    switch (this.#place.next) {
      case AFTER_VALUE:
        return this.#afterValue(byte, at)
      case NAME:
      case FIRST_NAME:
        if (byte === QUOTE) return this.#beginName(at)
        if (byte === CLOSE_OBJECT && this.#place.next === FIRST_NAME) return this.#close(at + 1)
        throw brokenJson('a member without a name')
      case COLON_NEXT:
        if (byte !== COLON) throw brokenJson('a name without a value')
        this.#place.next = VALUE
        return at + 1
      case FIRST_ELEMENT:
        return byte === CLOSE_ARRAY ? this.#close(at + 1) : this.#beginValue(byte, at)
      case VALUE:
        if (byte === RECORD_SEPARATOR && this.#place.depth === 0 && this.#hasSeparators) return at + 1
        if (this.#place.depth === 0 && byte !== OPEN_OBJECT && this.#mayBeNone && this.#documents === 'objects')
          throw brokenJson('something behind its end')
        return this.#beginValue(byte, at)
      default:
        if (byte !== RECORD_SEPARATOR || !this.#hasSeparators) throw brokenJson('something behind its end')
        this.#place.next = VALUE
        return at + 1
    }
  }

  #begin(at: number): number {
    this.#place.next = this.#documents === 'sequence' ? BETWEEN : VALUE
    // Characters come whole, so this one does.
    const isMarked = this.#bytes.subarray(at, at + BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    return isMarked ? at + BYTE_ORDER_MARK.length : at
  }

  #goOn(at: number): number {
    switch (this.#place.next) {
      case IN_STRING:
        return this.#valueTo(scanString(this.#bytes, at, this.#scan))
      case IN_NAME:
        return this.#inName(at)
      case IN_NUMBER:
        return this.#valueTo(scanNumber(this.#bytes, at, this.#scan))
      case IN_WORD:
        return this.#valueTo(scanWord(this.#bytes, at, this.#scan))
      default:
        return this.#atString(at)
    }
  }

  /** Names below something hidden, or where no pattern leads on, are not compared. */
  #watchesNames(): boolean {
    return !this.#output.isHiding && (this.#place.states[this.#place.depth - 1]?.alive ?? false)
  }

  #beginName(at: number): number {
    this.#place.next = IN_NAME
    this.#name.begin(at)
    return this.#inName(at + 1)
  }

  #inName(at: number): number {
    const end = this.#name.read(this.#bytes, at)
    if (end < 0) return this.#bytes.length
    this.#place.next = COLON_NEXT
    const around = this.#place.states[this.#place.depth - 1] ?? this.#place.state
    this.#place.state = this.#watchesNames() ? this.#name.below(around, this.#bytes, end) : around
    return end
  }

  #beginValue(byte: number, at: number): number {
    // null tells nothing, and stays.
    if (this.#place.state.mask >= 0 && byte !== LETTER_N && !this.#output.isHiding)
      this.#output.hide(
        this.#fields.masks[this.#place.state.mask] ?? { with: 'redact' },
        kindOf(byte),
        this.#place.depth,
        at,
      )
    switch (byte) {
      case QUOTE:
        this.#place.next = AT_STRING
        return at + 1 === this.#bytes.length ? at + 1 : this.#atString(at + 1)
      case OPEN_OBJECT:
        return this.#open(false, at + 1)
      case OPEN_ARRAY:
        return this.#open(true, at + 1)
      default:
        break
    }
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      this.#place.next = IN_NUMBER
      this.#scan.number = 0
      return this.#valueTo(scanNumber(this.#bytes, at, this.#scan))
    }
    this.#place.next = IN_WORD
    this.#scan.word = wordOf(byte)
    this.#scan.wordAt = 0
    return this.#valueTo(scanWord(this.#bytes, at, this.#scan))
  }

  /** At the first character of a text, which may be a document in turn. */
  #atString(at: number): number {
    this.#place.next = IN_STRING
    this.#scan.escape = 0
    const end = scanString(this.#bytes, at, this.#scan)
    const state = this.#place.state
    // Of a text that is cut off nobody knows.
    if (state.alive && !this.#output.isHiding && (end < 0 || mayHoldDocument(this.#bytes.subarray(at, end))))
      this.#output.keep(raw => maskString(raw, this.#fields.paths, () => this.#within(state)), at)
    return this.#valueTo(end)
  }

  /** For a text that stands in this place. @throws {GateError} ERR_GATE_LIMIT */
  #within(state: PathState): JsonMasker {
    if (this.#nesting === MAX_NESTED_TEXTS)
      throw new GateError('ERR_GATE_LIMIT', `documents in texts of each other, more than ${MAX_NESTED_TEXTS}`)
    return new JsonMasker(this.#fields, 'many', undefined, state, this.#nesting + 1)
  }

  /** The value ends in front of `end`; below nothing it goes on behind these bytes. */
  #valueTo(end: number): number {
    return end < 0 ? this.#bytes.length : this.#ended(end)
  }

  #open(isArray: boolean, at: number): number {
    if (this.#place.depth === MAX_DEPTH)
      throw new GateError('ERR_GATE_LIMIT', `objects and arrays within each other, more than ${MAX_DEPTH}`)
    this.#place.isArray[this.#place.depth] = isArray
    this.#place.states[this.#place.depth] = this.#place.state
    this.#place.depth += 1
    this.#place.next = isArray ? FIRST_ELEMENT : FIRST_NAME
    return at
  }

  #close(at: number): number {
    this.#place.depth -= 1
    return this.#ended(at)
  }

  /** A value ends in front of `at`. */
  #ended(at: number): number {
    this.#output.valueEnds(this.#place.depth, at)
    this.#place.next = this.#place.depth === 0 ? BETWEEN : AFTER_VALUE
    if (this.#place.depth === 0) {
      this.#place.state = this.#start
      this.#mayBeNone = true
      // Of a text, a number or a list what follows is no watch, but a mistake.
      if (this.#documents === 'objects') this.#mayFollow = this.#place.isArray[0] === false
      this.#output.leave(at)
      this.#output.search()
    }
    return at
  }

  #afterValue(byte: number, at: number): number {
    const isArray = this.#place.isArray[this.#place.depth - 1] ?? false
    if (byte === (isArray ? CLOSE_ARRAY : CLOSE_OBJECT)) return this.#close(at + 1)
    if (byte !== COMMA) throw brokenJson('a value that is followed by neither a comma nor an end')
    this.#place.next = isArray ? VALUE : NAME
    // Elements have the path of their array.
    if (isArray) this.#place.state = this.#place.states[this.#place.depth - 1] ?? this.#place.state
    this.#output.cut(at + 1)
    return at + 1
  }
}
