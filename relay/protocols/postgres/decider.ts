// Answers the machine's questions: text → facts → operations → the gate's verdict → a plan, or a refusal.
import type { Clock } from '@gate/shared/clock'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Deny, Obligation, Operation, Parameter } from '@gate/shared/model'
import type { Answering } from '../drive.ts'
import type { Declaration, Outcome } from '../machine.ts'
import type { Asked, Command, Gate, HoldNotice, Recorded, Verdict } from '../protocol.ts'
import type { Analyser } from './analysis/analyser.ts'
import { noFacts, type StatementFacts } from './analysis/facts.ts'
import type { Analysis } from './analysis/read.ts'
import { plainText } from './analysis/recordable.ts'
import { askedOf, type EstimateSource, type Sent, sentAlone } from './asked.ts'
import type { Catalog } from './catalog.ts'
import { type ErrorFields, errorMessage, N } from './codec.ts'
import { compileDetecting, type Detecting } from './detecting.ts'
import type { MaskingContext } from './mask.ts'
import { type MaskedColumns, resolveMasks } from './masked-columns.ts'
import {
  canQuoteValues,
  computedColumns,
  copyOutMasking,
  maskingHint,
  maskingRefusal,
  masksColumns,
  systemMasks,
} from './masking-rules.ts'
import { showParameters, unknownOperation } from './operation.ts'
import type { Prepared, StatementPlan } from './pending.ts'
import type { Answer, NameLookup, Question } from './questions.ts'
import { Recording, type Values } from './recording.ts'
import {
  cancelledUnsent,
  cancelledWhileCounted,
  cancelledWhileHeld,
  denied,
  deniedRows,
  errorOf,
  holdNotice,
  missing,
  syntaxError,
} from './refuse.ts'
import { isCounted, limitRefusal } from './row-limits.ts'
import { boundFault } from './settings.ts'
import { type TextGuard, textGuard } from './texts.ts'
import { type Failing, severalStatements, undecodable, unparsable } from './unreadable.ts'
import { changesCatalog, withParameters, workOut } from './worked-out.ts'

/** What the decider needs of its surroundings. */
export interface Surroundings extends EstimateSource {
  readonly gate: Gate
  readonly analyser: Analyser
  readonly maskKey: Uint8Array
  readonly clock: Clock
  readonly log: Log
  /** The catalog, if a young enough snapshot is at hand. */
  freshCatalog(): Catalog | undefined
  /** A snapshot read from now on. */
  readCatalog(): Promise<Catalog>
  /** The catalog may have changed. */
  catalogChanges(): void
  declare(declaration: Declaration): void
}

/** A statement of a message, with what its names stand for. */
interface Resolved {
  readonly facts: StatementFacts
  /** The facts that decide: of EXECUTE and FETCH, those of what was prepared or declared. */
  readonly effective: StatementFacts
  readonly text: string
  readonly defines: Prepared | undefined
  /** A name that gate did not see being defined. */
  readonly unknown: { readonly kind: 'statement' | 'portal'; readonly name: string } | undefined
}

/** What is alone in its text and has to do with no name: it stays the same as long as somebody has its facts. */
const resolvedAlone = new WeakMap<StatementFacts, { readonly source: string; readonly resolved: readonly Resolved[] }>()

type Maybe<T> = T | Promise<T>

function then<T, U>(value: Maybe<T>, next: (value: T) => Maybe<U>): Maybe<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** What is only prepared has no values yet. */
const unbound: Values = { parameters: [], types: [], uninspectedBytes: 0 }

/** Masks of one set of obligations and one catalog, and what became of them. */
const MAX_CACHED_MASKS = 8
/** Statements of a session for which that is remembered; beyond them all are forgotten. */
const MAX_MASKED_STATEMENTS = 128
/** Of longer statements none is: their facts would be kept in memory. */
const MAX_REMEMBERED_STATEMENT_BYTES = 2048

/** How often a session looks for relations that the snapshot does not know. */
const LOOK_AGAIN_MS = 5_000

/** ROLLBACK TO and COMMIT PREPARED end no transaction that is open here. */
function endsTransaction(transaction: string | undefined): boolean {
  return transaction !== undefined && /^TRANS_STMT_(ROLLBACK|COMMIT|PREPARE)$/.test(transaction)
}

