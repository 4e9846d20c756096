// The PostgreSQL session as pure logic: bytes of both sides in, effects out.
import type { GateError } from '@gate/shared/errors'
import { Queue } from '@gate/shared/queue'
import type { Effect, Machine, Side } from '../machine.ts'
import { ClientHalf } from './client-half.ts'
import { E, errorMessage, IDLE } from './codec.ts'
import { Inbound } from './inbound.ts'
import { LongQueries, type LongQueryShare } from './long-queries.ts'
import { Names } from './names.ts'
import type { Entry } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import { Reading } from './reading.ts'
import { errorOf } from './refuse.ts'
import { LOGIN_SEGMENT, type Shared } from './sending.ts'
import { TargetHalf } from './target-half.ts'

/** What a client sends while one of its commands is held; beyond it the client is not read any more. */
const MAX_HELD_BYTES = 1024 * 1024

/** What is sent to one side in pieces shorter than this, together, is sent as one. */
const JOINED_BYTES = 16 * 1024

export class PostgresMachine implements Machine<Buffer, Question, Answer> {
  readonly #effects: Effect<Buffer, Question>[] = []
  #nextEffect = 0
  #nextQuestion = 1
  readonly #toTarget: Inbound
  readonly #shared: Shared
  readonly #client: ClientHalf
  readonly #target: TargetHalf
  #targetQuestion: number | undefined
  /** Messages to the client that wait for the end of one that is on its way. */
  readonly #told: Buffer[] = []

  /**
   * Begins where the server has accepted the login. `greeting` goes out before its first ReadyForQuery, `unguessable` is a
   * random name, `maximumStatementBytes` the longest statement that can be analysed. With `declares`, commands are declared to
   * the agent. `longQueries` is what the session may take of the room for long ones.
   */
  constructor(
    greeting: Buffer,
    unguessable: string,
    maximumStatementBytes: number,
    declares = false,
    longQueries: LongQueryShare = new LongQueries().share(),
  ) {
    const shared: Shared = {
      pending: new Queue<Entry>(),
      names: new Names(),
      reading: new Reading(),
      segment: 0,
      status: IDLE,
      searchPath: undefined,
      counted: undefined,
      changesNames: false,
      changesCatalog: false,
      maximumStatementBytes,
      longQueries,
    }
    // The login is answered like a Sync: ParameterStatus messages, then ReadyForQuery.
    shared.pending.push({ kind: 'sync', segment: LOGIN_SEGMENT })
    this.#shared = shared
    this.#toTarget = new Inbound(unit => this.#send('target', unit))
    const send = (unit: Buffer): void => this.#send('client', unit)
    const toClient = new Inbound(send)
    this.#client = new ClientHalf(
      this.#toTarget,
      shared,
      unguessable,
      question => this.#ask(question),
      declares ? declaration => void this.#effects.push({ do: 'declare', declaration }) : undefined,
    )
    this.#target = new TargetHalf(toClient, shared, this.#client, greeting, {
      send,
      ask: question => {
        this.#targetQuestion = this.#ask(question)
        return this.#targetQuestion
      },
      observe: outcome => this.#effects.push({ do: 'observe', outcome }),
      over: () => this.#effects.push({ do: 'over' }),
      forgetClientQuestion: () => {
        const id = this.#client.asking
        if (id !== undefined) this.#effects.push({ do: 'forget', id })
      },
    })
  }

  /** A write costs more than a copy: the description, the masked rows and the end of a small answer leave as one. */
  #send(to: Side, unit: Buffer): void {
    let last = this.#effects.length - 1
    while (this.#effects[last]?.do === 'observe' || this.#effects[last]?.do === 'over') last -= 1
    const before = last < this.#nextEffect ? undefined : this.#effects[last]
    if (before?.do !== 'send' || before.to !== to || before.unit.length + unit.length > JOINED_BYTES) {
      this.#effects.push({ do: 'send', to, unit })
      return
    }
    // Outcomes in between stay ahead of what tells the client of them.
    this.#effects.splice(last, 1)
    this.#effects.push({ do: 'send', to, unit: Buffer.concat([before.unit, unit]) })
  }

  #ask(question: Question): number {
    const id = this.#nextQuestion
    this.#nextQuestion += 1
    this.#effects.push({ do: 'ask', id, question })
    return id
  }

  receive(from: Side, unit: Buffer | null, nowMs = 0): void {
    if (unit !== null) {
      if (from === 'client') this.#client.receive(unit)
      else {
        this.#target.receive(unit, nowMs)
        this.#tellWaiting()
      }
    } else if (from === 'client') {
      const id = this.#client.asking
      if (id !== undefined) this.#effects.push({ do: 'forget', id })
      this.#client.close()
      this.#forgetRows()
      this.#target.clientGone()
      this.#effects.push({ do: 'end', to: 'target' })
    } else {
      this.#forgetRows()
      this.#target.end()
      this.#effects.push({ do: 'end', to: 'client' })
    }
  }

  /** Nobody has to decide over rows that will not be committed. */
  #forgetRows(): void {
    if (!this.#target.askingRows || this.#targetQuestion === undefined) return
    this.#effects.push({ do: 'forget', id: this.#targetQuestion })
    this.#targetQuestion = undefined
  }

  poll(): Effect<Buffer, Question> | undefined {
    if (this.#nextEffect === this.#effects.length) {
      this.#effects.length = 0
      this.#nextEffect = 0
      // What passed before a question leaves only when the answer has to be waited for: together it is one write.
      if (this.#toTarget.hasRun) this.#toTarget.flush()
    }
    const effect = this.#effects[this.#nextEffect]
    if (effect !== undefined) this.#nextEffect += 1
    return effect
  }

  wants(from: Side): boolean {
    return from === 'client' ? !this.#client.blocked || this.#client.held < MAX_HELD_BYTES : this.#target.reads
  }

  settle(id: number, answer: Answer): void {
    if (id === this.#targetQuestion) {
      this.#targetQuestion = undefined
      this.#target.settle(answer)
    } else if (id === this.#client.asking) this.#client.settle(answer)
  }

  /** Nothing of the client's is on its way to the target or not answered yet. */
  get targetIdle(): boolean {
    return this.#shared.pending.size === 0
  }

  tell(unit: Buffer): void {
    this.#told.push(unit)
    this.#tellWaiting()
  }

  #tellWaiting(): void {
    if (this.#told.length === 0 || !this.#target.atBoundary) return
    for (const unit of this.#told.splice(0)) this.#send('client', unit)
  }

  lastWords(cause: GateError): Buffer | undefined {
    return this.#target.atBoundary ? errorMessage(E, errorOf(cause, 'FATAL')) : undefined
  }
}
