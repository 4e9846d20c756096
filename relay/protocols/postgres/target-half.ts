// Messages from the server: each is matched with what it answers, and passes, is masked, or is replaced. Pure.
import { GateError } from '@gate/shared/errors'
import type { Outcome } from '../machine.ts'
import { type ClientHalf, outOfCopy } from './client-half.ts'
import {
  A,
  C,
  c,
  D,
  d,
  E,
  type ErrorFields,
  errorMessage,
  type Field,
  G,
  H,
  I,
  LARGE,
  N,
  n,
  one,
  Reader,
  readCommandTag,
  readCopyOut,
  readErrorFields,
  readFirstErrorFields,
  readRowDescription,
  rowsOf,
  S,
  s,
  T,
  t,
  three,
  two,
  V,
  Z,
} from './codec.ts'
import { createCopyOut } from './copy-out.ts'
import { Counting, IDLE } from './counting.ts'
import type { Inbound } from './inbound.ts'
import { type MaskingContext, type RowMask, rewriteRows, rowMask, unknownTables } from './mask.ts'
import type { Entry, ExecuteEntry, FunctionEntry, QueryEntry, StatementPlan } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import { clientGone, cutTexts, withholdTexts } from './refuse.ts'
import type { Shared } from './sending.ts'
import { lexicalFault } from './settings.ts'
import { Slab } from './slab.ts'
import { guardNotification, guardParameterStatus, searchTexts, type TextGuard } from './texts.ts'
import { ownError } from './unreadable.ts'

import { Withholding } from './withholding.ts'

/** Messages that are looked into are kept whole: descriptions, errors, notices, tags. */
const MAX_WHOLE_BYTES = 16 * 1024 * 1024
/** Of a longer error or notice only so much is read: what it is comes first, and a text that quotes a value has no limit. */
const READ_ERROR_BYTES = 64 * 1024
/** A row with a masked column is kept whole, since its length stands before its values. */
const MAX_MASKED_ROW_BYTES = 64 * 1024 * 1024
/** What the server sends while rows are decided over: hardly anything, but its end has to be seen. */
const MAX_WAITING_BYTES = 64 * 1024

const wrong = (what: string): GateError => new GateError('ERR_GATE_TARGET_PROTOCOL', `the server sent ${what}`)

/** A command whose answer is under way. */
type Running = QueryEntry | ExecuteEntry | FunctionEntry

export interface TargetEffects {
  send(unit: Buffer): void
  ask(question: Question): number
  observe(outcome: Outcome): void
  /** The client's question is moot: the server will skip what it is about. */
  forgetClientQuestion(): void
}

export class TargetHalf {
  readonly #inbound: Inbound
  readonly #shared: Shared
  readonly #client: ClientHalf
  readonly #effects: TargetEffects
  readonly #withheld: Withholding
  readonly #counting: Counting
  /** When the newest chunk came. */
  #nowMs = 0
  #asking: ((answer: Answer) => void) | undefined
  /** What is asked is whether rows may be committed. */
  #askingRows = false
  /** Rows that were rewritten and are not sent yet. */
  #rewritten: Slab | undefined
  /** A statement whose texts are withheld ran in this transaction: errors can come as late as its commit. */
  #sensitiveTransaction = false
  /** The newest that was met: texts come between the answers to commands as well. */
  #guard: TextGuard | undefined

  /** Goes out before the first ReadyForQuery: the key for cancel requests, which is gate's own. */
  #greeting: Buffer | undefined

