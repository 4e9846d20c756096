// Approval requests as the store keeps them, read back as values.
import type { DecidedRequest, SignedDecision } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import type { Estimate, Operation } from '@gate/shared/model'
import { type Selectable, sql } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { RequestState } from './states.ts'

/** Something that the same person did before in the same session. */
export interface EarlierCommand {
  readonly command: number
  readonly action: string
  /** Cut where it is long. */
  readonly text: string
  readonly effect: 'allow' | 'deny' | 'hold'
  /** What came of it, as far as it is known. */
  readonly status: string | undefined
}

export interface ApprovalRequest extends DecidedRequest {
  readonly kind: 'command' | 'grant'
  readonly subject: { readonly id: string; readonly email: string | undefined; readonly groups: readonly string[] }
  /** The relay that holds the command. */
  readonly relay: string
  readonly reason: string | undefined
  readonly approvers: string
  readonly operation: Operation
  /** Undefined for a grant. */
  readonly exact: { readonly command: string; readonly parameters: string } | undefined
  readonly history: readonly EarlierCommand[]
  readonly estimate: Estimate | undefined
  /** How long a grant was asked for. */
  readonly grantMs: number | undefined
  /** How long one may be given for; undefined when the rule permits none. */
  readonly grantMaxMs: number | undefined
  /** Nobody's connection waits: the command comes again when it is approved. */
  readonly later: boolean
  readonly state: RequestState
  readonly createdMs: number
  readonly settledMs: number | undefined
  /** The operation's text is only the beginning, and its parameters are left out: as in lists. */
  readonly isCut?: boolean
}

export interface Decision {
  readonly by: { readonly id: string; readonly email: string | undefined; readonly groups: readonly string[] }
  readonly verdict: 'approve' | 'deny'
  readonly reason: string | undefined
  readonly grantMs: number | undefined
  readonly decidedMs: number
  /** Undefined for what was decided before decisions were signed. */
  readonly signed: SignedDecision | undefined
}

/** The newest requests that one answer lists. */
const MAX_LISTED = 1_000
/** Of long commands a list shows the beginning: a thousand of a megabyte each are too many for one answer. */
const LISTED_TEXT_LENGTH = 400

type Reads = Pick<Store, 'db'>

/** The same of what there is not and of what is not theirs: nobody learns which it is. */
export function noRequest(id: string): GateError {
  return new GateError('ERR_GATE_NOT_FOUND', `there is no request ${id} that you may see`, {
    hint: 'gate requests lists what waits for you, and gate requests --mine what you asked for.',
  })
}

/** @throws {GateError} ERR_GATE_NOT_FOUND. */
export async function readRequest(store: Reads, id: string): Promise<ApprovalRequest> {
  const row = await store.db.selectFrom('requests').selectAll().where('id', '=', id).executeTakeFirst()
  if (row === undefined) throw noRequest(id)
  return toRequest(row)
}

const listedColumns = [
  ...(['id', 'kind', 'session_id', 'relay', 'subject_id', 'email', 'groups', 'target', 'protocol', 'task'] as const),
  ...(['reason', 'rule', 'approvers', 'action', 'command_hash', 'parameters_hash', 'context', 'estimate'] as const),
  ...([
    'grant_ms',
    'grant_max_ms',
    'nonce',
    'policy',
    'later',
    'state',
    'created_ms',
    'expires_ms',
    'settled_ms',
  ] as const),
] as const

/**
 * The newest requests, oldest first: without exact commands and history, and of operations only the beginning of the text.
 * With `waitingAtMs`, those that can still be decided then.
 */
export async function readRequests(store: Reads, waitingAtMs: number | undefined): Promise<ApprovalRequest[]> {
  const beginning = sql<object>`jsonb_set(operation, '{text}', to_jsonb(left(operation->>'text', ${LISTED_TEXT_LENGTH}::int)))
    || '{"parameters":[]}'::jsonb`
  let query = store.db
    .selectFrom('requests')
    .select(listedColumns)
    .select(beginning.as('operation'))
    .select(sql<boolean>`length(operation->>'text') > ${LISTED_TEXT_LENGTH}::int`.as('is_cut'))
  if (waitingAtMs !== undefined) query = query.where('state', '=', 'waiting').where('expires_ms', '>', waitingAtMs)
  const rows = await query.orderBy('created_ms', 'desc').limit(MAX_LISTED).execute()
  return rows.reverse().map(row => ({ ...toRequest({ ...row, exact: null, history: [] }), isCut: row.is_cut }))
}

export async function readDecisions(store: Reads, id: string): Promise<Decision[]> {
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
    grantMs: row.grant_ms ?? undefined,
    decidedMs: row.decided_ms,
    signed: row.signed ?? undefined,
  }))
}

function toRequest(row: Selectable<Schema['requests']>): ApprovalRequest {
  const { recorded: _, ...operation } = row.operation as Operation & { recorded?: object }
  return {
    id: row.id,
    kind: row.kind,
    session: row.session_id ?? undefined,
    relay: row.relay,
    subject: { id: row.subject_id, email: row.email ?? undefined, groups: row.groups },
    target: row.target,
    protocol: row.protocol,
    task: row.task ?? undefined,
    reason: row.reason ?? undefined,
    rule: row.rule,
    approvers: row.approvers,
    operation,
    rows: operation.rows,
    exact: row.exact ?? undefined,
    commandSha256: row.command_hash ?? undefined,
    parametersSha256: row.parameters_hash ?? undefined,
    context: row.context,
    history: row.history as EarlierCommand[],
    estimate: row.estimate ?? undefined,
    grantMs: row.grant_ms ?? undefined,
    grantMaxMs: row.grant_max_ms ?? undefined,
    nonce: row.nonce,
    policy: row.policy,
    later: row.later,
    state: row.state,
    createdMs: row.created_ms,
    expiresMs: row.expires_ms,
    settledMs: row.settled_ms ?? undefined,
  }
}
