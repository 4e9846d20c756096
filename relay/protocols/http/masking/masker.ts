// What every masker of bodies is, and what all of them are wrapped in: text in UTF-8, and nothing more after a failure. Pure.
import { isUtf8 } from 'node:buffer'
import { GateError } from '@gate/shared/errors'

/** Masks one body, piece by piece. */
export interface BodyMasker {
  /**
   * Masked bytes that can leave now; often none, and sometimes those of earlier pieces. They may be a slice of `bytes`;
   * nothing else keeps a hold of these.
   * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when the body is not what its type says, ERR_GATE_LIMIT when a part of
   * it is too long. Nothing that must be masked has left then, and every later call throws the same.
   */
  push(bytes: Buffer): Buffer
  /** The rest. @throws {GateError} as `push`; also when the body ends too early. */
  end(): Buffer
}

export const NOTHING: Buffer = Buffer.alloc(0)

/** The bytes of a character that are missing at most. */
const MAX_CHARACTER_BYTES = 4

/** For bodies of which nothing is masked. */
export const untouched: BodyMasker = { push: bytes => bytes, end: () => NOTHING }

/** How many bytes at the end begin a character without ending it. */
function unfinished(bytes: Buffer): number {
  for (let back = 1; back < MAX_CHARACTER_BYTES && back <= bytes.length; back += 1) {
    const byte = bytes[bytes.length - back] ?? 0
    if (byte < 0x80) return 0
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0
  }
  return 0
}

function brokenText(): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', 'the body is not text in UTF-8')
}

/**
 * Lets only UTF-8 without NUL through to a masker: readers of other bytes could see other names and values in them (UTF-16,
 * overlong forms). Remembers a failure.
 */
export class GuardedMasker implements BodyMasker {
  readonly #masker: BodyMasker
  #failure: unknown
  /** The beginning of a character whose rest has not come. */
  #rest: Buffer = NOTHING

  constructor(masker: BodyMasker) {
    this.#masker = masker
  }

  push(bytes: Buffer): Buffer {
    return this.#once(() => {
      const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes])
      const whole = all.subarray(0, all.length - unfinished(all))
      if (!isUtf8(whole) || whole.includes(0)) throw brokenText()
      this.#rest = Buffer.from(all.subarray(whole.length))
      return whole.length === 0 ? NOTHING : this.#masker.push(whole)
    })
  }

  end(): Buffer {
    return this.#once(() => {
      if (this.#rest.length > 0) throw brokenText()
      return this.#masker.end()
    })
  }

  #once(step: () => Buffer): Buffer {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return step()
    } catch (thrown) {
      this.#failure = thrown
      throw thrown
    }
  }
}
