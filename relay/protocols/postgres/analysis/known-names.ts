// Names of functions by which gate goes wherever they stand: one that somebody made may not pass for such. Pure.
import { changesCase, counters, isMultiplying } from './forms.ts'
import { isFelt } from './skipped.ts'
import { steady } from './steady.ts'

/**
 * Of these the result shows, or is compared as, no more than it may be by what the function does. `f(x)` is a cast where a type has
 * the name and no function takes exactly what is given: func_get_detail in src/backend/parser/parse_func.c.
 */
export const isFollowed = (name: string): boolean => counters.has(name) || changesCase(name)

/** `name` is without its schema. */
export const isKnownName = (name: string): boolean =>
  steady.has(name) || counters.has(name) || isMultiplying(name) || isFelt(name)
