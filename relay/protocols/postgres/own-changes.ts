// What the commands of one session change in the catalog, until others see it.
import type { Outcome } from '../machine.ts'
import type { Gate } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import { asRead } from './as-read.ts'
import { Begun } from './begun.ts'
import type { Catalog } from './catalog.ts'
import { declaresHold, redefines } from './catalog-bearing.ts'
import { definesOfCode } from './definitions-of-code.ts'
import { LightChanges, lightChangeOf } from './light-changes.ts'
import { madeBy } from './made-callers.ts'
import type { StatementPlan } from './pending.ts'
import { type Resolved, withFault } from './resolving.ts'
import { type Change, changeOf, isPrivate, makesApart, type SchemaChanges } from './schema-changes.ts'
import { changesCatalog } from './worked-out.ts'

/** What all sessions with a target know of changes. */
export interface ChangesOfTarget {
  /** The catalog may have changed; with `owner`, in a way that this session can do without. */
  catalogChanges(owner?: symbol): void
  /** Those of all sessions that are not committed, or just were. */
  readonly changes: SchemaChanges
}

/** Says that a change of this session is over. */
type End = () => void

interface Changing {
  /** Undefined for a command that changes no names. */
  readonly end: End | undefined
  /** Whether it can matter to this session before others see it. */
  readonly matters: boolean
  /** Whether it runs code, which may change anything. */
  readonly isCode: boolean
  /** Tables that it is about, where it is light. */
  readonly light: readonly string[] | undefined
}

/** A command whose client has gone may still run: a lock keeps it, or the server has not noticed. */
const AFTERMATH_MS = 60_000

const beside =
  'a cursor WITH HOLD is open in this transaction, and COMMIT would run it with another function: commit first'

const withDependents = (change: Change, catalog: Catalog): Change =>
  change === 'all' ? change : catalog.withDependents([...change].map(asRead))

export class OwnChanges {
  readonly #source: ChangesOfTarget
  /** What they are known by long after the session: not by itself, which would keep all that it remembers. */
  readonly session = Symbol('session')
  readonly light = new LightChanges()
  /** Commands that change the catalog, until they end. */
  readonly #changing = new Map<number, Changing>()
  /** Of the open transaction. */
  #uncommitted: End[] = []
  /**
   * Commands that commit changes, until they end. What comes after one in the same message or pipeline can take minutes, and before that
   * the server does not say that it is done.
   */
  readonly #committing = new Map<number, End>()
  #committed: End[] = []
  /** Names under which commands make what may call, until these end; and those of the open transaction. */
  readonly #making = new Map<number, readonly string[]>()
  readonly #made = new Set<string>()
  /** Commands that define what names somebody's code: after them, to make functions anew is to say what it calls. */
  readonly #code = new Begun()
  #changedInTransaction = false
  /** Commands that declare a cursor WITH HOLD. */
  readonly #holding = new Begun()

  constructor(source: ChangesOfTarget) {
    this.#source = source
  }

  /** Whether something is being changed, or was in the open transaction. */
  get areAny(): boolean {
    return this.#changedInTransaction || this.#changing.size > 0
  }

  /** Whether something is made that may call. */
  get areMaking(): boolean {
    return this.#making.size + this.#made.size > 0
  }

