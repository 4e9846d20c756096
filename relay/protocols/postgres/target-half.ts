// Messages from the server: each is matched with what it answers, and passes, is masked, or is replaced. Pure.

import { readCommandTag } from './bodies.ts'
import { type ClientHalf, outOfCopy } from './client-half.ts'
import { A, C, c, D, d, E, G, H, I, IDLE, LARGE, N, n, one, S, s, T, t, three, two, V, Z } from './codec.ts'
import { Counting } from './counting.ts'
import { heldMasks } from './held-cursors.ts'
import type { Inbound } from './inbound.ts'
import { asksAgain } from './judged-again.ts'
import type { Entry, StatementPlan } from './pending.ts'
import type { Answer } from './questions.ts'
import { Receiving, type TargetEffects, wrong } from './receiving.ts'
import { clientGone } from './refuse.ts'
import type { Shared } from './sending.ts'
import { TargetFailures } from './target-failures.ts'
import { TargetRows } from './target-rows.ts'
import { READ_ERROR_BYTES, TargetTexts } from './target-texts.ts'
import { Withholding } from './withholding.ts'

/** Messages that are looked into are kept whole: descriptions, errors, notices, tags. */
const MAX_WHOLE_BYTES = 16 * 1024 * 1024
/** What the server sends while rows are decided over: hardly anything, but its end has to be seen. */
const MAX_WAITING_BYTES = 64 * 1024

export class TargetHalf {
  readonly #inbound: Inbound
  readonly #shared: Shared
  readonly #client: ClientHalf
  readonly #withheld: Withholding
  readonly #counting: Counting
  readonly #receiving: Receiving
  readonly #rows: TargetRows
  readonly #texts: TargetTexts
  /** When the newest chunk came. */
  #nowMs = 0

  /** Goes out before the first ReadyForQuery: the key for cancel requests, which is gate's own. */
  #greeting: Buffer | undefined

  constructor(inbound: Inbound, shared: Shared, client: ClientHalf, greeting: Buffer, effects: TargetEffects) {
    this.#greeting = greeting
    this.#inbound = inbound
    this.#shared = shared
    this.#client = client
    this.#withheld = new Withholding(inbound, effects.send)
    const receiving = new Receiving(inbound, shared, effects, this.#withheld)
    this.#receiving = receiving
    this.#counting = new Counting(this.#withheld, shared, client, {
      ask: (question, resume) => receiving.ask(question, resume),
      observe: effects.observe,
      shift: how => receiving.shift(how),
      put: bytes => inbound.put(bytes),
    })
    this.#rows = new TargetRows(receiving)
    const failures = new TargetFailures(receiving, this.#counting, client)
    this.#texts = new TargetTexts(receiving, this.#counting, (head, fields) => failures.failed(head, fields))
  }

  /** False while what the server sends could only pile up. */
  get reads(): boolean {
    return !this.#receiving.blocked || (this.#receiving.askingRows && this.#inbound.held < MAX_WAITING_BYTES)
  }

  get askingRows(): boolean {
    return this.#receiving.askingRows
  }

  /** Whether a message to the client could be put here. */
  get atBoundary(): boolean {
    return !this.#texts.saidFatal && (this.#withheld.active || this.#inbound.atBoundary)
  }

  receive(chunk: Buffer, nowMs: number): void {
    this.#nowMs = nowMs
    this.#inbound.append(chunk)
    this.#process()
  }

  settle(answer: Answer): void {
    this.#receiving.settle(answer)
    this.#process()
  }

