// The relay's HTTP API, with its certificate pinned.
import { GateError } from '@gate/shared/errors'
import { parseRefusal } from '@gate/shared/messages'
import { relayError, strangeAnswer } from '@gate/shared/relay-error'
import type { TlsOptions } from '@gate/shared/websocket/dial'
import { Agent, type Dispatcher, request } from 'undici'
import type * as z from 'zod'

const TIMEOUT_MS = 15_000
const MAX_ANSWER_BYTES = 64 * 1024 * 1024

export interface Call {
  readonly method: 'GET' | 'POST' | 'DELETE'
  readonly path: string
  readonly token?: string | undefined
  readonly body?: object
}

export class RelayClient {
  readonly relay: string
  readonly tls: TlsOptions | undefined
  readonly #dispatcher: Dispatcher

  constructor(relay: string, tls: TlsOptions | undefined) {
    this.relay = relay
    this.tls = tls
    this.#dispatcher = new Agent({
      maxResponseSize: MAX_ANSWER_BYTES,
      ...(tls === undefined ? {} : { connect: tls as Agent.Options['connect'] & object }),
    })
  }

  /** @throws {GateError} what the relay says, or ERR_GATE_RELAY_UNREACHABLE. */
  async call<T>(call: Call, schema: z.ZodType<T>): Promise<T> {
    const { statusCode, body } = await this.#send(call)
    const answer = await this.#json(body, statusCode)
    if (statusCode >= 400) throw this.#refusal(answer, statusCode)
    const parsed = schema.safeParse(answer)
    if (parsed.success) return parsed.data
    throw new GateError(
      'ERR_GATE_PROTOCOL',
      `the relay's answer to ${call.path} is not understood; it may be of another version`,
    )
  }

  /** An answer as it is; undefined when there is no such thing. @throws {GateError} as `call` does. */
  async bytes(call: Call): Promise<Buffer | undefined> {
    const { statusCode, body } = await this.#send(call)
    if (statusCode === 404) {
      await body.dump()
      return undefined
    }
    if (statusCode >= 400) throw this.#refusal(await this.#json(body, statusCode), statusCode)
    try {
      return Buffer.from(await body.arrayBuffer())
    } catch (thrown) {
      throw relayError(this.relay, thrown, true)
    }
  }

  /** Answers of one JSON value per line, as they come. Empty lines only show that the relay is there. */
  async *lines(call: Call, signal?: AbortSignal): AsyncGenerator<unknown> {
    let rest = ''
    try {
      const { statusCode, body } = await this.#send(call, signal)
      if (statusCode >= 400) throw this.#refusal(await this.#json(body, statusCode), statusCode)
      for await (const chunk of body.setEncoding('utf8')) {
        const lines = (rest + (chunk as string)).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') yield JSON.parse(line)
      }
    } catch (thrown) {
      if (signal?.aborted === true) return
      throw relayError(this.relay, thrown, true)
    }
  }

  async #send(call: Call, signal?: AbortSignal): Promise<Dispatcher.ResponseData> {
    try {
      return await request(this.relay + call.path, {
        method: call.method,
        headers: {
          ...(call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }),
          ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
        headersTimeout: TIMEOUT_MS,
        bodyTimeout: TIMEOUT_MS,
        dispatcher: this.#dispatcher,
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (thrown) {
      throw relayError(this.relay, thrown)
    }
  }

  async #json(body: Dispatcher.ResponseData['body'], status: number): Promise<unknown> {
    let text: string
    try {
      text = await body.text()
    } catch (thrown) {
      throw relayError(this.relay, thrown, true)
    }
    try {
      return JSON.parse(text)
    } catch (cause) {
      throw strangeAnswer(this.relay, status, cause)
    }
  }

  #refusal(answer: unknown, status: number): GateError {
    return parseRefusal(answer) ?? strangeAnswer(this.relay, status)
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy()
  }
}
