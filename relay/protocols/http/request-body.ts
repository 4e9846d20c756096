// The body of a request on its way to the target.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import { type OverrideScan, thrownBy } from './overrides.ts'

/**
 * What has come of the body is taken in one go, however small the chunks were that it came in: each costs the target's side as
 * much as a large one. With a `scan` it is looked through: what must not reach the target breaks it off before.
 */
export class RequestBody extends Readable {
  readonly #request: IncomingMessage
  readonly #scan: OverrideScan | undefined
  #isWanted = false
  readonly #pass = (): void => {
    if (!this.#isWanted) return
    const chunk = this.#request.read() as Buffer | null
    if (chunk === null) return
    this.#isWanted = false
    const fault = thrownBy(() => this.#scan?.push(chunk))
    if (fault === undefined) this.push(chunk)
    else this.destroy(fault)
  }
  readonly #end = (): void => {
    const fault = thrownBy(() => this.#scan?.end())
    if (fault === undefined) this.push(null)
    else this.destroy(fault)
  }

  constructor(request: IncomingMessage, scan: OverrideScan | undefined) {
    super()
    this.#request = request
    this.#scan = scan
    // Whoever sends it is told as well.
    this.on('error', () => {})
    request.on('readable', this.#pass).once('end', this.#end)
    request.once('close', () => {
      if (!request.complete) this.destroy(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    })
    // Nobody wants the rest.
    this.once('close', () => void request.off('readable', this.#pass).off('end', this.#end).resume())
  }

  /** The target takes more, and nothing is there. */
  get isWanted(): boolean {
    return this.#isWanted && this.#request.readableLength === 0
  }

  override _read(): void {
    this.#isWanted = true
    this.#pass()
  }

  /**
   * Tells when the next byte does not come within the time. A target that is slow to take what has come is not the client's
   * fault, nor is silence once the answer has begun: then the two may speak as they like.
   */
  watch(
    response: ServerResponse,
    receivedBytes: () => number,
    idleMs: number,
    stalled: (cause: GateError) => void,
  ): void {
    let last = receivedBytes()
    const timer = setInterval(() => {
      if (this.#request.complete || response.headersSent) return clearInterval(timer)
      if (this.isWanted && receivedBytes() === last)
        return stalled(new GateError('ERR_GATE_CLIENT_TIMEOUT', `nothing came of the body for ${idleMs / 1000} s`))
      last = receivedBytes()
    }, idleMs)
    response.once('close', () => clearInterval(timer))
  }
}
