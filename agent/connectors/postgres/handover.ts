// The stream on which pg logs in: it shows pg exactly the login's messages, keeps what the client has to see of them,
// and then lets go of the socket without a byte lost.
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { GateError } from '@gate/shared/errors'

/** PQ_SMALL_MESSAGE_LIMIT and then some: a login has no long messages. */
const MAX_LOGIN_MESSAGE_BYTES = 64 * 1024
const MAX_LOGIN_BYTES = 1024 * 1024

const AUTHENTICATION = 'R'.charCodeAt(0)
const READY_FOR_QUERY = 'Z'.charCodeAt(0)
const BACKEND_KEY_DATA = 'K'.charCodeAt(0)

/** What pg ends its start-up packet with; of settings that come twice the server takes the last. */
const ownEncoding = Buffer.from('client_encoding\0UTF8\0\0')

export class LoginStream extends Duplex {
  readonly #socket: Socket | TLSSocket
  /** What the client asked for; taken when the start-up packet is out. */
  #clientEncoding: string | undefined
  #bytes = Buffer.alloc(0)
  #total = 0
  #authenticated = false
  #done = false
  /** What the client has to see of the login: notices, parameter statuses, ReadyForQuery. */
  readonly #kept: Buffer[] = []

  /** With `clientEncoding`, the session begins with that instead of UTF8. */
  constructor(socket: Socket | TLSSocket, clientEncoding: string | undefined) {
    super({ allowHalfOpen: true })
    this.#socket = socket
    this.#clientEncoding = clientEncoding
    socket.on('data', this.#receive)
    socket.on('end', this.#ended)
    socket.on('close', this.#ended)
    socket.on('error', this.#failed)
    socket.resume()
  }

  // pg's Connection treats its stream as a net.Socket that still has to connect.
  connect(): void {
    queueMicrotask(() => this.emit('connect'))
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }

  /** SCRAM's channel binding takes the server's certificate from here; without TLS there is none, and then no method. */
  get getPeerCertificate(): (() => ReturnType<TLSSocket['getPeerCertificate']>) | undefined {
    const socket = this.#socket
    return 'getPeerCertificate' in socket ? () => socket.getPeerCertificate() : undefined
  }

  readonly #ended = (): void => {
    if (!this.#done) this.push(null)
  }

  readonly #failed = (error: Error): void => {
    if (!this.#done) this.destroy(error)
  }

  readonly #receive = (chunk: Buffer): void => {
    this.#bytes = Buffer.concat([this.#bytes, chunk])
    this.#total += chunk.length
    if (this.#total > MAX_LOGIN_BYTES) return this.#impossible()
    while (!this.#done && this.#bytes.length >= 5) {
      const length = this.#bytes.readInt32BE(1)
      if (length < 4 || length > MAX_LOGIN_MESSAGE_BYTES) return this.#impossible()
      if (this.#bytes.length <= length) return
      const message = this.#bytes.subarray(0, length + 1)
      this.#bytes = this.#bytes.subarray(length + 1)
      this.#message(message)
    }
  }

  #message(message: Buffer): void {
    const type = message[0]
    if (this.#authenticated && type !== BACKEND_KEY_DATA) this.#kept.push(Buffer.from(message))
    if (type === AUTHENTICATION && message.length >= 9 && message.readInt32BE(5) === 0) this.#authenticated = true
    if (type === READY_FOR_QUERY) {
      this.#done = true
      this.#socket.pause()
      this.#socket.off('data', this.#receive)
    }
    this.push(message)
  }

  #impossible(): void {
    this.destroy(
      new GateError('ERR_GATE_TARGET_PROTOCOL', 'the server sent a message of impossible length during login'),
    )
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    // After the handover nothing that pg still wants to say may reach the server.
    if (this.#done) return callback()
    const encoding = this.#clientEncoding
    this.#clientEncoding = undefined
    const packet = encoding === undefined ? chunk : withEncoding(chunk, encoding)
    if (packet instanceof Error) callback(packet)
    else this.#socket.write(packet, callback)
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.#done) this.#socket.destroy()
    callback(error)
  }

  /** The paused socket and the bytes that come before what it will still read. Call it once pg is logged in. */
  handOver(): { socket: Socket | TLSSocket; first: Buffer } {
    this.#socket.off('end', this.#ended)
    this.#socket.off('close', this.#ended)
    this.#socket.off('error', this.#failed)
    return { socket: this.#socket, first: Buffer.concat([...this.#kept, this.#bytes]) }
  }
}

/** A start-up packet of pg with another client_encoding. */
function withEncoding(startup: Buffer, encoding: string): Buffer | GateError {
  if (!startup.subarray(-ownEncoding.length).equals(ownEncoding))
    return new GateError('ERR_GATE_INTERNAL', 'the start-up packet does not end with client_encoding')
  const own = Buffer.from(`client_encoding\0${encoding}\0\0`)
  const packet = Buffer.concat([startup.subarray(0, -ownEncoding.length), own])
  packet.writeInt32BE(packet.length, 0)
  return packet
}
