// What is replaced in everything that is recorded, wherever it stands: the detectors' part of keeping masked values out of the record. Pure.
import type { Span } from './detectors/bytes.ts'
import { compileFinder, detectorKinds, replaceFindings } from './detectors.ts'
import { placeholderOf } from './placeholder.ts'

/** Addresses of the Internet Protocol are what one looks for in a record; every other kind is replaced, whatever policy lists. */
export const recordDetectors = detectorKinds.filter(kind => kind !== 'ip')

const find = compileFinder(recordDetectors)

/** What detectors find in a value; undefined when that is nothing. */
export function findRecorded(value: Uint8Array): readonly Span[] | undefined {
  return find(value)
}

/** Text of any kind (a name, a reason) with what detectors find in it replaced; the same string when that is nothing. */
export function hideFound(text: string, key: Uint8Array): string {
  const bytes = Buffer.from(text, 'utf8')
  const found = find(bytes)
  if (found === undefined) return text
  return replaceFindings(bytes, found, value => placeholderOf(key, value)).toString('utf8')
}
