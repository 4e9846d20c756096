// Approval requests as the store keeps them, read back as values.
import { GateError } from '@gate/shared/errors'
import type { Operation } from '@gate/shared/model'
import type { Selectable } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'

export type RequestState = Schema['requests']['state']

export interface ApprovalRequest {
  readonly id: string
  readonly session: string
  readonly subject: { readonly id: string; readonly email: string | undefined; readonly groups: readonly string[] }
  readonly target: string
  readonly protocol: string
  readonly task: string | undefined
  readonly reason: string | undefined
  readonly rule: string
  readonly approvers: string
  readonly operation: Operation
  readonly commandHash: string
  readonly policy: string
  readonly state: RequestState
  readonly createdMs: number
  readonly expiresMs: number
  readonly settledMs: number | undefined
}

export interface Decision {
  readonly by: { readonly id: string; readonly email: string | undefined; readonly groups: readonly string[] }
  readonly verdict: 'approve' | 'deny'
  readonly reason: string | undefined
  readonly decidedMs: number
}

/** The newest requests that one answer lists. */
const MAX_LISTED = 1_000

/** @throws {GateError} ERR_GATE_NOT_FOUND. */
export async function readRequest(store: Pick<Store, 'db'>, id: string): Promise<ApprovalRequest> {
  const row = await store.db.selectFrom('requests').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw new GateError('ERR_GATE_NOT_FOUND', `there is no request ${id} that you may see`)
  return toRequest(row)
}

/** The newest requests, oldest first; with `waitingAtMs`, those that can still be decided then. */
export async function readRequests(
  store: Pick<Store, 'db'>,
  waitingAtMs: number | undefined,
): Promise<ApprovalRequest[]> {
  let query = store.db.selectFrom('requests').selectAll()
  if (waitingAtMs !== undefined) query = query.where('state', '=', 'waiting').where('expires_ms', '>', waitingAtMs)
  const rows = await query.orderBy('created_ms', 'desc').limit(MAX_LISTED).execute()
  return rows.reverse().map(toRequest)
}

export async function readDecisions(store: Pick<Store, 'db'>, id: string): Promise<Decision[]> {
  const rows = await store.db
    .selectFrom('decisions')
    .selectAll()
    .where('request_id', '=', id)
    .orderBy('decided_ms')
    .execute()
  return rows.map(row => ({
    by: { id: row.subject_id, email: row.email ?? undefined, groups: row.groups },
    verdict: row.verdict,
    reason: row.reason ?? undefined,
    decidedMs: row.decided_ms,
  }))
}

function toRequest(row: Selectable<Schema['requests']>): ApprovalRequest {
  return {
    id: row.id,
    session: row.session_id,
    subject: { id: row.subject_id, email: row.email ?? undefined, groups: row.groups },
    target: row.target,
    protocol: row.protocol,
    task: row.task ?? undefined,
    reason: row.reason ?? undefined,
    rule: row.rule,
    approvers: row.approvers,
    operation: row.operation as Operation,
    commandHash: row.command_hash,
    policy: row.policy,
    state: row.state,
    createdMs: row.created_ms,
    expiresMs: row.expires_ms,
    settledMs: row.settled_ms ?? undefined,
  }
}
