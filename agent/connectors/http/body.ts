// The body of a request on its way to the service.
import { Readable } from 'node:stream'
import { GateError } from '@gate/shared/errors'

/** A body that has to be signed is kept whole; longer ones do not pass. */
export const MAX_SIGNED_BODY_BYTES = 8 * 1024 * 1024

/** What comes of a body, for the service to take; what nobody wants any more is dropped, so that the next request can be read. */
export class RequestBody extends Readable {
  /** Of what is still to come; undefined where nobody said. */
  #leftBytes: number | undefined
  #isEnded = false
  #room: Promise<void> | undefined
  #makeRoom = (): void => {}

  constructor(length: number | undefined) {
    super()
    this.#leftBytes = length
    // undici stops listening when the answer is there.
    this.on('error', () => {})
    this.once('close', () => this.#makeRoom())
  }

  /** All of it has come. */
  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Set while it takes no more. */
  get room(): Promise<void> | undefined {
    return this.#room
  }

  /** @throws {GateError} ERR_GATE_PROTOCOL for more than was said. */
  put(bytes: Buffer): void {
    if (this.#leftBytes !== undefined) this.#leftBytes -= bytes.length
    if (this.#isEnded || (this.#leftBytes ?? 0) < 0)
      throw new GateError('ERR_GATE_PROTOCOL', 'a body is longer than was said')
    if (this.destroyed || this.push(bytes)) return
    this.#room ??= new Promise(resolve => {
      this.#makeRoom = () => {
        this.#room = undefined
        resolve()
      }
    })
  }

  /** @throws {GateError} ERR_GATE_PROTOCOL for less than was said. */
  finish(): void {
    if (this.#isEnded || (this.#leftBytes ?? 0) !== 0)
      throw new GateError('ERR_GATE_PROTOCOL', 'a body is shorter than was said')
    this.#isEnded = true
    if (!this.destroyed) this.push(null)
  }

  override _read(): void {
    this.#makeRoom()
  }
}

/**
 * The whole body, of which something is to be made that needs all of it.
 * @throws {GateError} ERR_GATE_LIMIT above the maximum, ERR_GATE_CANCELLED when it breaks off.
 */
export async function wholeBody(body: Readable, maximumBytes: number, purpose: 'signed' | 'approved'): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += (chunk as Buffer).length
    if (bytes > maximumBytes)
      throw new GateError('ERR_GATE_LIMIT', `a body of more than ${maximumBytes} bytes cannot be ${purpose}`)
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}
