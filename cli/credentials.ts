// The login on this machine: kept in the keychain, renewed silently, by one process at a time.
import { join } from 'node:path'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { takeLock } from '@gate/shared/lock'
import * as z from 'zod'
import type { CliConfig } from './config.ts'
import { ownDirectory } from './files.ts'
import type { Keychain } from './keychain.ts'
import type { Profile } from './profile.ts'
import { type ProviderTokens, refresh } from './provider.ts'
import type { RelayClient } from './relay-client.ts'

/** A token that ends sooner than this is renewed before it is used. */
const RENEW_BEFORE_MS = 60_000
/** Another process that renews talks to two servers; longer than this it hangs. */
const LOCK_WAIT_MS = 45_000

const subject = z.object({
  id: z.string(),
  issuer: z.string(),
  email: z.string().optional(),
  name: z.string().optional(),
  groups: z.array(z.string()),
})

export const sessionAnswer = z.object({ token: z.string(), subject, expiresMs: z.number(), endsMs: z.number() })

const stored = z.strictObject({
  token: z.string(),
  expiresMs: z.number(),
  endsMs: z.number(),
  refreshToken: z.string().optional(),
  subject,
})
export type Stored = z.infer<typeof stored>

export class Credentials {
  readonly #config: CliConfig
  readonly #profile: Profile
  readonly #keychain: Keychain
  readonly #client: RelayClient
  readonly #clock: Clock

  constructor(config: CliConfig, profile: Profile, keychain: Keychain, client: RelayClient, clock: Clock) {
    this.#config = config
    this.#profile = profile
    this.#keychain = keychain
    this.#client = client
    this.#clock = clock
  }

  async find(): Promise<Stored | undefined> {
    const text = await this.#keychain.get(this.#profile.relay)
    if (text === undefined) return undefined
    try {
      return stored.parse(JSON.parse(text))
    } catch (cause) {
      throw new GateError('ERR_GATE_UNAUTHENTICATED', 'the kept login cannot be read', {
        cause,
        hint: 'Run gate login.',
      })
    }
  }

  /** Shows a fresh ID token to the relay and keeps what it gives. */
  async open(tokens: ProviderTokens, previous?: Stored): Promise<Stored> {
    const body = { idToken: tokens.idToken, ...(previous === undefined ? {} : { token: previous.token }) }
    const answer = await this.#client.call({ method: 'POST', path: '/v1/session', body }, sessionAnswer)
    const kept: Stored = {
      ...answer,
      ...(tokens.refreshToken === undefined ? {} : { refreshToken: tokens.refreshToken }),
    }
    await this.#keychain.set(this.#profile.relay, JSON.stringify(kept))
    return kept
  }

  /**
   * A session token that is good for at least a minute.
   * @throws {GateError} ERR_GATE_UNAUTHENTICATED when only a new login helps.
   */
  async token(): Promise<string> {
    const kept = await this.#require()
    if (kept.expiresMs - this.#clock.now() > RENEW_BEFORE_MS) return kept.token
    return (await this.renew(kept)).token
  }

  async #require(): Promise<Stored> {
    const kept = await this.find()
    if (kept === undefined)
      throw new GateError('ERR_GATE_UNAUTHENTICATED', 'you are not logged in', { hint: 'Run gate login.' })
    return kept
  }

  /**
   * Renews the login that `seen` was read from. Providers that rotate refresh tokens end the whole login when an old one is
   * used again, so only one process renews, and the others take what it got.
   */
  async renew(seen: Stored): Promise<Stored> {
    await ownDirectory(this.#config.home)
    await using _lock = await takeLock(join(this.#config.home, 'renew.lock'), LOCK_WAIT_MS, this.#clock)
    const kept = await this.#require()
    if (kept.token !== seen.token && kept.expiresMs > this.#clock.now()) return kept
    if (kept.refreshToken === undefined) {
      throw new GateError(
        'ERR_GATE_UNAUTHENTICATED',
        'the login has ended, and the identity provider gave nothing to renew it with',
        {
          hint: 'Run gate login. If it should last longer: allow the scope offline_access for this client.',
        },
      )
    }
    const tokens = await refresh(this.#profile.issuer, this.#profile.clientId, kept.refreshToken)
    // The old refresh token may be dead from here on: keep the new one even if the relay cannot be reached now.
    const renewed: Stored = {
      ...kept,
      ...(tokens.refreshToken === undefined ? {} : { refreshToken: tokens.refreshToken }),
    }
    await this.#keychain.set(this.#profile.relay, JSON.stringify(renewed))
    // The lock is held until what the relay gave is kept: whoever renewed in between would have its refresh token written over.
    return await this.open(tokens, renewed)
  }

  async forget(): Promise<void> {
    await this.#keychain.delete(this.#profile.relay)
  }
}
