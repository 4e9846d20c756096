// Connections of people to targets: who may open one, what it hangs on, where it is written down, how it ends.
import { setTimeout as wait } from 'node:timers/promises'
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import { newId } from '@gate/shared/id'
import type { Log } from '@gate/shared/log'
import type { Subject, Target } from '@gate/shared/model'
import type { Channel } from '@gate/shared/websocket'
import type { Approvals } from '../approval/approvals.ts'
import type { Agents } from '../egress/agents.ts'
import type { Login, Logins } from '../identity/logins.ts'
import type { Policy } from '../policy/decide.ts'
import type { Protocol, Session, TargetStream } from '../protocols/protocol.ts'
import type { Recorder } from '../record/recorder.ts'
import { type Store, storeErrors } from '../store/store.ts'
import { SessionGate } from './gate.ts'
import { markedRecorder, type SessionRecorder } from './judge.ts'
import type { RecordTerms } from './recorded-text.ts'
import { TaskRows } from './task-rows.ts'

/** The end of a session is written to the store even if the store is away for a while; the record has it in any case. */
const END_ATTEMPTS = 5
const END_RETRY_MS = 2_000

export interface SessionsContext {
  readonly relay: string
  readonly agents: Agents
  readonly logins: Logins
  readonly policy: () => Policy
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
  readonly channel: Channel
}

export class Sessions {
  readonly #context: SessionsContext
  readonly #shutdown = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #perSubject = new Map<string, number>()
  readonly #taskRows = new TaskRows()

  constructor(context: SessionsContext) {
    this.#context = context
  }

  get count(): number {
    return this.#running.size
  }

  /** Serves one connection until it ends; everything that goes wrong has been said to the client in its own protocol. */
  async connect(request: ConnectRequest): Promise<void> {
    const subject = request.login.subject.id
    const count = this.#perSubject.get(subject) ?? 0
    this.#perSubject.set(subject, count + 1)
    const running = this.#serve(request, count)
    this.#running.add(running)
    try {
      await running
    } finally {
      this.#running.delete(running)
      const left = (this.#perSubject.get(subject) ?? 1) - 1
      if (left === 0) this.#perSubject.delete(subject)
      else this.#perSubject.set(subject, left)
    }
  }

  async #serve(request: ConnectRequest, ofSubject: number): Promise<void> {
    const { agents, protocols, logins, limits, log } = this.#context
    const target = await agents.target(request.target)
    const protocol = protocols.find(room => room.name === target.protocol)
    if (protocol === undefined)
      throw new GateError('ERR_GATE_NOT_FOUND', `this relay does not speak ${target.protocol}`)
    using watched = logins.watch(request.login)
    const signal = AbortSignal.any([watched.signal, this.#shutdown.signal])
    const session = new RelaySession(this.#context, this.#taskRows, request, target, protocol, watched.subject, signal)
    if (ofSubject >= limits.connectionsPerSubject || this.#running.size >= limits.connections) {
      session.overLimit = new GateError(
        'ERR_GATE_LIMIT',
        `too many connections are open (yours: ${ofSubject}, all: ${this.#running.size})`,
      )
    }
    let end: GateError | undefined
    try {
      await protocol.serve(session)
    } catch (thrown) {
      end = asGateError(thrown)
      const level = end.fault === 'gate' && end.code === 'ERR_GATE_INTERNAL' ? 'error' : 'info'
      log[level]('session.failed', { session: session.id, target: target.name, error: end })
    } finally {
      await session.end(end)
    }
  }

  /** Ends every connection with a clear word and waits for them. */
  async close(): Promise<void> {
    this.#shutdown.abort(
      new GateError('ERR_GATE_SHUTDOWN', 'the relay is going down', { hint: 'Connect again in a moment.' }),
    )
    await Promise.allSettled(this.#running)
  }
}

class RelaySession implements Session {
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
    this.signal = signal
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

  async start(client: Readonly<Record<string, string>>): Promise<void> {
    const { policy } = this.#context
    const { task, reason } = this.#request
    const subject = this.#subject()
    const current = policy()
    if (this.overLimit !== undefined) throw this.overLimit
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
    })
    this.#started = true
    await storeErrors(() => this.#insert(subject, client['program'], first))
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
    await store.db
      .insertInto('sessions')
      .values({
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
        started_ms: clock.now(),
        ended_ms: null,
        end_code: null,
        first_event: firstEvent,
        last_event: null,
      })
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
