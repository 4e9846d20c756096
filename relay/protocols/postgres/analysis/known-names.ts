// Names of functions by which gate goes wherever they stand: one that somebody made may not pass for such. Pure.
import { counters, isMultiplying } from './forms.ts'
import { isFelt } from './skipped.ts'
import { steady } from './steady.ts'

/** `name` is without its schema. */
export const isKnownName = (name: string): boolean =>
  steady.has(name) || counters.has(name) || isMultiplying(name) || isFelt(name)
