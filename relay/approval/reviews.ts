// Reviews of broken glass: whoever passed holds without being approved is looked at afterwards, by somebody else.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Subject } from '@gate/shared/model'
import type { Selectable } from 'kysely'
import { mayApprove, parseQuorum } from '../policy/quorum.ts'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { isSamePerson } from './person.ts'

/** The newest reviews that one answer lists. */
const MAX_LISTED = 1_000

export interface Review {
  readonly id: string
  readonly session: string
  readonly subject: { readonly id: string; readonly email: string | undefined }
  readonly target: string
  readonly reason: string
  readonly approvers: readonly string[]
  readonly openedMs: number
  readonly closedMs: number | undefined
  readonly closedBy: { readonly id: string; readonly email: string | undefined } | undefined
  readonly note: string | undefined
}

export class Reviews {
  readonly #store: Store
  readonly #clock: Clock

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** Opens a review of a session. `approvers` are the quorums of the rules that its holds would have asked. */
  async open(
    session: string,
    subject: Subject,
    target: string,
    reason: string,
    approvers: readonly string[],
  ): Promise<Review> {
    const id = newId('v')
    const openedMs = this.#clock.now()
    await storeErrors(() =>
      this.#store.db
        .insertInto('reviews')
        .values({
          id,
          session_id: session,
          subject_id: subject.id,
          email: subject.email ?? null,
          target,
          reason,
          approvers: JSON.stringify(approvers),
          opened_ms: openedMs,
          closed_ms: null,
          closed_by: null,
          closed_email: null,
          note: null,
        })
        .execute(),
    )
    return {
      id,
      session,
      subject: { id: subject.id, email: subject.email },
      target,
      reason,
      approvers,
      openedMs,
      closedMs: undefined,
      closedBy: undefined,
      note: undefined,
    }
  }

  /** Reviews of the person's own sessions, and those that they may close, newest last; closed ones only with `all`. */
  async list(subject: Subject, all: boolean): Promise<Review[]> {
    let query = this.#store.db.selectFrom('reviews').selectAll()
    if (!all) query = query.where('closed_ms', 'is', null)
    const rows = await storeErrors(() => query.orderBy('opened_ms', 'desc').limit(MAX_LISTED).execute())
    return rows
      .reverse()
      .map(toReview)
      .filter(review => review.subject.id === subject.id || mayClose(subject, review))
  }

  /**
   * Closes a review.
   * @throws {GateError} ERR_GATE_FORBIDDEN for one's own, ERR_GATE_NOT_FOUND, ERR_GATE_CONFLICT when it is closed.
   */
  async close(subject: Subject, id: string, note: string): Promise<Review> {
    const review = (await this.list(subject, true)).find(each => each.id === id)
    if (review === undefined)
      throw new GateError('ERR_GATE_NOT_FOUND', `there is no review ${id} that you may close`, {
        hint: 'gate reviews lists those you may.',
      })
    if (!mayClose(subject, review))
      throw new GateError('ERR_GATE_FORBIDDEN', 'nobody closes the review of their own session', {
        hint: `Ask ${review.approvers.join(', or ')}.`,
      })
    const closedMs = this.#clock.now()
    const { numUpdatedRows } = await storeErrors(() =>
      this.#store.db
        .updateTable('reviews')
        .set({
          closed_ms: closedMs,
          closed_by: subject.id,
          closed_email: subject.email ?? null,
          note,
        })
        .where('id', '=', id)
        .where('closed_ms', 'is', null)
        .executeTakeFirst(),
    )
    if (numUpdatedRows !== 1n) throw new GateError('ERR_GATE_CONFLICT', `${id} is closed already`)
    return { ...review, closedMs, closedBy: { id: subject.id, email: subject.email }, note }
  }
}

export function mayClose(subject: Subject, review: Review): boolean {
  if (isSamePerson(subject, review.subject)) return false
  return review.approvers.some(quorum => mayApprove(parseQuorum(quorum), subject.groups))
}

function toReview(row: Selectable<Schema['reviews']>): Review {
  return {
    id: row.id,
    session: row.session_id,
    subject: { id: row.subject_id, email: row.email ?? undefined },
    target: row.target,
    reason: row.reason,
    approvers: row.approvers,
    openedMs: row.opened_ms,
    closedMs: row.closed_ms ?? undefined,
    closedBy: row.closed_by === null ? undefined : { id: row.closed_by, email: row.closed_email ?? undefined },
    note: row.note ?? undefined,
  }
}
