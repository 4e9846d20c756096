// Entity tags of masked answers (RFC 9110 section 8.8.3): other than the target's, and able to become them again. Pure.
import { createHash } from 'node:crypto'
import type { Obligation } from '@gate/shared/model'

const MARK = 'gate-'
const VERSION_LENGTH = 12

/** A name for what is masked: answers that are masked differently are different. */
export function maskVersion(obligations: readonly Obligation[]): string {
  return createHash('sha256').update(JSON.stringify(obligations)).digest('hex').slice(0, VERSION_LENGTH)
}

/** The tag of the masked form of what has `tag`. */
export function maskedTag(tag: string, version: string): string {
  return tag.replace(/"/, `"${MARK}${version}-`)
}

/**
 * The condition as the target understands it. Tags of other masks are left out where they would only spare the body, so that
 * it comes again; undefined when none is left.
 */
export function clearTags(condition: string, version: string, spares: boolean): string | undefined {
  if (condition.trim() === '*') return condition
  const own = `${MARK}${version}-`
  const tags = condition.match(/(?:W\/)?"[^"]*"/g) ?? []
  const kept = tags.filter(tag => !spares || tag.includes(`"${own}`)).map(tag => tag.replace(`"${own}`, '"'))
  return kept.length === 0 ? undefined : kept.join(', ')
}
