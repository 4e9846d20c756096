// A PostgreSQL client that only counts bytes, so that it is never what a measurement waits for.
import { connect as connectTcp, type Socket } from 'node:net'
import { client } from './wire.ts'

export interface Endpoint {
  readonly port: number
  readonly user: string
  readonly database: string
}

export interface Answered {
  readonly bytes: number
  readonly seconds: number
  /** The end of the answer, where the command tag is. */
  readonly tail: string
}

export interface QueryOptions {
  /** Called with all bytes so far; a promise stops the reading until it resolves. */
  readonly progress?: (bytes: number) => Promise<void> | undefined
}

const READ_BYTES = 256 * 1024
const TAIL_BYTES = 256
/**
 * ReadyForQuery. The answer ends where its bytes end with these six: no text of the benchmark's data ends with a capital Z,
 * and what follows a binary integer is never a length of five, so it cannot stand anywhere else.
 */
const READY = Buffer.from('Z\0\0\0\x05I', 'latin1')
const ERROR = 'E'.charCodeAt(0)

/** One connection, made and logged in; the servers of the benchmark ask for no password. */
export class RawClient implements AsyncDisposable {
  readonly #socket: Socket
  #bytes = 0
  #tail = Buffer.alloc(0)
  #first: number | undefined
  #progress: QueryOptions['progress']
  #settle: { resolve(): void; reject(cause: Error): void } | undefined

  private constructor(endpoint: Endpoint) {
    this.#socket = connectTcp({
      host: '127.0.0.1',
      port: endpoint.port,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BYTES),
        callback: (count, bytes) => this.#read(count, bytes as Buffer),
      },
    })
    this.#socket.on('error', cause => this.#settle?.reject(cause))
    this.#socket.on('close', () => this.#settle?.reject(new Error(`the connection was closed: ${this.#tail}`)))
  }

  static async open(endpoint: Endpoint): Promise<RawClient> {
    const opened = new RawClient(endpoint)
    await opened.#exchange(client.startup(endpoint.user, endpoint.database))
    return opened
  }

  #read(count: number, buffer: Buffer): boolean {
    this.#first ??= buffer[0]
    this.#bytes += count
    const end = buffer.subarray(Math.max(0, count - TAIL_BYTES), count)
    this.#tail = Buffer.from(count >= TAIL_BYTES ? end : Buffer.concat([this.#tail, end]).subarray(-TAIL_BYTES))
    if (this.#tail.subarray(-READY.length).equals(READY)) {
      if (this.#first === ERROR) this.#settle?.reject(new Error(`the server refused: ${this.#tail.toString('utf8')}`))
      else this.#settle?.resolve()
      return true
    }
    const wait = this.#progress?.(this.#bytes)
    if (wait === undefined) return true
    wait.then(
      () => this.#socket.resume(),
      () => this.#socket.destroy(),
    )
    return false
  }

  async #exchange(bytes: Buffer): Promise<void> {
    this.#bytes = 0
    this.#tail = Buffer.alloc(0)
    this.#first = undefined
    const answered = new Promise<void>((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
    this.#socket.write(bytes)
    try {
      await answered
    } finally {
      this.#settle = undefined
    }
  }

  query(sql: string, options: QueryOptions = {}): Promise<Answered> {
    return this.send(client.query(sql), options)
  }

  /** Sends messages that the server answers with one ReadyForQuery. */
  async send(messages: Buffer, options: QueryOptions = {}): Promise<Answered> {
    this.#progress = options.progress
    const began = performance.now()
    await this.#exchange(messages)
    const seconds = (performance.now() - began) / 1000
    return { bytes: this.#bytes, seconds, tail: this.#tail.toString('latin1') }
  }

  /** Says goodbye and waits until the other side has closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.destroyed) return
    const closed = new Promise(resolve => this.#socket.once('close', resolve))
    this.#socket.end(client.terminate)
    await closed
  }
}
