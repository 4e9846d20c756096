// A secret for many requests: read once for a few seconds.
import type { Clock } from '@gate/shared/clock'
import { readSecret } from '../../secret.ts'
import type { SecretSource } from '../../secret-source.ts'

/** After this time it is read anew: rotation is noticed, and a command does not run for every request. */
const SECRET_CACHE_MS = 5_000

/** Gives the secret to all who ask within a few seconds; the function throws what readSecret throws. */
export function cachedSecret(source: SecretSource, clock: Clock): () => Promise<string> {
  let current: { readonly secret: Promise<string>; readonly untilMs: number } | undefined
  return () => {
    if (current === undefined || clock.monotonic() >= current.untilMs)
      current = { secret: readSecret(source), untilMs: clock.monotonic() + SECRET_CACHE_MS }
    return current.secret
  }
}
