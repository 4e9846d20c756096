// Holds: a command waits in the store until people decide, time runs out, or whoever asked goes away.
import { createHash } from 'node:crypto'
import { canonicalJson } from '@gate/shared/canonical'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { AccessRequest, Hold, Operation, Subject } from '@gate/shared/model'
import { isFilled, mayApprove, parseQuorum } from '../policy/quorum.ts'
import { type Store, storeErrors } from '../store/store.ts'
import {
  type ApprovalRequest,
  type Decision,
  type RequestState,
  readDecisions,
  readRequest,
  readRequests,
} from './requests.ts'

/** Notifications can be lost; waiting requests are looked at this often besides. */
const POLL_INTERVAL_MS = 1_000

/** How a hold ended. */
export interface Answer {
  readonly request: string
  readonly state: Exclude<RequestState, 'waiting'>
  readonly decisions: readonly Decision[]
}

interface Waiting {
  readonly expiresMs: number
  settle(answer: Answer): void
  fail(cause: GateError): void
}

/** What of a command an approval is about: the exact text and parameters, where they would run, and the rows they wrote. */
export function commandHash(session: string, target: string, operation: Operation): string {
  return createHash('sha256')
    .update(
      canonicalJson({
        session,
        target,
        text: operation.text,
        parameters: operation.parameters,
        ...(operation.rows === undefined ? {} : { rows: operation.rows }),
      }),
    )
    .digest('hex')
}

export class Approvals implements AsyncDisposable {
  readonly #store: Store
  readonly #relay: string
  readonly #limitPerSubject: number
  readonly #clock: Clock
  readonly #log: Log
  readonly #waiting = new Map<string, Waiting>()
  readonly #watchers = new Set<() => void>()
  #poll: NodeJS.Timeout | undefined

  private constructor(store: Store, relay: string, limitPerSubject: number, clock: Clock, log: Log) {
    this.#store = store
    this.#relay = relay
    this.#limitPerSubject = limitPerSubject
    this.#clock = clock
    this.#log = log
  }

