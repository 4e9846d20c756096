// The way to the agent: requests written anew, one at a time, on a stream that is opened when the first one goes out.
import { asGateError, type GateError } from '@gate/shared/errors'
import type { Declaration } from '../machine.ts'
import type { TargetStream } from '../protocol.ts'
import { RequestStream } from './request-stream.ts'
import type { AnswerHandler, SentRequest } from './way.ts'

export class Upstream {
  readonly #open: () => Promise<TargetStream>
  #stream: RequestStream | undefined
  #destroyed: GateError | undefined

  /** `open` opens another stream each time: one that broke is not used again. */
  constructor(open: () => Promise<TargetStream>) {
    this.#open = open
  }

  /** Sends a request, declared first; never twice. The handler is told of the answer or of one failure. */
  send(request: SentRequest, declaration: Declaration, handler: AnswerHandler): void {
    const stream = this.#stream
    if (stream?.isFree === true && !stream.isBroken) stream.ask(request, declaration, handler)
    else void this.#sendLater(request, declaration, handler)
  }

  async #sendLater(request: SentRequest, declaration: Declaration, handler: AnswerHandler): Promise<void> {
    try {
      // Of an answer that does not go on to the client more may come.
      await this.#stream?.free
      const stream = await this.#usable()
      stream.ask(request, declaration, handler)
    } catch (thrown) {
      handler.fail(asGateError(thrown))
    }
  }

  async #usable(): Promise<RequestStream> {
    if (this.#destroyed !== undefined) throw this.#destroyed
    if (this.#stream?.isBroken === false) return this.#stream
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
