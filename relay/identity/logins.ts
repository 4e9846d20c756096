// Logins: an ID token shown once becomes an opaque, short-lived session token; connections live as long as their login.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { hashSecret, newId, newSecret } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import { type Lock, type Locks, lockedError, matchesLock } from '../locks/locks.ts'
import { type Store, storeErrors } from '../store/store.ts'
import type { VerifiedIdentity } from './issuers.ts'

export interface Login {
  readonly id: string
  readonly subject: Subject
  /** When the login ends unless it is renewed. */
  readonly expiresMs: number
  /** When it ends in any case. */
  readonly endsMs: number
}

export interface SessionToken {
  readonly token: string
  readonly login: Login
}

interface LoginLimits {
  readonly tokenMs: number
  readonly maximumMs: number
}

/** Rows of ended logins are kept this long, for the records that name them. */
const KEEP_ENDED_MS = 7 * 86_400_000
const SWEEP_INTERVAL_MS = 10 * 60_000
/** A pause longer than setTimeout can count would fire at once. */
const MAX_TIMER_MS = 2 ** 31 - 1

const notLoggedIn = (): GateError =>
  new GateError('ERR_GATE_UNAUTHENTICATED', 'the login has ended', { hint: 'Run gate login.' })

export class Logins implements AsyncDisposable {
  readonly #store: Store
  readonly #limits: LoginLimits
  readonly #locks: Locks
  readonly #clock: Clock
  readonly #log: Log
  /** Logins that connections of this relay hang on. */
  readonly #watched = new Map<
    string,
    { login: Login; controllers: Set<AbortController>; timer: NodeJS.Timeout | undefined }
  >()
  readonly #sweeper: NodeJS.Timeout

