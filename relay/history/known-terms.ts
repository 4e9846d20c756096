// Terms that sessions are found by already: what has been written is not written again. Pure.
import type { EventBody } from '../record/events.ts'
import { termsOf } from './terms.ts'

/** Different terms of one session; what it has beyond them is not found. */
export const MAX_TERMS_PER_SESSION = 2_000
/** Terms remembered as written, over all sessions. */
const MAX_REMEMBERED_TERMS = 200_000
/** Texts of one session whose words are remembered as taken; beyond them all are forgotten. */
const MAX_TAKEN_TEXTS = 100
/** Longer ones are read again. */
const TAKEN_TEXT_LENGTH = 1_000

interface Known {
  readonly terms: Set<string>
  /** Statements with which the terms were taken, as `sayingOf` says them: the same one adds nothing. */
  readonly taken: Set<string>
  count: number
}

/** All that the terms of a command depend on; undefined when it is not worth remembering. */
function sayingOf(body: EventBody): string | undefined {
  if (body.type !== 'command' || body.text.length > TAKEN_TEXT_LENGTH) return undefined
  return `${body.action}\0${body.decision.rule}\0${body.settled?.rule ?? ''}\0${body.text}`
}

export class KnownTerms {
  readonly #sessions = new Map<string, Known>()
  #remembered = 0

  /** Adds the terms that the session does not have yet. */
  collect(terms: Map<string, string[]>, session: string, body: EventBody): void {
    const before = this.#sessions.get(session)
    const saying = sayingOf(body)
    if (before !== undefined && (before.count >= MAX_TERMS_PER_SESSION || before.taken.has(saying ?? ''))) return
    const found = termsOf(body)
    if (found.length === 0) return
    if (this.#remembered > MAX_REMEMBERED_TERMS) this.clear()
    const known = this.#sessions.get(session) ?? { terms: new Set<string>(), taken: new Set<string>(), count: 0 }
    this.#sessions.set(session, known)
    if (known.taken.size >= MAX_TAKEN_TEXTS) known.taken.clear()
    if (saying !== undefined) known.taken.add(saying)
    const news = found.filter(term => !known.terms.has(term)).slice(0, MAX_TERMS_PER_SESSION - known.count)
    for (const term of news) known.terms.add(term)
    known.count += news.length
    this.#remembered += news.length
    if (news.length > 0) terms.set(session, [...(terms.get(session) ?? []), ...news])
  }

  forget(session: string): void {
    this.#remembered -= this.#sessions.get(session)?.terms.size ?? 0
    this.#sessions.delete(session)
  }

  /** What was taken for written is not. */
  clear(): void {
    this.#sessions.clear()
    this.#remembered = 0
  }
}
