// The form of what a tunnel carries: frames of many channels, packed into WebSocket messages. Pure.
//
// A frame is 8 bytes (channel, kind, length) and its payload. A WebSocket message holds any number of them. The payload of a
// long `data` frame is not copied into it: that frame is the last of its message, and the next message is the payload as it is.
import { GateError } from '../errors.ts'
import { MAX_CONTROL_BYTES } from '../messages.ts'
import { MAX_FRAME_BYTES } from './limits.ts'

export const KINDS = ['open', 'data', 'data-follows', 'message', 'credit', 'close'] as const
export type Kind = (typeof KINDS)[number]

export const HEADER_BYTES = 8
/** Longer data goes as a message of its own, uncopied: from about here on a copy costs more than a message. */
const COPY_BYTES = 4096
/** Frames are packed into pieces of this. */
const SLAB_BYTES = 64 * 1024
export const MAX_CHANNEL_ID = 0xffff_ffff

const none = Buffer.alloc(0)
const numbers = Object.fromEntries(KINDS.map((kind, at) => [kind, at])) as Record<Kind, number>

/** Packs frames until they are taken. */
export class FramePacker {
  readonly #ready: Buffer[] = []
  #slab = Buffer.allocUnsafe(SLAB_BYTES)
  #start = 0
  #at = 0
  #bytes = 0

  /** Bytes that wait to be taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** `payload` may be changed by its owner only when it is shorter than 4 kB. */
  add(channel: number, kind: Exclude<Kind, 'data-follows'>, payload: Buffer): void {
    if (kind === 'data' && payload.length > COPY_BYTES) return this.#follow(channel, payload)
    this.#header(channel, numbers[kind], payload.length, payload.length)
    this.#at += payload.copy(this.#slab, this.#at)
    this.#bytes += payload.length
  }

  addCredit(channel: number, bytes: number): void {
    this.#header(channel, numbers.credit, 4, 4)
    this.#at = this.#slab.writeUInt32BE(bytes, this.#at)
    this.#bytes += 4
  }

  addClose(channel: number): void {
    this.add(channel, 'close', none)
  }

  /** What was packed, as messages in order. */
  take(): Buffer[] {
    this.#cut()
    this.#bytes = 0
    return this.#ready.splice(0)
  }

  #follow(channel: number, payload: Buffer): void {
    this.#header(channel, numbers['data-follows'], payload.length, 0)
    this.#cut()
    this.#ready.push(payload)
    this.#bytes += payload.length
  }

  #header(channel: number, kind: number, length: number, room: number): void {
    if (this.#slab.length - this.#at < HEADER_BYTES + room) this.#renew(HEADER_BYTES + room)
    this.#at = this.#slab.writeUInt32BE(channel, this.#at)
    this.#at = this.#slab.writeUInt32BE(kind * 2 ** 24 + length, this.#at)
    this.#bytes += HEADER_BYTES
  }

  /** What was taken is still being sent: it is never written over. */
  #renew(room: number): void {
    this.#cut()
    this.#slab = Buffer.allocUnsafe(Math.max(SLAB_BYTES, room))
    this.#start = 0
    this.#at = 0
  }

  #cut(): void {
    if (this.#at > this.#start) this.#ready.push(this.#slab.subarray(this.#start, this.#at))
    this.#start = this.#at
  }
}

/** Takes messages apart again. */
export class FrameReader {
  /** The channel whose payload the next message is, and its length. */
  #follows: { readonly channel: number; readonly length: number } | undefined

  /**
   * Gives each frame of a message to `take`; payloads are views of the message.
   * @throws {GateError} ERR_GATE_PROTOCOL or ERR_GATE_LIMIT; what comes after is not to be read any more.
   */
  read(message: Buffer, take: (channel: number, kind: Kind, payload: Buffer) => void): void {
    const follows = this.#follows
    if (follows !== undefined) {
      if (message.length !== follows.length) throw broken('a payload has another length than was said')
      this.#follows = undefined
      return take(follows.channel, 'data', message)
    }
    let at = 0
    while (at < message.length) {
      if (message.length - at < HEADER_BYTES) throw broken('a frame is cut off')
      const channel = message.readUInt32BE(at)
      const word = message.readUInt32BE(at + 4)
      const kind = KINDS[word >>> 24]
      const length = word & 0xff_ffff
      if (kind === undefined) throw broken('a frame is of no known kind')
      checkLength(kind, length)
      at += HEADER_BYTES
      if (kind === 'data-follows') {
        if (at !== message.length) throw broken('a payload that was to follow does not')
        this.#follows = { channel, length }
        return
      }
      if (message.length - at < length) throw broken('a frame is cut off')
      take(channel, kind, message.subarray(at, at + length))
      at += length
    }
  }
}

function checkLength(kind: Kind, length: number): void {
  const limit = kind === 'data' || kind === 'data-follows' ? MAX_FRAME_BYTES : MAX_CONTROL_BYTES
  if (length > limit) throw new GateError('ERR_GATE_LIMIT', `a frame of kind ${kind} has more than ${limit} bytes`)
  if (kind === 'credit' && length !== 4) throw broken('a frame of credit has another length than 4')
}

function broken(message: string): GateError {
  return new GateError('ERR_GATE_PROTOCOL', message)
}
