// What all streams to one HTTP service share: turns and the credential; and how one request goes there.
import type { Duplex } from 'node:stream'
import type { Clock } from '@gate/shared/clock'
import type { GateError } from '@gate/shared/errors'
import type { Waiting } from '@gate/shared/waiting'
import type { ApprovalGuard } from '../../approvals/guard.ts'
import type { HttpTarget } from '../../http-target.ts'
import { approvedBody } from './approved.ts'
import type { AnswerSink, AskedRequest } from './asked.ts'
import { MAX_SIGNED_BODY_BYTES, wholeBody } from './body.ts'
import { isWithheldKey, refuseClientKeys } from './client-keys.ts'
import type { Credential } from './credential.ts'
import { Http1Connection } from './dial.ts'
import { targetError } from './errors.ts'
import { Exchange } from './exchange.ts'
import { handshakeHeaders, type Passed, type RawHeaders, requestHeaders, valuesOf, withScheme } from './headers.ts'
import { Http2Connection } from './http2.ts'
import { credentialOf } from './login.ts'
import { pathAt, withDestinationAt } from './paths.ts'
import type { Place } from './redirects.ts'
import type { ServiceConnection } from './service-connection.ts'
import { Slots } from './slots.ts'

/** What a stream has of its own. */
export interface StreamOptions {
  /** One request goes on it at a time. */
  readonly connection: ServiceConnection
  /** Set where the agent checks approvals itself. */
  readonly guard?: ApprovalGuard | undefined
  /** Told what goes wrong with the service. */
  readonly failed?: ((error: GateError) => void) | undefined
}

export interface ForwardOptions extends StreamOptions {
  /** Set for a WebSocket handshake: takes the connection, and resolves when it is over. */
  readonly upgraded?: (socket: Duplex, headers: RawHeaders) => Promise<void>
}

/** How one request goes there. */
interface Way {
  readonly connection: ServiceConnection
  readonly upgraded: ForwardOptions['upgraded'] | undefined
  readonly path: string
  readonly asker: Waiting
  /** Where it was read already. */
  readonly body: Buffer | undefined
}

export class Service {
  readonly #target: HttpTarget
  readonly #place: Place
  readonly #slots: Slots
  readonly #credential: Credential
  /** Names of fields that do not go on, whoever says them. */
  readonly #withheld: readonly string[]
  /** The agent says who asks: nobody else does. */
  readonly #isLoggedIn: boolean

  constructor(target: HttpTarget, clock: Clock) {
    const { origin, pathname } = new URL(target.url)
    this.#target = target
    this.#place = { name: target.name, origin, basePath: pathname.replace(/\/+$/, ''), redirects: target.redirects }
    this.#slots = new Slots(target.name, target.connections)
    this.#credential = credentialOf(target, clock)
    this.#isLoggedIn = target.credential !== undefined || target.client_certificate !== undefined
    this.#withheld = [...this.#credential.owned, ...(target.via ? [] : ['via'])]
  }

  /** A connection for one stream; nothing is dialled before the first request. */
  connect(): ServiceConnection {
    return this.#target.http_version === '2' ? new Http2Connection(this.#target) : new Http1Connection(this.#target)
  }

  get pass(): readonly Passed[] {
    return this.#target.pass
  }

  /** Writes the request anew to the service and its answer to the response, once; whatever goes wrong becomes the answer. */
  async forward(request: AskedRequest, answer: AnswerSink, asker: Waiting, options: ForwardOptions): Promise<void> {
    const { connection, guard, upgraded, failed } = options
    try {
      const body = guard === undefined ? undefined : await approvedBody(request, guard, upgraded !== undefined)
      const path = pathAt(this.#place, request.path)
      if (this.#isLoggedIn) refuseClientKeys(path, this.#target.pass)
      await this.#slots.take(asker)
      try {
        await this.#exchange(request, answer, { path, asker, body, connection, upgraded })
      } finally {
        this.#slots.give()
      }
    } catch (thrown) {
      // A body that is not read would stand in the way of the next request.
      request.body?.destroy()
      // That the connection is gone with whoever asked is no failure of the service.
      const error = asker.gone ?? targetError(this.#target.name, thrown)
      if (error.fault === 'target') failed?.(error)
      answer.fail(error)
    }
  }

  async #exchange(
    request: AskedRequest,
    answer: AnswerSink,
    { path, asker, body, connection, upgraded }: Way,
  ): Promise<void> {
    const { method, length } = request
    const { pass } = this.#target
    const isWithheld = (name: string): boolean => this.#isLoggedIn && isWithheldKey(name, pass)
    const passed = requestHeaders(request.fields, pass, this.#withheld, isWithheld)
    const scheme = this.#place.origin.startsWith('https:') ? 'https' : 'http'
    const kept = withDestinationAt(this.#place, method, withScheme(passed, scheme))
    const headers = upgraded === undefined ? kept : handshakeHeaders(kept)
    const isSigned = this.#credential.signsBody && request.body !== undefined
    const whole = body ?? (isSigned ? await wholeBody(request.body, MAX_SIGNED_BODY_BYTES, 'signed') : undefined)
    const own = await this.#credential.headers({ method, path, headers, body: whole })
    let upgrade: Promise<void> | undefined
    const exchange = new Exchange({
      place: this.#place,
      silenceMs: this.#target.timeouts.body,
      pass: this.#target.pass,
      asked: { method, path, forwardedHost: valuesOf(headers, 'x-forwarded-host')[0] },
      answer,
      asker,
      unauthorized: () => this.#credential.refused(own),
      ...(upgraded === undefined
        ? {}
        : {
            upgraded: (socket, raw) => {
              upgrade = upgraded(socket, raw)
            },
          }),
    })
    const stream = whole === undefined ? request.body : undefined
    connection.dispatch(
      {
        method: method as 'GET',
        path,
        headers: [
          ...headers,
          ...own,
          ...(stream !== undefined && length !== undefined ? ['content-length', String(length)] : []),
        ],
        body: stream ?? whole ?? null,
        ...(upgraded === undefined ? {} : { upgrade: 'websocket' }),
      },
      exchange,
    )
    try {
      await exchange.done
    } finally {
      // Without a connection undici leaves it as it is, full, and the next request behind it.
      stream?.destroy()
    }
    await upgrade
  }
}