  static async start(store: Store, relay: string, limitPerSubject: number, clock: Clock, log: Log): Promise<Approvals> {
    const approvals = new Approvals(store, relay, limitPerSubject, clock, log)
    // What an earlier life of this relay was holding was never run: its connections are gone.
    await storeErrors(() =>
      store.db
        .updateTable('requests')
        .set({ state: 'withdrawn', settled_ms: clock.now() })
        .where('relay', '=', relay)
        .where('state', '=', 'waiting')
        .execute(),
    )
    await store.listen('requests', () => {
      approvals.#look()
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
  async ask(
    session: string,
    access: AccessRequest,
    hold: Hold,
    policy: string,
    made: (request: ApprovalRequest) => void,
    signal: AbortSignal,
  ): Promise<Answer> {
    const request = await storeErrors(() => this.#create(session, access, hold, policy))
    const withdraw = (): Promise<void> =>
      this.#finish(request.id, 'withdrawn').catch(error =>
        this.#log.warn('request.withdraw-failed', { request: request.id, error }),
      )
    try {
      made(request)
    } catch (thrown) {
      // It could not be written down, so it will not run: nobody is to decide it.
      await withdraw()
      throw thrown
    }
    const settled = new Promise<Answer>((resolve, reject) => {
      this.#waiting.set(request.id, { expiresMs: request.expiresMs, settle: resolve, fail: reject })
    })
    // The store can be lost before anybody waits for this; unhandled, that would end the relay.
    settled.catch(() => {})
    const abort = (): void => void withdraw()
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    this.#poll ??= setInterval(() => this.#look(), POLL_INTERVAL_MS)
    try {
      await this.#announce(request.id)
      return await settled
    } finally {
      signal.removeEventListener('abort', abort)
      this.#waiting.delete(request.id)
      if (this.#waiting.size === 0) {
        clearInterval(this.#poll)
        this.#poll = undefined
      }
    }
  }

  async #create(session: string, access: AccessRequest, hold: Hold, policy: string): Promise<ApprovalRequest> {
    const { subject, target, operation, context } = access
    const now = this.#clock.now()
    const { count } = await this.#store.db
      .selectFrom('requests')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('subject_id', '=', subject.id)
      .where('state', '=', 'waiting')
      .where('expires_ms', '>', now)
      .executeTakeFirstOrThrow()
    if (count >= this.#limitPerSubject) {
      throw new GateError('ERR_GATE_LIMIT', `${count} of your commands wait for approval already`)
    }
    const id = newId('r')
    await this.#store.db
      .insertInto('requests')
      .values({
        id,
        session_id: session,
        relay: this.#relay,
        subject_id: subject.id,
        email: subject.email ?? null,
        groups: JSON.stringify(subject.groups),
        target: target.name,
        protocol: target.protocol,
        task: context.task ?? null,
        reason: context.reason ?? null,
        rule: hold.rule,
        approvers: hold.approvers.text,
        action: operation.action,
        operation: JSON.stringify(operation),
        command_hash: commandHash(session, target.name, operation),
        policy,
        state: 'waiting',
        created_ms: now,
        expires_ms: now + hold.timeoutMs,
        settled_ms: null,
      })
      .execute()
    return readRequest(this.#store, id)
  }

  async #announce(id: string): Promise<void> {
    try {
      await this.#store.notify('requests', id)
    } catch (error) {
      // Whoever waits for news polls as well.
      this.#log.warn('request.notify-failed', { request: id, error })
    }
  }

  #look(): void {
    for (const id of this.#waiting.keys()) {
      this.#lookAt(id).catch(thrown => this.#waiting.get(id)?.fail(asGateError(thrown)))
    }
  }

  async #lookAt(id: string): Promise<void> {
    const request = await storeErrors(() => readRequest(this.#store, id))
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    if (request.state === 'waiting') {
      if (waiting.expiresMs <= this.#clock.now()) await this.#finish(id, 'expired')
      return
    }
    waiting.settle({
      request: id,
      state: request.state,
      decisions: await storeErrors(() => readDecisions(this.#store, id)),
    })
  }

  /** Ends a waiting request from our side, unless people were faster. */
  async #finish(id: string, state: 'expired' | 'withdrawn'): Promise<void> {
    const waiting = this.#waiting.get(id)
    const ended = await storeErrors(() => this.#settle(id, state)).catch(thrown => {
      // Without the store nobody can say what became of the request: the command does not run.
      waiting?.fail(asGateError(thrown))
      throw thrown
    })
    if (!ended) return this.#lookAt(id)
    waiting?.settle({ request: id, state, decisions: [] })
    await this.#announce(id)
  }

  async #settle(id: string, state: Exclude<RequestState, 'waiting'>): Promise<boolean> {
    const { numUpdatedRows } = await this.#store.db
      .updateTable('requests')
      .set({ state, settled_ms: this.#clock.now() })
      .where('id', '=', id)
      .where('state', '=', 'waiting')
      .executeTakeFirst()
    return numUpdatedRows === 1n
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
    if (request.subject.id !== subject.id && !this.mayDecide(subject, request)) throw notFound(id)
    return { request, decisions: await storeErrors(() => readDecisions(this.#store, id)) }
  }

  /**
   * Takes one person's word. A denial ends the request; approvals end it when they fill the quorum.
   * @throws {GateError} ERR_GATE_FORBIDDEN, ERR_GATE_CONFLICT, ERR_GATE_EXPIRED or ERR_GATE_NOT_FOUND.
   */
  async decide(
    subject: Subject,
    id: string,
    verdict: 'approve' | 'deny',
    reason: string | undefined,
  ): Promise<RequestState> {
    const state = await storeErrors(() =>
      this.#store.db.transaction().execute(async tx => {
        const store = { db: tx }
        await tx.selectFrom('requests').select('id').where('id', '=', id).forUpdate().execute()
        const request = await readRequest(store, id)
        this.#checkDecider(subject, request)
        const now = this.#clock.now()
        const inserted = await tx
          .insertInto('decisions')
          .values({
            request_id: id,
            subject_id: subject.id,
            email: subject.email ?? null,
            groups: JSON.stringify(subject.groups),
            verdict,
            reason: reason ?? null,
            decided_ms: now,
          })
          .onConflict(conflict => conflict.columns(['request_id', 'subject_id']).doNothing())
          .executeTakeFirst()
        if (inserted.numInsertedOrUpdatedRows !== 1n)
          throw new GateError('ERR_GATE_CONFLICT', `you decided ${id} already`)
        const state = outcome(request, await readDecisions(store, id))
        if (state !== 'waiting')
          await tx.updateTable('requests').set({ state, settled_ms: now }).where('id', '=', id).execute()
        return state
      }),
    )
    await this.#announce(id)
    return state
  }

  #checkDecider(subject: Subject, request: ApprovalRequest): void {
    if (isSamePerson(subject, request.subject)) {
      throw new GateError('ERR_GATE_FORBIDDEN', 'nobody decides their own request', {
        hint: `Ask ${request.approvers}.`,
      })
    }
    if (!this.mayDecide(subject, request)) throw notFound(request.id)
    if (request.state === 'expired' || (request.state === 'waiting' && request.expiresMs <= this.#clock.now())) {
      throw new GateError('ERR_GATE_EXPIRED', `${request.id} has expired`)
    }
    if (request.state !== 'waiting')
      throw new GateError('ERR_GATE_CONFLICT', `${request.id} is ${request.state} already`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#poll)
    await Promise.allSettled([...this.#waiting.keys()].map(id => this.#finish(id, 'withdrawn')))
  }
}

function notFound(id: string): GateError {
  return new GateError('ERR_GATE_NOT_FOUND', `there is no request ${id} that you may see`, {
    hint: 'gate approve lists what waits for you.',
  })
}

/** Two accounts with one verified e-mail address are one person. */
function isSamePerson(a: Subject, b: { id: string; email: string | undefined }): boolean {
  return a.id === b.id || (a.email !== undefined && a.email.toLowerCase() === b.email?.toLowerCase())
}

function outcome(request: ApprovalRequest, decisions: readonly Decision[]): 'waiting' | 'approved' | 'denied' {
  if (decisions.some(decision => decision.verdict === 'deny')) return 'denied'
  const approvers = decisions.map(decision => ({ id: decision.by.id, groups: decision.by.groups }))
  return isFilled(parseQuorum(request.approvers), approvers) ? 'approved' : 'waiting'
}