  constructor(inbound: Inbound, shared: Shared, client: ClientHalf, greeting: Buffer, effects: TargetEffects) {
    this.#greeting = greeting
    this.#inbound = inbound
    this.#shared = shared
    this.#client = client
    this.#effects = effects
    this.#withheld = new Withholding(inbound, effects.send)
    this.#counting = new Counting(this.#withheld, shared, client, {
      ask: (question, resume) => {
        this.#asking = resume
        this.#askingRows = true
        effects.ask(question)
      },
      observe: effects.observe,
      shift: how => this.#shift(how),
      put: bytes => inbound.put(bytes),
    })
  }

  get blocked(): boolean {
    return this.#asking !== undefined
  }

  /** False while what the server sends could only pile up. */
  get reads(): boolean {
    return !this.blocked || (this.#askingRows && this.#inbound.held < MAX_WAITING_BYTES)
  }

  get askingRows(): boolean {
    return this.#askingRows
  }

  /** Whether a message to the client could be put here. */
  get atBoundary(): boolean {
    return this.#withheld.active || this.#inbound.atBoundary
  }

  receive(chunk: Buffer, nowMs: number): void {
    this.#nowMs = nowMs
    this.#inbound.append(chunk)
    this.#process()
  }

  settle(answer: Answer): void {
    const resume = this.#asking
    this.#asking = undefined
    this.#askingRows = false
    resume?.(answer)
    this.#process()
  }

  /** The client is gone: rows that nobody has decided over are not committed. */
  clientGone(): void {
    this.#counting.clientGone(clientGone)
    if (this.#askingRows) this.settle({ kind: 'refuse', error: clientGone })
  }

  /** The server is gone, with what it had not committed. Its last words are passed on. */
  end(): void {
    if (!this.#askingRows) return
    this.#asking = undefined
    this.#askingRows = false
    const execute = this.#shared.counted?.entry.kind === 'execute'
    this.#counting.abandon()
    if (execute) this.#shift('failed')
    this.#process()
  }

  #process(): void {
    while (!this.blocked) {
      if (!this.#inbound.continueStream() || !this.#inbound.hasHeader) break
      const { type, length } = this.#inbound
      if (length < 4 || length > LARGE) throw wrong(`a message of impossible length ${length}`)
      if (!this.#message(type, length + 1)) break
    }
    this.#flushRows()
    if (!this.blocked) this.#inbound.compact()
    this.#client.advance()
  }

  /** False when more of the message has to come first. */
  #message(type: number, total: number): boolean {
    const { head } = this.#shared.pending
    // Settings and notifications are told beside the answers.
    if (head !== undefined && 'bytes' in head && type !== S && type !== A) head.firstByteAtMs ??= this.#nowMs
    if (this.#shared.counted !== undefined) this.#counting.meet(this.#shared.counted, head)
    if (type === D) return this.#dataRows(head, total)
    if (type === d) return this.#copyData(head, total)
    this.#flushRows()
    if (type === V) {
      // What must not pass was refused before.
      this.#running(head, 'a function result').bytes += this.#inbound.passRun(V, LARGE)
      return true
    }
    if ((type === E || type === N) && total > READ_ERROR_BYTES) return this.#longError(type, head, total)
    if (total > MAX_WHOLE_BYTES) throw wrong(`a message of ${total} bytes where small ones are expected`)
    if (this.#inbound.available < total) return false
    if (head !== undefined && 'bytes' in head) head.bytes += total
    this.#whole(type, head, total)
    return true
  }

  /** A setting that makes gate and server read the same bytes differently ends the session at once. */
  #parameterStatus(head: Entry | undefined, total: number): void {
    const reader = new Reader(this.#inbound.body(total))
    const name = reader.cstring().toString('utf8')
    const value = reader.cstring().toString('utf8')
    const fault = lexicalFault(name, value)
    if (fault !== undefined) throw new GateError('ERR_GATE_REFUSED', fault)
    if (name === 'search_path') this.#shared.searchPath = value
    const guard = this.#guardOf(head)
    this.#passOrReplace(total, guard === undefined ? undefined : guardParameterStatus(name, value, guard))
  }

  #notification(head: Entry | undefined, total: number): void {
    const guard = this.#guardOf(head)
    this.#passOrReplace(total, guard === undefined ? undefined : guardNotification(this.#inbound.body(total), guard))
  }

  /** Beside the answers: also while those are withheld. */
  #passOrReplace(total: number, instead: Buffer | undefined): void {
    if (instead === undefined) return this.#withheld.passNow(total)
    this.#inbound.drop(total)
    this.#withheld.putNow(instead)
  }

  #whole(type: number, head: Entry | undefined, total: number): void {
    switch (type) {
      case S:
        return this.#parameterStatus(head, total)
      case A:
        return this.#notification(head, total)
      case N:
        return this.#notice(head, total)
      case E:
        return this.#error(head, total)
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
        this.#copyOut(head, total)
        return this.#inbound.pass(total)
      case c:
        this.#running(head, 'the end of COPY data')
        return this.#inbound.pass(total)
      default:
        // Authentication, keys and version negotiation belong to the start; CopyBothResponse to replication.
        throw wrong(`an unexpected message of type ${type}`)
    }
  }

  #running(head: Entry | undefined, what: string): Running {
    if (head?.kind !== 'query' && head?.kind !== 'execute' && head?.kind !== 'function')
      throw wrong(`${what} for nothing`)
    if (head.refusal !== undefined) throw wrong(`${what} for a command that was refused`)
    return head
  }

  #shift(how: 'done' | 'failed' | 'skipped'): void {
    const entry = this.#shared.pending.shift()
    if (entry !== undefined) this.#shared.names.settled(entry, how)
    // The end of COPY data means nothing to the server when no COPY waits for it.
    while (this.#shared.pending.head?.kind === 'copy-end') this.#shared.pending.shift()
  }

  #complete(head: Entry | undefined, kind: 'parse' | 'bind' | 'close', total: number): void {
    if (head?.kind !== kind) throw wrong(`a completion of ${kind} for nothing`)
    if (head.kind === 'parse' && head.refusal !== undefined) throw wrong('success for a command that was refused')
    this.#inbound.pass(total)
    this.#shift('done')
  }

  #passUnlessInjected(head: Entry, total: number): void {
    if (head.kind === 'describe' && head.injected) this.#inbound.drop(total)
    else this.#inbound.pass(total)
  }

  #noData(head: Entry | undefined, total: number): void {
    if (head?.kind !== 'describe') throw wrong('NoData for nothing')
    if (head.portal !== undefined) head.portal.rowMask = undefined
    this.#passUnlessInjected(head, total)
    this.#shift('done')
  }

  #plan(head: Entry | undefined): StatementPlan | undefined {
    if (head?.kind === 'query') return head.plans[head.index]
    return head?.kind === 'execute' || head?.kind === 'function' ? head.plan : undefined
  }

  /** Which columns of it are masked is found with the first row: only then is it known who asks for which command. */
  #rowDescription(head: Entry | undefined, total: number): void {
    if (head?.kind === 'describe') {
      if (head.portal !== undefined) head.portal.description = this.#description(total)
      this.#passUnlessInjected(head, total)
      return this.#shift('done')
    }
    const running = this.#running(head, 'a row description')
    if (running.kind === 'query' && this.#plan(running)?.masking !== undefined)
      running.description = this.#description(total)
    this.#inbound.pass(total)
  }

  /** A copy, since the chunk that it came in would be kept along with it. Most are never read, because nothing is masked. */
  #description(total: number): Buffer {
    return Buffer.from(this.#inbound.body(total))
  }

  /** All the rows that are there: which columns are masked is the same for all of them. */
  #dataRows(head: Entry | undefined, total: number): boolean {
    const running = this.#running(head, 'a row')
    const mask = this.#maskOf(running)
    if (mask === 'asked') return true
    if (mask === undefined) {
      this.#flushRows()
      running.bytes += this.#inbound.passRun(D, LARGE)
      return true
    }
    return this.#rewrite(running, total, (slab, source, from) => rewriteRows(slab, source, from, mask))
  }

  #copyData(head: Entry | undefined, total: number): boolean {
    const running = this.#running(head, 'COPY data')
    const copyOut = running.kind === 'function' ? undefined : running.copyOut
    if (copyOut !== undefined)
      return this.#rewrite(running, total, (slab, source, from) => copyOut.rewrite(slab, source, from))
    this.#flushRows()
    running.bytes += this.#inbound.passRun(d, LARGE)
    return true
  }

  /** Rewrites all the rows that are there; `rewrite` returns up to where. False when not even the first is. */
  #rewrite(running: Running, total: number, rewrite: (slab: Slab, source: Buffer, from: number) => number): boolean {
    if (total > MAX_MASKED_ROW_BYTES) {
      throw new GateError(
        'ERR_GATE_LIMIT',
        `a row of ${total} bytes with masked columns, limit ${MAX_MASKED_ROW_BYTES}`,
      )
    }
    if (this.#inbound.available < total) return false
    const { buffer, at, available } = this.#inbound
    this.#rewritten ??= new Slab(available)
    const bytes = rewrite(this.#rewritten, buffer, at) - at
    running.bytes += bytes
    this.#inbound.drop(bytes)
    return true
  }

  #maskOf(running: Running): RowMask | undefined | 'asked' {
    const masking = this.#plan(running)?.masking
    if (running.kind === 'function' || masking === undefined) return undefined
    const { rowMask: mask, description } =
      running.kind === 'query' ? running : (running.portal ?? { rowMask: 'unknown', description: undefined })
    if (mask !== 'unknown') return mask
    if (description === undefined) throw wrong('rows without a description')
    const fields = readRowDescription(description)
    const holder = running.kind === 'query' ? running : running.portal
    this.#maskFields(fields, masking, found => {
      if (holder !== undefined) holder.rowMask = found
    })
    return this.blocked ? 'asked' : holder?.rowMask === 'unknown' ? undefined : holder?.rowMask
  }

  /** Finds the mask of a result; reads the catalog anew first when it does not know a table of it. */
  #maskFields(fields: readonly Field[], masking: MaskingContext, found: (mask: RowMask | undefined) => void): void {
    if (!unknownTables(fields, masking.columns)) return found(rowMask(fields, masking))
    this.#asking = answer => {
      if (answer.kind !== 'catalog') throw new GateError('ERR_GATE_INTERNAL', 'expected a catalog')
      found(rowMask(fields, { ...masking, columns: answer.columns }))
    }
    this.#effects.ask({ kind: 'catalog', columns: masking.columns })
  }

  /** Rewritten rows leave before whatever comes after them. */
  #flushRows(): void {
    if (this.#rewritten === undefined) return
    for (const bytes of this.#rewritten.take()) this.#inbound.put(bytes)
    this.#rewritten = undefined
  }

  #commandDone(type: number, head: Entry | undefined, total: number): void {
    if (head?.kind === 'injected') {
      this.#counting.injectedDone(head, type, type === C ? readCommandTag(this.#inbound.body(total)) : '')
      return this.#inbound.drop(total)
    }
    const running = this.#running(head, 'the end of a command')
    const tag = type === C ? readCommandTag(this.#inbound.body(total)) : ''
    const plan = this.#plan(running)
    if (plan?.sensitive === true) this.#sensitiveTransaction = true
    this.#guardOf(head)
    const counted = this.#shared.counted?.entry === running ? this.#shared.counted : undefined
    if (counted !== undefined) this.#counting.completing(counted)
    this.#inbound.pass(total)
    if (type !== s) this.#done(plan)
    if (counted !== undefined) this.#counting.completed(counted, plan, type, tag, running.bytes)
    else this.#report(running, plan, tag, type === s ? 'PORTAL SUSPENDED' : tag)
    if (running.kind === 'query') {
      running.index += 1
      running.bytes = 0
      running.firstByteAtMs = undefined
      running.rowMask = 'unknown'
      running.description = undefined
      if (counted !== undefined) this.#counting.decide(counted)
      return
    }
    if (running.kind === 'execute' && running.portal !== undefined) running.portal.suspended = type === s
    if (counted !== undefined) this.#counting.decide(counted)
    else this.#shift('done')
  }

  #done(plan: StatementPlan | undefined): void {
    this.#shared.names.apply(plan?.naming, plan?.defines)
    if (plan?.endsTransaction === true) this.#shared.names.transactionEnded()
  }

  #report(running: Running, plan: StatementPlan | undefined, tag: string, status: string): void {
    for (const command of plan?.commands ?? []) {
      const { bytes, firstByteAtMs } = running
      this.#effects.observe({ command, rows: rowsOf(tag), bytes, firstByteAtMs, status })
    }
  }

  #notice(head: Entry | undefined, total: number): void {
    const fields = (): ErrorFields => readErrorFields(this.#inbound.body(total))
    this.#passOrReplace(total, this.#textsInstead(N, head, fields))
  }

  /** An error or notice in place of one whose texts the person may not see; undefined when they may. */
  #textsInstead(type: typeof E | typeof N, head: Entry | undefined, fields: () => ErrorFields): Buffer | undefined {
    if (this.#withholds(head)) return errorMessage(type, withholdTexts(fields()))
    const guard = this.#guardOf(head)
    const searched = guard?.search === undefined ? undefined : searchTexts(fields(), guard)
    return searched === undefined ? undefined : errorMessage(type, searched)
  }

  #guardOf(head: Entry | undefined): TextGuard | undefined {
    const plan = this.#plan(head)
    if (plan !== undefined) this.#guard = plan.masking?.guard
    else if (head?.kind === 'bind') this.#guard = head.portal.prepared?.guard ?? this.#guard
    else if (head?.kind === 'parse') this.#guard = head.prepared?.guard ?? this.#guard
    return this.#guard
  }

  /** Passes or goes away as it comes. False when its first fields are not there yet. */
  #longError(type: typeof E | typeof N, head: Entry | undefined, total: number): boolean {
    if (this.#inbound.available < READ_ERROR_BYTES) return false
    if (head !== undefined && 'bytes' in head) head.bytes += total
    const fields = readFirstErrorFields(this.#inbound.partialBody.subarray(0, READ_ERROR_BYTES))
    if (type === E && this.#isOwn(head, fields)) {
      this.#inbound.stream(total, false)
      return true
    }
    const read = cutTexts(fields)
    const found = type === N ? this.#textsInstead(N, head, () => read) : this.#errorInstead(head, read, false)
    // What is not read is not searched either.
    const instead = found ?? (this.#guardOf(head)?.search && errorMessage(type, read))
    if (instead !== undefined) this.#inbound.put(instead)
    this.#inbound.stream(total, instead === undefined)
    if (type === E) this.#failed(head, fields)
    return true
  }

  /** Binding plans the statement and runs input functions: an error there is the statement's. */
  #withholds(head: Entry | undefined): boolean {
    if (this.#sensitiveTransaction) return true
    // An array of a domain is checked when it is parsed.
    if (head?.kind === 'parse') return head.prepared?.sensitive === true
    if (head?.kind === 'bind' || head?.kind === 'describe') return head.portal?.prepared?.sensitive === true
    return this.#plan(head)?.sensitive === true
  }

  #error(head: Entry | undefined, total: number): void {
    const fields = readErrorFields(this.#inbound.body(total))
    if (this.#isOwn(head, fields)) return this.#inbound.drop(total)
    const instead = this.#errorInstead(head, fields)
    if (instead === undefined) this.#inbound.pass(total)
    else {
      this.#inbound.drop(total)
      this.#inbound.put(instead)
    }
    this.#failed(head, fields)
  }

  /** The error of a statement that gate added for a counted command: the client sees something else. */
  #isOwn(head: Entry | undefined, fields: ReadonlyMap<string, string>): boolean {
    if (head?.kind !== 'injected' && this.#shared.counted === undefined) return false
    return !this.#counting.fail(head, fields)
  }

  /** What the client sees in place of the server's error: a refusal, or the error without its texts. */
  #errorInstead(head: Entry | undefined, fields: ReadonlyMap<string, string>, whole = true): Buffer | undefined {
    if (head !== undefined && 'refusal' in head && head.refusal !== undefined) {
      const own = head.failing === undefined || !whole ? undefined : ownError(fields, head.failing)
      return errorMessage(E, own ?? head.refusal)
    }
    return this.#textsInstead(E, head, () => fields)
  }

  #failed(head: Entry | undefined, fields: ReadonlyMap<string, string>): void {
    const status = fields.get('C') ?? ''
    if (head?.kind === 'query' || head?.kind === 'function') return this.#simpleFailed(head, status)
    if (head !== undefined && head.kind !== 'sync' && head.kind !== 'injected') this.#segmentFailed(status)
  }

  /** The error of a simple command is followed by ReadyForQuery; statements after the failed one are not run. */
  #simpleFailed(head: QueryEntry | FunctionEntry, status: string): void {
    head.failed = true
    if (head.kind === 'function') return this.#report(head, head.plan, '', status)
    for (const [index, plan] of head.plans.entries()) {
      if (index < head.index) continue
      for (const command of plan.commands) {
        const failed = index === head.index
        this.#effects.observe({
          command,
          rows: undefined,
          bytes: failed ? head.bytes : 0,
          firstByteAtMs: failed ? head.firstByteAtMs : undefined,
          status: failed ? status : 'SKIPPED',
        })
      }
    }
    head.copyIn = false
  }

  /** After an error in the extended protocol the server skips everything up to the next Sync. */
  #segmentFailed(status: string): void {
    let how: 'failed' | 'skipped' = 'failed'
    for (
      let entry = this.#shared.pending.head;
      entry !== undefined && entry.kind !== 'sync';
      entry = this.#shared.pending.head
    ) {
      if (entry.kind === 'query' || entry.kind === 'function') {
        // SocketBackend reads them too, and they are skipped: no answer comes for them.
        for (const command of this.#commandsOf(entry))
          this.#effects.observe({ command, rows: undefined, bytes: 0, status: 'SKIPPED' })
      }
      if (entry.kind === 'execute') {
        this.#report(entry, entry.plan, '', how === 'failed' ? status : 'SKIPPED')
        if (entry.portal !== undefined) entry.portal.suspended = false
        if (this.#shared.counted?.entry === entry) this.#counting.skipped()
      }
      this.#shift(how)
      how = 'skipped'
    }
    if (this.#shared.pending.head !== undefined) return
    this.#effects.forgetClientQuestion()
    this.#client.serverSkips()
  }

  #commandsOf(entry: QueryEntry | FunctionEntry): readonly number[] {
    return entry.kind === 'query' ? entry.plans.flatMap(plan => plan.commands) : (entry.plan?.commands ?? [])
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
    if (head.kind === 'function' && !head.failed) this.#report(head, head.plan, '', 'FUNCTION CALL')
    if (this.#greeting !== undefined) this.#inbound.put(this.#greeting)
    this.#greeting = undefined
    if (status === IDLE) {
      this.#shared.names.transactionEnded()
      this.#sensitiveTransaction = false
    }
    this.#inbound.pass(total)
    this.#shift('done')
  }

  /**
   * The server now reads COPY data; Sync and Flush that are on their way to it are ignored there. Servers before version 14
   * swallowed any other message and went on, and then a name would not mean what it seemed to mean when it was used.
   */
  #copyIn(head: Entry | undefined): void {
    const running = this.#running(head, 'a COPY request')
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

  #copyOut(head: Entry | undefined, total: number): void {
    const running = this.#running(head, 'COPY data')
    if (running.kind === 'function') throw wrong('COPY data for a function call')
    running.copyOut = undefined
    const masking = this.#plan(running)?.masking
    if (masking === undefined || (masking.computed === 'clear' && masking.detecting === undefined)) return
    if (masking.copyOut === undefined) throw wrong('COPY data of masked columns')
    const { form, columns: followed } = masking.copyOut
    const { binary, columns } = readCopyOut(this.#inbound.body(total))
    if (binary !== (form.kind === 'binary')) throw wrong('COPY data in another format than was asked for')
    running.copyOut = createCopyOut(form, columns, followed, masking)
  }
}
