// Patterns of fields as an automaton: one step for each name of a document, whatever the number of patterns. Pure.
import { GateError } from '@gate/shared/errors'
import type { FieldMask } from './json-values.ts'
import {
  comparedBytes,
  comparedName,
  isIndexName,
  LEFT_OUT,
  localName,
  ODD,
  ODD_WORTH,
  partsOf,
  worthOfBytes,
} from './names.ts'

/** Sets of places that are remembered; beyond, they are worked out again. */
const MAX_STATES = 1024

/** Names that were worked out, and are no longer than this, are remembered; beyond, all are forgotten. */
const MAX_TEXTS = 256
const MAX_TEXT_LENGTH = 64

/** The number of a name that no pattern holds. */
const OTHER_NAME = 0
/** Of a name that has to be read as a text. */
const ODD_NAME = -4
const ANY_NAME = -1
const ANY_NAMES = -2

/** Where one is in a document, as far as patterns are concerned. */
export interface PathState {
  /** The first of the masks that hide what stands here; -1 when none does. */
  readonly mask: number
  /** Whether anything below could be hidden. */
  readonly alive: boolean
  /** Places in patterns, in order. */
  readonly places: readonly number[]
  /** Next states by the number of the name, as far as they are known. */
  next: (PathState | undefined)[]
}

/** A place stands before a name of a pattern, or at its end. */
interface Place {
  readonly name: number
  readonly mask: number
}

/** The end of a pattern; also no name's number. */
const END = -3

interface Name {
  readonly bytes: Buffer
  readonly number: number
}

interface TextName {
  readonly number: number
  readonly isIndex: boolean
  /** Numbers of the names that it is made of, where it has separators. */
  readonly parts: readonly number[]
  /** That of what stands behind its prefix, where it has one. */
  readonly local: number
}

/** Names are short: a loop is faster than a call into the engine. */
function isSame(name: Buffer, bytes: Buffer, start: number, end: number): boolean {
  let compared = 0
  for (let at = start; at < end; at += 1) {
    const byte = comparedBytes[bytes[at] ?? 0] ?? ODD
    if (byte === LEFT_OUT) continue
    if (byte !== name[compared]) return false
    compared += 1
  }
  return true
}

/** The first byte that is compared, in this direction. */
function firstOf(bytes: Buffer, from: number, step: 1 | -1): number {
  let at = from
  while (comparedBytes[bytes[at] ?? 0] === LEFT_OUT) at += step
  return comparedBytes[bytes[at] ?? 0] ?? ODD
}

/** Buckets by length and both ends: nearly every other name is told apart without being looked at. */
function bucket(length: number, first: number, last: number): number {
  return length * 65_536 + first * 256 + last
}

/** Whether a name is a number, as of an element: programs write lists with gaps as objects. */
function isIndex(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end && isDigit(bytes[at] ?? 0)) at += 1
  return at === end && end > start
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39

/**
 * The patterns of several masks: names joined by dots, `*` for any one name, `**` for any number of them, none included. Names
 * are compared in any case and spelling. Memory is limited by the number of places in patterns times a named limit.
 */
export class Paths {
  readonly start: PathState
  readonly #places: Place[] = []
  readonly #numbers = new Map<string, number>()
  readonly #buckets = new Map<number, Name[]>()
  readonly #lengths: boolean[] = []
  readonly #states = new Map<string, PathState>()
  readonly #texts = new Map<string, TextName>()

