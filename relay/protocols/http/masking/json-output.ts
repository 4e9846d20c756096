// What leaves of a document that streams by: slices of it as they came, and what stands in the place of hidden values. Pure.
import { Gathered } from './gathered.ts'
import { Held } from './held.ts'
import type { JsonSearch } from './json-search.ts'
import { type FieldMask, type JsonKind, maskedJson, needsValue } from './json-values.ts'
import { NOTHING } from './masker.ts'
import { MAX_WORDED_BYTES, type MaskText, mayBeDocument } from './text-document.ts'

/** A value that has to be kept to be masked: one that is hashed or shown in part. */
export const MAX_VALUE_BYTES = 1_048_576

export class JsonOutput {
  readonly #search: JsonSearch | undefined
  #bytes: Buffer = NOTHING
  readonly #out = new Gathered()
  /** Up to here the bytes of this piece have left or are hidden. */
  #left = 0
  /** The value that is being hidden: its mask, its kind, the depth it is at, and whether it is kept. */
  #mask: FieldMask | undefined
  #kind: JsonKind = 'string'
  #depth = 0
  #keeps = false
  #start = 0
  /** Makes what is shown of a text that is kept because it may be a document. */
  #inner: MaskText | undefined
  #hasHidden = false
  readonly #value = new Held('a value that is masked', MAX_VALUE_BYTES)

  constructor(search: JsonSearch | undefined) {
    this.#search = search
  }

  /** Whether anything is looked for in what leaves. */
  get isSearched(): boolean {
    return this.#search !== undefined
  }

  get isHiding(): boolean {
    return this.#mask !== undefined
  }

  /** Whether anything was hidden so far. */
  get hasHidden(): boolean {
    return this.#hasHidden
  }

  begin(bytes: Buffer): void {
    this.#bytes = bytes
    this.#out.begin(bytes)
    this.#left = 0
    this.#start = 0
  }

  /** Lets everything in front of `end` go, unless it is hidden. */
  leave(end: number): void {
    if (this.#mask !== undefined || this.#inner !== undefined || end <= this.#left) return
    if (this.#search === undefined) this.#out.add(this.#bytes, this.#left, end)
    else this.#search.add(this.#bytes.subarray(this.#left, end), false)
    this.#left = end
  }

  hide(mask: FieldMask, kind: JsonKind, depth: number, at: number): void {
    this.leave(at)
    this.#hasHidden = true
    this.#mask = mask
    this.#kind = kind
    this.#depth = depth
    this.#keeps = needsValue(mask, kind)
    this.#start = at
  }

  /** Keeps the rest of a text, from `at` on, which may be a document. */
  keep(inner: MaskText, at: number): void {
    this.leave(at)
    this.#inner = inner
    this.#start = at
  }

  /** A value at this depth ends in front of `at`. @throws {GateError} ERR_GATE_LIMIT */
  valueEnds(depth: number, at: number): void {
    if (this.#inner !== undefined) this.#textEnds(this.#inner, at)
    if (this.#mask === undefined || this.#depth !== depth) return
    const raw = this.#keeps ? this.#value.takeWith(this.#bytes, this.#start, at) : NOTHING
    const masked = maskedJson(this.#mask, this.#kind, raw)
    if (this.#search === undefined) this.#out.add(masked, 0, masked.length)
    else this.#search.add(masked, true)
    this.#mask = undefined
    this.#left = at
  }

  #textEnds(inner: MaskText, at: number): void {
    const isHeld = this.#value.length > 0
    const raw = this.#value.takeWith(this.#bytes, this.#start, at)
    const shown = inner(raw)
    this.#inner = undefined
    // What is clear and here leaves with what follows.
    if (shown === undefined && !isHeld) return
    this.#hasHidden ||= shown !== undefined
    this.#left = at
    this.#add(shown ?? raw)
  }

  /** Lets the rest of a text go of which enough is known. */
  #release(): void {
    this.#inner = undefined
    this.#add(this.#value.take())
    this.#left = this.#bytes.length
  }

  #add(bytes: Buffer): void {
    if (this.#search === undefined) this.#out.add(bytes, 0, bytes.length)
    else this.#search.add(bytes, false)
  }

  /**
   * A place between two values where a search may be cut: it depends on the document alone, not on how it came.
   * @throws {GateError} ERR_GATE_LIMIT
   */
  cut(at: number): void {
    if (this.#search === undefined || this.#mask !== undefined || !this.#search.isEnough(at - this.#left)) return
    this.leave(at)
    this.search()
  }

  /** Lets go what waits to be searched. */
  search(): void {
    if (this.#search === undefined) return
    const searched = this.#search.take()
    this.#out.add(searched, 0, searched.length)
  }

  /** The bytes of this piece are all read. @throws {GateError} ERR_GATE_LIMIT */
  finish(): void {
    if (this.#inner !== undefined) {
      this.#value.add(this.#bytes, this.#start)
      if (this.#value.length > MAX_WORDED_BYTES && !mayBeDocument(this.#value.bytes)) this.#release()
    } else if (this.#mask === undefined) this.leave(this.#bytes.length)
    else if (this.#keeps) this.#value.add(this.#bytes, this.#start)
  }

  take(): Buffer {
    return this.#out.take()
  }
}
