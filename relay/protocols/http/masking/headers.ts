// Masks values of headers: named ones, and what detectors find in the others. Pure.

import type { BodyMasks } from './body.ts'
import { searchValue } from './detecting.ts'
import { maskedText } from './json-values.ts'

/** A field of a head: its name and its value, whose characters stand for bytes. */
export type Header = readonly [name: string, value: string]

/** Where the body ends and who may go on talking is written by gate itself, and tells nothing. */
const framing = new Set(['connection', 'content-length', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade'])

/** A replacement must not begin another header. */
const controls = /[\x00-\x08\x0a-\x1f\x7f]/g

/** The same headers in the same order, masked; the others are the same pairs. A value that becomes null is empty. */
export function maskHeaders(headers: readonly Header[], masks: BodyMasks): Header[] {
  return headers.map(header => {
    const [name, value] = header
    const lower = name.toLowerCase()
    if (framing.has(lower)) return header
    const bytes = Buffer.from(value, 'latin1')
    const mask = masks.headers.get(lower)
    const masked =
      mask === undefined ? searchValue(masks.searches, bytes) : Buffer.from(maskedText(mask, bytes.toString('utf8')))
    return masked === bytes ? header : [name, masked.toString('latin1').replace(controls, ' ')]
  })
}
