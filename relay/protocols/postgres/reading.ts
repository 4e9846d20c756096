// How the server reads the texts that a client sends: their encoding, and whether a backslash in a literal is one. Pure.
import { type StatementFacts, widest } from './analysis/facts.ts'
import { readTokens } from './analysis/lexer.ts'
import { decode } from './encodings.ts'
import type { Entry } from './pending.ts'
import { readsAsGate, settingName } from './settings.ts'

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const BACKSLASH = 0x5c

/** What is known at one moment of how a text is read. */
export interface ReadingNow {
  /** `later`: answers that are on their way say it; `no`: the server says it after a Sync that the client has not sent. */
  readonly certain: 'yes' | 'later' | 'no'
  /** As the server names it. */
  readonly encoding: string
  /** standard_conforming_strings. */
  readonly conforming: boolean
  /** Values may be in another encoding than UTF8, now or once what was sent has run. */
  readonly otherEncoding: boolean
}

/**
 * The settings of a session that say how its texts are read. As long as nobody touches them, texts are UTF-8 and literals as in
 * the standard. From version 14 on the server tells of changes before ReadyForQuery only, and a rollback takes them back; so
 * once one was sent, a text that depends on them is read when nothing is in flight and no transaction can bring others back.
 */
export class Reading {
  #encoding = 'UTF8'
  #conforming = true
  /** Where the session began with other values, RESET brings them back. */
  #beganOtherwise = false
  #careful = false
  #otherEncoding = false
  #changesInFlight = 0
  /** Commands under way that run code which gate does not see. */
  #codeInFlight = 0
  /** Where the newest of them was sent. */
  #codeSegment: number | undefined

  /** Undefined while texts are what they are by default. */
  now(inFlight: number, segmentOpen: boolean): ReadingNow | undefined {
    if (!this.#careful) return undefined
    const certain = inFlight > 0 ? 'later' : segmentOpen ? 'no' : 'yes'
    return { certain, encoding: this.#encoding, conforming: this.#conforming, otherEncoding: this.#otherEncoding }
  }

  /**
   * Whether standard_conforming_strings is what it was said to be: code that gate does not see may have turned it off, which
   * ends the session as soon as the server says so, and until then a literal with a backslash could hide another statement.
   */
  literals(oldest: Entry | undefined, segment: number): ReadingNow['certain'] {
    if (this.#codeInFlight > 0 || (oldest !== undefined && oldest.segment !== segment)) return 'later'
    return this.#codeSegment === segment ? 'no' : 'yes'
  }

  sent(entry: Entry): void {
    if (runsCode(entry)) {
      this.#codeInFlight += 1
      this.#codeSegment = entry.segment
    }
    const change = changeBy(entry)
    if (change === undefined) return
    this.#careful = true
    this.#otherEncoding ||= change === 'encoding'
    this.#changesInFlight += 1
  }

  settled(entry: Entry): void {
    if (runsCode(entry)) this.#codeInFlight -= 1
    if (changeBy(entry) !== undefined) this.#changesInFlight -= 1
  }

  /** The server says what a setting is now. False where nothing that was sent can have changed it. */
  reported(name: string, value: string, atStart: boolean): boolean {
    const isAsGate = readsAsGate(name, value)
    if (isAsGate === undefined) return true
    if (settingName(name) === 'client_encoding') this.#encoding = isAsGate ? 'UTF8' : value
    else this.#conforming = isAsGate
    if (this.#encoding !== 'UTF8') this.#otherEncoding = true
    if (isAsGate) return true
    if (atStart) {
      this.#beganOtherwise = true
      this.#careful = true
    }
    return this.#careful
  }

  /** No transaction is open. */
  idle(): void {
    const isDefault = this.#encoding === 'UTF8' && this.#conforming
    if (isDefault && !this.#beganOtherwise && this.#changesInFlight === 0) this.#careful = false
  }
}

function changeBy(entry: Entry): StatementFacts['changesReading'] {
  if (entry.kind === 'execute') return entry.plan?.changesReading
  if (entry.kind !== 'query') return undefined
  let change: StatementFacts['changesReading']
  for (const { changesReading } of entry.plans) change = widest(change, changesReading)
  return change
}

function runsCode(entry: Entry): boolean {
  if (entry.kind === 'query') return entry.plans.some(plan => plan.runsCode === true)
  return entry.kind === 'function' || (entry.kind === 'execute' && entry.plan?.runsCode === true)
}

export type ReadText = { readonly text: string } | 'later' | { readonly fault: string; readonly hint: string }

/**
 * A text as the server reads it, unless that cannot be told; `literals` says whether it is known how literals with a backslash
 * are read. @throws {TypeError} for what is no UTF-8 and should be.
 */
export function readText(
  bytes: Buffer,
  reading: ReadingNow | undefined,
  literals: ReadingNow['certain'] = 'yes',
): ReadText {
  const hasBackslash = bytes.includes(BACKSLASH)
  if (reading === undefined) {
    const text = utf8.decode(bytes)
    if (literals === 'yes' || !hasBackslash || !escapes(text)) return { text }
    return literals === 'later' ? literals : unknownYet
  }
  const isAscii = bytes.every(byte => byte < 0x80)
  if (isAscii && !hasBackslash) return { text: bytes.toString('latin1') }
  if (reading.certain === 'later') return 'later'
  if (reading.certain === 'no') return unknownYet
  const text = reading.encoding === 'UTF8' ? utf8.decode(bytes) : decode(bytes, reading.encoding)
  if (text === undefined) return unreadable(reading.encoding)
  return { text: reading.conforming || !hasBackslash ? text : withEscapes(text) }
}

/** Up to the first such literal both ways of reading agree on where each literal ends; so they do on all when there is none. */
function escapes(text: string): boolean {
  const bytes = Buffer.from(text, 'utf8')
  return readTokens(bytes).tokens.some(
    ({ kind, form, start, end }) => kind === 'string' && form === '' && bytes.subarray(start, end).includes(BACKSLASH),
  )
}

/**
 * What the server reads while standard_conforming_strings is off, in the standard's words: a plain literal is one of E'' then
 * (scan.l begins the same state for both). Of U&'' the server reads no text at all. N'' is the word N and a literal.
 */
function withEscapes(text: string): string {
  const bytes = Buffer.from(text, 'utf8')
  const pieces: Buffer[] = []
  let from = 0
  for (const { kind, form, start, end } of readTokens(bytes, undefined, 'escaped').tokens) {
    if (kind !== 'string' || form !== '' || !bytes.subarray(start, end).includes(BACKSLASH)) continue
    pieces.push(bytes.subarray(from, start), asEscaped)
    from = start
  }
  return Buffer.concat([...pieces, bytes.subarray(from)]).toString('utf8')
}

/** The blank keeps the E from what stands before it. */
const asEscaped = Buffer.from(' E')

const unknownYet = {
  fault:
    'whether the server reads this text as gate does is not known before the settings that were just sent have run',
  hint: 'End the pipeline (Sync) before statements with a backslash or with other characters than those of ASCII.',
}

function unreadable(encoding: string): { readonly fault: string; readonly hint: string } {
  return {
    fault: `gate cannot read the characters of this statement in ${encoding}`,
    hint: 'Send them as parameters, or SET client_encoding = UTF8.',
  }
}
