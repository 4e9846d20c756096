// Targets as they were when somebody used them: which they were, and who may see what was done there.
import { createHash } from 'node:crypto'
import { canonicalJson } from '@gate/shared/canonical'
import type { Subject } from '@gate/shared/model'
import type { Kysely } from 'kysely'
import type { Policy } from '../policy/decide.ts'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'
import type { Sight } from './find.ts'

export interface TargetIdentity {
  readonly name: string
  readonly protocol: string
  readonly labels: Readonly<Record<string, string>>
}

/** The same for the same name, protocol and labels. */
export function targetKey({ name, protocol, labels }: TargetIdentity): string {
  return createHash('sha256')
    .update(canonicalJson([name, protocol, labels]))
    .digest('base64url')
}

/** Keeps the target as it is now, for whoever asks which sessions they may see. */
export async function rememberTarget(db: Kysely<Schema>, target: TargetIdentity): Promise<void> {
  const { name, protocol, labels } = target
  await db
    .insertInto('session_targets')
    .values({ key: targetKey(target), name, protocol, labels: JSON.stringify(labels) })
    .onConflict(conflict => conflict.doNothing())
    .execute()
}

/** Whose sessions the person may see by this policy. @throws {GateError} ERR_GATE_STORE. */
export async function sightOf(store: Store, policy: Policy, subject: Subject): Promise<Sight> {
  const targets = await storeErrors(() => store.db.selectFrom('session_targets').selectAll().execute())
  const seen = targets.filter(target => policy.mayView(subject, { ...target, options: {} }))
  return {
    subject: subject.id,
    targets: seen.length > 0 && seen.length === targets.length ? undefined : seen.map(({ key }) => key),
  }
}
