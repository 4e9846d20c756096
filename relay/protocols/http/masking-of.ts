// What is masked of the answer to one request. Pure.
import type { Obligation } from '@gate/shared/model'
import { compileBodyMasks } from './masking/body.ts'
import type { Masking } from './plan.ts'
import { maskVersion } from './tags.ts'

/** Undefined when nothing is masked. */
export function maskingOf(obligations: readonly Obligation[], route: string, key: Uint8Array): Masking | undefined {
  const body = compileBodyMasks(obligations, route, key)
  return body === undefined ? undefined : { body, version: maskVersion(obligations) }
}
