// What detectors do to texts of answers and of the record: several searches, each over what the ones before left. Pure.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import {
  compileFinder,
  type Finder,
  type Replacement,
  replaceFindings,
  replacementOf,
} from '../../../mask/detectors.ts'
import { placeholderOf } from '../../../mask/placeholder.ts'
import { recordDetectors } from '../../../mask/recorded.ts'
import { REDACTED_TEXT } from '../../../mask/values.ts'
import type { FieldMask } from './json-values.ts'

/** One search and what it puts in the place of what it finds; null makes the whole value null where there is one. */
export interface Search {
  readonly find: Finder
  /** @param clear in UTF-8 */
  readonly replace: ((clear: Buffer) => string) | null
}

export type Searches = readonly Search[]

/** How an obligation masks. */
export function fieldMaskOf({ with: kind, fixed }: Pick<MaskObligation, 'with' | 'fixed'>, key: Uint8Array): FieldMask {
  switch (kind) {
    case 'hash':
      return { with: 'hash', key }
    case 'fixed':
      return { with: 'fixed', value: fixed ?? '' }
    default:
      return { with: kind }
  }
}

/** The searches that obligations ask for, in their order; none when they ask for none. */
export function compileSearches(obligations: readonly Obligation[], key: Uint8Array): Searches {
  return obligations
    .filter(obligation => obligation.kind === 'mask')
    .filter(mask => mask.detect.length > 0)
    .map(mask => ({ find: compileFinder(mask.detect), replace: replacing(mask, key) }))
}

function replacing(mask: MaskObligation, key: Uint8Array): Search['replace'] {
  const field = fieldMaskOf(mask, key)
  if (field.with === 'null') return null
  const replacement = field as Replacement
  return clear => replacementOf(clear, replacement)
}

/** What is searched for in everything that is recorded. */
export function recordSearches(key: Uint8Array): Searches {
  return [{ find: compileFinder(recordDetectors), replace: clear => placeholderOf(key, clear) }]
}

/** Masks a whole value that is text, a cell for example; a value that becomes null is empty. The same buffer when nothing was found. */
export function searchValue(searches: Searches, value: Buffer): Buffer {
  return searches.reduce((left, { find, replace }) => {
    const found = find(left)
    if (found === undefined) return left
    return replace === null ? Buffer.alloc(0) : replaceFindings(left, found, replace)
  }, value)
}

/** Masks a text that is no single value: of it, not even `with: null` takes more than what was found. */
export function searchText(searches: Searches, text: Buffer): Buffer {
  return searches.reduce((left, { find, replace }) => {
    const found = find(left)
    return found === undefined ? left : replaceFindings(left, found, replace ?? (() => REDACTED_TEXT))
  }, text)
}
