// The way to the agent: requests written anew, one at a time, on a stream that is opened when the first one goes out.
import { asGateError, type GateError } from '@gate/shared/errors'
import { Waiting } from '@gate/shared/waiting'
import type { Declaration } from '../machine.ts'
import type { TargetStream } from '../protocol.ts'
import { discard, RequestStream } from './request-stream.ts'
import type { Abort, AnswerHandler, SentRequest } from './way.ts'

export class Upstream {
  readonly #open: () => Promise<TargetStream>
  #stream: RequestStream | undefined
  #opening: Promise<RequestStream> | undefined
  #destroyed: GateError | undefined

  /** `open` opens another stream each time: one that broke is not used again. */
  constructor(open: () => Promise<TargetStream>) {
    this.#open = open
  }

  /**
   * Sends a request, declared first; never twice. The handler is told of the answer or of one failure. Gives what ends the
   * request, which is then not sent if it was not yet.
   */
  send(request: SentRequest, declaration: Declaration, handler: AnswerHandler): Abort {
    const stream = this.#stream
    if (stream?.isFree === true && !stream.isBroken) return stream.ask(request, declaration, handler)
    const asker = new Waiting()
    void this.#sendLater(request, declaration, handler, asker)
    return cause => asker.leave(cause)
  }

  async #sendLater(
    request: SentRequest,
    declaration: Declaration,
    handler: AnswerHandler,
    asker: Waiting,
  ): Promise<void> {
    try {
      // Of an answer that does not go on to the client more may come.
      await this.#stream?.free
      const stream = await this.#usable()
      if (asker.gone !== undefined) throw asker.gone
      asker.onGone = stream.ask(request, declaration, handler)
    } catch (thrown) {
      discard(request.body)
      handler.fail(asGateError(thrown))
    }
  }

  async #usable(): Promise<RequestStream> {
    if (this.#destroyed !== undefined) throw this.#destroyed
    if (this.#stream?.isBroken === false) return this.#stream
    // Whoever waited for it may be gone, and somebody else wait for another.
    this.#opening ??= this.#opened().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #opened(): Promise<RequestStream> {
    const stream = new RequestStream(await this.#open())
    this.#stream = stream
    if (this.#destroyed === undefined) return stream
    stream.destroy(this.#destroyed)
    throw this.#destroyed
  }

  destroy(cause: GateError): void {
    this.#destroyed = cause
    this.#stream?.destroy(cause)
  }
}
