// Reads the tokens of which JSON mostly consists, in one loop: whole ones without escapes, within a container. Pure.
import { blanks, type NumberScan, plain, QUOTE, scanNumber, wordAt } from './json-grammar.ts'
import type { JsonOutput } from './json-output.ts'
import {
  AFTER_VALUE,
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  FIRST_ELEMENT,
  FIRST_NAME,
  type JsonPlace,
  LETTER_N,
  MAX_DEPTH,
  MAX_NAME_BYTES,
  MINUS,
  NAME,
  NINE,
  OPEN_ARRAY,
  OPEN_OBJECT,
  VALUE,
  ZERO,
} from './json-place.ts'
import { kindOf } from './json-values.ts'
import type { FieldMasks } from './paths.ts'
import { beginsBare } from './text-document.ts'

const scan: NumberScan = { number: 0 }

/**
 * Reads on from between two tokens and gives the place of the first one that is not for this loop: one that is cut off, has
 * escapes, is not valid, may be a document, opens something that is hidden, or ends the document. `place` is where one is in
 * front of it. What is done with each token is what the reader of single steps does.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL when a number is none; ERR_GATE_LIMIT
 */
export function readTokens(
  bytes: Buffer,
  from: number,
  place: JsonPlace,
  { paths, masks }: FieldMasks,
  output: JsonOutput,
): number {
  if (place.next < VALUE || place.depth === 0) return from
  const { isArray, states } = place
  // What stands in a variable here need not be looked up for each byte.
  const [isBlank, isPlain, beginsAsDocument] = [blanks, plain, beginsBare]
  const { isSearched } = output
  const length = bytes.length
  let { next, depth, state } = place
  let inArray = isArray[depth - 1] ?? false
  let around = states[depth - 1] ?? state
  let isHiding = output.isHiding
  let at = from
  while (at < length) {
    let byte = bytes[at] ?? 0
    if (isBlank[byte] === 1) {
      at += 1
      continue
    }
    if (next === AFTER_VALUE) {
      if (byte === COMMA) {
        at += 1
        next = inArray ? VALUE : NAME
        if (inArray) state = around
        if (isSearched) output.cut(at)
        continue
      }
      if (depth === 1 || byte !== (inArray ? CLOSE_ARRAY : CLOSE_OBJECT)) break
      at += 1
      depth -= 1
      inArray = isArray[depth - 1] ?? false
      around = states[depth - 1] ?? state
      if (isHiding) {
        output.valueEnds(depth, at)
        isHiding = output.isHiding
      }
      continue
    }
    if (next === NAME || next === FIRST_NAME) {
      if (byte !== QUOTE) break
      let end = at + 1
      while (end < length && isPlain[bytes[end] ?? 0] === 1) end += 1
      const isNamed = end + 1 < length && bytes[end] === QUOTE && bytes[end + 1] === COLON
      if (!isNamed || end - at > MAX_NAME_BYTES - 2) break
      state = isHiding || !around.alive ? around : paths.below(around, bytes, at + 1, end)
      next = VALUE
      at = end + 2
      if (at === length) break
      byte = bytes[at] ?? 0
      if (isBlank[byte] === 1) continue
    }
    if (next !== VALUE && (next !== FIRST_ELEMENT || byte === CLOSE_ARRAY)) break
    const isMasked = !isHiding && state.mask >= 0 && byte !== LETTER_N
    let end = at + 1
    if (byte === QUOTE) {
      if (beginsAsDocument[bytes[end] ?? 0] === 1 && state.alive && !isHiding && !isMasked) break
      while (end < length && isPlain[bytes[end] ?? 0] === 1) end += 1
      if (bytes[end] !== QUOTE) break
      end += 1
    } else if (byte === MINUS || (byte >= ZERO && byte <= NINE)) {
      scan.number = 0
      end = scanNumber(bytes, at, scan)
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (isMasked || depth === MAX_DEPTH) break
      inArray = byte === OPEN_ARRAY
      isArray[depth] = inArray
      states[depth] = around = state
      depth += 1
      next = inArray ? FIRST_ELEMENT : FIRST_NAME
      at = end
      continue
    } else end = wordAt(bytes, at)
    if (end < 0) break
    if (isMasked) output.hide(masks[state.mask] ?? { with: 'redact' }, kindOf(byte), depth, at)
    if (isMasked || isHiding) {
      output.valueEnds(depth, end)
      isHiding = output.isHiding
    }
    next = AFTER_VALUE
    at = end
  }
  place.next = next
  place.depth = depth
  place.state = state
  return at
}
