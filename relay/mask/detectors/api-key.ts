// Keys of well-known services, by what they begin with. Pure.

import { type Alphabet, type Shape, shapes } from './api-key-shapes.ts'
import {
  type Bytes,
  byteAt,
  code,
  type Detector,
  isAlphanumeric,
  isDigit,
  isHex,
  isTokenByte,
  isUpper,
  type Span,
  startsAt,
} from './bytes.ts'

const alphabets: Readonly<Record<Alphabet, (byte: number) => boolean>> = {
  alphanumeric: isAlphanumeric,
  token: isTokenByte,
  hex: isHex,
  upper: byte => isUpper(byte) || isDigit(byte),
  dotted: byte => isTokenByte(byte) || byte === code('.'),
  path: byte => isTokenByte(byte) || byte === code('/'),
}

const anchorOf = ({ prefix, anchor }: Shape): number => prefix.charCodeAt(anchor)
const pairOf = ({ prefix, anchor }: Shape): number => (prefix.charCodeAt(anchor - 1) << 8) | prefix.charCodeAt(anchor)

/** Shapes by the character that they are looked for by and the one before it: dashes are frequent, `t-` is not. */
const byPair: ReadonlyMap<number, readonly Shape[]> = new Map(
  shapes.map(shape => [pairOf(shape), shapes.filter(other => pairOf(other) === pairOf(shape))]),
)
const pairs = new Uint8Array(65_536)
for (const pair of byPair.keys()) pairs[pair] = 1

/** Digits and letters, and enough different ones: `sk-` also begins the names of packages. */
function isMixed(bytes: Bytes, start: number, end: number): boolean {
  const seen = new Set<number>()
  let digits = 0
  for (let at = start; at < end; at += 1) {
    const byte = byteAt(bytes, at)
    seen.add(byte)
    if (isDigit(byte)) digits += 1
  }
  return digits >= 2 && seen.size >= 10
}

function match(bytes: Bytes, at: number, shape: Shape): Span | undefined {
  const start = at - shape.anchor
  // In the middle of a longer token everything can stand; a key begins where a token begins.
  if (!startsAt(bytes, start, shape.prefix) || isTokenByte(byteAt(bytes, start - 1))) return undefined
  const inside = alphabets[shape.alphabet]
  const from = start + shape.prefix.length
  let end = from
  while (end - from <= shape.longest && inside(byteAt(bytes, end))) end += 1
  const length = end - from
  if (length < shape.shortest || length > shape.longest || isAlphanumeric(byteAt(bytes, end))) return undefined
  return !shape.mixed || isMixed(bytes, from, end) ? { start, end } : undefined
}

export const apiKey: Detector = {
  triggers: String.fromCharCode(...new Set(shapes.map(anchorOf))),
  find(bytes, at) {
    const pair = (byteAt(bytes, at - 1) << 8) | byteAt(bytes, at)
    if (pairs[pair] === 0) return undefined
    for (const shape of byPair.get(pair) ?? []) {
      const found = match(bytes, at, shape)
      if (found !== undefined) return found
    }
    return undefined
  },
}
