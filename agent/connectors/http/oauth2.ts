// Access tokens by the client credentials grant: one for all requests, a new one before it expires or when it is refused.
//
// A call of undici rather than openid-client: the grant is one form and one answer, and needs no discovery and no ID token.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { Agent, request } from 'undici'
import * as z from 'zod'
import type { OAuth2Credential } from '../../http-target.ts'
import { dialer } from './dial.ts'

const REQUEST_TIMEOUT_MS = 10_000
const MAX_ANSWER_BYTES = 64 * 1024
/** A token is not used in its last seconds: a request takes a while to arrive. */
const MARGIN_MS = 30_000
/** Where the answer does not say how long the token lives. */
const UNKNOWN_LIFETIME_S = 300
/** A service that refuses every token must not become a storm of requests for tokens. */
const REFUSED_EVERY_MS = 10_000
/** After a failure nobody asks again for so long: wrong secrets lock clients out. */
const FAILED_FOR_MS = 2_000

const tokenAnswer = z.object({
  access_token: z.string().min(1),
  token_type: z.string(),
  expires_in: z.coerce.number().positive().optional(),
})

interface Held {
  readonly token: Promise<string>
  /** Unknown while the answer is awaited. */
  untilMs: number
}

/** @see https://www.rfc-editor.org/rfc/rfc6749#section-4.4 */
export class TokenSource {
  readonly #name: string
  readonly #config: OAuth2Credential
  readonly #secret: () => Promise<string>
  readonly #clock: Clock
  readonly #dispatcher: Agent
  #held: Held | undefined
  #refusedAtMs = Number.NEGATIVE_INFINITY

  constructor(name: string, config: OAuth2Credential, secret: () => Promise<string>, clock: Clock) {
    this.#name = name
    this.#config = config
    this.#secret = secret
    this.#clock = clock
    this.#dispatcher = new Agent({
      connections: 1,
      maxHeaderSize: MAX_ANSWER_BYTES,
      connect: dialer({ name, ca: config.ca }, REQUEST_TIMEOUT_MS),
    })
  }

  /** A token that is good for a while; all who ask meanwhile wait for the same one. @throws {GateError} ERR_GATE_TARGET_LOGIN. */
  token(): Promise<string> {
    if (this.#held === undefined || this.#clock.monotonic() >= this.#held.untilMs) this.#held = this.#refresh()
    return this.#held.token
  }

  /** The service did not accept a token: later requests get another. */
  refused(token: string): void {
    const nowMs = this.#clock.monotonic()
    const held = this.#held
    if (held === undefined || nowMs - this.#refusedAtMs < REFUSED_EVERY_MS) return
    held.token.then(
      current => {
        // It may have been replaced while the request was under way.
        if (current !== token || this.#held !== held) return
        this.#refusedAtMs = nowMs
        this.#held = undefined
      },
      () => {},
    )
  }

  #refresh(): Held {
    const answer = this.#ask()
    const held: Held = { token: answer.then(({ token }) => token), untilMs: Number.POSITIVE_INFINITY }
    answer.then(
      ({ lifetimeMs }) => {
        // Half the life of one that hardly lives longer than the margin, so that it is used at all.
        held.untilMs = this.#clock.monotonic() + Math.max(lifetimeMs - MARGIN_MS, lifetimeMs / 2)
      },
      () => {
        held.untilMs = this.#clock.monotonic() + FAILED_FOR_MS
      },
    )
    return held
  }

  async #ask(): Promise<{ token: string; lifetimeMs: number }> {
    const { status, text } = await this.#post()
    const answer = parseJson(text)
    const parsed = tokenAnswer.safeParse(answer)
    if (status !== 200 || !parsed.success)
      throw this.#failed(`the token endpoint answered ${status}${reasonOf(answer)}`)
    if (parsed.data.token_type.toLowerCase() !== 'bearer') throw this.#failed('it is no bearer token')
    return {
      token: parsed.data.access_token,
      lifetimeMs: (parsed.data.expires_in ?? UNKNOWN_LIFETIME_S) * 1000,
    }
  }

  async #post(): Promise<{ status: number; text: string }> {
    const { token_url, client_id, scopes, auth } = this.#config
    const secret = await this.#secret()
    const form = new URLSearchParams({ grant_type: 'client_credentials' })
    if (scopes.length > 0) form.set('scope', scopes.join(' '))
    if (auth === 'post') {
      form.set('client_id', client_id)
      form.set('client_secret', secret)
    }
    const basic = `Basic ${Buffer.from(`${formEncode(client_id)}:${formEncode(secret)}`).toString('base64')}`
    try {
      const answer = await request(token_url, {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          accept: 'application/json',
          ...(auth === 'basic' ? { authorization: basic } : {}),
        },
        body: form.toString(),
        dispatcher: this.#dispatcher,
        signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
      })
      return { status: answer.statusCode, text: await readText(answer.body) }
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
      throw this.#failed(`the token endpoint does not answer${/^[A-Z][A-Z_]+$/.test(code) ? `: ${code}` : ''}`, cause)
    }
  }

  #failed(why: string, cause?: unknown): GateError {
    return new GateError(
      'ERR_GATE_TARGET_LOGIN',
      `the agent has no access token for ${this.#name} (${why})`,
      cause === undefined ? {} : { cause },
    )
  }
}

/** RFC 6749 section 2.3.1 and appendix B: both halves are form-encoded before they become a user and a password. */
function formEncode(text: string): string {
  return new URLSearchParams({ '': text }).toString().slice(1)
}

/** RFC 6749 section 5.2: an error has a name from a short list; anything longer could be anything. */
function reasonOf(answer: unknown): string {
  const name = typeof answer === 'object' && answer !== null && 'error' in answer ? answer.error : undefined
  return typeof name === 'string' && /^[a-z_]{1,40}$/.test(name) ? `: ${name}` : ''
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // No JSON is no token: the caller says so.
    return undefined
  }
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > MAX_ANSWER_BYTES) throw new Error('the answer is too long')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}
