// One person's word on a request: whether it counts, and what the words that there are then come to.
import { isSignedBy, type SignedDecision, statementBytes, statementOf, type Word } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import type { Subject } from '@gate/shared/model'
import type { Kysely } from 'kysely'
import { isFilled, parseQuorum } from '../policy/quorum.ts'
import type { Schema } from '../store/schema.ts'
import { forgetting } from './forgetting.ts'
import { makeGrant } from './grants.ts'
import { goodKey } from './keys.ts'
import { type ApprovalRequest, type Decision, readDecisions } from './requests.ts'
import { type RequestState, stateAfter } from './states.ts'

/** A word with the signature that makes it count. */
export interface SignedWord extends Word {
  readonly publicKey: string
  readonly signature: string
}

/**
 * Takes a word on a request that waits and is locked by this transaction; returns the request as it is then.
 * @throws {GateError} ERR_GATE_FORBIDDEN, ERR_GATE_CONFLICT, ERR_GATE_LIMIT or ERR_GATE_USAGE.
 */
export async function takeWord(
  db: Kysely<Schema>,
  subject: Subject,
  request: ApprovalRequest,
  word: SignedWord,
  nowMs: number,
): Promise<ApprovalRequest> {
  checkGrant(request, word)
  const signed = await checkSignature(db, subject, request, word, nowMs)
  await insertDecision(db, request.id, subject, word, signed)
  return settle(db, request, word, nowMs)
}

async function checkSignature(
  db: Kysely<Schema>,
  subject: Subject,
  request: ApprovalRequest,
  word: SignedWord,
  nowMs: number,
): Promise<SignedDecision> {
  const { publicKey } = await goodKey(db, subject, word.publicKey)
  const statement = statementOf(request, word)
  if (!isSignedBy(publicKey, statementBytes(statement), word.signature)) {
    throw new GateError('ERR_GATE_FORBIDDEN', `the signature is not one over this decision on ${request.id}`, {
      hint: 'What was signed is not what the relay holds: look at the request again.',
    })
  }
  const by = { subject: subject.id, groups: [...subject.groups], decidedMs: nowMs }
  return { statement, publicKey, signature: word.signature, by }
}

/** What the words that there are now come to. */
async function settle(
  db: Kysely<Schema>,
  request: ApprovalRequest,
  { verdict }: Word,
  nowMs: number,
): Promise<ApprovalRequest> {
  const decisions = await currentDecisions(db, request.id)
  const event = verdict === 'deny' ? 'deny' : isApproved(request, decisions) ? 'approve' : undefined
  if (event === undefined) return request
  let state: RequestState = stateAfter(request.state, event, request.id)
  const grantMs = event === 'approve' ? agreedGrantMs(decisions) : undefined
  if (grantMs !== undefined) await makeGrant(db, request, nowMs, grantMs)
  // A grant is used by being made.
  if (event === 'approve' && request.kind === 'grant') state = stateAfter(state, 'use', request.id)
  await db
    .updateTable('requests')
    .set({ state, settled_ms: nowMs, ...forgetting(state) })
    .where('id', '=', request.id)
    .execute()
  return { ...request, state, settledMs: nowMs, grantMs: grantMs ?? request.grantMs }
}

async function insertDecision(
  db: Kysely<Schema>,
  request: string,
  subject: Subject,
  word: Word,
  signed: SignedDecision,
): Promise<void> {
  const inserted = await db
    .insertInto('decisions')
    .values({
      request_id: request,
      subject_id: subject.id,
      email: subject.email ?? null,
      groups: JSON.stringify(subject.groups),
      verdict: word.verdict,
      reason: word.reason ?? null,
      decided_ms: signed.by.decidedMs,
      signed: JSON.stringify(signed),
      grant_ms: word.grantMs ?? null,
    })
    .onConflict(conflict => conflict.columns(['request_id', 'subject_id']).doNothing())
    .executeTakeFirst()
  if (inserted.numInsertedOrUpdatedRows !== 1n)
    throw new GateError('ERR_GATE_CONFLICT', `you decided ${request} already`)
}

/** @throws {GateError} ERR_GATE_FORBIDDEN, ERR_GATE_LIMIT or ERR_GATE_USAGE. */
function checkGrant(request: ApprovalRequest, { verdict, grantMs }: Word): void {
  if (verdict === 'deny') {
    if (grantMs !== undefined) throw new GateError('ERR_GATE_USAGE', 'a denial grants nothing')
    return
  }
  if (grantMs === undefined) {
    if (request.kind === 'grant') throw new GateError('ERR_GATE_USAGE', 'a grant needs to know for how long')
    return
  }
  if (request.grantMaxMs === undefined) {
    throw new GateError('ERR_GATE_FORBIDDEN', `rule ${request.rule} permits no grants`, {
      hint: 'Approve without --for: the command runs once.',
    })
  }
  const most = Math.min(request.grantMaxMs, request.grantMs ?? request.grantMaxMs)
  if (grantMs > most) throw new GateError('ERR_GATE_LIMIT', `at most ${Math.floor(most / 1000)} s can be granted here`)
}

/** The decisions, with the groups that approvers are known to be in now: who lost a group does not count for it any more. */
async function currentDecisions(db: Kysely<Schema>, request: string): Promise<readonly Decision[]> {
  const decisions = await readDecisions({ db }, request)
  const ids = decisions.map(({ by }) => by.id)
  const rows = await db
    .selectFrom('logins')
    .select(['subject_id', 'groups'])
    .distinctOn('subject_id')
    .where('subject_id', 'in', ids)
    .orderBy('subject_id')
    .orderBy('expires_ms', 'desc')
    .execute()
  const now = new Map(rows.map(row => [row.subject_id, row.groups]))
  return decisions.map(decision => {
    const known = now.get(decision.by.id)
    const groups = known === undefined ? decision.by.groups : decision.by.groups.filter(group => known.includes(group))
    return { ...decision, by: { ...decision.by, groups } }
  })
}

function isApproved(request: ApprovalRequest, decisions: readonly Decision[]): boolean {
  const approvers = decisions
    .filter(decision => decision.verdict === 'approve')
    .map(decision => ({ id: decision.by.id, groups: decision.by.groups }))
  return isFilled(parseQuorum(request.approvers), approvers)
}

/** Everybody who approves has to agree to a grant, and the shortest one is made. */
function agreedGrantMs(decisions: readonly Decision[]): number | undefined {
  const granted = decisions.map(({ grantMs }) => grantMs)
  return granted.every(each => each !== undefined) ? Math.min(...granted) : undefined
}
