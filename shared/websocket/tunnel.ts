// Many channels in one WebSocket: what is written to any of them in one turn leaves in one system call.
import type { Duplex } from 'node:stream'
import { type RawData, WebSocket } from 'ws'
import { asGateError, type ErrorCode, GateError } from '../errors.ts'
import { packStreamMessage, parseStreamMessage, type StreamMessage } from '../messages.ts'
import { type Carrier, Channel } from './channel.ts'
import { FramePacker, FrameReader, HEADER_BYTES, type Kind, MAX_CHANNEL_ID } from './frames.ts'
import { MAX_CHANNELS, MAX_TUNNEL_GROWN_BYTES, MAX_UNTAKEN_BYTES, SEND_HIGH_WATER_BYTES } from './limits.ts'
import { closeSocket, Liveness } from './liveness.ts'
import { Growth, growthOfProcess } from './window.ts'

/** What is packed is sent at once when it is so much, and at the end of the turn otherwise. */
const FLUSH_BYTES = 64 * 1024

/** Takes a channel that the other side opened, and the message that it opened it with. */
export type Opened = (channel: Channel, message: StreamMessage) => void

export interface TunnelOptions {
  /** The code of the error that channels end with when the tunnel breaks without a word. */
  readonly lost: ErrorCode
  /** Without it the other side may not open channels. */
  readonly opened?: Opened
}

export class Tunnel implements Carrier {
  readonly #socket: WebSocket
  readonly #stream: Duplex
  readonly #options: TunnelOptions
  readonly #channels = new Map<number, Channel>()
  readonly #packer = new FramePacker()
  readonly #reader = new FrameReader()
  readonly #liveness: Liveness
  readonly growth = new Growth(MAX_TUNNEL_GROWN_BYTES, growthOfProcess)
  #flushing = false
  #full = false
  /** What was sent since it is full, beside data: nobody waits for room with that. */
  #untakenBytes = 0
  #room: Promise<void> | undefined
  #makeRoom: () => void = () => {}
  /** The newest channel of either side; each side's tunnel is opened into by one side only. */
  #newest = 0
  #retired = false
  /** Resolves when the WebSocket is closed, whatever the reason. */
  readonly closed: Promise<void>

