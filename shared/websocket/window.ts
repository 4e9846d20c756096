// How much the other side of a channel may send: it grows to what a long way holds, within what tunnel and process may have.
import { GateError } from '../errors.ts'
import { UNIT_OVERHEAD_BYTES } from '../port.ts'
import { MAX_FRAME_BYTES, MAX_GROWN_BYTES, MAX_WINDOW_BYTES, WINDOW_BYTES } from './limits.ts'

/** Credit is given back in pieces of this, so that few frames are spent on it. */
const CREDIT_STEP_BYTES = WINDOW_BYTES / 4
/** On shorter ways a window that does not grow lets a hundred megabytes through in a second. */
const MIN_LONG_WAY_MS = 5
/** Whoever answers slowly would be taken for far away. */
const MAX_LONG_WAY_MS = 1_000

/** Bytes that windows may grow by in all, together with others of the same parent. */
export class Growth {
  readonly #maxBytes: number
  readonly #parent: Growth | undefined
  #bytes = 0

  constructor(maxBytes: number, parent?: Growth) {
    this.#maxBytes = maxBytes
    this.#parent = parent
  }

  /** False when they are not to be had. */
  take(bytes: number): boolean {
    if (this.#bytes + bytes > this.#maxBytes) return false
    if (this.#parent !== undefined && !this.#parent.take(bytes)) return false
    this.#bytes += bytes
    return true
  }

  giveBack(bytes: number): void {
    this.#bytes -= bytes
    this.#parent?.giveBack(bytes)
  }
}

/** What all tunnels of a process have. */
export const growthOfProcess = new Growth(MAX_GROWN_BYTES)

/** What a window knows of the tunnel that it is in. */
export interface Way {
  /** The shortest time that a ping took to come back; undefined as long as none did. */
  readonly roundTripMs: number | undefined
  readonly growth: Growth
}

/**
 * The receiving side's account of a channel: what came, what was read, and what is given back as credit. A window that is read
 * empty in less than two round trips is what holds its sender up, so it is doubled, up to 8 MiB.
 */
export class ReceiveWindow {
  readonly #way: Way
  readonly #nowMs: () => number
  #windowBytes = WINDOW_BYTES
  /** Received and not given back as credit, read or not. */
  #owedBytes = 0
  #readBytes = 0
  /** Read since then. */
  #sinceBytes = 0
  #sinceMs: number

  constructor(way: Way, nowMs: () => number = () => performance.now()) {
    this.#way = way
    this.#nowMs = nowMs
    this.#sinceMs = nowMs()
  }

  /** Bytes came. @throws {GateError} ERR_GATE_PROTOCOL when they are more than there was room for. */
  receive(bytes: number): void {
    this.#owedBytes += bytes
    // The last piece before the credit is used up may go beyond it.
    if (this.#owedBytes > this.#windowBytes + MAX_FRAME_BYTES + UNIT_OVERHEAD_BYTES)
      throw new GateError('ERR_GATE_PROTOCOL', 'a stream got more bytes than it had room for')
  }

  /** Bytes were read. Gives the credit for the other side, 0 while it is too little to be sent. */
  read(bytes: number): number {
    this.#readBytes += bytes
    if (this.#readBytes < CREDIT_STEP_BYTES) return 0
    const credit = this.#readBytes
    this.#owedBytes -= credit
    this.#readBytes = 0
    return credit + this.#grow(credit)
  }

  /** The channel is over. */
  close(): void {
    this.#way.growth.giveBack(this.#windowBytes - WINDOW_BYTES)
    this.#windowBytes = WINDOW_BYTES
  }

  #grow(bytes: number): number {
    this.#sinceBytes += bytes
    if (this.#sinceBytes < this.#windowBytes) return 0
    const now = this.#nowMs()
    const tookMs = now - this.#sinceMs
    this.#sinceBytes = 0
    this.#sinceMs = now
    const { roundTripMs, growth } = this.#way
    if (roundTripMs === undefined || roundTripMs < MIN_LONG_WAY_MS) return 0
    if (tookMs >= 2 * Math.min(roundTripMs, MAX_LONG_WAY_MS)) return 0
    const more = Math.min(this.#windowBytes, MAX_WINDOW_BYTES - this.#windowBytes)
    if (more === 0 || !growth.take(more)) return 0
    this.#windowBytes += more
    return more
  }
}
