// The names of flat documents (columns, members of forms, headers) against the patterns of fields. Pure.
import type { FieldMask } from './json-values.ts'
import type { PathState, Paths } from './paths.ts'

/** Patterns, and the same in lower case: for what `maskOfName` looks at. */
export function inAnyCase(patterns: readonly string[]): string[] {
  return [...new Set(patterns.flatMap(pattern => [pattern, pattern.toLowerCase()]))]
}

/** Fields that are masked, and how: the masks are in the order in which they count. */
export interface FieldMasks {
  readonly paths: Paths
  /** By the numbers that paths give. */
  readonly masks: readonly FieldMask[]
}

/** Names behind each other, as in `customer[address][0][city]` and `customer.address.city`: an index has no name, as in arrays. */
function partsOf(name: string): string[] {
  return name.split(/[.[\]]+/).filter(part => !/^\d*$/.test(part))
}

/**
 * The mask of a column or member with this name; the first one wins, whether the whole name or its parts are meant, as they are
 * or in lower case: services write names for people otherwise than in JSON, and read them so.
 */
export function maskOfName({ paths, masks }: FieldMasks, name: string): FieldMask | undefined {
  const found: number[] = []
  const step = (state: PathState, part: string): PathState => {
    const next = paths.next(state, paths.numberOfText(part))
    if (next.mask >= 0) found.push(next.mask)
    return next
  }
  if (paths.start.mask >= 0) found.push(paths.start.mask)
  for (const written of new Set([name, name.toLowerCase()])) {
    step(paths.start, written)
    partsOf(written).reduce(step, paths.start)
  }
  return found.length === 0 ? undefined : masks[Math.min(...found)]
}
