// Bytes that wait for the rest of what they belong to. Pure.
import { GateError } from '@gate/shared/errors'

const FIRST_BYTES = 256

/** A buffer that grows up to a limit; what it is given it copies. */
export class Held {
  readonly #what: string
  readonly #limitBytes: number
  #bytes: Buffer = Buffer.alloc(0)
  #length = 0

  /** `what` is what people read when the limit is exceeded. */
  constructor(what: string, limitBytes: number) {
    this.#what = what
    this.#limitBytes = limitBytes
  }

  get length(): number {
    return this.#length
  }

  /** All that is held, until more is added. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** @throws {GateError} ERR_GATE_LIMIT when so many more bytes would be too many. */
  check(more: number): void {
    if (this.#length + more > this.#limitBytes)
      throw new GateError('ERR_GATE_LIMIT', `${this.#what} of more than ${this.#limitBytes} bytes`)
  }

  /** @throws {GateError} ERR_GATE_LIMIT */
  add(source: Buffer, start = 0, end = source.length): void {
    this.check(end - start)
    const length = this.#length + end - start
    if (length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(
        Math.min(Math.max(FIRST_BYTES, length, 2 * this.#bytes.length), this.#limitBytes),
      )
      this.#bytes.copy(grown, 0, 0, this.#length)
      this.#bytes = grown
    }
    source.copy(this.#bytes, this.#length, start, end)
    this.#length = length
  }

  /** Gives away all that is held. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.alloc(0)
    this.#length = 0
    return taken
  }

  /** All that is held and then these bytes; nothing is copied when nothing is held. @throws {GateError} ERR_GATE_LIMIT */
  takeWith(source: Buffer, start: number, end: number): Buffer {
    if (this.#length > 0) {
      this.add(source, start, end)
      return this.take()
    }
    this.check(end - start)
    return source.subarray(start, end)
  }
}
