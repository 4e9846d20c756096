// The names of flat documents (columns, members of forms, headers) against the patterns of fields. Pure.
import type { FieldMask } from './json-values.ts'
import type { PathState, Paths } from './paths.ts'

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

/** The mask of a column or member with this name; the first one wins, whether the whole name or its parts are meant. */
export function maskOfName({ paths, masks }: FieldMasks, name: string): FieldMask | undefined {
  const found: number[] = []
  const step = (state: PathState, part: string): PathState => {
    const next = paths.next(state, paths.numberOfText(part))
    if (next.mask >= 0) found.push(next.mask)
    return next
  }
  if (paths.start.mask >= 0) found.push(paths.start.mask)
  step(paths.start, name)
  partsOf(name).reduce(step, paths.start)
  return found.length === 0 ? undefined : masks[Math.min(...found)]
}
