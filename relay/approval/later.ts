// Requests that wait without the client: found again by what exactly was asked.
import { commandSha256, parameterBytes } from '@gate/shared/approval'
import { canonicalJson } from '@gate/shared/canonical'
import { type Store, storeErrors } from '../store/store.ts'
import type { Asking } from './asking.ts'
import { forgetting } from './forgetting.ts'
import type { Answer } from './waiting.ts'

/** The request that a command has; with its answer where it is approved. */
export interface AskedLater {
  readonly request: string
  readonly answer: Answer | undefined
}

/** SHA-256 of the command and of its parameters, in hexadecimal. */
export function hashesOf({ command, parameters }: Pick<Asking, 'command' | 'parameters'>): {
  readonly commandHash: string
  readonly parametersHash: string
} {
  return {
    commandHash: commandSha256(Buffer.from(command)),
    parametersHash: commandSha256(parameterBytes(parameters)),
  }
}

/** What two commands have in common that are the same, but for where they run. */
export function keyOf(asking: Asking): string {
  const { access, hold } = asking
  const { commandHash, parametersHash } = hashesOf(asking)
  return JSON.stringify([access.subject.id, access.target.name, hold.rule, commandHash, parametersHash])
}

/** Commands of one person that are the same but for where they run; more are not looked at. */
const MAX_ALIKE = 100

/** The request of the same person for the same command under the same rule; an approved one before one that waits. @throws {GateError} ERR_GATE_STORE. */
export async function findLater(
  store: Store,
  asking: Asking,
  nowMs: number,
): Promise<{ readonly id: string; readonly state: 'waiting' | 'approved' } | undefined> {
  const { access, hold, context } = asking
  const { commandHash, parametersHash } = hashesOf(asking)
  const rows = await storeErrors(() =>
    store.db
      .selectFrom('requests')
      .select(['id', 'state', 'context'])
      .where('later', '=', true)
      .where('state', 'in', ['waiting', 'approved'])
      .where('expires_ms', '>', nowMs)
      .where('subject_id', '=', access.subject.id)
      .where('target', '=', access.target.name)
      .where('rule', '=', hold.rule)
      .where('approvers', '=', hold.approvers.text)
      .where('command_hash', '=', commandHash)
      .where('parameters_hash', '=', parametersHash)
      .orderBy('state')
      .orderBy('created_ms')
      .limit(MAX_ALIKE)
      .execute(),
  )
  const row = rows.find(each => canonicalJson(each.context) === canonicalJson(context))
  return row === undefined ? undefined : { id: row.id, state: row.state === 'approved' ? 'approved' : 'waiting' }
}

/** Nobody waits for these, so nobody else notices that their time is over. @throws {GateError} ERR_GATE_STORE. */
export async function expireLater(store: Store, nowMs: number): Promise<void> {
  await storeErrors(() =>
    store.db
      .updateTable('requests')
      .set({ state: 'expired', settled_ms: nowMs, ...forgetting('expired') })
      .where('later', '=', true)
      .where('state', 'in', ['waiting', 'approved'])
      .where('expires_ms', '<=', nowMs)
      .execute(),
  )
}