  /** The names of that. */
  get made(): readonly string[] {
    return [...this.#made, ...[...this.#making.values()].flat()]
  }

  /** Whether something was defined that names somebody's code. */
  get defineCode(): boolean {
    return this.#code.isAny
  }

  /**
   * COMMIT runs what is left of a cursor WITH HOLD (PersistHoldablePortal in src/backend/commands/portalcmds.c), and nobody decides
   * over it then: the functions that it calls have to stay those that were decided over.
   */
  besideCursors(statements: readonly Resolved[]): readonly Resolved[] {
    let holds = this.#holding.isAny
    return statements.map(statement => {
      const { effective } = statement
      if (holds && redefines(effective)) return withFault(statement, beside)
      holds ||= declaresHold(effective)
      return statement
    })
  }

  /**
   * These commands carry out the statement. Who sees everything has nothing to gain from changing what names of relations mean;
   * who may not call everything has from changing those of functions.
   */
  runs(statement: StatementFacts, commands: readonly number[], catalog: Catalog, gate: Pick<Gate, 'masked'>): void {
    if (declaresHold(statement)) this.#holding.add(commands)
    if (statement.transaction === 'TRANS_STMT_COMMIT' && this.areAny) this.#commits('all', commands)
    if (!changesCatalog(statement)) return
    if (definesOfCode(statement, catalog)) this.#code.add(commands)
    const made = madeBy(statement, catalog)
    if (made.length > 0) for (const number of commands) this.#making.set(number, made)
    const said = changeOf(statement)
    // Outside a transaction that is committed as soon as it is done.
    const reached = redefines(statement) || makesApart(statement) ? 'all' : said
    if (reached !== undefined) this.#commits(withDependents(reached, catalog), commands)
    const change = said === undefined || !gate.masked ? undefined : catalog.withFamilies(said)
    const light = gate.masked ? undefined : lightChangeOf(statement, catalog)
    const isCode = statement.parts.some(({ action }) => action === 'do' || action === 'call')
    for (const number of commands) {
      const end =
        change === undefined ? undefined : this.#source.changes.begin(change, this.session, isPrivate(statement))
      this.#changing.set(number, { end, matters: gate.masked, isCode, light })
    }
  }

  #commits(change: Change, commands: readonly number[]): void {
    for (const number of commands) this.#committing.set(number, this.#source.changes.commits(change, this.session))
  }

  /** What commands that run change; then `over` has to be called when their transaction is. Undefined where they change nothing. */
  changes(commands: readonly number[]): Pick<StatementPlan, 'changesNames' | 'changesCatalog'> | undefined {
    if (this.#changing.size === 0 && !this.#holding.isUnderWay) return undefined
    const changesNames = commands.some(
      number => this.#changing.get(number)?.end !== undefined || this.#making.has(number) || this.#holding.has(number),
    )
    return { changesNames, changesCatalog: commands.some(number => this.#changing.has(number)) }
  }

  /** What others see changes when a command ends and again when its transaction does. */
  ended({ command, status, inTransaction = false }: Outcome): void {
    this.#holding.ended(command)
    this.#code.ended(command)
    const changing = this.#changing.get(command)
    if (changing !== undefined) {
      this.#changing.delete(command)
      if (changing.end !== undefined) this.#uncommitted.push(changing.end)
      for (const name of this.#making.get(command) ?? []) this.#made.add(name)
      this.#making.delete(command)
      this.#changedInTransaction = true
      this.light.ended(changing.light)
      // No snapshot shows what is not committed: a migration in one transaction would read one after the other for nothing.
      if (!inTransaction || changing.matters) this.#changed()
    }
    if (this.#changedInTransaction && status === 'COMMIT') {
      this.#changedInTransaction = false
      this.#changed()
    }
    const end = this.#committing.get(command)
    this.#committing.delete(command)
    // What ends outside a transaction can still be committed with what comes behind it, up to the Sync.
    if (end !== undefined && !inTransaction) this.#committed.push(end)
    else end?.()
  }

  #changed(): void {
    this.#source.catalogChanges(this.light.areAll ? this.session : undefined)
  }

  /** A command that was to run did not. */
  unsent(command: number): void {
    this.#changing.get(command)?.end?.()
    this.#changing.delete(command)
    this.#committing.get(command)?.()
    this.#committing.delete(command)
    this.#making.delete(command)
    this.#holding.unsent(command)
    this.#code.unsent(command)
  }

  /** A transaction is over: what was changed in it is committed, or never was. */
  over(): void {
    this.#holding.over()
    this.#code.over()
    for (const end of this.#committed) end()
    this.#committed = []
    if (this.#uncommitted.length + this.#made.size > 0 || this.#changedInTransaction) {
      this.#changedInTransaction = false
      for (const end of this.#uncommitted) end()
      this.#uncommitted = []
      this.#made.clear()
      this.#changed()
    }
    this.light.over()
  }

  /** The session is. */
  close(): void {
    const left = [
      ...this.#committing.values(),
      ...this.#committed,
      ...[...this.#changing.values()].flatMap(({ end }) => end ?? []),
    ]
    if ([...this.#changing.values()].some(({ isCode }) => isCode))
      left.push(this.#source.changes.commits('all', this.session))
    this.#committed = []
    this.over()
    this.#changing.clear()
    this.#committing.clear()
    if (left.length === 0) return
    setTimeout(() => {
      for (const end of left) end()
      this.#source.catalogChanges()
    }, AFTERMATH_MS).unref()
  }
}
