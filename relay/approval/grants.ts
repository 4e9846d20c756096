// Grants: a person may repeat what one rule holds on one target, until time runs out or somebody takes it back.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Subject } from '@gate/shared/model'
import type { Kysely, Selectable } from 'kysely'
import { mayApprove, parseQuorum } from '../policy/quorum.ts'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'
import type { ApprovalRequest } from './requests.ts'

/** The newest grants that one answer lists. */
const MAX_LISTED = 1_000

export interface Grant {
  readonly id: string
  readonly request: string
  readonly subject: { readonly id: string; readonly email: string | undefined }
  readonly target: string
  readonly rule: string
  readonly approvers: string
  readonly createdMs: number
  readonly expiresMs: number
  readonly revokedMs: number | undefined
  readonly revokedBy: string | undefined
}

export class Grants {
  readonly #store: Store
  readonly #clock: Clock

  constructor(store: Store, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /**
   * The grant that lets the person pass the rule on the target now. Asked of the store each time: a grant that was taken back
   * is gone at once, also for connections that are open.
   * @throws {GateError} ERR_GATE_STORE.
   */
  async find(subject: Subject, target: string, rule: string): Promise<Grant | undefined> {
    const row = await storeErrors(() =>
      this.#store.db
        .selectFrom('grants')
        .selectAll()
        .where('subject_id', '=', subject.id)
        .where('target', '=', target)
        .where('rule', '=', rule)
        .where('revoked_ms', 'is', null)
        .where('expires_ms', '>', this.#clock.now())
        .orderBy('expires_ms', 'desc')
        .limit(1)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : toGrant(row)
  }

  /** Grants that are the person's own or that they may take back, newest last; those that are over only with `all`. */
  async list(subject: Subject, all: boolean): Promise<Grant[]> {
    let query = this.#store.db.selectFrom('grants').selectAll()
    if (!all) query = query.where('revoked_ms', 'is', null).where('expires_ms', '>', this.#clock.now())
    const rows = await storeErrors(() => query.orderBy('created_ms', 'desc').limit(MAX_LISTED).execute())
    return rows
      .reverse()
      .map(toGrant)
      .filter(grant => grant.subject.id === subject.id || mayApprove(parseQuorum(grant.approvers), subject.groups))
  }

  /**
   * Takes a grant back.
   * @throws {GateError} ERR_GATE_NOT_FOUND also for what is none of the person's business, ERR_GATE_CONFLICT when it is over.
   */
  async revoke(subject: Subject, id: string): Promise<Grant> {
    const grant = (await this.list(subject, true)).find(each => each.id === id)
    if (grant === undefined)
      throw new GateError('ERR_GATE_NOT_FOUND', `there is no grant ${id} that you may take back`, {
        hint: 'gate grants lists those you may.',
      })
    const revokedMs = this.#clock.now()
    const { numUpdatedRows } = await storeErrors(() =>
      this.#store.db
        .updateTable('grants')
        .set({ revoked_ms: revokedMs, revoked_by: subject.id })
        .where('id', '=', id)
        .where('revoked_ms', 'is', null)
        .where('expires_ms', '>', revokedMs)
        .executeTakeFirst(),
    )
    if (numUpdatedRows !== 1n) throw new GateError('ERR_GATE_CONFLICT', `${id} is over already`)
    return { ...grant, revokedMs, revokedBy: subject.id }
  }
}

/** Makes the grant that a request was approved with, in the transaction that approves it. */
export async function makeGrant(
  db: Kysely<Schema>,
  request: ApprovalRequest,
  createdMs: number,
  grantMs: number,
): Promise<string> {
  const id = newId('g')
  await db
    .insertInto('grants')
    .values({
      id,
      request_id: request.id,
      subject_id: request.subject.id,
      email: request.subject.email ?? null,
      target: request.target,
      rule: request.rule,
      approvers: request.approvers,
      created_ms: createdMs,
      expires_ms: createdMs + grantMs,
      revoked_ms: null,
      revoked_by: null,
    })
    .execute()
  return id
}

function toGrant(row: Selectable<Schema['grants']>): Grant {
  return {
    id: row.id,
    request: row.request_id,
    subject: { id: row.subject_id, email: row.email ?? undefined },
    target: row.target,
    rule: row.rule,
    approvers: row.approvers,
    createdMs: row.created_ms,
    expiresMs: row.expires_ms,
    revokedMs: row.revoked_ms ?? undefined,
    revokedBy: row.revoked_by ?? undefined,
  }
}