export class Decider implements Answering<Buffer, Question, Answer> {
  readonly #around: Surroundings
  readonly #recording: Recording
  readonly #masks: Masks[] = []
  readonly #maskedStatements = new Map<StatementFacts, MaskedStatement>()
  #hold: AbortController | undefined
  #lookedMs = Number.NEGATIVE_INFINITY
  /** Commands whose end changes the catalog. */
  readonly #changing = new Set<number>()
  #changedInTransaction = false
  /** A command of the client that has to wait before it is sent: for the parser, the catalog or the disk. */
  #waiting: { cancelled: boolean } | undefined

  /** Of the newest command that is not on the disk yet; it comes after all others there. */
  #recorded: Promise<void> | undefined

  constructor(around: Surroundings) {
    this.#around = around
    this.#recording = new Recording(() => around.gate.recordMasks, around.analyser.recordKey)
  }

  get recorded(): Promise<void> | undefined {
    return this.#recorded
  }

  /** What was decided goes on when it is recorded. */
  #record(recorded: Promise<void> | undefined): void {
    if (recorded === undefined) return
    this.#recorded = recorded
    const over = (): void => {
      if (this.#recorded === recorded) this.#recorded = undefined
    }
    // If it fails it stays: nothing goes to the target any more.
    recorded.then(over, () => {})
  }

  /** The client cancels: true when it was a held command, which is then withdrawn. */
  cancelHold(): boolean {
    this.#hold?.abort(new GateError('ERR_GATE_CANCELLED', 'cancelled by the client'))
    return this.#hold !== undefined
  }

