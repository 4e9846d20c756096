// A text in which some constants are replaced for the record: what stays, and what is chosen when it is known what is masked. Pure.
import type { Span } from '../../../mask/detectors/bytes.ts'
import { recordedPlaceholder } from '../../../mask/placeholder.ts'
import type { Meeting } from './meeting.ts'

/** Placeholders of more constants fill what is recorded of a text: of the others none is needed, and each costs a hash. */
const MAX_HASHED = 1_300
/** Constants of which it is kept what they meet. */
export const MAX_CHOICES = 1_000
/** Stands where nobody reads. */
const UNHASHED = "'‹redacted›'"

const decoder = new TextDecoder('utf-8')

/** A constant that is recorded by the placeholder of its value, which is made only where it is needed. */
export interface Hidden {
  readonly value: string
}

/** One that is recorded as it is where what it meets is not masked. */
export interface Choice extends Hidden {
  readonly clear: string
  readonly meeting: Meeting
}

/** Of a text that is recorded: what stays, and constants of which some do not. */
export type Piece = string | Choice | Hidden

/** What stands in the place of a part of the text. */
export interface Replacement extends Span {
  /** Stands in its place; or the value of a constant, whose hash is made when it is needed: mostly it is not. */
  readonly by: { readonly placeholder: string } | Hidden
  readonly meeting: Meeting | undefined
}

/** Stands in the place of a constant with this value. */
export function hiddenConstant(key: Uint8Array, value: string): string {
  return `'${recordedPlaceholder(key, value)}'`
}

/** `first` and those of `second` that lie in none of them; where they overlap only partly, both become one. */
export function merge(first: readonly Replacement[], second: readonly Replacement[]): Replacement[] {
  const sorted = [...first, ...second].sort((a, b) => a.start - b.start || b.end - a.end)
  const merged: Replacement[] = []
  for (const next of sorted) {
    const last = merged.at(-1)
    if (last === undefined || next.start >= last.end) merged.push(next)
    else if (next.end > last.end) merged[merged.length - 1] = { ...last, end: next.end, meeting: undefined }
  }
  return merged
}

/** The text with its replacements; `within` are those in constants that may stay. */
export function pieces(
  bytes: Uint8Array,
  replacements: readonly Replacement[],
  within: readonly Replacement[],
  key: Uint8Array,
): Piece[] {
  const found: Piece[] = []
  let run: string[] = []
  let choices = 0
  let at = 0
  for (const [index, { start, end, by, meeting }] of replacements.entries()) {
    run.push(decoder.decode(bytes.subarray(at, start)))
    at = end
    if ('placeholder' in by) {
      run.push(by.placeholder)
      continue
    }
    if (meeting === undefined || choices >= MAX_CHOICES) {
      if (index >= MAX_HASHED) run.push(UNHASHED)
      else {
        found.push(run.join(''), { value: by.value })
        run = []
      }
      continue
    }
    choices += 1
    const inside = within
      .filter(other => other.start >= start && other.end <= end)
      .map(other => ({ ...other, start: other.start - start, end: other.end - start }))
    const clear = joined(pieces(bytes.subarray(start, end), inside, [], key), key)
    found.push(run.join(''), { clear, value: by.value, meeting })
    run = []
  }
  run.push(decoder.decode(bytes.subarray(at)))
  return [...found, run.join('')]
}

/** With every choice made for the placeholder. */
export function joined(all: readonly Piece[], key: Uint8Array): string {
  return all.map(piece => (typeof piece === 'string' ? piece : hiddenConstant(key, piece.value))).join('')
}

export function trimmed(all: readonly Piece[]): Piece[] {
  return all.map((piece, index) => {
    if (typeof piece !== 'string') return piece
    const begun = index === 0 ? piece.trimStart() : piece
    return index === all.length - 1 ? begun.trimEnd() : begun
  })
}
