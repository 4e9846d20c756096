// A Port as a Node stream, for libraries that want one.
import { Duplex } from 'node:stream'
import { asGateError } from './errors.ts'
import type { Port } from './port.ts'

/** What is written in one turn is sent as one unit up to this length; joining longer ones would copy too much. */
const JOINED_BYTES = 64 * 1024

/** After the end the other side has this long to end as well. */
const LINGER_MS = 2_000

/** Makes a stream of a port: it must be read and written by nobody else from then on. */
export function portStream(port: Port<Buffer>): Duplex {
  return new PortStream(port)
}

class PortStream extends Duplex {
  readonly #port: Port<Buffer>
  readonly #units: AsyncIterator<Buffer>

  constructor(port: Port<Buffer>) {
    super({ allowHalfOpen: true })
    this.#port = port
    this.#units = port[Symbol.asyncIterator]()
  }

  override _read(): void {
    this.#units.next().then(
      ({ value, done }) => void this.push(done === true ? null : value),
      thrown => void this.destroy(asGateError(thrown)),
    )
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, written: (error?: Error | null) => void): void {
    if (this.#port.broken !== undefined) return written(this.#port.broken)
    const full = this.#port.write(chunk)
    if (full === undefined) written()
    else full.then(() => written(), written)
  }

  override _writev(
    chunks: { chunk: Buffer; encoding: BufferEncoding }[],
    written: (error?: Error | null) => void,
  ): void {
    const bytes = chunks.map(({ chunk }) => chunk)
    const length = bytes.reduce((sum, chunk) => sum + chunk.length, 0)
    if (length <= JOINED_BYTES) return this._write(Buffer.concat(bytes, length), 'utf8', written)
    if (this.#port.broken !== undefined) return written(this.#port.broken)
    const full = bytes.map(chunk => this.#port.write(chunk)).findLast(wait => wait !== undefined)
    if (full === undefined) written()
    else full.then(() => written(), written)
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#port.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (error === null && this.writableFinished) void this.#leave()
    else this.#port.destroy(asGateError(error, 'ERR_GATE_CANCELLED', 'the connection was closed'))
    done(error)
  }

  /** What was written is still on its way: the port is let go of when the other side has seen the end, too. */
  async #leave(): Promise<void> {
    const late = setTimeout(() => this.#port.destroy(), LINGER_MS).unref()
    try {
      for (let next = await this.#units.next(); next.done !== true; ) next = await this.#units.next()
    } catch {
      // The other side went away before it ended; there is nothing left to lose.
    } finally {
      clearTimeout(late)
    }
  }
}
