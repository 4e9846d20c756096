// One running connection: where it is written down, when it may begin, how it reaches its target, how it ends.
import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Subject, Target } from '@gate/shared/model'
import type { Channel } from '@gate/shared/websocket/channel'
import type { Approvals } from '../approval/approvals.ts'
import type { Agents } from '../egress/agents.ts'
import { rememberTarget, targetKey } from '../history/targets.ts'
import type { Login, Logins } from '../identity/logins.ts'
import { type Lock, type Locks, lockedError, matchesLock, type Person } from '../locks/locks.ts'
import type { Policy } from '../policy/decide.ts'
import type { Protocol, Session, TargetStream } from '../protocols/protocol.ts'
import type { Recorder } from '../record/recorder.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { SessionGate } from './gate.ts'
import { markedRecorder, type SessionRecorder } from './judge.ts'
import type { RecordTerms } from './recorded-text.ts'
import type { TaskRows } from './task-rows.ts'

/** The end of a session is written to the store even if the store is away for a while; the record has it in any case. */
const END_ATTEMPTS = 5
const END_RETRY_MS = 2_000

export interface SessionsContext {
  readonly relay: string
  readonly agents: Agents
  readonly logins: Logins
  readonly policy: () => Policy
  readonly locks: Locks
  readonly approvals: Approvals
  readonly recorder: Recorder
  /** How commands are written down. */
  readonly record: RecordTerms
  readonly store: Store
  readonly protocols: readonly Protocol[]
  readonly limits: { readonly connections: number; readonly connectionsPerSubject: number }
  readonly clock: Clock
  readonly log: Log
}

export interface ConnectRequest {
  readonly login: Login
  readonly target: string
  readonly task: string | undefined
  readonly reason: string | undefined
  /** Passes holds without being approved, where rules allow it; needs a reason. */
  readonly breakGlass: boolean
  /** Nobody knows whose process it is, since it had closed its socket: it may cancel with a secret, and do nothing else. */
  readonly isPeerGone: boolean
  /** Where the connection comes from: the other end of its tunnel's socket. What the tunnel says of that is not believed. */
  readonly clientAddress: string
  readonly channel: Channel
}

export class RelaySession implements Session {
  readonly id = newId('s')
  readonly target: Target
  readonly client: Channel
  readonly gate: SessionGate
  readonly log: Log
  readonly signal: AbortSignal
  readonly #context: SessionsContext
  readonly #recorder: SessionRecorder
  readonly #request: ConnectRequest
  readonly #subject: () => Subject
  readonly #stop = new AbortController()
  #started = false
  /** Set when there is no room for this connection; said when the client can hear it. */
  overLimit: GateError | undefined

  constructor(
    context: SessionsContext,
    taskRows: TaskRows,
    request: ConnectRequest,
    target: Target,
    protocol: Protocol,
    subject: () => Subject,
    signal: AbortSignal,
  ) {
    this.#context = context
    this.#recorder = request.breakGlass ? markedRecorder(context.recorder) : context.recorder
    this.#request = request
    this.#subject = subject
    this.target = target
    this.client = request.channel
    this.log = context.log
    this.signal = AbortSignal.any([this.#stop.signal, signal])
    this.gate = new SessionGate({
      session: this.id,
      target,
      task: request.task,
      reason: request.reason,
      breakGlass: request.breakGlass,
      subject,
      policy: context.policy,
      performable: protocol.obligations,
      taskRows,
      recorder: this.#recorder,
      record: context.record,
      approvals: context.approvals,
      clock: context.clock,
      log: context.log,
    })
  }

  subject(): Subject {
    return this.#subject()
  }

  /** Ends it at once. */
  stop(cause: GateError): void {
    this.#stop.abort(cause)
  }

  /** Ends it at once and says who did and why. A record that cannot be written does not keep it open. */
  kill(by: Person, reason: string): void {
    this.#stopBy(
      by,
      reason,
      undefined,
      new GateError('ERR_GATE_KILLED', `${by.email ?? by.id} ended this session: ${reason}`, {
        hint: `What was done in it: gate sessions show ${this.id}`,
      }),
    )
  }

  /** Ends it at once when one of the locks is on its person, its target or its agent. */
  lock(locks: readonly Lock[]): void {
    const what = { user: this.#subject(), target: this.target.name, agent: this.#agent }
    const lock = locks.find(each => matchesLock(each, what))
    if (lock !== undefined) this.#stopBy(lock.by, lock.reason, lock.id, lockedError(lock))
  }

  #stopBy(by: Person, reason: string, lock: string | undefined, error: GateError): void {
    if (this.#stop.signal.aborted) return
    const { id, email } = by
    try {
      if (this.#started)
        this.#recorder.append({
          type: 'kill',
          session: this.id,
          by: { id, ...(email === undefined ? {} : { email }) },
          reason,
          ...(lock === undefined ? {} : { lock }),
        })
    } catch (thrown) {
      this.log.error('session.kill-not-recorded', { session: this.id, error: thrown })
    }
    this.log.warn('session.killed', { session: this.id, subject: id, code: error.code })
    this.#stop.abort(error)
  }

  async start(client: Readonly<Record<string, string>>): Promise<void> {
    const { policy } = this.#context
    const { task, reason, clientAddress } = this.#request
    const subject = this.#subject()
    const current = policy()
    if (this.overLimit !== undefined) throw this.overLimit
    if (this.#request.isPeerGone)
      throw new GateError('ERR_GATE_FORBIDDEN', 'the program closed its connection before gate saw whose it is')
    const first = this.#recorder.append({
      type: 'session.start',
      session: this.id,
      subject: {
        id: subject.id,
        ...(subject.email === undefined ? {} : { email: subject.email }),
        groups: [...subject.groups],
      },
      target: this.target.name,
      protocol: this.target.protocol,
      ...(task === undefined ? {} : { task }),
      ...(reason === undefined ? {} : { reason }),
      policy: current.version,
      client,
      clientAddress,
    })
    this.#started = true
    await storeErrors(() => this.#insert(subject, client['program'], first))
    await this.#context.locks.check({ user: subject, target: this.target.name })
    const refused = current.refusesOpening(subject, this.target)
    if (refused === undefined) return this.#request.breakGlass ? this.#breakGlass(subject, current) : undefined
    throw new GateError('ERR_GATE_REFUSED', refused.reason, {
      detail: `Rule ${refused.rule} refused it.`,
      ...(refused.hint === undefined ? {} : { hint: refused.hint }),
    })
  }

  /** Opens the review of this session, and says so to whoever broke the glass. */
  async #breakGlass(subject: Subject, policy: Policy): Promise<void> {
    const { reason } = this.#request
    const holds = policy
      .holds(subject, this.target)
      .filter(hold => hold.breakGlass.some(group => subject.groups.includes(group)))
    if (holds.length === 0) {
      throw new GateError('ERR_GATE_REFUSED', `no rule on ${this.target.name} lets you break the glass`, {
        hint: 'Connect without --break-glass; commands that are held wait for approval.',
      })
    }
    if (reason === undefined) throw new GateError('ERR_GATE_USAGE', 'the glass is not broken without a reason')
    const approvers = [...new Set(holds.map(hold => hold.approvers.text))]
    const review = await this.#context.approvals.breakGlass(this.id, subject, this.target.name, reason, approvers)
    this.#recorder.append({ type: 'review', session: this.id, review: review.id, reason })
    this.log.warn('session.broke-glass', { session: this.id, target: this.target.name, subject: subject.id })
    const text = `the glass is broken: what you do is not held, and somebody else reviews it (${review.id})`
    this.client.send({ type: 'notice', text })
  }

