// The name of a member of JSON as it comes, perhaps in pieces, and the place that it leads to. Pure.
import { Held } from './held.ts'
import { type Scan, scanString } from './json-grammar.ts'
import { MAX_NAME_BYTES } from './json-place.ts'
import { textOfString } from './json-values.ts'
import type { PathState, Paths } from './paths.ts'

export class MemberName {
  readonly #paths: Paths
  readonly #scan: Scan
  readonly #held = new Held('a name in the body', MAX_NAME_BYTES)
  /** Where it begins in the bytes that are there. */
  #start = 0

  constructor(paths: Paths, scan: Scan) {
    this.#paths = paths
    this.#scan = scan
  }

  /** Its quote stands at `at`. */
  begin(at: number): void {
    this.#scan.escape = 0
    this.#scan.hasEscapes = false
    this.#start = at
  }

  /** Other bytes come; of a name that has begun they are the rest. */
  next(): void {
    this.#start = 0
  }

  /** The place behind its closing quote; less than nothing when that is not there. */
  read(bytes: Buffer, at: number): number {
    return scanString(bytes, at, this.#scan)
  }

  /** Keeps what has come of it. @throws {GateError} ERR_GATE_LIMIT */
  keep(bytes: Buffer): void {
    this.#held.add(bytes, this.#start)
  }

  /** The path below `around` that it leads to; it ends in front of `end`. @throws {GateError} ERR_GATE_LIMIT */
  below(around: PathState, bytes: Buffer, end: number): PathState {
    if (this.#held.length === 0 && !this.#scan.hasEscapes) {
      this.#held.check(end - this.#start)
      return this.#paths.below(around, bytes, this.#start + 1, end - 1)
    }
    const raw = this.#held.takeWith(bytes, this.#start, end)
    return this.#scan.hasEscapes
      ? this.#paths.belowText(around, textOfString(raw))
      : this.#paths.below(around, raw, 1, raw.length - 1)
  }
}
