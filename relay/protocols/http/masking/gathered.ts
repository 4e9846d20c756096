// Joins pieces of what leaves: a single one stays a slice, more are copied once each. Pure.
import { NOTHING } from './masker.ts'

/** Pieces are often short, and masked ones not much longer than what they stand for. */
const ROOM_BYTES = 1_024
/** Up to here a loop is faster than a call into the engine. */
const SHORT_BYTES = 24

/** It holds no more than what leaves at once. */
export class Gathered {
  #single: Buffer = NOTHING
  #joined: Buffer = NOTHING
  #length = 0

  add(source: Buffer, start: number, end: number): void {
    if (end <= start) return
    if (this.#length === 0) {
      this.#single = source.subarray(start, end)
      this.#length = end - start
      return
    }
    if (this.#single.length > 0) {
      const first = this.#single
      this.#single = NOTHING
      this.#joined = Buffer.allocUnsafe(this.#length + source.length + ROOM_BYTES)
      first.copy(this.#joined)
    }
    this.#copy(source, start, end)
  }

  /** All of it, once. */
  take(): Buffer {
    const all = this.#single.length > 0 ? this.#single : this.#joined.subarray(0, this.#length)
    this.#single = NOTHING
    this.#joined = NOTHING
    this.#length = 0
    return all
  }

  #copy(source: Buffer, start: number, end: number): void {
    const length = this.#length + end - start
    if (length > this.#joined.length) {
      const grown = Buffer.allocUnsafe(2 * length)
      this.#joined.copy(grown, 0, 0, this.#length)
      this.#joined = grown
    }
    const joined = this.#joined
    if (end - start > SHORT_BYTES) source.copy(joined, this.#length, start, end)
    else for (let at = start, to = this.#length; at < end; at += 1, to += 1) joined[to] = source[at] ?? 0
    this.#length = length
  }
}
