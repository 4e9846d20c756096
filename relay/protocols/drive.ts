// The loop that moves user data, for all protocols.
import { setTimeout as wait } from 'node:timers/promises'
import { abortReason, asGateError, type GateError } from '@gate/shared/errors'
import type { Port } from '@gate/shared/port'
import type { Declaration, Effect, Machine, Outcome, Side } from './machine.ts'

/** Answers a machine's questions. An answer that needs no waiting is returned as it is: most are, and a promise costs. */
export interface Answering<Unit, Question, Answer> {
  /**
   * `tell` says something to the client while it waits.
   * @throws {GateError} when there can be no answer; the session is over then.
   */
  answer(question: Question, tell: (unit: Unit) => void, signal: AbortSignal): Answer | Promise<Answer>
  observe(outcome: Outcome): void
  /** A transaction is over; only of rooms whose machines say so. */
  over?(): void
  /** What time it is, by the gate's clock. */
  now(): number
  /** Tells the agent what the next command is. */
  declare(declaration: Declaration): void
  /** Everything answered so far may go to the target when this resolves; undefined: now. */
  readonly recorded: Promise<void> | undefined
}

/** Answers that one signal may be shown to, as long as none of them had to be waited for: listeners could pile up on it. */
const ANSWERS_PER_SIGNAL = 64

/** After the target has ended the connection, the client has this long to do the same; what it still sends goes nowhere. */
const LINGER_MS = 2_000

/**
 * Runs a machine between two ports until both are done.
 * @throws {GateError} the first failure of a port, the machine or an answer, or the signal's reason. Both ports are still
 * open then, so that the caller can send the machine's last words.
 */
export async function drive<Unit, Question, Answer>(
  machine: Machine<Unit, Question, Answer>,
  client: Port<Unit>,
  target: Port<Unit>,
  answering: Answering<Unit, Question, Answer>,
  signal: AbortSignal,
): Promise<void> {
  const run = new Run(machine, { client, target }, answering)
  const abort = (): void => run.fail(abortReason(signal))
  signal.addEventListener('abort', abort, { once: true })
  if (signal.aborted) abort()
  const stop = new AbortController()
  const clientDone = run.pump('client')
  const targetDone = run.pump('target')
  const lingered = targetDone.then(() => wait(LINGER_MS, undefined, { ref: false, signal: stop.signal }))
  try {
    await Promise.race([Promise.all([clientDone, targetDone]), lingered, run.failed])
  } finally {
    signal.removeEventListener('abort', abort)
    stop.abort()
    run.stop()
  }
}

class Run<Unit, Question, Answer> {
  readonly #machine: Machine<Unit, Question, Answer>
  readonly #ports: Readonly<Record<Side, Port<Unit>>>
  readonly #answering: Answering<Unit, Question, Answer>
  readonly #asked = new Map<number, AbortController>()
  /** To make a signal for every question would cost more than most answers; it stays unused while they need no waiting. */
  #stop = new AbortController()
  #stopShown = 0
  readonly failed: Promise<never>
  #reject: (cause: GateError) => void = () => {}
  #changed: (() => void)[] = []
  #stopped = false
  /** What was sent to the target last, as long as it waits for the record; whatever comes after it waits behind it. */
  #waiting: Promise<void> | undefined

  constructor(
    machine: Machine<Unit, Question, Answer>,
    ports: Readonly<Record<Side, Port<Unit>>>,
    answering: Answering<Unit, Question, Answer>,
  ) {
    this.#machine = machine
    this.#ports = ports
    this.#answering = answering
    this.failed = new Promise((_resolve, reject) => {
      this.#reject = reject
    })
  }

