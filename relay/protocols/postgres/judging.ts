// Statements → the gate's verdict → a plan, or a refusal; people are waited for, and the client can cancel meanwhile.
import type { Clock } from '@gate/shared/clock'
import { GateError } from '@gate/shared/errors'
import type { Deny, Obligation, Parameter } from '@gate/shared/model'
import type { Outcome } from '../machine.ts'
import type { Asked, Command, Gate, HoldNotice, Verdict } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import { askedOf, type EstimateSource, type Sent } from './asked.ts'
import type { Catalog } from './catalog.ts'
import { type CatalogSource, CatalogUse } from './catalog-use.ts'
import { type ErrorFields, errorMessage, N } from './codec.ts'
import { commandsOf, plansOf, type Shown } from './commands.ts'
import { MadeUnder } from './made-under.ts'
import type { MaskedColumns } from './masked-columns.ts'
import { type Maybe, then } from './maybe.ts'
import { missingColumn } from './missing-columns.ts'
import { calledBefore, showParameters } from './operation.ts'
import { type Step, stepsOf } from './own-names.ts'
import { OwnRelations, type Strangers, strangersIn, triggeredRefusal, triggersMaking } from './own-relations.ts'
import type { Again, StatementPlan } from './pending.ts'
import type { Answer, Question } from './questions.ts'
import type { Recording, Values } from './recording.ts'
import {
  cancelledUnsent,
  cancelledWhileCounted,
  cancelledWhileHeld,
  denied,
  deniedRows,
  errorOf,
  holdNotice,
  missing,
  noColumn,
  noRelation,
} from './refuse.ts'
import { type Resolved, withFault } from './resolving.ts'
import { changesPath, pathRefusal } from './shadows.ts'
import { StatementMasks } from './statement-masks.ts'
import type { Waits } from './waits.ts'

/** What it takes to judge a session's commands. */
export interface JudgingSurroundings extends EstimateSource, CatalogSource {
  readonly gate: Gate
  readonly maskKey: Uint8Array
  readonly clock: Clock
  /** Whether the client brought a search_path. */
  readonly bringsPath: boolean
  /** Whether others may use the session's connection to the server before it ends. */
  readonly isPooled: () => boolean
}

/** What is only prepared has no values yet. */
const unbound: Values = { parameters: [], types: [], uninspectedBytes: 0 }

/** Where masks refuse what names no column there is, the server's answer to the mistake is the best one. */
function refusalOf(
  deny: Deny,
  request: string | undefined,
  statements: readonly Resolved[],
  catalog: Catalog,
): ErrorFields {
  const missed = deny.rule === 'mask' ? missingColumn(statements, catalog) : undefined
  return missed?.reason === deny.reason ? noColumn(missed) : denied(deny, request)
}

/** Binding values checks and plans with them: what that calls would have run before anybody was asked. */
const boundTooEarly = errorOf(
  new GateError(
    'ERR_GATE_REFUSED',
    'people have to approve this, and the server would run a part of it at Bind, before',
    {
      hint: 'Send it as a simple query, without parameters.',
    },
  ),
  'ERROR',
)

function runsWhenBound({ facts, effective }: Resolved, catalog: Catalog): boolean {
  return facts.naming?.kind !== 'prepare' && calledBefore(effective, catalog).length > 0
}

const pooled =
  'columns are masked for you, and the server is behind a pooler, which can give others your connection between two commands, and you' +
  ' what they made in it; gate has to reach the server itself, or its agent has to say that the pooler is one of sessions (pooler: session)'

/** What is merely shown comes masked, and mostly the server says where in the text the name is. */
function withStrangers(statement: Resolved, { first, areCopied }: Strangers): Resolved {
  if (areCopied)
    return { ...withFault(statement, `there is no relation ${first.name} that could be read`), absent: first }
  return { ...statement, effective: { ...statement.effective, hasStrangers: true } }
}

export class Judging {
  readonly #around: JudgingSurroundings
  readonly #recording: Recording
  readonly #waits: Waits
  readonly #masks: StatementMasks
  readonly #catalogs: CatalogUse
  readonly #own = new OwnRelations()
  readonly #madeUnder = new MadeUnder()
  #pathChanged: boolean

  constructor(around: JudgingSurroundings, recording: Recording, waits: Waits) {
    this.#around = around
    this.#recording = recording
    this.#waits = waits
    this.#masks = new StatementMasks(around.maskKey)
    this.#catalogs = new CatalogUse(around, around.clock)
    this.#pathChanged = around.bringsPath
  }

