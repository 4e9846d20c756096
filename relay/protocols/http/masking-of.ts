// What is masked of the answer to one request. Pure.
import type { Obligation } from '@gate/shared/model'
import { compileBodyMasks } from './masking/body.ts'
import type { Masking } from './plan.ts'
import { tagSeal } from './tags.ts'

/** Routes of one set of obligations; beyond them all are forgotten. */
const MAX_ROUTES = 10_000

/** Decisions that are used again have the same obligations; to compile masks costs more than most answers. */
const compiled = new WeakMap<readonly Obligation[], Map<string, Masking | undefined>>()

/** Undefined when nothing is masked. `key` is always the same. */
export function maskingOf(
  obligations: readonly Obligation[],
  routes: readonly string[],
  key: Uint8Array,
): Masking | undefined {
  const route = routes.join('\n')
  const known = compiled.get(obligations) ?? new Map<string, Masking | undefined>()
  compiled.set(obligations, known)
  if (known.has(route)) return known.get(route)
  const body = compileBodyMasks(obligations, routes, key)
  const masking = body === undefined ? undefined : { body, seal: tagSeal(obligations, key) }
  if (known.size >= MAX_ROUTES) known.clear()
  known.set(route, masking)
  return masking
}
