// Answers the machine's questions: text → facts → statements to judge, or a refusal of what cannot be read.
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import type { Deny } from '@gate/shared/model'
import type { Answering } from '../drive.ts'
import type { Declaration, Outcome } from '../machine.ts'
import type { Recorded } from '../protocol.ts'
import type { Analyser } from './analysis/analyser.ts'
import type { Analysis } from './analysis/read.ts'
import { sentAlone } from './asked.ts'
import type { ErrorFields } from './codec.ts'
import { Judging, type JudgingSurroundings } from './judging.ts'
import { holdsValues, type ShortenedQuery, shorten } from './long-constants.ts'
import { type Maybe, then } from './maybe.ts'
import { unknownOperation } from './operation.ts'
import type { StatementPlan } from './pending.ts'
import type { Answer, Question, TooLong } from './questions.ts'
import { type ReadingNow, type ReadText, readText } from './reading.ts'
import { Recording } from './recording.ts'
import { cancelledUnsent, errorOf, syntaxError } from './refuse.ts'
import { callOf, inUtf8, type Resolved, resolve, unknownName } from './resolving.ts'
import {
  beginningOf,
  type Failing,
  longerThan,
  otherEncoding,
  severalStatements,
  undecodable,
  unparsable,
} from './unreadable.ts'
import { Waits } from './waits.ts'

/** What the decider needs of its surroundings. */
export interface Surroundings extends JudgingSurroundings {
  readonly analyser: Analyser
  readonly log: Log
  declare(declaration: Declaration): void
}

type Texts = Extract<Question, { kind: 'query' | 'parse' }>
/** What is done with a text that was analysed. */
type Next = (analysis: Analysis, read: ShortenedQuery) => Maybe<Answer>

export class Decider implements Answering<Buffer, Question, Answer> {
  readonly #around: Surroundings
  readonly #recording: Recording
  readonly #waits = new Waits()
  readonly #judging: Judging

  constructor(around: Surroundings) {
    this.#around = around
    this.#recording = new Recording(() => around.gate.recordMasks, around.analyser.recordKey)
    this.#judging = new Judging(around, this.#recording, this.#waits)
  }

  get recorded(): Promise<void> | undefined {
    return this.#waits.recorded
  }

  /** The client cancels: true when it was a held command, which is then withdrawn. */
  cancelHold(): boolean {
    return this.#waits.cancelHold()
  }

  /** The same for a command that waits for anything else before it is sent. */
  cancelWaiting(): boolean {
    return this.#waits.cancelWaiting()
  }

  observe(outcome: Outcome): void {
    this.#judging.ended(outcome)
    this.#around.gate.observe(outcome)
  }

  over(): void {
    this.#judging.over()
  }

  /** The session is over. */
  close(): void {
    this.#judging.close()
  }

