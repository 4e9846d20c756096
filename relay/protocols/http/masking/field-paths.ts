// The names of flat documents (columns, members of forms) against the patterns of fields, and documents that stand in their values. Pure.

import { JsonMasker } from './json-masker.ts'
import type { FieldMask } from './json-values.ts'
import type { FieldMasks, PathState } from './paths.ts'
import { maskText } from './text-document.ts'

/** The place of a column or member with this name. */
export function placeOfName({ paths }: FieldMasks, name: string): PathState {
  return paths.belowText(paths.start, name)
}

/** Names, or a pattern of them, without what programs and people put between words; undefined when a name has nothing else. */
export function lettersOf(names: string): string | undefined {
  const letters = names.replaceAll(/[^\p{L}\p{N}.*]/gu, '')
  return letters.split('.').includes('') ? undefined : letters
}

/** The place of a column of a table, whose names are often written for people: `E-Mail`, `Password Hash`. */
export function placeOfColumn(masks: FieldMasks, name: string): PathState {
  const written = placeOfName(masks, name)
  if (written.mask >= 0) return written
  const composed = name.normalize('NFKC')
  // A star marks what has to be filled in; R and others write dots between words, and some put one at the end.
  const others = [composed.replaceAll(/[^\p{L}\p{N}.]/gu, ''), composed.replaceAll(/[^\p{L}\p{N}]/gu, '')]
  return others.map(each => placeOfName(masks, each)).find(({ mask }) => mask >= 0) ?? written
}

/** The mask of what stands in a place; undefined where it is clear. */
export function maskIn({ masks }: FieldMasks, place: PathState): FieldMask | undefined {
  return masks[place.mask]
}

/** What is shown of a value whose text may be a document; undefined where all of it is. */
export function maskDocumentsIn(fields: FieldMasks, place: PathState, text: string): string | undefined {
  return place.alive ? maskText(text, fields.paths, () => new JsonMasker(fields, 'many', undefined, place)) : undefined
}
