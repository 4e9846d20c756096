// One direction's bytes, cut into messages; what passes untouched leaves as one slice. Pure.
import { HEADER_BYTES } from './codec.ts'

/** Bytes on their way through. Whoever scans them says of each message whether it passes; runs of passing bytes are not copied. */
export class Inbound {
  readonly #emit: (unit: Buffer) => void
  #buffer: Buffer = Buffer.alloc(0)
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
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk])
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

  drop(bytes: number): void {
    this.flush()
    this.#at += bytes
    this.#emitted = this.#at
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
