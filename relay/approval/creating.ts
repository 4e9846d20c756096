// How a request comes to be: the row that a command under a hold or a wish for a grant becomes.
import { parameterBytes } from '@gate/shared/approval'
import { GateError } from '@gate/shared/errors'
import { newId, newSecret } from '@gate/shared/id'
import type { Hold, Operation, Subject } from '@gate/shared/model'
import type { Insertable } from 'kysely'
import type { Schema } from '../store/schema.ts'
import type { Store } from '../store/store.ts'
import type { Asking } from './asking.ts'
import { hashesOf } from './later.ts'
import { type ApprovalRequest, readRequest } from './requests.ts'

/** A wish for a grant can be decided for this long. */
const GRANT_REQUEST_MS = 60 * 60_000

/** A grant that somebody asks for ahead. */
export interface Wish {
  readonly subject: Subject
  readonly target: { readonly name: string; readonly protocol: string }
  readonly hold: Hold
  readonly policy: string
  readonly reason: string
  readonly grantMs: number
}

/** What the maker of a request knows of it. */
export type NewRequest = Omit<
  Insertable<Schema['requests']>,
  'id' | 'relay' | 'subject_id' | 'email' | 'groups' | 'nonce' | 'state' | 'created_ms' | 'expires_ms' | 'settled_ms'
> & { readonly lifetimeMs: number }

function ruleColumns(hold: Hold): { rule: string; approvers: string; grant_max_ms: number | null } {
  return { rule: hold.rule, approvers: hold.approvers.text, grant_max_ms: hold.grants?.maxMs ?? null }
}

/** A command that waits; `later`: without its client. */
export function commandRequest(asking: Asking, later: boolean): NewRequest {
  const { session, access, hold, policy, command, context, history, estimate } = asking
  const { target } = access
  // The document is in the command, which goes when the request is over.
  const { document: _document, ...operation } = access.operation
  const parameters = parameterBytes(asking.parameters)
  const { commandHash, parametersHash } = hashesOf(asking)
  return {
    kind: 'command',
    later,
    session_id: session,
    target: target.name,
    protocol: target.protocol,
    task: access.context.task ?? null,
    reason: access.context.reason ?? null,
    ...ruleColumns(hold),
    action: operation.action,
    operation: JSON.stringify({ ...operation, recorded: asking.recorded }),
    command_hash: commandHash,
    parameters_hash: parametersHash,
    exact: JSON.stringify({ command, parameters: parameters.toString('base64') }),
    context: JSON.stringify(context),
    history: JSON.stringify(history),
    estimate: estimate === undefined ? null : JSON.stringify(estimate),
    grant_ms: null,
    policy,
    lifetimeMs: hold.timeoutMs,
  }
}

/** A wish for a grant, which waits without a command. */
export function wishRequest({ target, hold, policy, reason, grantMs }: Wish): NewRequest {
  const operation: Operation = {
    protocol: target.protocol,
    action: 'grant',
    resources: [],
    text: '',
    parameters: [],
    writes: false,
    routine: false,
    facts: {},
  }
  return {
    kind: 'grant',
    session_id: null,
    target: target.name,
    protocol: target.protocol,
    task: null,
    reason,
    ...ruleColumns(hold),
    action: operation.action,
    operation: JSON.stringify(operation),
    command_hash: null,
    parameters_hash: null,
    exact: null,
    context: '{}',
    history: '[]',
    estimate: null,
    grant_ms: grantMs,
    policy,
    lifetimeMs: GRANT_REQUEST_MS,
  }
}

/**
 * Writes a request down and reads it back.
 * @throws {GateError} ERR_GATE_LIMIT when so many of the person's wait already; the store's own errors as they are.
 */
export async function createRequest(
  store: Store,
  relay: string,
  subject: Subject,
  { lifetimeMs, ...values }: NewRequest,
  limitPerSubject: number,
  nowMs: number,
): Promise<ApprovalRequest> {
  const { count } = await store.db
    .selectFrom('requests')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('subject_id', '=', subject.id)
    .where('state', '=', 'waiting')
    .where('expires_ms', '>', nowMs)
    .executeTakeFirstOrThrow()
  if (count >= limitPerSubject) {
    throw new GateError('ERR_GATE_LIMIT', `${count} of your commands wait for approval already`)
  }
  const id = newId('r')
  await store.db
    .insertInto('requests')
    .values({
      ...values,
      id,
      relay,
      subject_id: subject.id,
      email: subject.email ?? null,
      groups: JSON.stringify(subject.groups),
      nonce: newSecret(),
      state: 'waiting',
      created_ms: nowMs,
      expires_ms: nowMs + lifetimeMs,
      settled_ms: null,
    })
    .execute()
  return readRequest(store, id)
}
