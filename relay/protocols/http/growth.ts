// How much longer a body may become when a coding is undone. Pure.
import { GateError } from '@gate/shared/errors'

/** So many times as long; gzip's own limit is about 1030. */
const MAX_RATIO = 200
/** Short bodies may have any ratio. */
const FREE_BYTES = 1024 * 1024

/** Counts what goes into a decoder and what comes out. */
export class Growth {
  #inBytes = 0
  #outBytes = 0

  took(bytes: number): void {
    this.#inBytes += bytes
  }

  /** @throws {GateError} ERR_GATE_LIMIT when it is too much for what went in. */
  gave(bytes: number): void {
    this.#outBytes += bytes
    if (this.#outBytes > FREE_BYTES && this.#outBytes > this.#inBytes * MAX_RATIO)
      throw new GateError('ERR_GATE_LIMIT', `the answer grows more than ${MAX_RATIO} times when it is decoded`)
  }
}
