// One direction's bytes, cut into messages; what passes untouched leaves as one slice. Pure.
import { HEADER_BYTES } from './codec.ts'

/** What is kept of a message is copied again with every chunk of it; from this size on, room is made for more at once. */
const LONG_BYTES = 64 * 1024

/** Bytes on their way through. Whoever scans them says of each message whether it passes; runs of passing bytes are not copied. */
export class Inbound {
  #emit: (unit: Buffer) => void
  #buffer: Buffer = Buffer.alloc(0)
  /** The memory that the buffer is the end of, when there is room behind it. */
  #store: Buffer = this.#buffer
  /** Where the next message begins. */
  #at = 0
  /** Everything before it has been emitted or dropped. */
  #emitted = 0
  /** Bytes of a message that are still to come through without being looked at. */
  #streaming = 0
  #streamPasses = false
  /** Whether a message has been emitted in part. */
  #insideMessage = false

  constructor(emit: (unit: Buffer) => void) {
    this.#emit = emit
  }

  append(chunk: Buffer): void {
    if (this.#buffer.length === 0) this.#buffer = chunk
    else this.#extend(chunk)
  }

  /** A message of many chunks is copied a few times as a whole, not once for every chunk. */
  #extend(chunk: Buffer): void {
    const kept = this.#buffer.length
    let begin = this.#buffer.byteOffset - this.#store.byteOffset
    if (this.#buffer.buffer !== this.#store.buffer || this.#store.length - begin - kept < chunk.length) {
      const needed = kept + chunk.length
      this.#store = Buffer.allocUnsafeSlow(kept < LONG_BYTES ? needed : needed * 2)
      this.#buffer.copy(this.#store)
      begin = 0
    }
    chunk.copy(this.#store, begin + kept)
    this.#buffer = this.#store.subarray(begin, begin + kept + chunk.length)
  }

  get available(): number {
    return this.#buffer.length - this.#at
  }

  /** Bytes kept because they were not handled yet. */
  get held(): number {
    return this.#buffer.length - this.#at
  }

  get buffer(): Buffer {
    return this.#buffer
  }

  get at(): number {
    return this.#at
  }

  get type(): number {
    return this.#buffer[this.#at] ?? 0
  }

  /** The length field of the next message; its header is available. */
  get length(): number {
    return this.#buffer.readInt32BE(this.#at + 1)
  }

  get hasHeader(): boolean {
    return this.available >= HEADER_BYTES
  }

  body(total: number): Buffer {
    return this.#buffer.subarray(this.#at + HEADER_BYTES, this.#at + total)
  }

  /** What is there of the next message's body. */
  get partialBody(): Buffer {
    return this.#buffer.subarray(this.#at + HEADER_BYTES)
  }

  pass(bytes: number): void {
    this.#at += bytes
  }

  /**
   * Lets all messages of one type pass that come next; the last may be there in part. Stops before a message of another
   * type and before one of an impossible length. Returns the bytes of those messages, whether they are there or to come.
   */
  passRun(type: number, longest: number): number {
    const buffer = this.#buffer
    const begin = this.#at
    let at = begin
    while (buffer.length - at >= HEADER_BYTES && buffer[at] === type) {
      const length = buffer.readInt32BE(at + 1)
      if (length < 4 || length > longest) break
      at += 1 + length
    }
    const bytes = at - begin
    this.stream(bytes, true)
    this.continueStream()
    return bytes
  }

  drop(bytes: number): void {
    this.flush()
    this.#at += bytes
    this.#emitted = this.#at
  }

  /** From here on, what passes goes elsewhere. */
  redirect(emit: (unit: Buffer) => void): void {
    this.flush()
    this.#emit = emit
  }

  /** Takes bytes out of the stream. */
  take(bytes: number): Buffer {
    const taken = this.#buffer.subarray(this.#at, this.#at + bytes)
    this.drop(bytes)
    return taken
  }

  /** Puts bytes in front of the next message. */
  put(bytes: Buffer): void {
    this.flush()
    this.#emit(bytes)
  }

  /** Lets `bytes` more through, or away, however many chunks they come in. */
  stream(bytes: number, passes: boolean): void {
    this.#streaming = bytes
    this.#streamPasses = passes
  }

  /** Takes what is there of a streamed message. False when all there was is used up. */
  continueStream(): boolean {
    if (this.#streaming === 0) return true
    const taken = Math.min(this.#streaming, this.available)
    if (this.#streamPasses) this.pass(taken)
    else this.drop(taken)
    this.#streaming -= taken
    this.#insideMessage = this.#streamPasses && this.#streaming > 0
    return this.#streaming === 0
  }

  /** Whether everything emitted so far ends with a whole message. */
  get atBoundary(): boolean {
    return !this.#insideMessage
  }

  /** Emits what has passed. */
  flush(): void {
    if (this.#emitted < this.#at) this.#emit(this.#buffer.subarray(this.#emitted, this.#at))
    this.#emitted = this.#at
  }

  get hasRun(): boolean {
    return this.#emitted < this.#at
  }

  /** Emits what has passed and forgets it; what is left is the beginning of something. */
  compact(): void {
    this.flush()
    this.#buffer = this.#buffer.subarray(this.#at)
    this.#at = 0
    this.#emitted = 0
  }
}