  now(): number {
    return this.#around.gate.now()
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
      if (question.kind === 'catalog' || question.kind === 'rows' || question.kind === 'again') return settled
      return this.#waits.cancellable(settled, answer => this.#cancelled(answer.plans))
    } catch (thrown) {
      return refuse(thrown)
    }
  }

  #cancelled(plans: readonly StatementPlan[]): Answer {
    for (const command of plans.flatMap(plan => plan.commands)) {
      this.#judging.unsent(command)
      this.observe({ command, rows: undefined, bytes: 0, status: cancelledUnsent.get('C') ?? '' })
    }
    return { kind: 'refuse', error: cancelledUnsent }
  }

  #answer(question: Question, tell: (unit: Buffer) => void, signal: AbortSignal): Maybe<Answer> {
    switch (question.kind) {
      case 'query':
        return this.#text(question, (analysis, read) => this.#query(analysis, read, question, tell, signal))
      case 'parse':
        return this.#text(question, (analysis, { text }) => this.#parse(analysis, text, question))
      case 'bind':
        return this.#bind(question)
      case 'execute':
        return this.#execute(question, tell, signal)
      case 'call':
        return this.#functionCall(question, tell, signal)
      case 'too-long':
        return this.#refuseLong(question)
      case 'catalog':
        return this.#around.readCatalog().then(catalog => ({
          kind: 'catalog',
          columns: this.#judging.maskedColumns(question.columns.obligations, catalog),
          areOwn: this.#judging.hasOwnRelations,
        }))
      case 'again':
        return question.again.judge().then(carried => ({ kind: 'carried', carried }))
      case 'rows':
        return this.#judging.rows(question, tell, signal)
    }
  }

  #text(question: Texts, next: Next): Maybe<Answer> {
    const { text: bytes, reading, literals } = question
    if (bytes.length > this.#around.analyser.maximumBytes) return this.#longText(question, next)
    let read: ReadText
    try {
      read = readText(bytes, reading, literals)
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
    if (read === 'later') return { kind: 'again' }
    if (this.#isUnmaskable(reading)) return otherEncoding
    if ('fault' in read) {
      const error = errorOf(new GateError('ERR_GATE_REFUSED', read.fault, { hint: read.hint }), 'ERROR')
      return this.#refuseUnknown(bytes.toString('latin1'), this.#recording.unread(undefined), error, read.fault)
    }
    return this.#analysed({ text: read.text, parameters: [] }, next)
  }

  /** Long constants are taken out, where it is certain how all of it is read. */
  #longText({ text: bytes, reading, literals }: Texts, next: Next): Maybe<Answer> {
    if (literals === 'later') return { kind: 'again' }
    const isCertain = reading === undefined && literals === 'yes'
    const query = isCertain ? shorten(bytes, this.#around.analyser.maximumBytes) : undefined
    return query === undefined ? this.#refuseLong(beginningOf(bytes)) : this.#analysed(query, next)
  }

  #analysed(query: ShortenedQuery, next: Next): Maybe<Answer> {
    const { text } = query
    const known = this.#around.analyser.known(text)
    if (known !== undefined) return next(known, query)
    return this.#around.analyser.analyse(text).then(
      analysis => next(analysis, query),
      thrown => {
        const recorded = this.#recording.unanalysed(Buffer.from(text))
        return this.#refuseUnknown(text, recorded, errorOf(asGateError(thrown), 'ERROR'), asGateError(thrown).message)
      },
    )
  }

  /** Something is masked since this session took another encoding. */
  #isUnmaskable(reading: ReadingNow | undefined): boolean {
    return reading?.otherEncoding === true && this.#around.gate.masked
  }

  #inUtf8(statements: readonly Resolved[], parameters?: Parameters<typeof inUtf8>[1]): readonly Resolved[] {
    return this.#around.gate.masked ? inUtf8(statements, parameters) : statements
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

  #refuseLong({ bytes, beginning, isCrowded }: Omit<TooLong, 'kind'>): Maybe<Answer> {
    const error = longerThan(this.#around.analyser.maximumBytes, bytes, isCrowded)
    const recorded = this.#recording.unanalysed(beginning, bytes)
    return this.#refuseUnknown(beginning.toString('utf8'), recorded, errorOf(error, 'ERROR'), error.message)
  }

  #query(
    analysis: Analysis,
    { text, parameters }: ShortenedQuery,
    question: Extract<Question, { kind: 'query' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    if (parameters.length > 0 && !holdsValues(analysis)) return this.#refuseLong(beginningOf(question.text))
    if ('syntaxError' in analysis) return this.#refuseSyntax(analysis, text, question)
    const statements = resolve(analysis.statements, text, question.names, this.#around.gate.masked)
    if (statements === 'unsure') return { kind: 'again' }
    const read = this.#inUtf8(statements, parameters.length === 0 ? undefined : parameters)
    return this.#judging.decide(read, { ...sentAlone(text, question.searchPath), parameters }, tell, signal)
  }

  #refuseSyntax(
    { syntaxError: message, position, recordable }: Extract<Analysis, { syntaxError: string }>,
    text: string,
    question: Texts,
  ): Maybe<Answer> {
    // The parser's message quotes the text, which is not recorded as it is.
    const reason = `the parser does not read it: it stops at character ${position}`
    const recorded = this.#recording.unread(recordable)
    const failing = unparsable(question.text, question.reading, message)
    return this.#refuseUnknown(text, recorded, syntaxError(message, position), reason, failing)
  }

  #parse(analysis: Analysis, text: string, question: Extract<Question, { kind: 'parse' }>): Maybe<Answer> {
    if ('syntaxError' in analysis) return this.#refuseSyntax(analysis, text, question)
    const { parameterTypes, names } = question
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
    const resolved = resolve([statement], text, names, this.#around.gate.masked)
    if (resolved === 'unsure') return { kind: 'again' }
    return this.#judging.prepare(this.#inUtf8(resolved), text, statement, parameterTypes)
  }

  #bind({ prepared, names }: Extract<Question, { kind: 'bind' }>): Maybe<Answer> {
    const { facts, text, parameterTypes } = prepared
    if (facts === undefined) return { kind: 'go', plans: [] }
    const resolved = resolve([facts], text, names, this.#around.gate.masked)
    if (resolved === 'unsure') return { kind: 'again' }
    return this.#judging.prepare(this.#inUtf8(resolved), text, facts, parameterTypes)
  }

  #execute(
    question: Extract<Question, { kind: 'execute' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    const { prepared, goesOn } = question
    if (goesOn !== undefined && goesOn.basis === this.#around.gate.basis) return { kind: 'go', plans: [goesOn] }
    if (prepared === undefined) {
      const unknown = unknownName('portal', Buffer.from(question.portal, 'latin1').toString('utf8'))
      return this.#judging.decide([unknown], sentAlone(unknown.text, question.searchPath), tell, signal)
    }
    if (prepared.facts === undefined) return { kind: 'go', plans: [] }
    if (this.#isUnmaskable(question.reading)) return otherEncoding
    const resolved = resolve([prepared.facts], prepared.text, question.names, this.#around.gate.masked)
    if (resolved === 'unsure') return { kind: 'again' }
    const { parameters, uninspectedBytes, searchPath } = question
    const sent = { command: prepared.text, types: prepared.parameterTypes, parameters, uninspectedBytes, searchPath }
    const { held } = prepared
    const read = held === undefined ? resolved : resolved.map(each => ({ ...each, held }))
    return this.#judging.decide(this.#inUtf8(read, question.parameters), sent, tell, signal)
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
      // Text is the same bytes in either format.
      const facts = callOf(called, question.parameters[0]?.value?.toString('utf8'))
      const text = `function call of ${called}`
      const statement = { facts, effective: facts, text, defines: undefined, unknown: undefined }
      return this.#judging.decide([statement], { command: text, types: [], ...question }, tell, signal)
    })
  }
}
