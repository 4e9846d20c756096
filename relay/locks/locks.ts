// Locks: people, targets and agents that nobody may use. The store has them, and every relay hears of them within a second.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Selectable } from 'kysely'
import type { Recorder } from '../record/recorder.ts'
import type { Schema } from '../store/schema.ts'
import { type Store, storeErrors } from '../store/store.ts'

/** Notifications can be lost; locks are looked at this often besides. */
const POLL_INTERVAL_MS = 1_000
/** More would make every connection slow; a group or a policy is the better tool then. */
const MAX_ACTIVE_LOCKS = 1_000

export type LockKind = 'user' | 'target' | 'agent'

export interface Person {
  readonly id: string
  readonly email: string | undefined
}

export interface Lock {
  readonly id: string
  readonly kind: LockKind
  /** Of a person their e-mail address in lower case, or their id. */
  readonly name: string
  readonly reason: string
  readonly by: Person
  readonly createdMs: number
  readonly untilMs: number | undefined
}

/** What may be locked. */
export interface Lockable {
  readonly user?: Person | undefined
  readonly target?: string | undefined
  readonly agent?: string | undefined
}

export function matchesLock({ kind, name }: Lock, { user, target, agent }: Lockable): boolean {
  switch (kind) {
    case 'user':
      return user !== undefined && (user.id === name || user.email?.toLowerCase() === name)
    case 'target':
      return target === name
    case 'agent':
      return agent === name
  }
}

/** What whoever meets the lock is told. */
export function lockedError({ kind, name, reason, by, untilMs }: Lock): GateError {
  const until = untilMs === undefined ? '' : ` until ${new Date(untilMs).toISOString().slice(0, 16)}Z`
  return new GateError('ERR_GATE_LOCKED', `${kind} ${name} is locked${until} by ${by.email ?? by.id}: ${reason}`, {
    hint: 'Ask them, or whoever operates the relay.',
  })
}

/** People are named by e-mail address whatever its case, or by an id, which has a case. */
export function lockName(kind: LockKind, name: string): string {
  return kind === 'user' && !name.includes('|') ? name.toLowerCase() : name
}

export class Locks implements AsyncDisposable {
  readonly #store: Store
  readonly #recorder: Pick<Recorder, 'append'>
  readonly #clock: Clock
  readonly #log: Log
  readonly #listeners = new Set<(locks: readonly Lock[]) => void>()
  readonly #poll: NodeJS.Timeout
  #looking: Promise<void> | undefined
  #failing = false

  private constructor(store: Store, recorder: Pick<Recorder, 'append'>, clock: Clock, log: Log) {
    this.#store = store
    this.#recorder = recorder
    this.#clock = clock
    this.#log = log
    this.#poll = setInterval(() => void this.look(), POLL_INTERVAL_MS)
    this.#poll.unref()
  }

  static async start(store: Store, recorder: Pick<Recorder, 'append'>, clock: Clock, log: Log): Promise<Locks> {
    const locks = new Locks(store, recorder, clock, log)
    await store.listen('stops', () => void locks.look())
    return locks
  }

  /** Calls back with every lock that is in force, whenever there are any: again and again. */
  watch(listener: (locks: readonly Lock[]) => void): void {
    this.#listeners.add(listener)
  }

  /** The locks in force. @throws {GateError} ERR_GATE_STORE. */
  async active(): Promise<Lock[]> {
    const now = this.#clock.now()
    const rows = await storeErrors(() =>
      this.#store.db
        .selectFrom('locks')
        .selectAll()
        .where('removed_ms', 'is', null)
        .where(({ or, eb }) => or([eb('until_ms', 'is', null), eb('until_ms', '>', now)]))
        .orderBy('created_ms')
        .limit(MAX_ACTIVE_LOCKS)
        .execute(),
    )
    return rows.map(toLock)
  }

  /** @throws {GateError} ERR_GATE_LOCKED when one of them is locked; ERR_GATE_STORE when nobody can say. */
  async check(what: Lockable): Promise<void> {
    const lock = (await this.active()).find(each => matchesLock(each, what))
    if (lock !== undefined) throw lockedError(lock)
  }

  /** Asks the store and tells whoever watches. It never rejects: new connections ask for themselves. */
  look(): Promise<void> {
    this.#looking ??= this.active()
      .then(
        locks => {
          this.#failing = false
          if (locks.length > 0) for (const listener of this.#listeners) listener(locks)
        },
        error => {
          if (!this.#failing) this.#log.warn('locks.unknown', { error })
          this.#failing = true
        },
      )
      .finally(() => {
        this.#looking = undefined
      })
    return this.#looking
  }

  /**
   * Makes a lock; it is recorded first.
   * @throws {GateError} ERR_GATE_CONFLICT when there is one already, ERR_GATE_LIMIT, ERR_GATE_RECORD, ERR_GATE_STORE.
   */
  async make(by: Person, kind: LockKind, name: string, reason: string, untilMs: number | undefined): Promise<Lock> {
    const active = await this.active()
    const known = lockName(kind, name)
    const same = active.find(each => each.kind === kind && each.name === known)
    if (same !== undefined)
      throw new GateError('ERR_GATE_CONFLICT', `${kind} ${known} is locked already (${same.id})`, {
        hint: 'gate locks shows it; gate unlock takes it away.',
      })
    if (active.length >= MAX_ACTIVE_LOCKS) throw new GateError('ERR_GATE_LIMIT', `there are ${active.length} locks`)
    const lock: Lock = { id: newId('k'), kind, name: known, reason, by, createdMs: this.#clock.now(), untilMs }
    this.#recorder.append({
      type: 'lock',
      lock: lock.id,
      kind,
      name: known,
      by: recorded(by),
      reason,
      ...(untilMs === undefined ? {} : { untilMs }),
    })
    await storeErrors(() =>
      this.#store.db
        .insertInto('locks')
        .values({
          id: lock.id,
          kind,
          name: known,
          reason,
          by_id: by.id,
          by_email: by.email ?? null,
          created_ms: lock.createdMs,
          until_ms: untilMs ?? null,
          removed_ms: null,
          removed_by: null,
        })
        .execute(),
    )
    await this.#tell(lock.id)
    return lock
  }

  /** Takes a lock away; it is recorded first. @throws {GateError} ERR_GATE_CONFLICT when it is over, ERR_GATE_RECORD, ERR_GATE_STORE. */
  async remove(by: Person, id: string): Promise<void> {
    this.#recorder.append({ type: 'unlock', lock: id, by: recorded(by) })
    const { numUpdatedRows } = await storeErrors(() =>
      this.#store.db
        .updateTable('locks')
        .set({ removed_ms: this.#clock.now(), removed_by: by.id })
        .where('id', '=', id)
        .where('removed_ms', 'is', null)
        .executeTakeFirst(),
    )
    if (numUpdatedRows !== 1n) throw new GateError('ERR_GATE_CONFLICT', `${id} is over already`)
  }

  /** The other relays look by themselves as well. */
  async #tell(id: string): Promise<void> {
    await this.#store.notify('stops', id).catch(error => this.#log.warn('locks.notify-failed', { error }))
    await this.look()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll)
    await this.#looking
  }
}

function recorded({ id, email }: Person): { id: string; email?: string } {
  return { id, ...(email === undefined ? {} : { email }) }
}

function toLock(row: Selectable<Schema['locks']>): Lock {
  return {
    id: row.id,
    kind: row.kind,
    name: row.name,
    reason: row.reason,
    by: { id: row.by_id, email: row.by_email ?? undefined },
    createdMs: row.created_ms,
    untilMs: row.until_ms ?? undefined,
  }
}