  /** `stream` is what the WebSocket runs over. */
  constructor(socket: WebSocket, stream: Duplex, options: TunnelOptions) {
    this.#socket = socket
    this.#stream = stream
    this.#options = options
    socket.on('message', (data, isBinary) => this.#received(data, isBinary))
    let cause: GateError | undefined
    socket.on('error', thrown => {
      cause = asGateError(thrown, options.lost, 'the tunnel broke')
    })
    stream.on('drain', () => this.#drained())
    socket.on('close', () => this.#leave(cause))
    this.#liveness = new Liveness(socket)
    this.closed = this.#liveness.closed
  }

  /** When the other side was last heard of, by `performance.now()`. */
  get heardMs(): number {
    return this.#liveness.heardMs
  }

  get roundTripMs(): number | undefined {
    return this.#liveness.roundTripMs
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN
  }

  /** Asks the other side for a sign of life, which `heardMs` shows. */
  ping(): void {
    this.#liveness.ping()
  }

  /** Whether channels can be opened in it. */
  get usable(): boolean {
    return this.open && !this.#retired && this.#newest < MAX_CHANNEL_ID
  }

  /** Channels that are not over. */
  get count(): number {
    return this.#channels.size
  }

  /** Opens a channel with its first message. @throws {GateError} ERR_GATE_LIMIT, also for a message that is too long. */
  openChannel(message: StreamMessage): Channel {
    const text = packStreamMessage(message)
    if (this.#channels.size >= MAX_CHANNELS)
      throw new GateError('ERR_GATE_LIMIT', `a tunnel carries ${MAX_CHANNELS} connections already`)
    this.#newest += 1
    const channel = this.#add(this.#newest)
    // Whoever tells channels of the end of the tunnel has told them already.
    if (!this.open) channel.leave()
    this.#packer.add(this.#newest, 'open', Buffer.from(text))
    this.#flushSoon()
    return channel
  }

  /** Closes it when its last channel is over, or now if it has none. No channel can be opened in it any more. */
  retire(): void {
    this.#retired = true
    if (this.#channels.size === 0) this.destroy()
  }

  /** Closes it when it has no channel at one of the times, so far apart, at which that is looked at. */
  closeWhenIdle(idleMs: number): void {
    const timer = setInterval(() => {
      if (this.#channels.size === 0) this.destroy()
    }, idleMs)
    timer.unref()
    void this.closed.then(() => clearInterval(timer))
  }

  /** Ends all its channels. */
  destroy(cause?: GateError): void {
    this.#retired = true
    if (this.#socket.readyState >= WebSocket.CLOSING) return
    this.#flush()
    closeSocket(this.#socket)
    this.#leave(cause)
  }

  sendData(channel: number, bytes: Buffer): void {
    this.#packer.add(channel, 'data', bytes)
    this.#flushSoon()
  }

  sendMessage(channel: number, text: string): void {
    const bytes = Buffer.from(text)
    this.#packer.add(channel, 'message', bytes)
    this.#untaken(bytes.length)
    this.#flushSoon()
  }

  sendCredit(channel: number, bytes: number): void {
    this.#packer.addCredit(channel, bytes)
    this.#untaken(4)
    this.#flushSoon()
  }

  sendClose(channel: number): void {
    this.#packer.addClose(channel)
    this.#untaken(0)
    this.#flushSoon()
  }

  room(): Promise<void> | undefined {
    if (!this.#full || !this.open) return undefined
    this.#room ??= new Promise(resolve => {
      this.#makeRoom = resolve
    })
    return this.#room
  }

  forget(channel: number): void {
    this.#channels.delete(channel)
    if (this.#retired && this.#channels.size === 0) setImmediate(() => this.destroy())
  }

  #add(id: number): Channel {
    const channel = new Channel(this, id, this.#options.lost)
    this.#channels.set(id, channel)
    return channel
  }

  /** All that is ready to be read in this turn is read first: what comes of it leaves together. */
  #flushSoon(): void {
    if (this.#packer.bytes >= FLUSH_BYTES) return this.#flush()
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const messages = this.#packer.take()
    if (!this.open || messages.length === 0) return
    this.#stream.cork()
    for (const message of messages) this.#socket.send(message)
    this.#stream.uncork()
    if (this.#stream.writableLength > SEND_HIGH_WATER_BYTES) this.#full = true
  }

  /** A peer that reads nothing could have its channels refused for ever, and every refusal would be kept. */
  #untaken(bytes: number): void {
    if (!this.#full) return
    this.#untakenBytes += HEADER_BYTES + bytes
    if (this.#untakenBytes > MAX_UNTAKEN_BYTES) this.#socket.terminate()
  }

  #drained(): void {
    this.#full = false
    this.#untakenBytes = 0
    this.#makeRoom()
    this.#room = undefined
  }

  #received(data: RawData, isBinary: boolean): void {
    // What comes while it closes is of channels that are over.
    if (!this.open) return
    try {
      if (!isBinary) throw new GateError('ERR_GATE_PROTOCOL', 'a text message in a tunnel')
      this.#reader.read(data as Buffer, (id, kind, payload) => this.#take(id, kind, payload))
    } catch (thrown) {
      this.destroy(asGateError(thrown))
    }
  }

  #take(id: number, kind: Kind, payload: Buffer): void {
    if (kind === 'open') return this.#opened(id, payload)
    const channel = this.#channels.get(id)
    if (channel === undefined) {
      // Its other side had not heard yet that it is over.
      if (id <= this.#newest) return
      throw new GateError('ERR_GATE_PROTOCOL', 'a frame of a channel that was never opened')
    }
    if (kind === 'data') channel.receive(payload)
    else if (kind === 'message') channel.hear(payload.toString('utf8'))
    else if (kind === 'credit') channel.allow(payload.readUInt32BE())
    else channel.leave()
  }

  #opened(id: number, payload: Buffer): void {
    const { opened } = this.#options
    if (opened === undefined) throw new GateError('ERR_GATE_PROTOCOL', 'the other side may not open channels')
    if (id <= this.#newest) throw new GateError('ERR_GATE_PROTOCOL', 'a channel was opened twice')
    this.#newest = id
    const channel = this.#add(id)
    if (this.#channels.size > MAX_CHANNELS)
      return channel.destroy(
        new GateError('ERR_GATE_LIMIT', `a tunnel carries ${MAX_CHANNELS} connections already`, {
          hint: 'Close some.',
        }),
      )
    let message: StreamMessage
    try {
      message = parseStreamMessage(payload.toString('utf8'))
    } catch (thrown) {
      return channel.destroy(asGateError(thrown))
    }
    opened(channel, message)
  }

  #leave(cause: GateError | undefined): void {
    for (const channel of [...this.#channels.values()]) channel.leave(cause)
    this.#drained()
  }
}