  /** @throws {GateError} ERR_GATE_CONFIG when a pattern has a name of no letters. */
  constructor(masks: readonly (readonly string[])[]) {
    const first: number[] = []
    for (const [mask, patterns] of masks.entries()) {
      for (const pattern of patterns) {
        first.push(this.#places.length)
        for (const name of pattern.split('.')) this.#places.push({ name: this.#read(name, pattern), mask })
        this.#places.push({ name: END, mask })
      }
    }
    this.start = this.#state(first)
  }

  /** The state below, after a name in UTF-8. */
  below(state: PathState, bytes: Buffer, start: number, end: number): PathState {
    const number = this.#numberOf(bytes, start, end)
    if (number === ODD_NAME) return this.belowText(state, bytes.toString('utf8', start, end))
    return isIndex(bytes, start, end) ? this.#element(state, number) : this.#next(state, number)
  }

  /** The same after a name that was decoded. One with dots or brackets is one name, and those that it is made of. */
  belowText(state: PathState, name: string): PathState {
    const { number, isIndex, parts, local } = this.#readText(name)
    const whole = isIndex ? this.#element(state, number) : this.#next(state, number)
    if (parts.length === 0) return whole
    const places = new Set([...whole.places, ...(local === OTHER_NAME ? [] : this.#next(state, local).places)])
    let last = state
    for (const [at, part] of parts.entries()) {
      last = this.#next(last, part)
      // What is in something hidden is hidden.
      const isLast = at === parts.length - 1
      for (const place of last.places) if (isLast || this.#places[place]?.name === END) places.add(place)
    }
    return this.#state([...places])
  }

  /** What patterns know of a name. Documents have the same few names over and over. */
  #readText(written: string): TextName {
    const known = this.#texts.get(written)
    if (known !== undefined) return known
    const parts = partsOf(written).map(part => this.#numberOfText(part))
    const local = this.#numberOfText(localName(written) ?? '')
    const made = { number: this.#numberOfText(written), isIndex: isIndexName(written), parts, local }
    if (this.#texts.size >= MAX_TEXTS) this.#texts.clear()
    if (written.length <= MAX_TEXT_LENGTH) this.#texts.set(written, made)
    return made
  }

  /** Whether a pattern has a name, or one of those that it is made of, wherever that is. */
  holds(name: string): boolean {
    return [name, ...partsOf(name)].some(part => this.#numberOfText(part) !== OTHER_NAME)
  }

  /** After a name with this number. */
  #next(state: PathState, name: number): PathState {
    const known = state.next[name]
    if (known !== undefined) return known
    const found = this.#state(this.#after(state, name))
    // After the states were forgotten this one may be among them: it must not keep others alive.
    if (this.#states.get(state.places.join()) === state) state.next[name] = found
    return found
  }

  /** After a name that may be an index, which has none. */
  #element(state: PathState, name: number): PathState {
    const known = name === OTHER_NAME ? state.next[this.#index] : undefined
    if (known !== undefined) return known
    const found = this.#state([...this.#after(state, name), ...state.places])
    if (name === OTHER_NAME && this.#states.get(state.places.join()) === state) state.next[this.#index] = found
    return found
  }

  /** A number that no name has. */
  get #index(): number {
    return this.#numbers.size + 1
  }

  #numberOf(bytes: Buffer, start: number, end: number): number {
    let length = 0
    for (let at = start; at < end; at += 1) length += worthOfBytes[bytes[at] ?? 0] ?? 0
    if (length >= ODD_WORTH) return ODD_NAME
    // Of a name of nothing but dashes they count.
    if (length === 0) return end === start ? OTHER_NAME : ODD_NAME
    if (this.#lengths[length] !== true) return OTHER_NAME
    const names = this.#buckets.get(bucket(length, firstOf(bytes, start, 1), firstOf(bytes, end - 1, -1)))
    if (names === undefined) return OTHER_NAME
    for (const name of names) if (isSame(name.bytes, bytes, start, end)) return name.number
    return OTHER_NAME
  }

  #numberOfText(name: string): number {
    return this.#numbers.get(comparedName(name)) ?? OTHER_NAME
  }

  #read(written: string, pattern: string): number {
    const name = comparedName(written) || written
    if (name === '') throw new GateError('ERR_GATE_CONFIG', `${JSON.stringify(pattern)} has an empty name`)
    if (name === '*') return ANY_NAME
    if (name === '**') return ANY_NAMES
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    const number = this.#numbers.size + 1
    this.#numbers.set(name, number)
    const bytes = Buffer.from(name, 'utf8')
    const key = bucket(bytes.length, bytes[0] ?? 0, bytes.at(-1) ?? 0)
    const names = this.#buckets.get(key) ?? []
    names.push({ bytes, number })
    this.#buckets.set(key, names)
    this.#lengths[bytes.length] = true
    return number
  }

  #after(state: PathState, name: number): number[] {
    const after: number[] = []
    for (const at of state.places) {
      const wanted = this.#places[at]?.name ?? END
      if (wanted === ANY_NAMES) after.push(at)
      else if (wanted === ANY_NAME || wanted === name) after.push(at + 1)
    }
    return after
  }

  #state(from: readonly number[]): PathState {
    const all = new Set<number>()
    for (let at of from) {
      all.add(at)
      // `**` may stand for nothing.
      while (this.#places[at]?.name === ANY_NAMES) {
        at += 1
        all.add(at)
      }
    }
    const places = [...all].sort((a, b) => a - b)
    const key = places.join()
    const known = this.#states.get(key)
    if (known !== undefined) return known
    if (this.#states.size >= MAX_STATES) this.#forget()
    const ended = places.filter(at => this.#places[at]?.name === END)
    const mask = ended.length === 0 ? -1 : Math.min(...ended.map(at => this.#places[at]?.mask ?? 0))
    const state: PathState = { mask, alive: ended.length < places.length, places, next: [] }
    this.#states.set(key, state)
    return state
  }

  #forget(): void {
    for (const state of this.#states.values()) state.next = []
    this.#states.clear()
  }
}

/** Fields that are masked, and how: the masks are in the order in which they count. */
export interface FieldMasks {
  readonly paths: Paths
  /** By the numbers that paths give. */
  readonly masks: readonly FieldMask[]
}
