// The frames of a body in Zstandard (RFC 8878, 3.1), followed to know of each what it asks of a decoder. Pure.
import { GateError } from '@gate/shared/errors'

/** What RFC 9659 allows in HTTP; a header of a few bytes could ask for gigabytes. */
export const MAX_WINDOW_BYTES = 8 * 1024 * 1024

const MAGIC = 0xfd2fb528
/** The last four bits are anything. */
const SKIPPABLE_MAGIC = 0x184d2a50
const MAGIC_BYTES = 4
const SKIPPABLE_HEADER_BYTES = 8
const BLOCK_HEADER_BYTES = 3
const CHECKSUM_BYTES = 4
/** Blocks of this type are one byte, repeated. */
const RLE_BLOCK = 1
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const

function broken(what: string): GateError {
  return new GateError('ERR_GATE_TARGET_PROTOCOL', `the answer is not valid Zstandard: ${what}`)
}

export class ZstdFrames {
  #held: Buffer = Buffer.alloc(0)
  #where: 'frame' | 'block' | 'checksum' = 'frame'
  #hasChecksum = false
  /** Bytes that say nothing. */
  #skip = 0

  /** Looks at the next bytes of the body. @throws {GateError} ERR_GATE_TARGET_PROTOCOL, ERR_GATE_LIMIT for a window that is too large. */
  push(bytes: Buffer): void {
    let rest = this.#held.length === 0 ? bytes : Buffer.concat([this.#held, bytes])
    this.#held = Buffer.alloc(0)
    for (;;) {
      const skipped = Math.min(this.#skip, rest.length)
      this.#skip -= skipped
      rest = rest.subarray(skipped)
      if (rest.length === 0) return
      const taken = this.#take(rest)
      if (taken === 0) {
        this.#held = Buffer.from(rest)
        return
      }
      rest = rest.subarray(taken)
    }
  }

  /** The length of what comes next; 0 while not all of it is there. */
  #take(bytes: Buffer): number {
    switch (this.#where) {
      case 'frame':
        return this.#takeFrameHeader(bytes)
      case 'block':
        return this.#takeBlockHeader(bytes)
      case 'checksum':
        if (bytes.length < CHECKSUM_BYTES) return 0
        this.#where = 'frame'
        return CHECKSUM_BYTES
    }
  }

  #takeFrameHeader(bytes: Buffer): number {
    if (bytes.length <= MAGIC_BYTES) return 0
    const magic = bytes.readUInt32LE(0)
    if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
      if (bytes.length < SKIPPABLE_HEADER_BYTES) return 0
      this.#skip = bytes.readUInt32LE(MAGIC_BYTES)
      return SKIPPABLE_HEADER_BYTES
    }
    if (magic !== MAGIC) throw broken('it begins with something else')
    return this.#takeDescriptor(bytes)
  }

  #takeDescriptor(bytes: Buffer): number {
    const descriptor = bytes[MAGIC_BYTES] ?? 0
    if ((descriptor & 0b1000) !== 0) throw broken('a reserved bit is set')
    if ((descriptor & 0b11) !== 0) throw broken('it needs a dictionary')
    const isSingle = (descriptor & 0b100000) !== 0
    const sizeFlag = descriptor >> 6
    const sizeBytes = sizeFlag === 0 && isSingle ? 1 : (CONTENT_SIZE_BYTES[sizeFlag] ?? 0)
    const windowAt = MAGIC_BYTES + 1
    // Between the two stands the name of a dictionary, where there is one.
    const sizeAt = windowAt + (isSingle ? 0 : 1)
    if (bytes.length < sizeAt + sizeBytes) return 0
    const window = isSingle ? contentSize(bytes, sizeAt, sizeBytes) : windowSize(bytes[windowAt] ?? 0)
    if (window > MAX_WINDOW_BYTES)
      throw new GateError('ERR_GATE_LIMIT', `decoding the answer takes a window of more than ${MAX_WINDOW_BYTES} bytes`)
    this.#hasChecksum = (descriptor & 0b100) !== 0
    this.#where = 'block'
    return sizeAt + sizeBytes
  }

  #takeBlockHeader(bytes: Buffer): number {
    if (bytes.length < BLOCK_HEADER_BYTES) return 0
    const header = bytes.readUIntLE(0, BLOCK_HEADER_BYTES)
    const isLast = (header & 1) === 1
    this.#skip = ((header >> 1) & 0b11) === RLE_BLOCK ? 1 : header >> 3
    if (isLast) this.#where = this.#hasChecksum ? 'checksum' : 'frame'
    return BLOCK_HEADER_BYTES
  }
}

/** 3.1.1.1.2: a power of two and eighths of it. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3))
  return base + (base / 8) * (descriptor & 0b111)
}

/** 3.1.1.1.4. */
function contentSize(bytes: Buffer, at: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(at))
  return bytes.readUIntLE(at, length) + (length === 2 ? 256 : 0)
}
