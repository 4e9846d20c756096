// The keys with which people sign their decisions: registered under a verified identity, revoked for good.
import { isSignedBy, keyBytes, keyId, readPublicKey } from '@gate/shared/approval'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Subject } from '@gate/shared/model'
import type { Kysely, Selectable } from 'kysely'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'

/** One for each machine that a person works on; more are a sign of something else. */
const MAX_KEYS_PER_SUBJECT = 20

export interface ApproverKey {
  readonly id: string
  readonly subject: { readonly id: string; readonly email: string | undefined }
  readonly publicKey: string
  readonly label: string
  readonly createdMs: number
  readonly revokedMs: number | undefined
}

export class ApproverKeys {
  readonly #store: Store
  readonly #relay: string
  readonly #clock: Clock

  /** `relay` is the relay's URL, which a registration is signed for. */
  constructor(store: Store, relay: string, clock: Clock) {
    this.#store = store
    this.#relay = relay
    this.#clock = clock
  }

  /**
   * Registers a key for a person; registering it again changes nothing.
   * @throws {GateError} ERR_GATE_USAGE for what is no key, ERR_GATE_FORBIDDEN when the signature is not the key's own,
   * ERR_GATE_CONFLICT when it is somebody else's or was revoked, ERR_GATE_LIMIT.
   */
  async register(subject: Subject, publicKey: string, signature: string, label: string): Promise<ApproverKey> {
    readPublicKey(publicKey)
    if (!isSignedBy(publicKey, keyBytes(this.#relay, subject.id, publicKey), signature))
      throw new GateError('ERR_GATE_FORBIDDEN', 'the registration is not signed with the key that it names')
    return storeErrors(() =>
      this.#store.db.transaction().execute(async tx => {
        const id = keyId(publicKey)
        const known = await readKey(tx, id)
        if (known !== undefined) return stillOf(subject, known)
        const { count } = await tx
          .selectFrom('approver_keys')
          .select(({ fn }) => fn.countAll<number>().as('count'))
          .where('subject_id', '=', subject.id)
          .where('revoked_ms', 'is', null)
          .executeTakeFirstOrThrow()
        if (count >= MAX_KEYS_PER_SUBJECT) {
          throw new GateError('ERR_GATE_LIMIT', `you have ${count} keys already`, {
            hint: 'gate keys lists them; gate keys revoke ID takes one back.',
          })
        }
        const createdMs = this.#clock.now()
        await tx
          .insertInto('approver_keys')
          .values({
            id,
            subject_id: subject.id,
            email: subject.email ?? null,
            public_key: publicKey,
            label,
            created_ms: createdMs,
            revoked_ms: null,
          })
          .execute()
        return {
          id,
          subject: { id: subject.id, email: subject.email },
          publicKey,
          label,
          createdMs,
          revokedMs: undefined,
        }
      }),
    )
  }

  async list(subject: Subject): Promise<ApproverKey[]> {
    const rows = await storeErrors(() =>
      this.#store.db
        .selectFrom('approver_keys')
        .selectAll()
        .where('subject_id', '=', subject.id)
        .orderBy('created_ms')
        .execute(),
    )
    return rows.map(toKey)
  }

  /** Takes a key back for good: what it signs from now on means nothing. @throws {GateError} ERR_GATE_NOT_FOUND. */
  async revoke(subject: Subject, id: string): Promise<void> {
    const { numUpdatedRows } = await storeErrors(() =>
      this.#store.db
        .updateTable('approver_keys')
        .set(({ fn, val }) => ({ revoked_ms: fn.coalesce('revoked_ms', val(this.#clock.now())) }))
        .where('id', '=', id)
        .where('subject_id', '=', subject.id)
        .executeTakeFirst(),
    )
    if (numUpdatedRows !== 1n)
      throw new GateError('ERR_GATE_NOT_FOUND', `you have no key ${id}`, { hint: 'gate keys lists yours.' })
  }
}

/**
 * The key when it is the person's own and good.
 * @throws {GateError} ERR_GATE_FORBIDDEN otherwise.
 */
export async function goodKey(db: Kysely<Schema>, subject: Subject, publicKey: string): Promise<ApproverKey> {
  const key = await readKey(db, keyId(publicKey))
  if (key === undefined || key.publicKey !== publicKey || key.subject.id !== subject.id)
    throw new GateError('ERR_GATE_FORBIDDEN', 'the decision is signed with a key that is not registered as yours')
  if (key.revokedMs !== undefined)
    throw new GateError('ERR_GATE_FORBIDDEN', `the key ${key.id} was revoked`, {
      hint: 'Run gate keys new: it makes another one.',
    })
  return key
}

async function readKey(db: Kysely<Schema>, id: string): Promise<ApproverKey | undefined> {
  const row = await db.selectFrom('approver_keys').selectAll().where('id', '=', id).executeTakeFirst()
  return row === undefined ? undefined : toKey(row)
}

function stillOf(subject: Subject, key: ApproverKey): ApproverKey {
  if (key.subject.id !== subject.id) throw new GateError('ERR_GATE_CONFLICT', 'somebody else registered this key')
  if (key.revokedMs !== undefined) throw new GateError('ERR_GATE_CONFLICT', `the key ${key.id} was revoked`)
  return key
}

function toKey(row: Selectable<Schema['approver_keys']>): ApproverKey {
  return {
    id: row.id,
    subject: { id: row.subject_id, email: row.email ?? undefined },
    publicKey: row.public_key,
    label: row.label,
    createdMs: row.created_ms,
    revokedMs: row.revoked_ms ?? undefined,
  }
}
