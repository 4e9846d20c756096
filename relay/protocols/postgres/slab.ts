// Messages that are rewritten: collected in as few buffers as possible, each with its length set when it is known. Pure.

/** The least that is taken from the allocator at a time. */
const SLAB_BYTES = 64 * 1024
/** Up to this length a loop copies faster than a call. */
const SHORT_BYTES = 24

/** Collects what is rewritten of one chunk. Of a message that has begun, everything is in one buffer. */
export class Slab {
  #slab: Buffer
  #at = 0
  /** Where the message at hand begins, or will. */
  #head = 0
  readonly #done: Buffer[] = []

  /** `expected` bytes will be written, more or less. */
  constructor(expected: number) {
    this.#slab = Buffer.allocUnsafe(Math.max(1024, expected + (expected >> 3)))
  }

  /** Everything written, in order. */
  take(): Buffer[] {
    if (this.#at > 0) this.#done.push(this.#slab.subarray(0, this.#at))
    this.#slab = this.#slab.subarray(this.#at)
    this.#at = 0
    return this.#done.splice(0)
  }

  /** A message begins when so many bytes more are written. */
  begin(after: number): void {
    this.#head = this.#at + after
  }

  /** Sets the length of the message at hand: it ends when so many bytes more are written. */
  finish(after: number): void {
    this.#slab.writeInt32BE(this.#at + after - this.#head - 1, this.#head + 1)
  }

  /** Writes a part of a source; afterwards there is room for `more` bytes. */
  copy(source: Buffer, from: number, to: number, more: number): void {
    const bytes = to - from
    if (this.#slab.length - this.#at < bytes + more) this.#grow(bytes + more)
    if (bytes <= SHORT_BYTES) {
      for (let index = 0; index < bytes; index += 1) this.#slab[this.#at + index] = source[from + index] ?? 0
    } else source.copy(this.#slab, this.#at, from, to)
    this.#at += bytes
  }

  /** Writes a value behind its length, or the length that stands for NULL. There must be room for it. */
  value(value: Buffer | null): void {
    this.#at = this.#slab.writeInt32BE(value === null ? -1 : value.length, this.#at)
    if (value !== null) this.copy(value, 0, value.length, 0)
  }

  /** Goes on in a new buffer; of a message that has begun, what there is moves with it, since its length is still to be set. */
  #grow(bytes: number): void {
    const keep = Math.min(this.#head, this.#at)
    const begun = this.#slab.subarray(keep, this.#at)
    if (keep > 0) this.#done.push(this.#slab.subarray(0, keep))
    const needed = begun.length + bytes
    this.#slab = Buffer.allocUnsafe(Math.max(SLAB_BYTES, needed + (needed >> 3)))
    this.#head -= keep
    this.#at = begun.copy(this.#slab)
  }
}
