// Holds: a command waits in the store until people decide, time runs out, or whoever asked goes away.
import type { SignedDecision } from '@gate/shared/approval'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Subject } from '@gate/shared/model'
import type { Notices } from '../notices/notices.ts'
import { mayApprove, parseQuorum } from '../policy/quorum.ts'
import { type Store, storeErrors } from '../store/store.ts'
import type { Asking } from './asking.ts'
import { commandRequest, createRequest, type NewRequest, type Wish, wishRequest } from './creating.ts'
import { type SignedWord, takeWord } from './deciding.ts'
import { forgotten, isRemembered, settledStates } from './forgetting.ts'
import { type Grant, Grants } from './grants.ts'
import { ApproverKeys } from './keys.ts'
import { type AskedLater, expireLater, findLater, keyOf } from './later.ts'
import { isSamePerson } from './person.ts'
import { type ApprovalRequest, type Decision, noRequest, readDecisions, readRequest, readRequests } from './requests.ts'
import { type Review, Reviews } from './reviews.ts'
import { type Answer, Waiting } from './waiting.ts'

export interface ApprovalsOptions {
  /** This relay's own id, and the URL by which people know it. */
  readonly relay: string
  readonly url: string
  readonly limitPerSubject: number
}

export class Approvals implements AsyncDisposable {
  readonly keys: ApproverKeys
  readonly grants: Grants
  readonly reviews: Reviews
  readonly #store: Store
  readonly #options: ApprovalsOptions
  readonly #notices: Notices
  readonly #clock: Clock
  readonly #log: Log
  readonly #waiting: Waiting
  readonly #watchers = new Set<() => void>()
  /** Commands whose clients do not wait, while they are looked for or made: one that comes twice at once waits once. */
  readonly #later = new Map<string, Promise<unknown>>()

  private constructor(store: Store, options: ApprovalsOptions, notices: Notices, clock: Clock, log: Log) {
    this.#store = store
    this.#options = options
    this.#notices = notices
    this.#clock = clock
    this.#log = log
    this.#waiting = new Waiting(store, clock, log, request => void this.#tellEnd(request))
    this.keys = new ApproverKeys(store, options.url, clock)
    this.grants = new Grants(store, clock)
    this.reviews = new Reviews(store, clock)
  }

