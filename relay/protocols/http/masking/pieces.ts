// A body in pieces that are masked one by one, each when its end has come: rows, events. Pure.
import { Held } from './held.ts'
import { NOTHING } from './masker.ts'

const BYTE_ORDER_MARK = Buffer.from('\ufeff')

export class Pieces {
  readonly #endsWith: (byte: number) => boolean
  readonly #mask: (piece: Buffer) => Buffer
  readonly #held: Held
  #isStart = true

  /**
   * `what` names a piece to people, when one is longer than the limit. `endsWith` is asked of each byte once, in order, and
   * says whether a piece ends behind it.
   */
  constructor(what: string, limitBytes: number, endsWith: (byte: number) => boolean, mask: (piece: Buffer) => Buffer) {
    this.#held = new Held(what, limitBytes)
    this.#endsWith = endsWith
    this.#mask = mask
  }

  /** The pieces that end in these bytes, masked. A byte order mark passes. @throws {GateError} ERR_GATE_LIMIT, and what masking throws. */
  push(bytes: Buffer): Buffer {
    const out: Buffer[] = []
    let start = 0
    // Characters come whole, so this one does.
    if (this.#isStart && bytes.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)) {
      out.push(BYTE_ORDER_MARK)
      start = BYTE_ORDER_MARK.length
    }
    this.#isStart = false
    for (let at = start; at < bytes.length; at += 1) {
      if (!this.#endsWith(bytes[at] ?? 0)) continue
      out.push(this.#mask(this.#held.takeWith(bytes, start, at + 1)))
      start = at + 1
    }
    this.#held.add(bytes, start)
    return Buffer.concat(out)
  }

  /** The last piece, masked, when it has no end. @throws {GateError} what masking throws. */
  end(): Buffer {
    return this.#held.length === 0 ? NOTHING : this.#mask(this.#held.take())
  }
}