  async #insert(subject: Subject, program: string | undefined, firstEvent: number): Promise<void> {
    const { store, relay, clock } = this.#context
    await rememberTarget(store.db, this.target)
    const row = {
      id: this.id,
      login_id: this.#request.login.id,
      subject_id: subject.id,
      email: subject.email ?? null,
      groups: JSON.stringify(subject.groups),
      target: this.target.name,
      protocol: this.target.protocol,
      labels: JSON.stringify(this.target.labels),
      agent: null,
      relay,
      task: this.#request.task ?? null,
      reason: this.#request.reason ?? null,
      program: program ?? null,
      client_address: this.#request.clientAddress,
      started_ms: clock.now(),
      ended_ms: null,
      end_code: null,
      first_event: firstEvent,
      last_event: null,
      target_key: targetKey(this.target),
    }
    // The index may have met the session in the record first; we know more of it.
    await store.db
      .insertInto('sessions')
      .values(row)
      .onConflict(conflict => conflict.column('id').doUpdateSet(row))
      .execute()
  }

  async open(parameters: Readonly<Record<string, string>>): Promise<TargetStream> {
    const stream = await this.#context.agents.open(this.target.name, this.id, { ...parameters }, this.signal)
    try {
      this.#recorder.append({
        type: 'session.open',
        session: this.id,
        agent: stream.agent,
        target: { ...stream.detail },
      })
    } catch (thrown) {
      stream.port.destroy()
      throw thrown
    }
    this.#agent = stream.agent
    return quiet(this.target)(stream)
  }
  #agent: string | undefined

  openOwn(parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<TargetStream> {
    return this.#context.agents.open(this.target.name, newId('own'), { ...parameters }, signal).then(quiet(this.target))
  }

  recordCancel(session: string): void {
    this.#context.recorder.later({ type: 'cancel', session, by: this.#subject().id })
  }

  /** Writes down that the session is over, first into the record, then into the store. */
  async end(cause: GateError | undefined): Promise<void> {
    if (!this.#started) return
    const { recorder, log } = this.#context
    const code = cause?.code ?? 'ended'
    try {
      this.gate.end()
    } catch (error) {
      log.error('session.output-not-recorded', { session: this.id, error })
    }
    try {
      this.#recorder.later({
        type: 'session.end',
        session: this.id,
        code,
        ...(cause === undefined ? {} : { reason: cause.message }),
      })
    } catch (error) {
      log.error('session.end-not-recorded', { session: this.id, error })
    }
    const lastEvent = recorder.sequence
    for (let attempt = 1; attempt <= END_ATTEMPTS; attempt += 1) {
      try {
        await storeErrors(() => this.#update(code, lastEvent))
        return
      } catch (error) {
        log.warn('session.end-not-stored', { session: this.id, count: attempt, error })
        await wait(END_RETRY_MS, undefined, { ref: false })
      }
    }
  }

  async #update(code: string, lastEvent: number): Promise<void> {
    const { commands, refused, held } = this.gate.counts
    await this.#context.store.db
      .updateTable('sessions')
      .set({
        ended_ms: this.#context.clock.now(),
        end_code: code,
        commands,
        refused,
        held,
        last_event: lastEvent,
        agent: this.#agent ?? null,
      })
      .where('id', '=', this.id)
      .execute()
  }
}

/** Agents that do not check approvals have no ear for declarations. */
function quiet(target: Target): (stream: TargetStream) => TargetStream {
  return stream => (target.options['commands'] === 'declared' ? stream : { ...stream, declare: () => {} })
}
