// WebSocket by hand: frames as nobody's library writes them, and what came back.
import { createHash } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { handshake, request } from './raw-requests.ts'

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface Frame {
  readonly opcode: number
  readonly payload: Buffer
  readonly isLast: boolean
}

export interface FrameOptions {
  readonly isLast?: boolean
  readonly isMasked?: boolean
  /** The three reserved bits. */
  readonly reserved?: number
  /** The length that it says it has. */
  readonly length?: number
}

/** A frame as a client sends it, if nothing else is said. @see https://www.rfc-editor.org/rfc/rfc6455#section-5.2 */
export function frame(opcode: number, payload: Buffer | string = '', options: FrameOptions = {}): Buffer {
  const { isLast = true, isMasked = true, reserved = 0 } = options
  const bytes = Buffer.from(payload)
  const { length = bytes.length } = options
  const mask = isMasked ? 0x80 : 0
  const first = (isLast ? 0x80 : 0) | (reserved << 4) | opcode
  let head = Buffer.from([first, mask | length])
  if (length > 125 && length < 65_536) {
    head = Buffer.from([first, mask | 126, 0, 0])
    head.writeUInt16BE(length, 2)
  } else if (length > 125) {
    head = Buffer.alloc(10)
    head[0] = first
    head[1] = mask | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  // A mask of zeros leaves the bytes as they are.
  return Buffer.concat([head, isMasked ? Buffer.alloc(4) : Buffer.alloc(0), bytes])
}

/** Frames without masks, as far as they are whole. */
export function readFrames(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + 2 <= bytes.length; ) {
    const [first = 0, second = 0] = bytes.subarray(at, at + 2)
    let [length, start] = [second & 0x7f, at + 2]
    if (length === 126) [length, start] = [bytes.readUInt16BE(start), start + 2]
    else if (length === 127) [length, start] = [Number(bytes.readBigUInt64BE(start)), start + 8]
    if (bytes.length < start + length) break
    frames.push({ opcode: first & 0x0f, payload: bytes.subarray(start, start + length), isLast: first >= 0x80 })
    at = start + length
  }
  return frames
}

/** The code of a close frame; undefined where there is none. */
export function closeCode(frames: readonly Frame[]): number | undefined {
  const found = frames.find(({ opcode }) => opcode === opcodes.close)
  return found === undefined || found.payload.length < 2 ? undefined : found.payload.readUInt16BE(0)
}

export interface RawWebSocket {
  readonly socket: Socket
  /** The head of the answer to the handshake. */
  readonly head: string
  frames(): Frame[]
  /** Resolves when so many frames are there, or the other side closed. */
  until(count: number): Promise<Frame[]>
  /** All frames, up to the one that closes it or the connection's end. */
  closed(): Promise<Frame[]>
}

/** Opens a WebSocket by hand. `more` are header fields of the handshake; `first` comes in one piece with it. */
export function openRaw(
  port: number,
  path: string,
  more = '',
  first: Uint8Array = Buffer.alloc(0),
): Promise<RawWebSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    let bytes = Buffer.alloc(0)
    let start = -1
    let isClosed = false
    const waiting = new Set<() => void>()
    const tell = (): void => {
      for (const each of [...waiting]) each()
    }
    const frames = (): Frame[] => readFrames(bytes.subarray(start))
    const until = (isThere: () => boolean): Promise<Frame[]> =>
      new Promise(done => {
        const look = (): void => {
          if (!isThere() && !isClosed) return
          waiting.delete(look)
          done(frames())
        }
        waiting.add(look)
        look()
      })
    socket.on('error', reject)
    socket.on('close', () => {
      isClosed = true
      if (start === -1) reject(new Error(`closed: ${bytes.toString('latin1')}`))
      tell()
    })
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      const end = bytes.indexOf('\r\n\r\n')
      if (start === -1 && end !== -1) {
        start = end + 4
        resolve({
          socket,
          head: bytes.toString('latin1', 0, start),
          frames,
          until: count => until(() => frames().length >= count),
          closed: async () => {
            const all = await until(() => frames().some(({ opcode }) => opcode === opcodes.close))
            socket.destroy()
            return all
          },
        })
      }
      tell()
    })
    const fields = `Connection: upgrade\r\n${handshake}${more === '' ? '' : `\r\n${more}`}`
    socket.write(Buffer.concat([Buffer.from(request(`GET ${path}`, fields), 'latin1'), first]))
  })
}

/** The answer of a service that agrees to a handshake. */
export function agreement(asked: string): string {
  const [, key = ''] = /^sec-websocket-key: (.*)$/im.exec(asked.replaceAll('\r', '')) ?? []
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`
}
