// Finds values by what they look like and replaces exactly them: the net under the masks that name columns. Pure.
import { GateError } from '@gate/shared/errors'
import { apiKey } from './detectors/api-key.ts'
import { type Bytes, beginsLongNumber, type Detector, DIGITS, isDigit, type Span, STAR } from './detectors/bytes.ts'
import { creditCard } from './detectors/credit-card.ts'
import { email } from './detectors/email.ts'
import { iban } from './detectors/iban.ts'
import { ip } from './detectors/ip.ts'
import { jwt } from './detectors/jwt.ts'
import { phone } from './detectors/phone.ts'
import { privateKey } from './detectors/private-key.ts'
import { secret } from './detectors/secret.ts'
import { usSsn } from './detectors/us-ssn.ts'
import { hashText, partialText, REDACTED_TEXT } from './values.ts'

const detectors = {
  'credit-card': creditCard,
  email,
  'us-ssn': usSsn,
  iban,
  phone,
  ip,
  'api-key': apiKey,
  jwt,
  'private-key': privateKey,
  secret,
} satisfies Record<string, Detector>

export type DetectorKind = keyof typeof detectors
export const detectorKinds = Object.keys(detectors) as readonly DetectorKind[]

export interface Finding extends Span {
  readonly kind: DetectorKind
}

/** Finds values in bytes: in order, none overlapping; undefined when there is nothing. */
export type Finder = (value: Bytes) => readonly Finding[] | undefined

/**
 * What is left of a found value. A mask `with: null` has no form here, since null is a whole value's: a room that gets
 * findings from `compileFinder` makes the value null.
 */
export type Replacement =
  | { readonly with: 'redact' | 'partial' }
  | { readonly with: 'hash'; readonly key: Uint8Array }
  | { readonly with: 'fixed'; readonly value: string }

/** After this many rounds a value whose masked parts keep uncovering others is masked as a whole. */
const MAX_ROUNDS = 4

interface Watcher {
  readonly kind: DetectorKind
  readonly detector: Detector
  /** The end of its last finding: what is found is not searched again. */
  found: number
}

const IGNORED = 0
const DIGIT = 1
const OTHER = 2

/** Who looks at each byte. */
interface Watch {
  readonly all: readonly Watcher[]
  readonly classes: Uint8Array
  readonly byByte: readonly (readonly Watcher[])[]
  /** The same without those who want long numbers only, and whether there are any. */
  readonly byShort: readonly (readonly Watcher[])[]
  readonly longs: boolean
}

function watch(kinds: readonly string[]): Watch {
  const all = [...new Set(kinds)].map(kind => {
    if (!Object.hasOwn(detectors, kind)) throw new GateError('ERR_GATE_CONFIG', `no detector is called ${kind}`)
    const detector: Detector = detectors[kind as DetectorKind]
    return { kind: kind as DetectorKind, detector, found: 0 }
  })
  const byByte = Array.from({ length: 256 }, (_, byte) =>
    all.filter(({ detector }) => detector.triggers.includes(String.fromCharCode(byte))),
  )
  const classes = Uint8Array.from(byByte, (watchers, byte) => {
    if (watchers.length === 0) return IGNORED
    return isDigit(byte) ? DIGIT : OTHER
  })
  // One digit that is watched makes all of them count: only so is the first of a run known.
  if (classes.includes(DIGIT)) for (const digit of DIGITS) classes[digit.charCodeAt(0)] = DIGIT
  const byShort = byByte.map(watchers => watchers.filter(({ detector }) => detector.longNumbers !== true))
  return { all, classes, byByte, byShort, longs: all.some(({ detector }) => detector.longNumbers === true) }
}

