// ID tokens → people: issuer, audience, signature, time and groups, by the rules of OpenID Connect Core 3.1.3.7.
import { GateError } from '@gate/shared/errors'
import type { Subject } from '@gate/shared/model'
import {
  createRemoteJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  errors,
  type JWTPayload,
  type JWTVerifyGetKey,
  jwtVerify,
} from 'jose'
import { allowInsecureRequests, discovery, None } from 'openid-client'
import { type IssuerConfig, isLoopback } from '../config.ts'

const MAX_TOKEN_BYTES = 16 * 1024
const MAX_GROUPS = 1_000
const MAX_CLAIM_LENGTH = 512
const JWKS_MAX_AGE_MS = 10 * 60_000
/** A token with an unknown key id makes the keys be read anew, but not more often than this. */
const JWKS_COOLDOWN_MS = 30_000
const HTTP_TIMEOUT_MS = 5_000

export interface VerifiedIdentity {
  readonly subject: Subject
  /** When the ID token itself expires. */
  readonly expiresMs: number
}

export interface Issuers {
  /** @throws {GateError} ERR_GATE_TOKEN saying which check failed, never the token's content. */
  verify(idToken: string): Promise<VerifiedIdentity>
}

export function createIssuers(configs: readonly IssuerConfig[]): Issuers {
  const issuers = new Map(configs.map(config => [config.issuer, new Issuer(config)]))
  return {
    verify: async idToken => {
      if (idToken.length > MAX_TOKEN_BYTES) throw refused('it is too long')
      const { iss, typ } = unverified(idToken)
      const issuer = issuers.get(iss)
      if (issuer === undefined) throw refused('its issuer is not one of this relay')
      // RFC 9068: an access token says so; the CLI shows ID tokens.
      if (typ.toLowerCase().replace(/^application\//, '') === 'at+jwt') throw refused('it is an access token')
      return issuer.verify(idToken)
    },
  }
}

function refused(why: string, cause?: unknown): GateError {
  return new GateError('ERR_GATE_TOKEN', `the ID token is not accepted: ${why}`, {
    hint: 'Run gate login.',
    ...(cause === undefined ? {} : { cause }),
  })
}

/** What a token says of itself. Its header and claims can be any JSON: only texts count. */
function unverified(idToken: string): { iss: string; typ: string } {
  try {
    const { typ } = decodeProtectedHeader(idToken)
    return { iss: text(decodeJwt(idToken).iss) ?? '', typ: text(typ) ?? '' }
  } catch (cause) {
    throw refused('it is no JSON Web Token', cause)
  }
}

class Issuer {
  readonly #config: IssuerConfig
  #keys: Promise<JWTVerifyGetKey> | undefined

  constructor(config: IssuerConfig) {
    this.#config = config
  }

  /** The provider's keys, discovered at first use; a failure is not kept, so that a provider that comes back is found. */
  async #keySet(): Promise<JWTVerifyGetKey> {
    this.#keys ??= this.#discover()
    try {
      return await this.#keys
    } catch (cause) {
      this.#keys = undefined
      throw new GateError('ERR_GATE_UNAUTHENTICATED', `the identity provider ${this.#config.issuer} does not answer`, {
        cause,
      })
    }
  }

  async #discover(): Promise<JWTVerifyGetKey> {
    const url = new URL(this.#config.issuer)
    const execute = url.protocol === 'http:' && isLoopback(url.hostname) ? [allowInsecureRequests] : []
    const found = await discovery(url, this.#config.client_id, undefined, None(), {
      execute,
      timeout: HTTP_TIMEOUT_MS / 1000,
    })
    const jwksUri = found.serverMetadata().jwks_uri
    if (jwksUri === undefined) throw new Error('no jwks_uri')
    return createRemoteJWKSet(new URL(jwksUri), {
      cacheMaxAge: JWKS_MAX_AGE_MS,
      cooldownDuration: JWKS_COOLDOWN_MS,
      timeoutDuration: HTTP_TIMEOUT_MS,
    })
  }

  async verify(idToken: string): Promise<VerifiedIdentity> {
    const keys = await this.#keySet()
    const payload = await this.#verifySignature(idToken, keys)
    this.#checkParty(payload)
    this.#checkIssuedAt(payload)
    const { sub, exp = 0 } = payload
    // A number or a list would be joined into the name of somebody else.
    if (typeof sub !== 'string' || sub === '' || sub.length > MAX_CLAIM_LENGTH)
      throw refused('sub is missing or too long')
    // OpenID Connect Core 5.1 says boolean; Amazon Cognito sends a text.
    const verified = payload['email_verified'] !== false && payload['email_verified'] !== 'false'
    return {
      expiresMs: exp * 1000,
      subject: {
        id: `${this.#config.issuer}|${sub}`,
        issuer: this.#config.issuer,
        email: verified ? text(payload['email']) : undefined,
        name: text(payload['name']),
        groups: this.#groups(payload),
      },
    }
  }

  async #verifySignature(idToken: string, keys: JWTVerifyGetKey): Promise<JWTPayload> {
    try {
      const { payload } = await jwtVerify(idToken, keys, {
        issuer: this.#config.issuer,
        audience: this.#config.client_id,
        algorithms: this.#config.algorithms,
        clockTolerance: this.#config.clock_tolerance / 1000,
        requiredClaims: ['exp', 'iat', 'sub'],
      })
      return payload
    } catch (cause) {
      throw refused(explain(cause), cause)
    }
  }

  /** OpenID Connect Core 3.1.3.7, rules 3 to 5: a token for several audiences names the client it was made for. */
  #checkParty(payload: JWTPayload): void {
    const { azp } = payload
    if (azp !== undefined && azp !== this.#config.client_id) throw refused('it was issued to another client (azp)')
    if (azp === undefined && Array.isArray(payload.aud) && payload.aud.length > 1)
      throw refused('it has several audiences and no azp')
  }

  #checkIssuedAt(payload: JWTPayload): void {
    const latest = (Date.now() + this.#config.clock_tolerance) / 1000
    if ((payload.iat ?? 0) > latest) throw refused('it was issued in the future; check the clocks')
  }

  /**
   * Microsoft Entra leaves the groups out and points elsewhere when there are more than about 200 (`_claim_names`, `hasgroups`):
   * a person would silently lose groups that `except` or approvals rely on, so such a token is refused.
   */
  #groups(payload: JWTPayload): string[] {
    const claim = this.#config.groups_claim
    const elsewhere = payload['_claim_names']
    const cutShort =
      payload['hasgroups'] === true ||
      (typeof elsewhere === 'object' && elsewhere !== null && Object.hasOwn(elsewhere, claim))
    if (cutShort) {
      throw refused(`the provider cut the claim ${claim} short; let it send only the groups that are assigned to gate`)
    }
    const groups = Object.hasOwn(payload, claim) ? payload[claim] : []
    const wellFormed =
      Array.isArray(groups) &&
      groups.length <= MAX_GROUPS &&
      groups.every(group => typeof group === 'string' && group.length <= MAX_CLAIM_LENGTH)
    if (!wellFormed) throw refused(`the claim ${claim} is no list of at most ${MAX_GROUPS} group names`)
    return groups.map(group => this.#config.group_prefix + group)
  }
}

function text(claim: unknown): string | undefined {
  return typeof claim === 'string' ? claim.slice(0, MAX_CLAIM_LENGTH) : undefined
}

/** Which check failed, in words; the texts of jose itself can quote claims. */
function explain(cause: unknown): string {
  if (cause instanceof errors.JWTExpired) return 'it has expired'
  if (cause instanceof errors.JWTClaimValidationFailed) {
    if (cause.claim === 'nbf') return 'it is not valid yet (nbf)'
    if (cause.claim === 'aud') return 'it is for another audience'
    return `the claim ${cause.claim} is missing or wrong`
  }
  if (cause instanceof errors.JOSEAlgNotAllowed) return 'its signature algorithm is not allowed'
  if (cause instanceof errors.JWKSNoMatchingKey) return 'it is signed with a key that the provider does not publish'
  if (cause instanceof errors.JWSSignatureVerificationFailed) return 'its signature is wrong'
  return 'it cannot be verified'
}
