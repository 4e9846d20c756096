// Detectors over JSON that streams by, in pieces of whole tokens; what is masked already is neither searched nor context. Pure.
import type { Span } from '../../../mask/detectors/bytes.ts'
import { replaceFindings } from '../../../mask/detectors.ts'
import { type Place, type Plain, places, plain, quoteAgain } from '../../../mask/json.ts'
import { REDACTED_TEXT } from '../../../mask/values.ts'
import type { Search, Searches } from './detecting.ts'
import { Held } from './held.ts'
import { BACKSLASH, blanks, QUOTE } from './json-grammar.ts'
import { NOTHING } from './masker.ts'

/** Pieces are cut at the first place where they may, from this length on. */
const PIECE_BYTES = 16_384
/** A piece with the longest value that is searched. */
export const MAX_PIECE_BYTES = 1_048_576

const STAR = 0x2a
const COLON = 0x3a
/** Structure and blanks: what stands between two tokens. */
const between = Uint8Array.from(blanks)
for (const character of '{}[],:\u001e') between[character.charCodeAt(0)] = 1

/** Collects tokens of a valid document and searches them. */
export class JsonSearch {
  readonly #searches: Searches
  readonly #held = new Held('a part of the body that is searched', MAX_PIECE_BYTES)
  #masked: Span[] = []

  constructor(searches: Searches) {
    this.#searches = searches
  }

  /** @throws {GateError} ERR_GATE_LIMIT */
  add(bytes: Buffer, isMasked: boolean): void {
    const start = this.#held.length
    this.#held.add(bytes)
    if (isMasked) this.#masked.push({ start, end: this.#held.length })
  }

  /** Whether a piece that is so many bytes longer should be cut. @throws {GateError} ERR_GATE_LIMIT */
  isEnough(more: number): boolean {
    this.#held.check(more)
    return this.#held.length + more >= PIECE_BYTES
  }

  /** All that was added, masked. */
  take(): Buffer {
    if (this.#held.length === 0) return NOTHING
    const masked = this.#masked
    this.#masked = []
    return this.#searches.reduce<Piece>(searched, { bytes: this.#held.take(), masked }).bytes
  }
}

interface Piece {
  readonly bytes: Buffer
  /** In order. */
  readonly masked: readonly Span[]
}

/** A part of a piece and what is put there. */
interface Change extends Span {
  readonly text: string
}

function searched(piece: Piece, search: Search): Piece {
  let hidden = piece.bytes
  if (piece.masked.length > 0) {
    hidden = Buffer.from(piece.bytes)
    for (const { start, end } of piece.masked) hidden.fill(STAR, start, end)
  }
  const seen: Plain = hidden.includes(BACKSLASH) ? plain(hidden) : { bytes: hidden, origins: undefined }
  const findings = search.find(seen.bytes)
  if (findings === undefined) return piece
  const found = places(seen.bytes, findings)
  return changed(piece, found.every(place => isInToken(seen.bytes, place)) ? changes(seen, found, search) : all(hidden))
}

/** A finding that is more than a part of a string or a number is the finder's last resort. */
function isInToken(bytes: Buffer, { start, end, inString }: Place): boolean {
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] ?? 0
    if (byte === QUOTE || (!inString && between[byte] === 1)) return false
  }
  return true
}

function changes({ bytes, origins }: Plain, found: readonly Place[], { replace }: Search): Change[] {
  const origin = (at: number): number => (origins === undefined ? at : (origins[at] ?? 0))
  const made: Change[] = []
  let done = 0
  for (const place of found) {
    if (place.start < done) continue
    const { start, end, text } = change(bytes, place, replace)
    made.push({ start: origin(start), end: origin(end), text })
    done = end
  }
  return made
}

function change(bytes: Buffer, { start, end, inString }: Place, replace: Search['replace']): Change {
  if (replace !== null) {
    const clear = Buffer.from(quoteAgain(bytes.toString('latin1', start, end)), 'latin1')
    const text = JSON.stringify(replace(clear))
    return { start, end, text: inString ? text.slice(1, -1) : text }
  }
  if (!inString) return { start, end, text: 'null' }
  const opening = bytes.lastIndexOf(QUOTE, start - 1)
  const behind = bytes.indexOf(QUOTE, end) + 1
  return { start: opening, end: behind, text: isName(bytes, behind) ? JSON.stringify(REDACTED_TEXT) : 'null' }
}

/** Whether the string in front of `at` names a member. */
function isName(bytes: Buffer, at: number): boolean {
  let next = at
  while (blanks[bytes[next] ?? 0] === 1) next += 1
  return bytes[next] === COLON
}

/** Every string, number and word but what is masked already. */
function all(hidden: Buffer): Change[] {
  const made: Change[] = []
  for (let at = 0; at < hidden.length; ) {
    const byte = hidden[at] ?? 0
    if (between[byte] === 1 || byte === STAR || byte >= 0x80) {
      at += 1
      continue
    }
    const start = at
    at = byte === QUOTE ? behindString(hidden, at) : behindBare(hidden, at)
    made.push({ start, end: at, text: JSON.stringify(REDACTED_TEXT) })
  }
  return made
}

function behindString(bytes: Buffer, opening: number): number {
  let at = opening + 1
  while (at < bytes.length && bytes[at] !== QUOTE) at += bytes[at] === BACKSLASH ? 2 : 1
  return at + 1
}

function behindBare(bytes: Buffer, from: number): number {
  let at = from
  while (at < bytes.length && between[bytes[at] ?? 0] !== 1) at += 1
  return at
}

function changed(piece: Piece, made: readonly Change[]): Piece {
  const masked: Span[] = []
  let older = 0
  let shift = 0
  const keepOlder = (until: number): void => {
    for (let span = piece.masked[older]; span !== undefined && span.start < until; span = piece.masked[older]) {
      masked.push({ start: span.start + shift, end: span.end + shift })
      older += 1
    }
  }
  for (const { start, end, text } of made) {
    keepOlder(start)
    const length = Buffer.byteLength(text)
    masked.push({ start: start + shift, end: start + shift + length })
    shift += length - (end - start)
    while ((piece.masked[older]?.start ?? end) < end) older += 1
  }
  keepOlder(Number.POSITIVE_INFINITY)
  return { bytes: replaceFindings(piece.bytes, made, (_, index) => made[index]?.text ?? ''), masked }
}
