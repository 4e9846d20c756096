// Names of fields that a text may hold, and which of them are masked. Pure.
import type { NamedFields } from './masking/body.ts'

/** What of a name counts. */
export interface Asked {
  /** Whether a masked field is called so. */
  readonly isMasked: (name: string) => boolean
  /** The same, or what is around one: under another name for that no pattern would find it. */
  readonly isAround: (name: string) => boolean
}

/** Fields are worked out for the first name that is asked about: few requests have any. */
export function askedOf(fieldsOf: () => NamedFields | undefined): Asked {
  let known: NamedFields | undefined
  const named = (): NamedFields | undefined => {
    known ??= fieldsOf()
    return known
  }
  return {
    isMasked: name => named()?.fields.holds(name) === true,
    isAround: name => named()?.names.holds(name) === true,
  }
}

/** Without escapes, and with one blank where several signs are that nobody sees. */
export const plainValue = (value: string): string =>
  value.replaceAll('\\', '').replaceAll(/[\s\p{Z}\p{Cc}\p{Cf}\p{DI}]+/gu, ' ')

/** Words, what dashes join, and words with blanks between, as columns are called. */
export function namesIn(value: string): string[] {
  const words = value.match(/[\p{L}\p{N}\p{M}_.-]+/gu) ?? []
  const phrases = value.split(/[,()[\]{}"'`:;|!]|->>?|\s(?:as|with)\s/iu).map(each => each.trim())
  return [...words, ...words.flatMap(each => (each.includes('-') ? each.split('-') : [])), ...phrases]
}
