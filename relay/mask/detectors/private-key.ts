// Private keys in PEM (RFC 7468) and its relatives, also on one line with escaped newlines, also when cut off. Pure.
import {
  type Bytes,
  byteAt,
  characterTable,
  code,
  type Detector,
  isAlphanumeric,
  isDigit,
  isIn,
  isUpper,
  startsAt,
  textOf,
} from './bytes.ts'

const DASH = 0x2d
const BEGIN = '-----BEGIN '
const END = '-----END '
const LABEL_BYTES = 48
/** Less than this in one piece is an example in a text, not a key. */
const SHORTEST_PIECE = 16

/** Base64, white space, backslashes of escaped newlines, per cent signs of URLs, and what headers such as DEK-Info need. */
const bodySigns = characterTable('+/= \t\r\n\\:,.%_()')

/** Where the line that begins at `at` with `mark` ends, when its label is that of a private key; 0 otherwise. */
function lineEnd(bytes: Bytes, at: number, mark: string): number {
  if (!startsAt(bytes, at, mark)) return 0
  const from = at + mark.length
  let end = from
  while (
    end - from < LABEL_BYTES &&
    (isUpper(byteAt(bytes, end)) || isDigit(byteAt(bytes, end)) || byteAt(bytes, end) === 0x20)
  )
    end += 1
  const label = textOf(bytes, from, end)
  return /PRIVATE KEY(?: BLOCK)?$/.test(label) && startsAt(bytes, end, '-----') ? end + 5 : 0
}

/**
 * Reads what can be a key's text and stops before two dashes, so that no part of a value is read from two beginnings.
 * Gives its end and the longest piece of base64 in it.
 */
function body(bytes: Bytes, at: number): { end: number; longest: number } {
  let end = at
  let piece = 0
  let longest = 0
  for (; ; end += 1) {
    const byte = byteAt(bytes, end)
    if (isAlphanumeric(byte) || byte === code('+') || byte === code('/')) {
      piece += 1
      if (piece > longest) longest = piece
      continue
    }
    piece = 0
    const oneDash = byte === DASH && byteAt(bytes, end + 1) !== DASH
    if (!oneDash && !isIn(bodySigns, byte)) return { end, longest }
  }
}

export const privateKey: Detector = {
  triggers: '-',
  find(bytes, at) {
    if (byteAt(bytes, at - 1) === DASH) return undefined
    const begun = lineEnd(bytes, at, BEGIN)
    if (begun === 0) return undefined
    const { end, longest } = body(bytes, begun)
    if (longest < SHORTEST_PIECE) return undefined
    const ended = lineEnd(bytes, end, END)
    return { start: at, end: ended === 0 ? end : ended }
  },
}
