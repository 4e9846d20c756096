// What the end of a session says of the events before it: how many there were, and a hash over their lines.
import { createHash, type Hash } from 'node:crypto'
import { type EventBody, isSessionEvent } from './events.ts'

export class SessionDigests {
  /** Of each session that goes on: how many events it has, and SHA-256 over their lines, each with its newline. */
  readonly #digests = new Map<string, { events: number; readonly hash: Hash }>()

  /** A session's end says what came before it: the receipt for this one event vouches for all of them. */
  sealed(body: EventBody): EventBody {
    if (body.type !== 'session.end') return body
    const digest = this.#digests.get(body.session)
    return digest === undefined ? body : { ...body, events: digest.events, sha256: digest.hash.copy().digest('hex') }
  }

  /** Counts an event that was written; `line` has its newline. */
  took(body: EventBody, line: Buffer): void {
    if (!isSessionEvent(body)) return
    if (body.type === 'session.start') this.#digests.set(body.session, { events: 0, hash: createHash('sha256') })
    if (body.type === 'session.end') this.#digests.delete(body.session)
    const digest = this.#digests.get(body.session)
    if (digest !== undefined) {
      digest.events += 1
      digest.hash.update(line)
    }
  }
}