  /** A command has ended, which can change the catalog. */
  ended(outcome: Outcome): void {
    this.#catalogs.own.ended(outcome)
    this.#own.ended(outcome.command)
    this.#madeUnder.ended(outcome.command)
  }

  /** A command that was let go on did not. */
  unsent(command: number): void {
    this.#catalogs.own.unsent(command)
    this.#own.unsent(command)
    this.#madeUnder.unsent(command)
  }

  /** A transaction is over. */
  over(): void {
    this.#catalogs.own.over()
    this.#own.over()
    this.#madeUnder.over()
  }

  /** Whether the open transaction has made relations, or columns of some. */
  get hasOwnRelations(): boolean {
    return this.#own.areMade
  }

  close(): void {
    this.#catalogs.own.close()
  }

  /** Which columns of a catalog are masked. */
  maskedColumns(obligations: readonly Obligation[], catalog: Catalog): MaskedColumns {
    return this.#masks.resolve(obligations, catalog).masked
  }

  /**
   * What is only prepared, or bound: the server reads and plans it, so what is refused outright is refused already. To plan it
   * calls functions, so it is judged anew at a Bind when these may be others.
   */
  prepare(
    given: readonly Resolved[],
    text: string,
    facts: StatementFacts,
    parameterTypes: readonly number[],
  ): Maybe<Answer> {
    const statements = this.#underSame(given)
    return this.#withCatalog(statements, catalog => {
      const { refused, held, obligations } = this.#around.gate.prepare(
        statements.flatMap(each =>
          commandsOf(each, this.#show(each, unbound, [], catalog), catalog, statements, this.#masks),
        ),
      )
      if (refused !== undefined) return { kind: 'refuse', error: refusalOf(refused, undefined, statements, catalog) }
      if (held && statements.some(each => runsWhenBound(each, catalog))) return { kind: 'refuse', error: boundTooEarly }
      const masked = statements.map(each => this.#masks.of(each, obligations, catalog))
      const sensitive = masked.some(each => each.sensitive)
      const guard = masked[0]?.masking?.guard
      const stands = this.#catalogs.standing(catalog, this.#around.gate)
      return { kind: 'go', plans: [], prepared: { text, facts, parameterTypes, sensitive, guard, stands } }
    })
  }

  /** What runs, with everything that was sent along with it. */
  decide(given: readonly Resolved[], sent: Sent, tell: (unit: Buffer) => void, signal: AbortSignal): Maybe<Answer> {
    if (given.length === 0) return { kind: 'go', plans: [] }
    const read = this.#underSame(this.#catalogs.own.besideCursors(given))
    const parameters = showParameters(sent.parameters, sent.types, sent.uninspectedBytes)
    return this.#withCatalog(read, catalog => {
      const statements = this.#besideOthers(read, catalog)
      // Nobody is asked to approve it any more.
      if (this.#waits.cancelled) return { kind: 'refuse', error: cancelledUnsent }
      const commands = statements.map(statement =>
        commandsOf(statement, this.#show(statement, sent, parameters, catalog), catalog, statements, this.#masks),
      )
      // To make a controller takes longer than to decide, and hardly any command is held.
      let hold: AbortController | undefined
      const waiting = (notice: HoldNotice): void => {
        hold ??= new AbortController()
        this.#waits.held(hold)
        tell(errorMessage(N, holdNotice(notice)))
      }
      const asked = (): Asked => askedOf(sent, statements, this.#around, catalog)
      const [only = [], second] = commands
      const all = second === undefined ? only : commands.flat()
      const verdict = this.#around.gate.decide(all, asked, waiting, () => {
        hold ??= new AbortController()
        return AbortSignal.any([signal, hold.signal])
      })
      const answered = (settled: Verdict): Answer => {
        this.#waits.record(settled.recorded)
        return this.#settled(statements, commands, settled, catalog, this.#waits.released(hold))
      }
      if (!(verdict instanceof Promise)) return answered(verdict)
      return verdict.then(answered).finally(() => this.#waits.released(hold))
    })
  }

  /** Commands under a row limit have run: their rows decide whether they are committed. */
  rows(
    question: Extract<Question, { kind: 'rows' }>,
    tell: (unit: Buffer) => void,
    signal: AbortSignal,
  ): Maybe<Answer> {
    const hold = new AbortController()
    const waiting = (notice: HoldNotice): void => {
      this.#waits.held(hold)
      tell(errorMessage(N, holdNotice(notice)))
    }
    const either = AbortSignal.any([signal, hold.signal])
    const verdict = this.#around.gate.decideRows(question.counts, question.fault, waiting, either)
    const released = verdict instanceof Promise ? verdict.finally(() => this.#waits.released(hold)) : verdict
    return then(released, ({ settled, request }): Answer => {
      if (settled.effect === 'allow') return { kind: 'go', plans: [] }
      return { kind: 'refuse', error: hold.signal.aborted ? cancelledWhileCounted : deniedRows(settled, request) }
    })
  }

  #show(statement: Resolved, sent: Values, parameters: readonly Parameter[], catalog: Catalog): Shown {
    return { recorded: this.#recording.of(statement, sent, parameters, catalog), parameters }
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
      const absent = statements.find(statement => statement.absent !== undefined)?.absent
      if (absent !== undefined) return { kind: 'refuse', error: noRelation(absent) }
      return { kind: 'refuse', error: refusalOf(verdict.settled, verdict.request, statements, catalog) }
    }
    const plans = plansOf(statements, commands, verdict, catalog, this.#masks, this.#around.gate.basis)
    this.#pathChanged ||= statements.some(({ effective }) => changesPath(effective))
    for (const [index, { effective }] of statements.entries()) {
      const numbers = plans[index]?.commands ?? []
      this.#catalogs.own.runs(effective, numbers, catalog, this.#around.gate)
      this.#own.begins(effective, numbers, catalog)
    }
    for (const [index, statement] of statements.entries()) {
      const operations = commands[index]?.map(({ operation }) => operation) ?? []
      this.#madeUnder.begins(statement, operations, plans[index]?.commands ?? [], this.#around.gate.masks)
    }
    return { kind: 'go', plans: plans.map((plan, index) => this.#marked(plan, statements[index], catalog)) }
  }

  /** What the transaction made while other masks bound shows what these hide. */
  #underSame(statements: readonly Resolved[]): readonly Resolved[] {
    const { masks } = this.#around.gate
    if (masks.length === 0) return statements
    return statements.map(statement => withFault(statement, this.#madeUnder.refusal(statement, masks)))
  }

  /** What somebody from whom columns are masked makes must not be found before what others made. */
  #besideOthers(statements: readonly Resolved[], catalog: Catalog): readonly Resolved[] {
    if (!this.#around.gate.masked) return statements
    if (this.#around.isPooled()) return statements.map(statement => withFault(statement, pooled))
    let changed = this.#pathChanged
    let triggered = this.#own.mayBeOfTriggers
    const before: Step[] = []
    return statements.map(statement => {
      const { effective } = statement
      const path = { changed, role: this.#around.context['role'] }
      const fault =
        pathRefusal(effective, catalog, path) ?? (triggered ? triggeredRefusal(effective, catalog) : undefined)
      const strangers = strangersIn(statement, catalog, name => this.#own.isMade(name, before, path))
      changed ||= changesPath(effective)
      triggered ||= triggersMaking(effective, catalog)
      before.push(...stepsOf(effective))
      if (fault === undefined && strangers !== undefined) return withStrangers(statement, strangers)
      return withFault(statement, fault)
    })
  }

  #marked(plan: StatementPlan, statement: Resolved | undefined, catalog: Catalog): StatementPlan {
    const changes = this.#catalogs.own.changes(plan.commands)
    const catalogMarked = changes === undefined ? plan : { ...plan, ...changes }
    const endsWith = [this.#own, this.#madeUnder].some(each => each.endWithTransaction(plan.commands))
    const marked = endsWith ? { ...catalogMarked, changesCatalog: true } : catalogMarked
    if (plan.masking === undefined || statement === undefined) return marked
    const isCurrent = this.#catalogs.currency(statement.effective)
    return { ...marked, isCurrent, again: this.#again(statement, plan.masking.columns, catalog) }
  }

  #again(statement: Resolved, { obligations }: MaskedColumns, catalog: Catalog): Again | undefined {
    const snapshots = this.#catalogs.again(statement.effective, catalog)
    if (snapshots === undefined) return undefined
    return {
      isDue: snapshots.isDue,
      judge: async () => {
        const now = await snapshots.read()
        const refused = this.#masks.refusal(statement, obligations, now)
        return refused === undefined ? this.#masks.of(statement, obligations, now) : undefined
      },
    }
  }

  #withCatalog(statements: readonly Resolved[], next: (catalog: Catalog) => Maybe<Answer>): Maybe<Answer> {
    return then(this.#catalogs.for(statements, this.#around.gate), next)
  }
}
