// JSON behind the line with which services keep it from being run as a script (Gerrit, Google's): `)]}'`. Pure.
import { type BodyMasker, NOTHING } from './masker.ts'

/** Whoever reads such JSON takes this line off, and whoever does not finds no JSON. */
const lines: readonly Buffer[] = [")]}'\n", ")]}',\n", ")]}'\r\n", ")]}',\r\n"].map(line => Buffer.from(line))
const FIRST = 0x29

/** Lets the line go on, should there be one, and gives what follows to a masker of JSON. */
export class GuardedJsonMasker implements BodyMasker {
  readonly #masker: BodyMasker
  /** What has come, as long as it may be the beginning of such a line. */
  #line: Buffer | undefined = NOTHING

  constructor(masker: BodyMasker) {
    this.#masker = masker
  }

  push(bytes: Buffer): Buffer {
    if (this.#line === undefined || bytes.length === 0) return this.#masker.push(bytes)
    if (this.#line.length === 0 && bytes[0] !== FIRST) {
      this.#line = undefined
      return this.#masker.push(bytes)
    }
    const all = Buffer.concat([this.#line, bytes])
    if (lines.some(line => line.length > all.length && line.subarray(0, all.length).equals(all))) {
      this.#line = all
      return NOTHING
    }
    this.#line = undefined
    const length = lines.find(line => line.equals(all.subarray(0, line.length)))?.length ?? 0
    return Buffer.concat([all.subarray(0, length), this.#masker.push(all.subarray(length))])
  }

  /** What began as the line and is none is no JSON either. */
  end(): Buffer {
    if (this.#line !== undefined && this.#line.length > 0) this.#masker.push(this.#line)
    return this.#masker.end()
  }
}