  static async start(
    store: Store,
    options: ApprovalsOptions,
    notices: Notices,
    clock: Clock,
    log: Log,
  ): Promise<Approvals> {
    const approvals = new Approvals(store, options, notices, clock, log)
    // What an earlier life of this relay was holding was never run: its connections are gone.
    await storeErrors(() =>
      store.db
        .updateTable('requests')
        .set({ state: 'withdrawn', settled_ms: clock.now(), ...forgotten })
        .where('relay', '=', options.relay)
        .where('kind', '=', 'command')
        .where('later', '=', false)
        .where('state', 'in', ['waiting', 'approved'])
        .execute(),
    )
    // Earlier releases kept the commands of requests that were over, or the bodies that they carried.
    await storeErrors(() =>
      store.db.updateTable('requests').set(forgotten).where('state', 'in', settledStates).where(isRemembered).execute(),
    )
    await store.listen('requests', () => {
      approvals.#waiting.look()
      for (const changed of approvals.#watchers) changed()
    })
    return approvals
  }

  /** Calls back whenever a request is made or decided anywhere. */
  watch(changed: () => void): Disposable {
    this.#watchers.add(changed)
    return { [Symbol.dispose]: () => void this.#watchers.delete(changed) }
  }

  /**
   * Makes a request and waits for its end. `made` is called once the request exists and can be decided.
   * An aborted signal withdraws it.
   * @throws {GateError} when the request cannot be made or the store is lost: nothing may run then.
   */
  async ask(asking: Asking, made: (request: ApprovalRequest) => void, signal: AbortSignal): Promise<Answer> {
    const request = await this.#make(asking, made, false)
    return this.#waiting.until(request.id, request.expiresMs, signal)
  }

  /** Makes a request, has it written down, and tells people. `later`: the client does not wait. */
  async #make(asking: Asking, made: (request: ApprovalRequest) => void, later: boolean): Promise<ApprovalRequest> {
    const request = await this.#create(asking.access.subject, commandRequest(asking, later))
    try {
      made(request)
    } catch (thrown) {
      // It could not be written down, so it will not run: nobody is to decide it.
      await this.#waiting.withdraw(request.id)
      throw thrown
    }
    this.#notices.request('request.waiting', request)
    return request
  }

  /**
   * Gives the approval of exactly this command, if there is one that is not used up, or makes a request that waits without
   * the client; the same command waits once. An approval still has to be used.
   * @throws {GateError} when the request cannot be made.
   */
  async askLater(asking: Asking, made: (request: ApprovalRequest) => void): Promise<AskedLater> {
    const key = keyOf(asking)
    const asked = (this.#later.get(key) ?? Promise.resolve()).then(() => this.#askLater(asking, made))
    const over = asked.catch(() => {})
    this.#later.set(key, over)
    void over.then(() => {
      if (this.#later.get(key) === over) this.#later.delete(key)
    })
    return asked
  }

  async #askLater(asking: Asking, made: (request: ApprovalRequest) => void): Promise<AskedLater> {
    await expireLater(this.#store, this.#clock.now())
    const known = await findLater(this.#store, asking, this.#clock.now())
    if (known?.state === 'approved') {
      const decisions = await storeErrors(() => readDecisions(this.#store, known.id))
      return { request: known.id, answer: { request: known.id, state: 'approved', decisions } }
    }
    if (known !== undefined) return { request: known.id, answer: undefined }
    const request = await this.#make(asking, made, true)
    await this.#waiting.announce(request.id)
    return { request: request.id, answer: undefined }
  }

  async #tellEnd(id: string): Promise<void> {
    try {
      this.#notices.request('request.settled', await readRequest(this.#store, id))
    } catch (error) {
      this.#log.warn('notice.failed', { request: id, error })
    }
  }

  /**
   * Uses an approved request up: its command goes on now, and never again.
   * @throws {GateError} ERR_GATE_CONFLICT when it was used, withdrawn or has expired meanwhile; ERR_GATE_STORE.
   */
  async use(id: string): Promise<void> {
    if ((await this.#waiting.happen(id, 'use')) !== undefined) return
    const { state } = await storeErrors(() => readRequest(this.#store, id))
    throw new GateError('ERR_GATE_CONFLICT', `${id} is ${state} already, so its command does not run`)
  }

  /** An approved command does not run after all. @throws {GateError} ERR_GATE_STORE. */
  async drop(id: string): Promise<void> {
    await this.#waiting.happen(id, 'withdraw')
  }

  /** What approvers signed on a request. */
  async signed(id: string): Promise<SignedDecision[]> {
    const decisions = await storeErrors(() => readDecisions(this.#store, id))
    return decisions.flatMap(({ signed }) => signed ?? [])
  }

  /** Makes a request for a grant and returns it; it waits without anybody's connection. */
  async wish(wish: Wish): Promise<ApprovalRequest> {
    const request = await this.#create(wish.subject, wishRequest(wish))
    this.#notices.request('request.waiting', request)
    await this.#waiting.announce(request.id)
    return request
  }

  /** Opens a review and tells everybody who looks at a list of requests. @throws {GateError} ERR_GATE_STORE. */
  async breakGlass(
    session: string,
    subject: Subject,
    target: string,
    reason: string,
    approvers: readonly string[],
  ): Promise<Review> {
    const review = await this.reviews.open(session, subject, target, reason, approvers)
    this.#notices.review('glass.broken', review)
    await this.#waiting.announce(review.id)
    return review
  }

  /** Closes a review; as Reviews.close. */
  async closeReview(subject: Subject, id: string, note: string): Promise<void> {
    this.#notices.review('review.closed', await this.reviews.close(subject, id, note))
    await this.#waiting.announce(id)
  }

  /** Takes a grant back; as Grants.revoke. */
  async revokeGrant(subject: Subject, id: string): Promise<Grant> {
    const grant = await this.grants.revoke(subject, id)
    this.#notices.revoked(grant)
    return grant
  }

  #create(subject: Subject, request: NewRequest): Promise<ApprovalRequest> {
    const { relay, limitPerSubject } = this.#options
    return storeErrors(() => createRequest(this.#store, relay, subject, request, limitPerSubject, this.#clock.now()))
  }

  /** Requests that the person may decide or made, newest last. */
  async list(subject: Subject, which: 'decidable' | 'mine' | 'all'): Promise<ApprovalRequest[]> {
    const requests = await storeErrors(() =>
      readRequests(this.#store, which === 'decidable' ? this.#clock.now() : undefined),
    )
    return requests.filter(request => {
      const mine = request.subject.id === subject.id
      if (which === 'mine') return mine
      return (which === 'all' && mine) || this.mayDecide(subject, request)
    })
  }

  mayDecide(subject: Subject, request: ApprovalRequest): boolean {
    return !isSamePerson(subject, request.subject) && mayApprove(parseQuorum(request.approvers), subject.groups)
  }

  /**
   * One request and what was decided of it.
   * @throws {GateError} ERR_GATE_NOT_FOUND also for a request that is none of the person's business.
   */
  async get(subject: Subject, id: string): Promise<{ request: ApprovalRequest; decisions: readonly Decision[] }> {
    const request = await storeErrors(() => readRequest(this.#store, id))
    if (request.subject.id !== subject.id && !this.mayDecide(subject, request)) throw noRequest(id)
    return { request, decisions: await storeErrors(() => readDecisions(this.#store, id)) }
  }

  /**
   * Takes one person's word. A denial ends the request; approvals end it when they fill the quorum.
   * @throws {GateError} ERR_GATE_FORBIDDEN, ERR_GATE_CONFLICT, ERR_GATE_EXPIRED, ERR_GATE_LIMIT or ERR_GATE_NOT_FOUND.
   */
  async decide(subject: Subject, id: string, word: SignedWord): Promise<ApprovalRequest> {
    const decided = await storeErrors(() =>
      this.#store.db.transaction().execute(async tx => {
        await tx.selectFrom('requests').select('id').where('id', '=', id).forUpdate().execute()
        const request = await readRequest({ db: tx }, id)
        this.#checkDecider(subject, request)
        return takeWord(tx, subject, request, word, this.#clock.now())
      }),
    )
    if (decided.state !== 'waiting') this.#notices.request('request.settled', decided)
    await this.#waiting.announce(id)
    return decided
  }

  #checkDecider(subject: Subject, request: ApprovalRequest): void {
    if (isSamePerson(subject, request.subject)) {
      throw new GateError('ERR_GATE_FORBIDDEN', 'nobody decides their own request', {
        hint: `Ask ${request.approvers}.`,
      })
    }
    if (!this.mayDecide(subject, request)) throw noRequest(request.id)
    if (request.state === 'expired' || (request.state === 'waiting' && request.expiresMs <= this.#clock.now())) {
      throw new GateError('ERR_GATE_EXPIRED', `${request.id} has expired`)
    }
    if (request.state !== 'waiting')
      throw new GateError('ERR_GATE_CONFLICT', `${request.id} is ${request.state} already`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#waiting.close()
  }
}