  /** The same for a command that waits for anything else before it is sent: it fails as soon as it need not wait. */
  cancelWaiting(): boolean {
    if (this.#waiting === undefined) return false
    this.#waiting.cancelled = true
    return true
  }

  observe(outcome: Outcome): void {
    if (this.#changing.delete(outcome.command)) {
      this.#changedInTransaction = true
      this.#around.catalogChanges()
    }
    if (this.#changedInTransaction && outcome.status === 'COMMIT') {
      this.#changedInTransaction = false
      this.#around.catalogChanges()
    }
    this.#around.gate.observe(outcome)
  }

  declare(declaration: Declaration): void {
    this.#around.declare(declaration)
  }

  /** Whatever goes wrong while a command is judged refuses the command; the session goes on. */
  answer(question: Question, tell: (unit: Buffer) => void, signal: AbortSignal): Maybe<Answer> {
    const refuse = (thrown: unknown): Answer => {
      const error = asGateError(thrown)
      if (error.code === 'ERR_GATE_INTERNAL') this.#around.log.error('postgres.command-failed', { error })
      return { kind: 'refuse', error: errorOf(error, 'ERROR') }
    }
    try {
      const answer = this.#answer(question, tell, signal)
      if (!(answer instanceof Promise)) return answer
      const settled = answer.catch(refuse)
      return question.kind === 'catalog' || question.kind === 'rows' ? settled : this.#cancellable(settled)
    } catch (thrown) {
      return refuse(thrown)
    }
  }

  async #cancellable(answer: Promise<Answer>): Promise<Answer> {
    const waiting = { cancelled: false }
    this.#waiting = waiting
    const settled = await answer
    if (this.#waiting === waiting) this.#waiting = undefined
    if (!waiting.cancelled || settled.kind !== 'go') return settled
    for (const command of settled.plans.flatMap(plan => plan.commands))
      this.observe({ command, rows: undefined, bytes: 0, status: cancelledUnsent.get('C') ?? '' })
    return { kind: 'refuse', error: cancelledUnsent }
  }

  #answer(question: Question, tell: (unit: Buffer) => void, signal: AbortSignal): Maybe<Answer> {
    switch (question.kind) {
      case 'query':
        return this.#text(question.text, (analysis, text) => this.#query(analysis, text, question, tell, signal))
      case 'parse':
        return this.#text(question.text, (analysis, text) =>
          this.#parse(analysis, text, question.parameterTypes, question.names),
        )
      case 'execute':
        return this.#execute(question, tell, signal)
      case 'call':
        return this.#functionCall(question, tell, signal)
      case 'too-long': {
        const limit = this.#around.analyser.maximumBytes
        const reason = `statements of more than ${limit} bytes are not analysed, so they are refused; this one has ${question.bytes}`
        return this.#refuseUnknown(
          question.beginning.toString('utf8'),
          this.#recording.unanalysed(question.beginning, question.bytes),
          errorOf(new GateError('ERR_GATE_LIMIT', reason), 'ERROR'),
          reason,
        )
      }
      case 'catalog':
        return this.#around
          .readCatalog()
          .then(catalog => ({ kind: 'catalog', columns: this.#masked(question.columns.obligations, catalog).masked }))
      case 'rows':
        return this.#rows(question, tell, signal)
    }
  }

  #text(bytes: Buffer, next: (analysis: Analysis, text: string) => Maybe<Answer>): Maybe<Answer> {
    let text: string
    try {
      text = utf8.decode(bytes)
    } catch {
      const message = 'invalid byte sequence for encoding "UTF8"'
      return this.#refuseUnknown(
        bytes.toString('latin1'),
        this.#recording.unread(undefined),
        new Map([...syntaxError(message, undefined), ['C', '22021']]),
        message,
        undecodable(bytes),
      )
    }
    const known = this.#around.analyser.known(text)
    if (known !== undefined) return next(known, text)
    return this.#around.analyser.analyse(text).then(
      analysis => next(analysis, text),
      thrown => {
        const recorded = this.#recording.unanalysed(bytes)
        return this.#refuseUnknown(text, recorded, errorOf(asGateError(thrown), 'ERROR'), asGateError(thrown).message)
      },
    )
  }

  /** Refuses what cannot be read at all; that is recorded too. */
  #refuseUnknown(
    text: string,
    recorded: Recorded,
    error: ErrorFields,
    reason: string,
    failing?: Failing,
  ): Maybe<Answer> {
    const refusal: Deny = { effect: 'deny', rule: 'unreadable', reason, hint: undefined }
    const verdict = this.#around.gate.decide(
      [{ operation: unknownOperation('unknown', text), recorded, refusal, people: 'now' as const }],
      () => ({ command: text, parameters: undefined, context: {}, estimate: async () => undefined }),
      () => {},
      () => new AbortController().signal,
    )
    return then(verdict, () => ({ kind: 'refuse', error, failing }))
  }

  #query(
    analysis: Analysis,
    text: string,
    { names, searchPath }: Extract<Question, { kind: 'query' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    if ('syntaxError' in analysis) return this.#refuseSyntax(analysis, text)
    const statements = this.#resolve(analysis.statements, text, names)
    return statements === 'unsure'
      ? { kind: 'again' }
      : this.#decide(statements, sentAlone(text, searchPath), tell, signal)
  }

  #refuseSyntax(analysis: Extract<Analysis, { syntaxError: string }>, text: string): Maybe<Answer> {
    const { syntaxError: message, position, recordable } = analysis
    // The parser's message quotes the text, which is not recorded as it is.
    const reason = `the parser does not read it: it stops at character ${position}`
    const recorded = this.#recording.unread(recordable)
    return this.#refuseUnknown(text, recorded, syntaxError(message, position), reason, unparsable(text, message))
  }

  /** Prepares: the server reads and plans it, so what is refused outright is refused already. */
  #parse(analysis: Analysis, text: string, parameterTypes: readonly number[], names: NameLookup): Maybe<Answer> {
    if ('syntaxError' in analysis) return this.#refuseSyntax(analysis, text)
    const [read, second] = analysis.statements
    if (second !== undefined) {
      return this.#refuseUnknown(
        text,
        this.#recording.unanalysed(Buffer.from(text)),
        syntaxError('cannot insert multiple commands into a prepared statement', undefined),
        'several commands in one prepared statement',
        severalStatements,
      )
    }
    if (read === undefined)
      return {
        kind: 'go',
        plans: [],
        prepared: { text, facts: undefined, parameterTypes, sensitive: false, guard: undefined },
      }
    const statement = parameterTypes.length === 0 ? read : { ...read, types: [...read.types, ...parameterTypes] }
    const resolved = this.#resolve([statement], text, names)
    if (resolved === 'unsure') return { kind: 'again' }
    return this.#withCatalog(resolved, catalog => {
      const { refused, obligations } = this.#around.gate.prepare(
        resolved.flatMap(each => this.#commands(each, unbound, [], catalog, resolved)),
      )
      if (refused !== undefined) return { kind: 'refuse', error: denied(refused, undefined) }
      const masked = resolved.map(each => this.#masking(each, obligations, catalog))
      const sensitive = masked.some(each => each.sensitive)
      const guard = masked[0]?.masking?.guard
      return { kind: 'go', plans: [], prepared: { text, facts: statement, parameterTypes, sensitive, guard } }
    })
  }

  #execute(
    question: Extract<Question, { kind: 'execute' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    const { prepared } = question
    if (prepared === undefined) {
      const unknown = unknownName('portal', Buffer.from(question.portal, 'latin1').toString('utf8'))
      return this.#decide([unknown], sentAlone(unknown.text, question.searchPath), tell, signal)
    }
    if (prepared.facts === undefined) return { kind: 'go', plans: [] }
    const resolved = this.#resolve([prepared.facts], prepared.text, question.names)
    if (resolved === 'unsure') return { kind: 'again' }
    const { parameters, uninspectedBytes, searchPath } = question
    const sent = { command: prepared.text, types: prepared.parameterTypes, parameters, uninspectedBytes, searchPath }
    return this.#decide(bound(resolved, question.parameters), sent, tell, signal)
  }

  /** The fast path: a function by its OID. What it reads, only its name says. */
  #functionCall(
    question: Extract<Question, { kind: 'call' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    const fresh = this.#around.freshCatalog()
    return then(fresh ?? this.#around.readCatalog(), catalog => {
      const called = catalog.functions.byOid(question.function) ?? `oid ${question.function}`
      const facts = callOf(called)
      const text = `function call of ${called}`
      const statement = { facts, effective: facts, text, defines: undefined, unknown: undefined }
      return this.#decide([statement], { command: text, types: [], ...question }, tell, signal)
    })
  }

  /** Gives names their meaning, in order: a statement sees what the ones before it in the same message define. */
  #resolve(statements: readonly StatementFacts[], text: string, names: NameLookup): readonly Resolved[] | 'unsure' {
    const [only, second] = statements
    if (only !== undefined && second === undefined) {
      const before = resolvedAlone.get(only)
      if (before?.source === text) return before.resolved
    }
    const bytes = Buffer.from(text, 'utf8')
    const overlay = new Map<string, Prepared | undefined>()
    const resolved: Resolved[] = []
    for (const facts of statements) {
      const own = bytes.toString('utf8', facts.start, facts.start + facts.length)
      const { naming } = facts
      const plain: Resolved = { facts, effective: facts, text: own.trim(), defines: undefined, unknown: undefined }
      if (naming?.kind === 'prepare' || naming?.kind === 'declare') {
        const inner: StatementFacts = { ...facts, naming: undefined }
        const defines: Prepared = {
          text: plain.text,
          facts: inner,
          parameterTypes: [],
          sensitive: this.#around.gate.masked,
          guard: undefined,
        }
        overlay.set(`${naming.kind === 'prepare' ? 'statement' : 'portal'} ${naming.name}`, defines)
        resolved.push({ ...plain, defines })
      } else if (naming?.kind === 'execute' || naming?.kind === 'fetch') {
        const kind = naming.kind === 'execute' ? 'statement' : 'portal'
        const key = `${kind} ${naming.name}`
        const found = overlay.has(key) ? ({ found: overlay.get(key) } as const) : names(kind, naming.name)
        if (found === 'unsure') return 'unsure'
        const meaning = found === 'missing' ? undefined : found.found?.facts
        resolved.push(
          meaning === undefined
            ? { ...unknownName(kind, naming.name), text: plain.text, facts }
            : { ...plain, effective: combine(facts, meaning) },
        )
      } else resolved.push(plain)
    }
    if (only !== undefined && second === undefined && only.naming === undefined)
      resolvedAlone.set(only, { source: text, resolved })
    return resolved
  }

  #decide(
    statements: readonly Resolved[],
    sent: Sent,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    if (statements.length === 0) return { kind: 'go', plans: [] }
    const asked = (): Asked => askedOf(sent, statements.length, this.#around)
    const parameters = showParameters(sent.parameters, sent.types, sent.uninspectedBytes)
    return this.#withCatalog(statements, catalog => {
      // Nobody is asked to approve it any more.
      if (this.#waiting?.cancelled === true) return { kind: 'refuse', error: cancelledUnsent }
      const commands = statements.map(statement => this.#commands(statement, sent, parameters, catalog, statements))
      // To make a controller takes longer than to decide, and hardly any command is held.
      let hold: AbortController | undefined
      const waiting = (notice: HoldNotice): void => {
        hold ??= new AbortController()
        this.#hold = hold
        tell(errorMessage(N, holdNotice(notice)))
      }
      const [only = [], second] = commands
      const all = second === undefined ? only : commands.flat()
      const verdict = this.#around.gate.decide(all, asked, waiting, () => {
        hold ??= new AbortController()
        return AbortSignal.any([signal, hold.signal])
      })
      return then(verdict, settled => {
        this.#record(settled.recorded)
        const cancelled = hold !== undefined && this.#hold === hold && hold.signal.aborted
        this.#hold = undefined
        return this.#settled(statements, commands, settled, catalog, cancelled)
      })
    })
  }

  /** Commands under a row limit have run: their rows decide whether they are committed. */
  #rows(
    question: Extract<Question, { kind: 'rows' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    const hold = new AbortController()
    const waiting = (notice: HoldNotice): void => {
      this.#hold = hold
      tell(errorMessage(N, holdNotice(notice)))
    }
    const either = AbortSignal.any([signal, hold.signal])
    const verdict = this.#around.gate.decideRows(question.counts, question.fault, waiting, either)
    const released =
      verdict instanceof Promise
        ? verdict.finally(() => {
            if (this.#hold === hold) this.#hold = undefined
          })
        : verdict
    return then(released, ({ settled, request }): Answer => {
      if (settled.effect === 'allow') return { kind: 'go', plans: [] }
      return { kind: 'refuse', error: hold.signal.aborted ? cancelledWhileCounted : deniedRows(settled, request) }
    })
  }

  #settled(
    statements: readonly Resolved[],
    commands: readonly (readonly Command[])[],
    verdict: Verdict,
    catalog: Catalog,
    cancelled: boolean,
  ): Answer {
    if (verdict.settled.effect === 'deny') {
      if (cancelled) return { kind: 'refuse', error: cancelledWhileHeld }
      const unknown = statements.find(statement => statement.unknown !== undefined)?.unknown
      // Policy does not let unknown names be used; then the server's own answer to a wrong name is the best one.
      if (unknown !== undefined) return { kind: 'refuse', error: missing(unknown.kind, unknown.name) }
      return { kind: 'refuse', error: denied(verdict.settled, verdict.request) }
    }
    let next = 0
    const plans = statements.map((statement, index): StatementPlan => {
      const count = commands[index]?.length ?? 0
      const numbers = verdict.commands.slice(next, next + count)
      const obligations = verdict.obligations[next] ?? []
      const { masking, sensitive } = this.#masking(statement, obligations, catalog)
      const counted = countsRows(statement, obligations) ? numbers[0] : undefined
      next += count
      if (changesCatalog(statement.effective)) for (const number of numbers) this.#changing.add(number)
      return {
        commands: numbers,
        masking,
        sensitive,
        naming: statement.facts.naming,
        defines: statement.defines,
        endsTransaction: endsTransaction(statement.facts.transaction),
        counted,
        declaration: {
          actions: (commands[index] ?? []).map(({ operation }) => operation.action),
          approvals: verdict.approvals,
        },
      }
    })
    return { kind: 'go', plans }
  }

  /** A relation that the snapshot does not know may be new: it is looked for once more. */
  #withCatalog(statements: readonly Resolved[], next: (catalog: Catalog) => Maybe<Answer>): Maybe<Answer> {
    // Of what leaves by COPY the server does not say which column it is: its place in the table must be that of now.
    const copies = statements.some(({ effective }) => effective.copyOut !== undefined)
    const fresh = copies && this.#around.gate.masked ? undefined : this.#around.freshCatalog()
    if (
      fresh !== undefined &&
      (statements.every(({ effective, text }) => workOut(effective, text, fresh).isKnown) || this.#mayBeUnknown())
    )
      return next(fresh)
    this.#lookedMs = this.#around.clock.monotonic()
    return this.#around.readCatalog().then(next)
  }

  /**
   * Where nothing is masked, a name that stays unknown (a table of the open transaction, a wrong name) only keeps its own
   * spelling in the operation; looking for it at every statement would cost more than it tells.
   */
  #mayBeUnknown(): boolean {
    return !this.#around.gate.masked && this.#around.clock.monotonic() - this.#lookedMs < LOOK_AGAIN_MS
  }

  #commands(
    statement: Resolved,
    sent: Values,
    parameters: readonly Parameter[],
    catalog: Catalog,
    message: readonly Resolved[],
  ): Command[] {
    const { effective, text } = statement
    const refusal: Deny | undefined =
      effective.fault === undefined
        ? undefined
        : { effect: 'deny', rule: 'protocol', reason: effective.fault, hint: undefined }
    const people = peopleFor(statement.facts)
    const recorded = this.#recording.of(statement, sent, parameters, catalog)
    return workOut(effective, text, catalog).operations.map((each, index) => {
      const operation = withParameters(each, parameters)
      return {
        operation,
        recorded,
        refusal,
        perform: obligations =>
          this.#performs(statement, obligations, catalog) ??
          performsLimit(statement, operation, index === 0, obligations, message),
        people,
      }
    })
  }

  #performs(statement: Resolved, obligations: readonly Obligation[], catalog: Catalog): Deny | undefined {
    if (!obligations.some(obligation => obligation.kind === 'mask')) return undefined
    const deny = (reason: string): Deny => ({ effect: 'deny', rule: 'mask', reason, hint: maskingHint })
    if (statement.unknown !== undefined)
      return deny('columns are masked for you, and gate did not see what this name stands for')
    const { reason } = this.#maskedStatement(statement.effective, obligations, catalog)
    return reason === undefined ? undefined : deny(reason)
  }

  #masking(statement: Resolved, obligations: readonly Obligation[], catalog: Catalog): StatementMasking {
    if (!obligations.some(obligation => obligation.kind === 'mask')) return nothingMasked
    const masked = this.#maskedStatement(statement.effective, obligations, catalog)
    masked.masking ??= this.#newMasking(statement.effective, obligations, catalog)
    return masked.masking
  }

  #newMasking(effective: StatementFacts, obligations: readonly Obligation[], catalog: Catalog): StatementMasking {
    const { masked: columns, detecting, guard } = this.#masked(obligations, catalog)
    // Where no column is masked by name, texts are searched like results.
    const sensitive = masksColumns(obligations) && canQuoteValues(effective, columns)
    const computed = computedColumns(effective, columns)
    const copyOut = copyOutMasking(effective, columns)
    return { masking: { columns, computed, detecting, copyOut, guard, key: this.#around.maskKey }, sensitive }
  }

  /** Decisions that are used again oblige to the very same; what is merely equal is looked at anew. */
  #maskedStatement(facts: StatementFacts, obligations: readonly Obligation[], catalog: Catalog): MaskedStatement {
    const known = this.#maskedStatements.get(facts)
    if (known?.obligations === obligations && known.catalog === catalog) return known
    const reason = maskingRefusal(facts, this.#masked(obligations, catalog).masked)
    const made = { obligations, catalog, reason, masking: undefined }
    if (facts.length > MAX_REMEMBERED_STATEMENT_BYTES) return made
    if (this.#maskedStatements.size >= MAX_MASKED_STATEMENTS) this.#maskedStatements.clear()
    this.#maskedStatements.set(facts, made)
    return made
  }

  #masked(obligations: readonly Obligation[], catalog: Catalog): Masks {
    const key = JSON.stringify(obligations)
    const known = this.#masks.find(entry => entry.masked.catalog === catalog && entry.key === key)
    if (known !== undefined) return known
    const always = masksColumns(obligations) ? systemMasks : []
    const masked = resolveMasks(obligations, catalog, always)
    const detecting = compileDetecting(obligations, this.#around.maskKey)
    const made = { key, masked, detecting, guard: textGuard(detecting, masksColumns(obligations)) }
    this.#masks.unshift(made)
    this.#masks.length = Math.min(this.#masks.length, MAX_CACHED_MASKS)
    return made
  }
}

/** How a statement that is allowed is carried out where something is masked. */
interface StatementMasking {
  readonly masking: MaskingContext | undefined
  readonly sensitive: boolean
}

const nothingMasked: StatementMasking = { masking: undefined, sensitive: false }

/** What masks come to for one statement. */
interface MaskedStatement {
  readonly obligations: readonly Obligation[]
  readonly catalog: Catalog
  /** Why the masks do not let it run. */
  readonly reason: string | undefined
  /** Worked out when it is carried out. */
  masking: StatementMasking | undefined
}

/** What the masks of one set of obligations come to in one catalog. */
interface Masks {
  readonly key: string
  readonly masked: MaskedColumns
  readonly detecting: Detecting | undefined
  readonly guard: TextGuard
}

/** Whether the rows that the statement's main part writes are counted before they are committed. */
function countsRows({ facts, effective }: Resolved, obligations: readonly Obligation[]): boolean {
  if (!obligations.some(({ kind }) => kind === 'row-limit')) return false
  return facts.naming?.kind !== 'prepare' && isCounted(effective)
}

function performsLimit(
  { facts, effective }: Resolved,
  operation: Operation,
  isMain: boolean,
  obligations: readonly Obligation[],
  message: readonly Resolved[],
): Deny | undefined {
  const limit = obligations.find(obligation => obligation.kind === 'row-limit')
  if (limit?.kind !== 'row-limit') return undefined
  // PREPARE writes nothing: what it prepared is counted when it runs. It is refused now if it could not be.
  const together = facts.naming?.kind === 'prepare' ? [effective] : message.map(each => each.effective)
  const reason = limitRefusal(effective, operation, isMain, together)
  return reason === undefined ? undefined : { effect: 'deny', rule: limit.rule, reason, hint: undefined }
}

/** PREPARE runs nothing yet; FETCH goes on with what was decided at DECLARE. */
function peopleFor(facts: StatementFacts): Command['people'] {
  if (facts.naming?.kind === 'prepare') return 'later'
  return facts.naming?.kind === 'fetch' ? 'asked' : 'now'
}

/**
 * EXPLAIN EXECUTE and CREATE TABLE AS EXECUTE do what was prepared and something of their own. The arguments of EXECUTE are
 * expressions: which values they give to settings is not known.
 */
function combine(own: StatementFacts, meaning: StatementFacts): StatementFacts {
  const both: StatementFacts = {
    ...meaning,
    fault: own.fault ?? meaning.fault ?? boundFault(meaning.boundSettings, []),
    boundSettings: own.boundSettings,
    functions: [...own.functions, ...meaning.functions],
    operators: [...own.operators, ...meaning.operators],
    fields: [...own.fields, ...meaning.fields],
    types: [...own.types, ...meaning.types],
    settings: [...own.settings, ...meaning.settings],
  }
  return own.parts.length === 0
    ? both
    : { ...both, node: own.node, lineage: own.lineage, parts: [...own.parts, ...meaning.parts] }
}

/** At Execute it is known which values settings get. */
function bound(
  statements: readonly Resolved[],
  parameters: readonly { readonly value: Buffer | null }[],
): readonly Resolved[] {
  if (statements.every(({ effective }) => effective.boundSettings.length === 0)) return statements
  return statements.map(statement => {
    const { effective } = statement
    // The parameters of PREPARE are those of EXECUTE.
    if (effective.boundSettings.length === 0 || effective.naming?.kind === 'prepare') return statement
    const fault = effective.fault ?? boundFault(effective.boundSettings, parameters)
    return { ...statement, effective: { ...effective, fault } }
  })
}

function unknownName(kind: 'statement' | 'portal', name: string): Resolved {
  const text = kind === 'portal' ? `FETCH FROM ${name}` : `EXECUTE ${name}`
  const action = kind === 'portal' ? 'fetch' : 'execute'
  const facts: StatementFacts = {
    node: kind === 'portal' ? 'FetchStmt' : 'ExecuteStmt',
    start: 0,
    length: Buffer.byteLength(text),
    parts: [{ action, writes: true, routine: false, reads: [], written: [], others: [], facts: noFacts }],
    naming: undefined,
    transaction: undefined,
    fault: undefined,
    boundSettings: [],
    functions: [],
    operators: [],
    fields: [],
    types: [],
    settings: [],
    lineage: { kind: 'unknown', reason: 'gate did not see what it runs' },
    copyOut: undefined,
    recordable: plainText,
  }
  return { facts, effective: facts, text, defines: undefined, unknown: { kind, name } }
}

function callOf(name: string): StatementFacts {
  const { facts } = unknownName('statement', '')
  const call = { action: 'call', writes: true, routine: false, reads: [], written: [], others: [] }
  return { ...facts, node: 'FunctionCall', parts: [{ ...call, facts: { ...noFacts, functions: [name] } }] }
}
