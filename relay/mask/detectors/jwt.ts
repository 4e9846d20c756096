// JSON web tokens in compact form (RFC 7515, 7516), known by a header that names an algorithm. Pure.
import { type Bytes, byteAt, code, type Detector, isTokenByte, textOf } from './bytes.ts'

const DOT = code('.')
const SHORTEST_PART = 10
/** A longer header, with certificates in it, is taken for one without being read. */
const HEADER_READ = 1024
/** JWS has three parts, JWE five. */
const MOST_PARTS = 5

function partEnd(bytes: Bytes, at: number): number {
  let end = at
  while (isTokenByte(byteAt(bytes, end))) end += 1
  return end
}

function isHeader(bytes: Bytes, start: number, end: number): boolean {
  if (end - start > HEADER_READ) return true
  return Buffer.from(textOf(bytes, start, end), 'base64url')
    .toString('latin1')
    .includes('"alg"')
}

/** Each part is read once from each of the parts before it that could be a header: five times at most. */
export const jwt: Detector = {
  triggers: 'J',
  find(bytes, at) {
    const start = at - 2
    if (byteAt(bytes, at - 1) !== code('y') || byteAt(bytes, start) !== code('e')) return undefined
    if (isTokenByte(byteAt(bytes, start - 1))) return undefined
    let end = partEnd(bytes, at)
    if (end - start < SHORTEST_PART || byteAt(bytes, end) !== DOT || !isHeader(bytes, start, end)) return undefined
    const header = end
    for (let part = 1; part < MOST_PARTS && byteAt(bytes, end) === DOT; part += 1) end = partEnd(bytes, end + 1)
    if (end - header < SHORTEST_PART) return undefined
    return { start, end: byteAt(bytes, end - 1) === DOT && end - header > 1 ? end - 1 : end }
  },
}