  private constructor(store: Store, limits: LoginLimits, locks: Locks, clock: Clock, log: Log) {
    this.#store = store
    this.#limits = limits
    this.#locks = locks
    this.#clock = clock
    this.#log = log
    this.#sweeper = setInterval(() => {
      this.#sweep().catch(error => log.warn('logins.sweep-failed', { error }))
    }, SWEEP_INTERVAL_MS)
    this.#sweeper.unref()
  }

  static async start(store: Store, limits: LoginLimits, locks: Locks, clock: Clock, log: Log): Promise<Logins> {
    const logins = new Logins(store, limits, locks, clock, log)
    await store.listen('logins', id => {
      for (const watched of id === '' ? logins.#watched.keys() : [id]) logins.#recheck(watched)
    })
    return logins
  }

  /**
   * Opens a login, or renews the one of `previousToken` when it is the same person's and still open.
   * @throws {GateError} ERR_GATE_TOKEN for an ID token that has expired, ERR_GATE_LOCKED for a person who is locked.
   */
  async open(identity: VerifiedIdentity, previousToken: string | undefined): Promise<SessionToken> {
    const now = this.#clock.now()
    if (identity.expiresMs <= now)
      throw new GateError('ERR_GATE_TOKEN', 'the ID token has expired', { hint: 'Run gate login.' })
    await this.#locks.check({ user: identity.subject })
    const previous = previousToken === undefined ? undefined : await this.#find(previousToken)
    const renewed = previous !== undefined && previous.subject.id === identity.subject.id && previous.endsMs > now
    const login: Login = {
      id: renewed ? previous.id : newId('l'),
      subject: identity.subject,
      endsMs: renewed ? previous.endsMs : now + this.#limits.maximumMs,
      expiresMs: 0,
    }
    const expiresMs = Math.min(now + this.#limits.tokenMs, login.endsMs)
    const token = newSecret()
    await storeErrors(() => this.#save({ ...login, expiresMs }, renewed, hashSecret(token), now))
    await storeErrors(() => this.#store.notify('logins', login.id))
    return { token, login: { ...login, expiresMs } }
  }

  async #save(login: Login, renewed: boolean, hash: string, now: number): Promise<void> {
    const { subject } = login
    const person = {
      email: subject.email ?? null,
      name: subject.name ?? null,
      groups: JSON.stringify(subject.groups),
      expires_ms: login.expiresMs,
    }
    await this.#store.db.transaction().execute(async tx => {
      if (renewed) {
        const { numUpdatedRows } = await tx
          .updateTable('logins')
          .set(person)
          .where('id', '=', login.id)
          .where('ended_ms', 'is', null)
          .executeTakeFirst()
        if (numUpdatedRows !== 1n) throw notLoggedIn()
      } else {
        await tx
          .insertInto('logins')
          .values({
            ...person,
            id: login.id,
            subject_id: subject.id,
            issuer: subject.issuer,
            created_ms: now,
            ends_ms: login.endsMs,
            ended_ms: null,
          })
          .execute()
      }
      await tx.insertInto('tokens').values({ hash, login_id: login.id, expires_ms: login.expiresMs }).execute()
    })
  }

  async #find(token: string): Promise<Login | undefined> {
    const row = await storeErrors(() =>
      this.#store.db
        .selectFrom('tokens')
        .innerJoin('logins', 'logins.id', 'tokens.login_id')
        .select(['logins.id', 'subject_id', 'issuer', 'email', 'name', 'groups', 'tokens.expires_ms', 'ends_ms'])
        .where('hash', '=', hashSecret(token))
        .where('ended_ms', 'is', null)
        .executeTakeFirst(),
    )
    return row === undefined ? undefined : { ...toLogin(row), expiresMs: row.expires_ms }
  }

  /** @throws {GateError} ERR_GATE_UNAUTHENTICATED when the token is unknown, expired or logged out; ERR_GATE_LOCKED. */
  async authenticate(token: string): Promise<Login> {
    const login = await this.identify(token)
    await this.#locks.check({ user: login.subject })
    return login
  }

  /**
   * The login of a token, also of a person who is locked: for connections, which say so in their own protocol.
   * @throws {GateError} ERR_GATE_UNAUTHENTICATED.
   */
  async identify(token: string): Promise<Login> {
    const login = await this.#find(token)
    const now = this.#clock.now()
    if (login === undefined || login.expiresMs <= now || login.endsMs <= now) throw notLoggedIn()
    return login
  }

  /** Ends the login of the token and with it all its connections, on every relay. */
  async end(token: string): Promise<void> {
    const login = await this.#find(token)
    if (login === undefined) return
    await storeErrors(async () => {
      await this.#store.db
        .updateTable('logins')
        .set({ ended_ms: this.#clock.now() })
        .where('id', '=', login.id)
        .execute()
      await this.#store.db.deleteFrom('tokens').where('login_id', '=', login.id).execute()
    })
    await storeErrors(() => this.#store.notify('logins', login.id))
  }

  /**
   * Ties a connection to its login: the signal aborts with ERR_GATE_IDENTITY_ENDED when the login ends or is not renewed.
   * `subject` follows the groups of the newest ID token.
   */
  watch(login: Login): { signal: AbortSignal; subject: () => Subject; [Symbol.dispose]: () => void } {
    const watched = this.#watched.get(login.id) ?? { login, controllers: new Set<AbortController>(), timer: undefined }
    this.#watched.set(login.id, watched)
    const controller = new AbortController()
    watched.controllers.add(controller)
    // The token of this connection may be older than the login's newest one: look at the row.
    this.#recheck(login.id)
    return {
      signal: controller.signal,
      subject: () => watched.login.subject,
      [Symbol.dispose]: () => {
        watched.controllers.delete(controller)
        if (watched.controllers.size > 0 || this.#watched.get(login.id) !== watched) return
        clearTimeout(watched.timer)
        this.#watched.delete(login.id)
      },
    }
  }

  /** Ends what hangs on the logins of people who are locked. */
  lock(locks: readonly Lock[]): void {
    for (const [id, { login }] of [...this.#watched]) {
      const lock = locks.find(each => matchesLock(each, { user: login.subject }))
      if (lock !== undefined) this.#abort(id, lockedError(lock))
    }
  }

  #recheck(id: string): void {
    if (!this.#watched.has(id)) return
    this.#check(id).catch(error => {
      this.#log.error('logins.check-failed', { error })
      // Whether the identity still holds cannot be known: it does not.
      this.#abort(
        id,
        new GateError('ERR_GATE_STORE', 'the store does not answer, so your login cannot be checked', { cause: error }),
      )
    })
  }

  async #check(id: string): Promise<void> {
    const row = await storeErrors(() =>
      this.#store.db
        .selectFrom('logins')
        .select(['id', 'subject_id', 'issuer', 'email', 'name', 'groups', 'expires_ms', 'ends_ms', 'ended_ms'])
        .where('id', '=', id)
        .executeTakeFirst(),
    )
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    const now = this.#clock.now()
    if (row === undefined || row.ended_ms !== null) return this.#abort(id, identityEnded('you logged out'))
    if (row.ends_ms <= now) return this.#abort(id, identityEnded('the maximum session length is reached'))
    if (row.expires_ms <= now) return this.#abort(id, identityEnded('your login was not renewed'))
    watched.login = toLogin(row)
    clearTimeout(watched.timer)
    const untilMs = Math.min(row.expires_ms, row.ends_ms) - now
    watched.timer = setTimeout(() => this.#recheck(id), Math.min(untilMs, MAX_TIMER_MS))
    watched.timer.unref()
  }

  #abort(id: string, reason: GateError): void {
    const watched = this.#watched.get(id)
    if (watched === undefined) return
    this.#watched.delete(id)
    clearTimeout(watched.timer)
    for (const controller of watched.controllers) controller.abort(reason)
  }

  async #sweep(): Promise<void> {
    const now = this.#clock.now()
    await this.#store.db.deleteFrom('tokens').where('expires_ms', '<', now).execute()
    await this.#store.db
      .deleteFrom('logins')
      .where('ends_ms', '<', now - KEEP_ENDED_MS)
      .execute()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper)
    for (const id of [...this.#watched.keys()])
      this.#abort(id, new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down'))
  }
}

function identityEnded(why: string): GateError {
  return new GateError('ERR_GATE_IDENTITY_ENDED', `the login behind this connection ended: ${why}`, {
    hint: 'Run gate login and connect again.',
  })
}

function toLogin(row: {
  id: string
  subject_id: string
  issuer: string
  email: string | null
  name: string | null
  groups: string[]
  expires_ms: number
  ends_ms: number
}): Login {
  return {
    id: row.id,
    subject: {
      id: row.subject_id,
      issuer: row.issuer,
      email: row.email ?? undefined,
      name: row.name ?? undefined,
      groups: row.groups,
    },
    expiresMs: row.expires_ms,
    endsMs: row.ends_ms,
  }
}
