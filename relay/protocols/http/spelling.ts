// How the names of fields were written: in any case they mean the same to programs, but scripts look for `Location:`. Pure.
import type { FieldList } from './fields.ts'

/** By names in lower case, those that were written otherwise. */
export type Spelling = ReadonlyMap<string, string>

const none: Spelling = new Map()

/** Of names and values in turn, as they came. The first of a name counts for all. */
export function spellingOf(raw: readonly string[]): Spelling {
  let spelling: Map<string, string> | undefined
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at] ?? ''
    const lower = name.toLowerCase()
    if (lower === name || spelling?.has(lower) === true) continue
    spelling ??= new Map()
    spelling.set(lower, name)
  }
  return spelling ?? none
}

/** The fields with their names as they were written. */
export function respelled(fields: FieldList, spelling: Spelling): FieldList {
  return fields.map(([name, value]) => [spelling.get(name) ?? name, value])
}

/** The same as names and values in turn. */
export function spelled(fields: FieldList, spelling: Spelling): string[] {
  const written: string[] = []
  for (const [name, value] of fields) written.push(spelling.get(name) ?? name, value)
  return written
}
