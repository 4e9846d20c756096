// Recorded events on their way into the index: what only repeats itself is counted, not kept. Pure.
import type { EventBody, StoredEvent } from '../record/events.ts'
import { type Tally, tallyOf } from './terms.ts'

/** Events that are written together. */
const BATCH_EVENTS = 1_000

type CommandBody = Extract<EventBody, { type: 'command' }>

/** A session that runs one statement again and again is found by it once. */
export class Gathering {
  readonly #events: StoredEvent[] = []
  readonly #tallies: Map<string, Tally>
  /** The newest command of each session with these facts: rooms that know a statement from before give the very same ones. */
  readonly #commands = new Map<string, Map<CommandBody['facts'], CommandBody>>()
  #first = Number.MAX_SAFE_INTEGER
  #newest = 0
  #characters = 0

  /** `tallies`: counts that this adds to. */
  constructor(tallies = new Map<string, Tally>()) {
    this.#tallies = tallies
  }

  /** Those that say something new, in order. */
  get events(): readonly StoredEvent[] {
    return this.#events
  }

  /** What all of them add to the counts of their sessions. */
  get tallies(): ReadonlyMap<string, Tally> {
    return this.#tallies
  }

  /** The numbers of the first and of the last event. */
  get first(): number {
    return this.#first
  }

  get newest(): number {
    return this.#newest
  }

  /** Characters of the texts that are kept. */
  get characters(): number {
    return this.#characters
  }

  get isFull(): boolean {
    return this.#events.length >= BATCH_EVENTS
  }

  /** Takes an event; true when it has to be kept. */
  add(event: StoredEvent): boolean {
    const { body, sequence } = event
    this.#first = Math.min(this.#first, sequence)
    this.#newest = sequence
    if ('session' in body) this.#count(body.session, body)
    if (body.type === 'command' && this.#isRepeated(body)) return false
    this.#events.push(event)
    this.#characters += charactersOf(body)
    return true
  }

  #count(session: string, body: EventBody): void {
    const tally = tallyOf(body)
    if (tally.commands + tally.refused + tally.held === 0) return
    const known = this.#tallies.get(session)
    if (known === undefined) return void this.#tallies.set(session, tally)
    known.commands += tally.commands
    known.refused += tally.refused
    known.held += tally.held
  }

  /** Whether the session has run it before, with the same outcome. */
  #isRepeated(body: CommandBody): boolean {
    const { session, facts, text, action, decision, settled } = body
    const ofSession = this.#commands.get(session) ?? new Map<CommandBody['facts'], CommandBody>()
    this.#commands.set(session, ofSession)
    const known = ofSession.get(facts)
    if (
      known?.text === text &&
      known.action === action &&
      known.decision === decision &&
      known.settled?.rule === settled?.rule
    )
      return true
    ofSession.set(facts, body)
    return false
  }
}

/** Characters of an event's text, which are most of what it holds. */
export function charactersOf(body: EventBody): number {
  return body.type === 'command' ? body.text.length : 0
}
