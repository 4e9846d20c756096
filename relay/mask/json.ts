// Detectors inside JSON documents: escapes are seen through, what is not found keeps its bytes, and JSON stays JSON. Pure.
import { INNER_QUOTE } from './detectors/bytes.ts'
import { compileFinder, type Finding, type Replacement, replaceFindings, replacementOf } from './detectors.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** What a lone surrogate becomes: a character that is part of no finding. */
const NO_CHARACTER = 0x1a

const escapes: ReadonlyMap<number, number> = new Map([
  [0x22, INNER_QUOTE],
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
])

/** A document with the escapes undone, and where each of its bytes comes from. Structure stays as it is. */
export interface Plain {
  readonly bytes: Buffer
  /** Undefined where nothing was escaped. */
  readonly origins: Uint32Array | undefined
}

const codeUnit = (document: Buffer, at: number): number =>
  Number.parseInt(document.toString('latin1', at + 2, at + 6), 16)
const isSurrogate = (unit: number, from: number): boolean => unit >= from && unit < from + 0x400

/** The character that the escape at `at` stands for, and how long the escape is. */
function readEscape(document: Buffer, at: number): { point: number; length: number } {
  const sign = document[at + 1] ?? 0
  if (sign !== 0x75) return { point: escapes.get(sign) ?? sign, length: 2 }
  const unit = codeUnit(document, at)
  if (isSurrogate(unit, 0xd800)) {
    const pair = document[at + 6] === BACKSLASH && document[at + 7] === 0x75
    const low = pair ? codeUnit(document, at + 6) : 0
    if (!isSurrogate(low, 0xdc00)) return { point: NO_CHARACTER, length: 6 }
    return { point: 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), length: 12 }
  }
  if (isSurrogate(unit, 0xdc00)) return { point: NO_CHARACTER, length: 6 }
  return { point: unit === QUOTE ? INNER_QUOTE : unit, length: 6 }
}

/** Undoes the escapes of a valid document, or of whole tokens of one; there are none outside of strings. */
export function plain(document: Buffer): Plain {
  // A character is never longer in UTF-8 than its escape.
  const bytes = Buffer.allocUnsafe(document.length)
  const origins = new Uint32Array(document.length + 1)
  let length = 0
  for (let at = 0; at < document.length; ) {
    const byte = document[at] ?? 0
    if (byte !== BACKSLASH) {
      origins[length] = at
      bytes[length] = byte
      length += 1
      at += 1
      continue
    }
    const read = readEscape(document, at)
    let written = 1
    if (read.point < 0x80) bytes[length] = read.point
    else written = bytes.write(String.fromCodePoint(read.point), length, 'utf8')
    origins.fill(at, length, length + written)
    length += written
    at += read.length
  }
  origins[length] = document.length
  return { bytes: bytes.subarray(0, length), origins: origins.subarray(0, length + 1) }
}

function isJson(document: Buffer): boolean {
  try {
    JSON.parse(document.toString('utf8'))
    return true
  } catch {
    return false
  }
}

const bareSigns = new Set([...'+-.'].map(sign => sign.charCodeAt(0)))
const isBare = (byte: number | undefined): boolean =>
  byte !== undefined && (bareSigns.has(byte) || /\w/.test(String.fromCharCode(byte)))

/** A finding as part of the document: inside a string, or the whole of a number. */
export interface Place extends Finding {
  readonly inString: boolean
}

/** Says of each finding, in order, whether it is in a string; one in a number grows to the whole number. */
export function places(bytes: Buffer, findings: readonly Finding[]): Place[] {
  const placed: Place[] = []
  let at = 0
  let inString = false
  for (const finding of findings) {
    for (; at < finding.start; at += 1) if (bytes[at] === QUOTE) inString = !inString
    let { start, end } = finding
    if (!inString) {
      while (isBare(bytes[start - 1])) start -= 1
      while (isBare(bytes[end])) end += 1
      if (start < (placed.at(-1)?.end ?? 0)) continue
    }
    placed.push({ ...finding, start, end, inString })
  }
  return placed
}

/** Found text as its reader sees it. */
export const quoteAgain = (text: string): string => text.replaceAll(String.fromCharCode(INNER_QUOTE), '"')

/** Masks a valid document, given as it is searched and where that came from. */
function maskPlain(document: Buffer, { bytes, origins }: Plain, findings: readonly Finding[], to: Replacement): Buffer {
  const found = places(bytes, findings)
  const origin = (at: number): number => (origins === undefined ? at : (origins[at] ?? document.length))
  const spans = found.map(({ start, end }) => ({ start: origin(start), end: origin(end) }))
  return replaceFindings(document, spans, (_, index) => {
    const { start = 0, end = 0, inString = true } = found[index] ?? {}
    const clear = Buffer.from(quoteAgain(bytes.toString('latin1', start, end)), 'latin1')
    const text = JSON.stringify(replacementOf(clear, to))
    return inString ? text.slice(1, -1) : text
  })
}

/**
 * Prepares the masking of JSON documents in UTF-8: gives the masked document, or undefined, with nothing copied, when
 * nothing was found. Findings are replaced inside strings, names of members too; a number that is found becomes a string.
 * What is not valid JSON is masked as text.
 * @throws {GateError} ERR_GATE_CONFIG when there is no such detector; what it gives throws nothing.
 */
export function compileJsonDetectors(
  kinds: readonly string[],
  replacement: Replacement,
): (document: Buffer) => Buffer | undefined {
  const find = compileFinder(kinds)
  return document => {
    const escaped = document.includes(BACKSLASH)
    // Without escapes a document is searched as it stands, and only one that holds something has to be parsed.
    if (!escaped || !isJson(document)) {
      const findings = find(document)
      if (findings === undefined) return undefined
      return !escaped && isJson(document)
        ? maskPlain(document, { bytes: document, origins: undefined }, findings, replacement)
        : replaceFindings(document, findings, found => replacementOf(found, replacement))
    }
    const searched = plain(document)
    const findings = find(searched.bytes)
    return findings === undefined ? undefined : maskPlain(document, searched, findings, replacement)
  }
}

/** `mask` over a document that is a string; undefined when nothing was found. */
export function maskJson(document: string, mask: (document: Buffer) => Buffer | undefined): string | undefined {
  return mask(Buffer.from(document))?.toString('utf8')
}
