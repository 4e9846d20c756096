// Joins pieces of what leaves: a single one stays a slice, more are copied once each. Pure.
import { NOTHING } from './masker.ts'

/** Pieces can be longer than what they stand for. */
const ROOM_BYTES = 4_096
/** Up to here a loop is faster than a call into the engine. */
const SHORT_BYTES = 24

/**
 * It holds no more than what leaves at once. Most pieces are of one source, which is copied as a whole, behind some room, when
 * there are two: its pieces then move forward, which takes a third of the time of a copy between two buffers.
 */
export class Gathered {
  #source: Buffer = NOTHING
  #single: Buffer = NOTHING
  #isOfSource = false
  #joined: Buffer = NOTHING
  #length = 0
  /** Nothing may be written from here on: what is there has not moved yet, or there is no more. */
  #end = 0
  /** Where the first byte of the source would be among what is joined; undefined when it is not there. */
  #base: number | undefined

  /** The source of the next pieces, in order; nobody may change it. */
  begin(source: Buffer): void {
    this.#source = source
    this.#base = undefined
    this.#end = this.#joined.length
  }

  add(source: Buffer, start: number, end: number): void {
    if (end <= start) return
    if (this.#length === 0) {
      this.#single = source.subarray(start, end)
      this.#isOfSource = source === this.#source
      this.#length = end - start
      return
    }
    if (this.#single.length > 0) this.#join(this.#isOfSource || source === this.#source)
    this.#copy(source, start, end)
  }

  /** All of it, once. */
  take(): Buffer {
    const all = this.#single.length > 0 ? this.#single : this.#joined.subarray(0, this.#length)
    this.#single = NOTHING
    this.#joined = NOTHING
    this.#length = 0
    this.#end = 0
    this.#base = undefined
    return all
  }

  #join(ofSource: boolean): void {
    const first = this.#single
    this.#single = NOTHING
    const room = first.length + ROOM_BYTES
    this.#joined = Buffer.allocUnsafe(room + this.#source.length)
    first.copy(this.#joined)
    this.#end = ofSource ? room : this.#joined.length
    if (!ofSource) return
    this.#base = room
    this.#source.copy(this.#joined, room)
  }

  #copy(source: Buffer, start: number, end: number): void {
    const base = source === this.#source ? this.#base : undefined
    if (base !== undefined) this.#end = base + end
    const length = this.#length + end - start
    if (length > this.#end) return this.#grow(source, start, end)
    const joined = this.#joined
    if (base !== undefined) joined.copyWithin(this.#length, base + start, base + end)
    else if (end - start > SHORT_BYTES) source.copy(joined, this.#length, start, end)
    else for (let at = start, to = this.#length; at < end; at += 1, to += 1) joined[to] = source[at] ?? 0
    this.#length = length
  }

  /** Goes on in a larger buffer, without the source. */
  #grow(source: Buffer, start: number, end: number): void {
    const length = this.#length + end - start
    const grown = Buffer.allocUnsafe(2 * length + this.#source.length)
    this.#joined.copy(grown, 0, 0, this.#length)
    source.copy(grown, this.#length, start, end)
    this.#joined = grown
    this.#end = grown.length
    this.#base = undefined
    this.#length = length
  }
}