/** One pass. Most bytes are nobody's, and cost one look into a table. */
function scan(value: Bytes, { all, classes, byByte, byShort, longs }: Watch): Finding[] | undefined {
  let findings: Finding[] | undefined
  let previous = IGNORED
  const length = value.length
  for (let at = 0; at < length; at += 1) {
    const byte = value[at] ?? 0
    const current = classes[byte] ?? IGNORED
    if (current !== IGNORED && (current !== DIGIT || previous !== DIGIT)) {
      const short = current === DIGIT && longs && !beginsLongNumber(value, at)
      const watchers = (short ? byShort : byByte)[byte] ?? []
      for (let index = 0; index < watchers.length; index += 1) {
        const finding = look(watchers[index], value, at)
        if (finding === undefined) continue
        findings ??= []
        findings.push(finding)
      }
    }
    previous = current
  }
  if (findings !== undefined) for (const watcher of all) watcher.found = 0
  return findings
}

function look(watcher: Watcher | undefined, value: Bytes, at: number): Finding | undefined {
  if (watcher === undefined || at < watcher.found) return undefined
  const span = watcher.detector.find(value, at)
  if (span === undefined) return undefined
  watcher.found = span.end
  return { kind: watcher.kind, start: span.start, end: span.end }
}

/** Overlapping findings become one, of the kind of the longest. */
function merge(findings: readonly Finding[]): Finding[] {
  const merged: Finding[] = []
  for (const finding of [...findings].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1)
    if (last === undefined || finding.start >= last.end) merged.push(finding)
    else {
      const kind = finding.end - finding.start > last.end - last.start ? finding.kind : last.kind
      merged[merged.length - 1] = { kind, start: last.start, end: Math.max(last.end, finding.end) }
    }
  }
  return merged
}

/**
 * Searches again with the found parts masked, until nothing more comes up: what ended in a card number is now the
 * beginning of its value, and the result must not hold anything that its reader's own detectors would find.
 */
function settle(value: Bytes, first: Finding[], watched: Watch): readonly Finding[] {
  const rest = Uint8Array.from(value)
  let all = merge(first)
  let found: Finding[] | undefined = first
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    for (const { start, end } of found) rest.fill(STAR, start, end)
    found = scan(rest, watched)
    if (found === undefined) return all
    all = merge(all.concat(found))
  }
  return [{ kind: all[0]?.kind ?? 'secret', start: 0, end: value.length }]
}

/**
 * Prepares a search for values of these kinds. Works on bytes: everything that is found is made of ASCII and whole UTF-8
 * letters, so text stays text, and bytes that are no UTF-8 are merely not part of anything. Time is linear in the value.
 * @throws {GateError} ERR_GATE_CONFIG when there is no such detector; what it gives throws nothing.
 */
export function compileFinder(kinds: readonly string[]): Finder {
  const watched = watch(kinds)
  return value => {
    const first = scan(value, watched)
    return first === undefined ? undefined : settle(value, first, watched)
  }
}

/** What stands in the place of a found value. */
export function replacementOf(value: Buffer, replacement: Replacement): string {
  switch (replacement.with) {
    case 'redact':
      return REDACTED_TEXT
    case 'partial':
      return partialText(value.toString('utf8'))
    case 'hash':
      return hashText(replacement.key, value)
    case 'fixed':
      return replacement.value
  }
}

/** Cuts the findings out and puts replacements in; everything else keeps its bytes. */
export function replaceFindings(
  value: Buffer,
  findings: readonly Span[],
  replace: (found: Buffer, index: number) => string,
): Buffer {
  const pieces: Buffer[] = []
  let copied = 0
  for (const [index, { start, end }] of findings.entries()) {
    pieces.push(value.subarray(copied, start), Buffer.from(replace(value.subarray(start, end), index)))
    copied = end
  }
  return Buffer.concat([...pieces, value.subarray(copied)])
}

/**
 * Prepares the masking of text: gives the masked text, or undefined, with nothing copied, when nothing was found.
 * @throws {GateError} ERR_GATE_CONFIG when there is no such detector; what it gives throws nothing.
 */
export function compileDetectors(
  kinds: readonly string[],
  replacement: Replacement,
): (value: Buffer) => Buffer | undefined {
  const find = compileFinder(kinds)
  return value => {
    const findings = find(value)
    if (findings === undefined) return undefined
    return replaceFindings(value, findings, found => replacementOf(found, replacement))
  }
}