  async pump(side: Side): Promise<void> {
    try {
      await this.#flush()
      for await (const unit of this.#ports[side]) {
        if (this.#stopped) return
        // One reading for all answers that came together; what a client sends needs none.
        this.#machine.receive(side, unit, side === 'target' ? this.#answering.now() : 0)
        const full = this.#flush()
        if (full !== undefined) await full
        while (!this.#machine.wants(side)) {
          if (this.#stopped) return
          await new Promise<void>(resolve => this.#changed.push(resolve))
        }
      }
      if (this.#stopped) return
      this.#machine.receive(side, null, 0)
      await this.#flush()
    } catch (thrown) {
      throw asGateError(thrown)
    }
  }

  /** Carries out what the machine wants; the promise is there when a port is full. */
  #flush(): Promise<unknown> | undefined {
    let waits: Promise<void>[] | undefined
    for (let effect = this.#machine.poll(); effect !== undefined; effect = this.#machine.poll()) {
      const wait = this.#perform(effect)
      if (wait === undefined) continue
      waits ??= []
      waits.push(wait)
    }
    // Whatever happened may have made room for a side that had to wait.
    this.#wake()
    return waits === undefined ? undefined : Promise.all(waits)
  }

  /** The same where nobody waits for the ports: what cannot be recorded, or written, ends the session all the same. */
  #flushBeside(): void {
    this.#flush()?.catch(thrown => this.fail(asGateError(thrown)))
  }

  #perform(effect: Effect<Unit, Question>): Promise<void> | undefined {
    switch (effect.do) {
      case 'send':
        return effect.to === 'target' ? this.#toTarget(effect.unit) : this.#ports.client.write(effect.unit)
      case 'ask':
        return this.#ask(effect.id, effect.question)
      case 'forget':
        this.#asked.get(effect.id)?.abort()
        this.#asked.delete(effect.id)
        return undefined
      case 'declare':
        this.#answering.declare(effect.declaration)
        return undefined
      case 'observe':
        this.#answering.observe(effect.outcome)
        return undefined
      case 'over':
        this.#answering.over?.()
        return undefined
      case 'end':
        if (effect.to === 'target' && this.#waiting !== undefined)
          return this.#behind(() => this.#ports.target.end(), undefined)
        this.#ports[effect.to].end()
        return undefined
    }
  }

  #toTarget(unit: Unit): Promise<void> | undefined {
    const { recorded } = this.#answering
    if (recorded === undefined && this.#waiting === undefined) return this.#ports.target.write(unit)
    return this.#behind(() => this.#ports.target.write(unit), recorded)
  }

  /**
   * Nothing reaches the target before its record is on the disk. Meanwhile the commands that came along with it are
   * decided, so that one sync serves all of a pipeline; no more is read than that, since whoever sends waits for this.
   */
  #behind(act: () => Promise<void> | undefined | void, recorded: Promise<void> | undefined): Promise<void> {
    const done = Promise.all([this.#waiting, recorded]).then(() => (this.#stopped ? undefined : act()))
    this.#waiting = done
    const over = (): void => {
      if (this.#waiting === done) this.#waiting = undefined
    }
    done.then(over, thrown => this.fail(asGateError(thrown)))
    return done
  }

  #ask(id: number, question: Question): undefined {
    const stop = this.#stop
    this.#stopShown += 1
    const answer = this.#answering.answer(question, this.#tell, stop.signal)
    const waits = answer instanceof Promise
    if (waits || this.#stopShown === ANSWERS_PER_SIGNAL) {
      this.#stop = new AbortController()
      this.#stopShown = 0
    }
    if (!waits) {
      this.#machine.settle(id, answer)
      return undefined
    }
    this.#asked.set(id, stop)
    answer.then(
      settled => this.#settle(id, settled),
      thrown => {
        // A question that was forgotten may fail as it likes.
        if (this.#asked.delete(id)) this.fail(asGateError(thrown))
      },
    )
    return undefined
  }

  readonly #tell = (unit: Unit): void => {
    if (this.#stopped) return
    this.#machine.tell(unit)
    this.#flushBeside()
  }

  #settle(id: number, answer: Answer): void {
    if (this.#stopped || !this.#asked.delete(id)) return
    try {
      this.#machine.settle(id, answer)
      this.#flushBeside()
    } catch (thrown) {
      this.fail(asGateError(thrown))
    }
  }

  #wake(): void {
    const waiting = this.#changed
    if (waiting.length === 0) return
    this.#changed = []
    for (const resolve of waiting) resolve()
  }

  fail(cause: GateError): void {
    this.#reject(cause)
  }

  stop(): void {
    this.#stopped = true
    for (const controller of this.#asked.values()) controller.abort()
    this.#asked.clear()
    this.#wake()
    // Nobody may be listening when both pumps ended well.
    this.failed.catch(() => {})
  }
}
