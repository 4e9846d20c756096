// How much of a command is recorded: every event has a largest size, and sessions and targets have bytes for their texts. Pure.
import type { EventBody } from '../record/events.ts'

export interface RecordLimits {
  /** Of a command's text. */
  readonly eventBytes: number
  /** Of all texts, parameters and sealed texts of a session. */
  readonly sessionBytes: number
  /** The same of all sessions with one target in a day, in UTC. */
  readonly targetBytesPerDay: number
}

/** Half a kibibyte of text is enough to see what a command was. */
export const SMALLEST_EVENT_BYTES = 512
export const LARGEST_EVENT_BYTES = 32 * 1024
export const defaultRecordLimits: RecordLimits = {
  eventBytes: LARGEST_EVENT_BYTES,
  sessionBytes: 64 * 1024 * 1024,
  targetBytesPerDay: 1024 * 1024 * 1024,
}

/** Each recipient adds about 130 bytes to every sealed text. */
export const MAX_RECIPIENTS = 8

/** The form of an event that a log of entries with 16 bits of length takes; the rest is for what the recorder adds. */
export const MAX_EVENT_BYTES = 65_535
const ENVELOPE_BYTES = 1_535
/** Shares of it, in bytes of JSON. What is sealed takes from the text's. */
const TEXT_BYTES = 40_000
const TEXT_BESIDE_SEALED_BYTES = 12_000
export const SEALED_BYTES = 28_000
const PARAMETERS_BYTES = 8_000
const RESOURCES_BYTES = 6_000
const FACTS_BYTES = 5_000
const REASON_BYTES = 2_000
const NAME_BYTES = 400
/** A character of JSON is written in at most this many bytes. */
const LARGEST_CHARACTER_BYTES = 6
const DAY_MS = 86_400_000

export type CommandBody = Extract<EventBody, { type: 'command' }>

/** What was cut from a text, said by whoever has the whole. */
export type CutMark = Pick<CommandBody, 'cutFrom' | 'sha256' | 'keyedSha256'>

const jsonBytes = (value: unknown): number => Buffer.byteLength(JSON.stringify(value))

/** The beginning of a text that is not longer than so many bytes, alone and as JSON. */
export function cutText(text: string, bytes: number, ofJson: number = bytes): string {
  if (text.length * LARGEST_CHARACTER_BYTES <= Math.min(bytes, ofJson)) return text
  let cut = beginning(text, bytes)
  for (let size = jsonBytes(cut); size > ofJson && cut !== ''; size = jsonBytes(cut))
    cut = beginning(cut, Math.floor((Buffer.byteLength(cut) * ofJson) / size) - 1)
  return cut
}

