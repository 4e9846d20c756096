// The identity provider, through openid-client: device login, refresh, revocation.
import { GateError } from '@gate/shared/errors'
import type { Configuration, CustomFetch } from 'openid-client'

export interface ProviderTokens {
  readonly idToken: string
  readonly refreshToken: string | undefined
}

export interface DevicePrompt {
  readonly userCode: string
  readonly url: string
  /** The page with the code already filled in, when the provider offers it. */
  readonly completeUrl: string | undefined
  readonly expiresInSeconds: number
}

const HTTP_TIMEOUT_SECONDS = 15

/** The library takes a while to load, and most commands do without it. */
const library = (): Promise<typeof import('openid-client')> => import('openid-client')

/** With a signal, everything that is asked of the provider ends with it. */
async function discover(issuer: string, clientId: string, signal?: AbortSignal): Promise<Configuration> {
  const { allowInsecureRequests, customFetch, discovery, None } = await library()
  const abortable: CustomFetch = (address, options) =>
    fetch(address, {
      ...options,
      body: options.body ?? null,
      signal: AbortSignal.any([signal, options.signal].filter(each => each !== undefined)),
    })
  const url = new URL(issuer)
  const loopback = url.protocol === 'http:' && /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname)
  try {
    return await discovery(url, clientId, undefined, None(), {
      timeout: HTTP_TIMEOUT_SECONDS,
      execute: loopback ? [allowInsecureRequests] : [],
      ...(signal === undefined ? {} : { [customFetch]: abortable }),
    })
  } catch (cause) {
    if (signal?.aborted === true) throw givenUp()
    throw new GateError(
      'ERR_GATE_UNAUTHENTICATED',
      `the identity provider ${issuer} does not answer as OpenID Connect says`,
      { cause, hint: 'Is it up, does this machine reach it, and is it what relay.yaml names under issuers?' },
    )
  }
}

/**
 * RFC 8628: shows the code, and asks until the person has decided. The library slows down when told to.
 * @throws {GateError} ERR_GATE_UNAUTHENTICATED when the person refuses, time runs out, or the provider has no device login.
 */
export async function deviceLogin(
  issuer: string,
  clientId: string,
  scopes: readonly string[],
  show: (prompt: DevicePrompt) => void,
  signal: AbortSignal,
): Promise<ProviderTokens> {
  const { initiateDeviceAuthorization, pollDeviceAuthorizationGrant } = await library()
  const provider = await discover(issuer, clientId, signal)
  if (provider.serverMetadata().device_authorization_endpoint === undefined) {
    throw new GateError('ERR_GATE_UNAUTHENTICATED', `${issuer} offers no device login (RFC 8628)`, {
      hint: 'Enable the device grant for this client at the provider.',
    })
  }
  try {
    const started = await initiateDeviceAuthorization(provider, { scope: scopes.join(' '), prompt: 'consent' })
    show({
      userCode: started.user_code,
      url: started.verification_uri,
      completeUrl: started.verification_uri_complete,
      expiresInSeconds: started.expires_in,
    })
    const tokens = await pollDeviceAuthorizationGrant(provider, started, undefined, { signal })
    return idTokenOf(tokens)
  } catch (thrown) {
    if (signal.aborted) throw givenUp()
    throw oauthError(thrown, 'the login failed')
  }
}

/** @throws {GateError} ERR_GATE_UNAUTHENTICATED when the provider does not renew any more. */
export async function refresh(issuer: string, clientId: string, refreshToken: string): Promise<ProviderTokens> {
  const { refreshTokenGrant } = await library()
  const provider = await discover(issuer, clientId)
  try {
    const tokens = idTokenOf(await refreshTokenGrant(provider, refreshToken))
    // A provider that does not rotate refresh tokens sends none: the old one stays good.
    return { ...tokens, refreshToken: tokens.refreshToken ?? refreshToken }
  } catch (thrown) {
    throw oauthError(thrown, 'the login cannot be renewed')
  }
}

/** Tells the provider to forget a refresh token, where it offers that. */
export async function revoke(issuer: string, clientId: string, refreshToken: string): Promise<void> {
  const { tokenRevocation } = await library()
  const provider = await discover(issuer, clientId)
  if (provider.serverMetadata().revocation_endpoint === undefined) return
  await tokenRevocation(provider, refreshToken, { token_type_hint: 'refresh_token' })
}

function givenUp(): GateError {
  return new GateError('ERR_GATE_CANCELLED', 'the login was given up')
}

function idTokenOf(tokens: { id_token?: string; refresh_token?: string }): ProviderTokens {
  if (tokens.id_token === undefined) {
    throw new GateError('ERR_GATE_UNAUTHENTICATED', 'the identity provider gave no ID token', {
      hint: 'The scope openid must be allowed for this client.',
    })
  }
  return { idToken: tokens.id_token, refreshToken: tokens.refresh_token }
}

const explanations: Readonly<Record<string, string>> = {
  access_denied: 'it was denied at the identity provider',
  expired_token: 'the code expired before it was entered',
  invalid_grant: 'the identity provider does not accept the old login any more',
}

function oauthError(thrown: unknown, what: string): GateError {
  if (thrown instanceof GateError) return thrown
  const error =
    typeof thrown === 'object' && thrown !== null && 'error' in thrown && typeof thrown.error === 'string'
      ? thrown.error
      : undefined
  const why = error === undefined ? 'the identity provider does not answer' : (explanations[error] ?? error)
  return new GateError('ERR_GATE_UNAUTHENTICATED', `${what}: ${why}`, { cause: thrown, hint: 'Run gate login.' })
}