  /** The client is gone: rows that nobody has decided over are not committed. */
  clientGone(): void {
    this.#counting.clientGone(clientGone)
    if (this.#receiving.askingRows) this.settle({ kind: 'refuse', error: clientGone })
  }

  /** The server is gone, with what it had not committed. Its last words are passed on. */
  end(): void {
    if (!this.#receiving.askingRows) return
    this.#receiving.forget()
    const execute = this.#shared.counted?.entry.kind === 'execute'
    this.#counting.abandon()
    if (execute) this.#receiving.shift('failed')
    this.#process()
  }

  #process(): void {
    while (!this.#receiving.blocked) {
      if (!this.#inbound.continueStream() || !this.#inbound.hasHeader) break
      const { type, length } = this.#inbound
      if (length < 4 || length > LARGE) throw wrong(`a message of impossible length ${length}`)
      if (!this.#message(type, length + 1)) break
    }
    this.#rows.end()
    if (!this.#receiving.blocked) this.#inbound.compact()
    this.#client.advance()
  }

  /** False when more of the message has to come first. */
  #message(type: number, total: number): boolean {
    const { head } = this.#shared.pending
    // Settings and notifications are told beside the answers.
    if (head !== undefined && 'bytes' in head && type !== S && type !== A) head.firstByteAtMs ??= this.#nowMs
    if (this.#shared.counted !== undefined) this.#counting.meet(this.#shared.counted, head)
    if (asksAgain(this.#receiving, type, head)) return true
    if (type === D) return this.#rows.dataRows(head, total)
    if (type === d) return this.#rows.copyData(head, total)
    this.#rows.flush()
    if (type === V) {
      // What must not pass was refused before.
      this.#receiving.running(head, 'a function result').bytes += this.#inbound.passRun(V, LARGE)
      return true
    }
    if ((type === E || type === N) && total > READ_ERROR_BYTES) return this.#texts.longError(type, head, total)
    if (total > MAX_WHOLE_BYTES) throw wrong(`a message of ${total} bytes where small ones are expected`)
    if (this.#inbound.available < total) return false
    if (head !== undefined && 'bytes' in head) head.bytes += total
    this.#whole(type, head, total)
    return true
  }

  #whole(type: number, head: Entry | undefined, total: number): void {
    switch (type) {
      case S:
        return this.#texts.parameterStatus(head, total)
      case A:
        return this.#texts.notification(head, total)
      case N:
        return this.#texts.notice(head, total)
      case E:
        return this.#texts.error(head, total)
      case Z:
        return this.#ready(head, total)
      case T:
        return this.#rowDescription(head, total)
      case n:
        return this.#noData(head, total)
      case t:
        if (head?.kind !== 'describe') throw wrong('a parameter description for nothing')
        return this.#passUnlessInjected(head, total)
      case one:
        return this.#complete(head, 'parse', total)
      case two:
        return this.#complete(head, 'bind', total)
      case three:
        return this.#complete(head, 'close', total)
      case C:
      case I:
      case s:
        return this.#commandDone(type, head, total)
      case G:
        this.#copyIn(head)
        return this.#withheld.passNow(total)
      case H:
        this.#rows.copyOut(head, total)
        return this.#inbound.pass(total)
      case c:
        this.#receiving.running(head, 'the end of COPY data')
        return this.#inbound.pass(total)
      default:
        // Authentication, keys and version negotiation belong to the start; CopyBothResponse to replication.
        throw wrong(`an unexpected message of type ${type}`)
    }
  }

  #complete(head: Entry | undefined, kind: 'parse' | 'bind' | 'close', total: number): void {
    if (head?.kind !== kind) throw wrong(`a completion of ${kind} for nothing`)
    if (head.kind === 'parse' && head.refusal !== undefined) throw wrong('success for a command that was refused')
    this.#inbound.pass(total)
    this.#receiving.shift('done')
  }

  #passUnlessInjected(head: Entry, total: number): void {
    if (head.kind === 'describe' && head.injected) this.#inbound.drop(total)
    else this.#inbound.pass(total)
  }

  #noData(head: Entry | undefined, total: number): void {
    if (head?.kind !== 'describe') throw wrong('NoData for nothing')
    if (head.portal !== undefined) head.portal.rowMask = undefined
    this.#passUnlessInjected(head, total)
    this.#receiving.shift('done')
  }

  /** Which columns of it are masked is found with the first row: only then is it known who asks for which command. */
  #rowDescription(head: Entry | undefined, total: number): void {
    if (head?.kind === 'describe') {
      if (head.portal !== undefined) {
        head.portal.description = this.#description(total)
        head.portal.rowMask = 'unknown'
      }
      this.#passUnlessInjected(head, total)
      return this.#receiving.shift('done')
    }
    const running = this.#receiving.running(head, 'a row description')
    if (running.kind === 'query' && this.#receiving.plan(running)?.masking !== undefined) {
      running.description = this.#description(total)
      // A rule can make one statement give several results.
      running.rowMask = 'unknown'
    }
    this.#inbound.pass(total)
  }

  /** A copy, since the chunk that it came in would be kept along with it. Most are never read, because nothing is masked. */
  #description(total: number): Buffer {
    return Buffer.from(this.#inbound.body(total))
  }

  #commandDone(type: number, head: Entry | undefined, total: number): void {
    if (head?.kind === 'injected') {
      this.#counting.injectedDone(head, type, type === C ? readCommandTag(this.#inbound.body(total)) : '')
      return this.#inbound.drop(total)
    }
    const running = this.#receiving.running(head, 'the end of a command')
    const tag = type === C ? readCommandTag(this.#inbound.body(total)) : ''
    const plan = this.#receiving.plan(running)
    if (plan?.sensitive === true) this.#texts.sensitiveTransaction = true
    this.#texts.guardOf(head)
    const counted = this.#shared.counted?.entry === running ? this.#shared.counted : undefined
    if (counted !== undefined) this.#counting.completing(counted)
    this.#inbound.pass(total)
    if (type !== s) this.#done(plan)
    if (counted !== undefined) this.#counting.completed(counted, plan, type, tag, running.bytes)
    else this.#receiving.report(running, plan, tag, type === s ? 'PORTAL SUSPENDED' : tag)
    if (running.kind === 'query') {
      running.index += 1
      running.bytes = 0
      running.firstByteAtMs = undefined
      running.rowMask = 'unknown'
      running.description = undefined
      if (counted !== undefined) this.#counting.decide(counted)
      return
    }
    if (running.kind === 'execute' && running.portal !== undefined) {
      running.portal.suspended = type === s
      running.portal.executed = true
    }
    if (counted !== undefined) this.#counting.decide(counted)
    else this.#receiving.shift('done')
  }

  #done(plan: StatementPlan | undefined): void {
    if (plan === undefined) return
    const { naming, defines, endsTransaction } = plan
    const held = heldMasks(plan)
    this.#shared.names.apply(naming, held === undefined ? defines : defines && { ...defines, held })
    if (endsTransaction) this.#shared.names.transactionEnded()
  }

  /** Commands that are on their way already are told of at the end of their own transaction. */
  #over(): void {
    if (!this.#shared.changesNames && !this.#shared.changesCatalog) return
    const hasMore = this.#shared.pending.second !== undefined
    this.#shared.changesNames &&= hasMore
    this.#shared.changesCatalog &&= hasMore
    this.#receiving.effects.over()
  }

  #ready(head: Entry | undefined, total: number): void {
    const status = this.#inbound.body(total)[0]
    if (total !== 6 || status === undefined) throw wrong('a malformed ReadyForQuery')
    if (head?.kind !== 'sync' && head?.kind !== 'query' && head?.kind !== 'function' && head?.kind !== 'injected')
      throw wrong('ReadyForQuery for nothing')
    if ('refusal' in head && head.refusal !== undefined && !head.failed)
      throw wrong('success for a command that was refused')
    this.#shared.status = status
    const inTransaction = head.kind === 'injected' || this.#shared.counted !== undefined
    if (inTransaction && !this.#counting.ready(head, status)) return this.#inbound.drop(total)
    if (head.kind === 'function' && !head.failed) this.#receiving.report(head, head.plan, '', 'FUNCTION CALL')
    if (this.#greeting !== undefined) this.#inbound.put(this.#greeting)
    this.#greeting = undefined
    if (status === IDLE) {
      this.#shared.names.transactionEnded()
      this.#texts.sensitiveTransaction = false
      this.#rows.transactionEnded()
      this.#over()
    }
    this.#inbound.pass(total)
    this.#receiving.shift('done')
    if (status === IDLE) this.#shared.reading.idle()
  }

  /**
   * The server now reads COPY data; Sync and Flush that are on their way to it are ignored there. Servers before version 14
   * swallowed any other message and went on, and then a name would not mean what it seemed to mean when it was used.
   */
  #copyIn(head: Entry | undefined): void {
    const running = this.#receiving.running(head, 'a COPY request')
    if (running.kind === 'function') throw wrong('a COPY request for a function call')
    running.copyIn = true
    for (;;) {
      const next = this.#shared.pending.second
      if (next?.kind === 'sync') this.#shared.pending.removeSecond()
      else if (next?.kind === 'copy-end') {
        this.#shared.pending.removeSecond()
        running.copyIn = false
        return
      } else if (next !== undefined || this.#client.commandAtHand) throw outOfCopy(next?.kind ?? 'command')
      else return
    }
  }
}