function beginning(text: string, bytes: number): string {
  if (text.length * 3 <= bytes) return text
  // No character is less than a byte: what is further on need not be looked at.
  const all = Buffer.from(text.slice(0, Math.max(0, bytes) + 2), 'utf8')
  if (all.length <= bytes) return text
  let end = Math.max(0, bytes)
  // Not in the middle of a character.
  while (end > 0 && ((all[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return all.toString('utf8', 0, end)
}

/**
 * A command's event that is not larger than MAX_EVENT_BYTES, whatever is in it; what is left out is marked. `mark` gives
 * the marks of a text that is cut.
 */
export function fitCommand(body: CommandBody, { eventBytes }: RecordLimits, mark: () => CutMark): CommandBody {
  const text = fitText(body, eventBytes, mark)
  const fitted = text === undefined ? body : { ...body, ...text }
  if (isSmall(fitted)) return fitted
  return {
    ...fitted,
    ...fitParameters(fitted),
    ...fitResources(fitted),
    ...fitFacts(fitted),
    decision: fitVerdict(fitted.decision),
    ...(fitted.settled === undefined ? {} : { settled: fitVerdict(fitted.settled) }),
  }
}

function fitText(body: CommandBody, eventBytes: number, mark: () => CutMark): Partial<CommandBody> | undefined {
  const text = cutText(body.text, eventBytes, body.sealed === undefined ? TEXT_BYTES : TEXT_BESIDE_SEALED_BYTES)
  return text === body.text ? undefined : { text, ...mark() }
}

/** Most events are: counting their characters costs less than writing them twice. */
function isSmall({ text, parameters, resources, facts, sealed, decision, settled }: CommandBody): boolean {
  let characters = text.length + (decision.reason?.length ?? 0) + (settled?.reason?.length ?? 0)
  for (const parameter of parameters ?? []) characters += 60 + (parameter.text?.length ?? 0)
  for (const { name, kind } of resources) characters += 40 + name.length + kind.length
  characters += charactersOf(facts)
  return characters * LARGEST_CHARACTER_BYTES + (sealed?.length ?? 0) <= MAX_EVENT_BYTES - ENVELOPE_BYTES
}

/** The same facts come with every run of a statement. */
const counted = new WeakMap<CommandBody['facts'], number>()

function charactersOf(facts: CommandBody['facts']): number {
  const known = counted.get(facts)
  if (known !== undefined) return known
  let characters = 0
  for (const value of Object.values(facts))
    characters += 40 + (Array.isArray(value) ? size(value) : String(value).length)
  counted.set(facts, characters)
  return characters
}

const size = (texts: readonly string[]): number => texts.reduce((sum, text) => sum + text.length + 3, 0)

/** The first of a list that together have not more than so many bytes of JSON. */
function first<T>(all: readonly T[], bytes: number): T[] {
  let left = bytes
  const end = all.findIndex(each => {
    left -= jsonBytes(each) + 1
    return left < 0
  })
  return end === -1 ? [...all] : all.slice(0, end)
}

function fitParameters({ parameters, parametersCutFrom }: CommandBody): Partial<CommandBody> {
  if (parameters === undefined) return {}
  const kept = first(parameters, PARAMETERS_BYTES)
  return kept.length === parameters.length
    ? {}
    : { parameters: kept, parametersCutFrom: parametersCutFrom ?? parameters.length }
}

function fitResources({ resources }: CommandBody): Partial<CommandBody> {
  const named = resources.map(({ kind, name, mode }) => ({
    kind: cutText(kind, NAME_BYTES),
    name: cutText(name, NAME_BYTES),
    mode,
  }))
  const kept = first(named, RESOURCES_BYTES)
  const isWhole = kept.length === resources.length && kept.every(({ name }, index) => name === resources[index]?.name)
  return isWhole ? {} : { resources: kept, resourcesCutFrom: resources.length }
}

function fitFacts({ facts }: CommandBody): Partial<CommandBody> {
  const entries = Object.entries(facts)
  const share = Math.floor(FACTS_BYTES / Math.max(1, entries.length)) - NAME_BYTES / 8
  const cut: string[] = []
  const kept = entries.map(([name, value]) => {
    if (jsonBytes(value) <= share) return [name, value] as const
    cut.push(name)
    if (typeof value === 'string') return [name, cutText(value, share)] as const
    return [name, Array.isArray(value) ? first(value, share) : null] as const
  })
  return cut.length === 0 ? {} : { facts: Object.fromEntries(kept), factsCut: cut }
}

function fitVerdict(verdict: CommandBody['decision']): CommandBody['decision'] {
  return verdict.reason === undefined ? verdict : { ...verdict, reason: cutText(verdict.reason, REASON_BYTES) }
}

/** Bytes that the texts of a command take, of what sessions and targets have. */
export function textBytes({ text, parameters, sealed }: CommandBody): number {
  let bytes = Buffer.byteLength(text) + (sealed?.length ?? 0)
  for (const { text: value } of parameters ?? []) bytes += value === null ? 0 : Buffer.byteLength(value)
  return bytes
}

/** The event without its texts. */
export function withoutTexts(body: CommandBody, mark: () => CutMark): CommandBody {
  const { parameters, sealed, ...rest } = body
  return {
    ...rest,
    text: '',
    ...(body.sameTextAs === undefined ? mark() : {}),
    ...(parameters === undefined
      ? {}
      : { parameters: [], parametersCutFrom: body.parametersCutFrom ?? parameters.length }),
    ...(sealed === undefined ? {} : { sealedCut: true as const }),
  }
}

/** Targets whose bytes are counted; those of the day before are forgotten. */
const MAX_TARGETS = 10_000

/** Bytes that were recorded of each target today, by all sessions of this relay since it started. */
export class TargetBytes {
  #day = -1
  readonly #used = new Map<string, number>()

  /** Takes bytes if they are left. */
  take(target: string, bytes: number, limit: number, nowMs: number): boolean {
    const day = Math.floor(nowMs / DAY_MS)
    if (day !== this.#day || this.#used.size > MAX_TARGETS) {
      this.#used.clear()
      this.#day = day
    }
    const used = this.#used.get(target) ?? 0
    if (used + bytes > limit) {
      // What does not fit uses the rest up: a smaller command must not come after a larger one that was cut.
      this.#used.set(target, limit)
      return false
    }
    this.#used.set(target, used + bytes)
    return true
  }
}
