// Which snapshot of the catalog statements are judged by: a fresh one, and a new one where names are unknown or have changed.
import type { Clock } from '@gate/shared/clock'
import type { Gate } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { callsNothing, namesNothing, redefines } from './catalog-bearing.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import { madeBy, mayMakeCallers } from './made-callers.ts'
import { then } from './maybe.ts'
import { missingColumn } from './missing-columns.ts'
import { type ChangesOfTarget, OwnChanges } from './own-changes.ts'
import type { Resolved } from './resolving.ts'
import { asksCatalog, type Change, changeOf, concerns, namesOf, together } from './schema-changes.ts'
import { workOut } from './worked-out.ts'

/** An answer that comes within this is one to what was judged; a later one may be to what names mean by then. */
const SOON_MS = 250

/** How often a session looks for relations that the snapshot does not know. */
const LOOK_AGAIN_MS = 5_000

/** Where snapshots come from. */
export interface CatalogSource extends ChangesOfTarget {
  /** The catalog, if a young enough snapshot is at hand; for `owner` also one that lacks nothing but changes of its own. */
  freshCatalog(owner?: symbol): Catalog | undefined
  /** The newest snapshot, however old it is and whatever has changed since. */
  newestCatalog(): Catalog | undefined
  /** A snapshot read from now on. */
  readCatalog(): Promise<Catalog>
}

/** A snapshot in which more counts than it shows. */
interface Derived {
  readonly from: Catalog
  readonly change: Change | undefined
  readonly made: ReadonlySet<string>
  readonly definesOfCode: boolean
  readonly key: string
  readonly catalog: Catalog
}

/**
 * An extension that is made brings many names, and so does one that was dropped take them. A type that is named by its number alone can be
 * any that is made.
 */
const concernsStatement = (change: Change, statement: StatementFacts): boolean =>
  concerns(change, namesOf(statement)) ||
  (change === 'all' && statement.newObject !== undefined) ||
  statement.types.some(type => typeof type === 'number' && type >= FIRST_NORMAL_OBJECT_ID)

/** Whether anything is masked for whoever asks, and what is for anybody. */
type Masking = Pick<Gate, 'masked' | 'recordMasks' | 'asksForTables'>

const none: ReadonlySet<string> = new Set()

export class CatalogUse {
  readonly #source: CatalogSource
  readonly #clock: Clock
  /** What this session itself changes. */
  readonly own: OwnChanges
  #lookedMs = Number.NEGATIVE_INFINITY
  /** How many changes had begun when a snapshot was last asked for. */
  #since = 0
  /** The last of each snapshot, and each by itself. A session that does nothing keeps no snapshot alive. */
  readonly #lastDerived = new WeakMap<Catalog, Derived>()
  readonly #derived = new WeakMap<Catalog, Derived>()

  constructor(source: CatalogSource, clock: Clock) {
    this.#source = source
    this.#clock = clock
    this.own = new OwnChanges(source)
  }

  /**
   * The snapshot to judge statements by. A relation that the newest does not know may be new: it is looked for once more, and
   * so is a column where something is masked.
   * Whether anything is masked is asked of the gate only where it matters: most statements come without.
   */
  for(statements: readonly Resolved[], gate: Masking): Catalog | Promise<Catalog> {
    this.#since = this.#source.changes.count
    // What is committed while a snapshot is read need not be in it.
    const before = this.#source.changes.openTo(this.own.session)
    const snapshot = this.#snapshot(statements, gate)
    const mayMake = this.#mayMake(statements)
    const mayChange = (before !== undefined || statements.length > 1) && gate.masked
    const redefined = this.own.defineCode && statements.some(({ effective }) => redefines(effective))
    if (!mayChange && !mayMake && !redefined) return snapshot
    return then(snapshot, catalog => {
      const change = mayChange ? this.#changeFor(statements, catalog, before) : undefined
      return mayMake
        ? this.#whileMaking(statements, change, catalog, redefined)
        : this.#while(change, none, catalog, redefined)
    })
  }

  /** Whether this session makes what may call, or one of the statements does before another: nobody else can call it yet. */
  #mayMake(statements: readonly Resolved[]): boolean {
    const isMaking = this.own.areMaking || statements.slice(0, -1).some(({ effective }) => mayMakeCallers(effective))
    return isMaking && !statements.every(callsNothing)
  }

  /** What is made of what is being made is found in the catalog in which that counts. */
  #whileMaking(statements: readonly Resolved[], change: Change | undefined, from: Catalog, defines: boolean): Catalog {
    const before = statements.slice(0, -1)
    const made = new Set(this.own.made)
    for (;;) {
      const catalog = this.#while(change, made, from, defines)
      const known = made.size
      for (const { effective } of before) for (const name of madeBy(effective, catalog, made)) made.add(name)
      if (made.size === known) return catalog
    }
  }

  /** What is under way, or comes before one of them in the same message, and concerns one; undefined when nothing does. */
  #changeFor(statements: readonly Resolved[], catalog: Catalog, before: Change | undefined): Change | undefined {
    let change = before
    let found: Change | undefined
    for (const { effective } of statements) {
      // It only grows from one to the next, so the last one is all of them.
      if (change !== undefined && concernsStatement(change, effective)) found = change
      const own = changeOf(effective)
      if (own !== undefined) change = together([...(change === undefined ? [] : [change]), catalog.withFamilies(own)])
    }
    return found
  }

  /** To resolve masks in a catalog takes a while, and a transaction has many statements. */
  #while(change: Change | undefined, made: ReadonlySet<string>, from: Catalog, definesOfCode: boolean): Catalog {
    if (change === undefined && made.size === 0 && !definesOfCode) return from
    const names = change === undefined || change === 'all' ? change : [...change].sort()
    const key = JSON.stringify([names ?? null, [...made].sort(), definesOfCode])
    const last = this.#lastDerived.get(from)
    if (last?.key === key) return last.catalog
    const counted = new Set(made)
    const catalog = from.while(change, counted, definesOfCode)
    const derived: Derived = { from, change, made: counted, definesOfCode, key, catalog }
    this.#lastDerived.set(from, derived)
    this.#derived.set(catalog, derived)
    return catalog
  }

  #snapshot(statements: readonly Resolved[], gate: Masking): Catalog | Promise<Catalog> {
    const newest = statements.every(namesNothing) ? this.#source.newestCatalog() : undefined
    if (newest !== undefined) return newest
    // Of what leaves by COPY the server does not say which column it is: its place in the table must be that of now.
    const copies = statements.some(({ effective }) => effective.copyOut !== undefined)
    const mayBeOld = gate.masked && (copies || statements.some(({ effective }) => this.#mayHaveChanged(effective)))
    const fresh = mayBeOld ? undefined : this.#fresh(statements, gate)
    if (fresh !== undefined && this.#isEnough(statements, fresh, gate)) return fresh
    this.#lookedMs = this.#clock.monotonic()
    return this.#source.readCatalog()
  }

  /** Whether somebody else may have changed what it names, and the server has not said so yet. */
  #mayHaveChanged(statement: StatementFacts): boolean {
    return this.#source.changes.mayHaveCommitted(statement, this.own.session)
  }

  /** Who sees everything need not wait for a new snapshot after each command of their own that makes or alters a table. */
  #fresh(statements: readonly Resolved[], gate: Masking): Catalog | undefined {
    const fresh = this.#source.freshCatalog()
    if (fresh !== undefined) {
      if (!this.own.areAny) this.own.light.shown()
      return fresh
    }
    const older = gate.masked ? undefined : this.#source.freshCatalog(this.own.session)
    if (older === undefined) return undefined
    const matters = { tables: gate.asksForTables, constants: gate.recordMasks.length > 0 }
    return this.own.light.leave(statements, older, matters) ? older : undefined
  }

  #isEnough(statements: readonly Resolved[], fresh: Catalog, gate: Pick<Gate, 'masked'>): boolean {
    if (!this.#allKnown(statements, fresh)) return this.#mayBeUnknown(gate)
    return !gate.masked || missingColumn(statements, fresh) === undefined
  }

  #allKnown(statements: readonly Resolved[], catalog: Catalog): boolean {
    return statements.every(({ effective, text }) => workOut(effective, text, catalog).isKnown)
  }

  /**
   * Where nothing is masked, a name that stays unknown (a table of the open transaction, a wrong name) only keeps its own
   * spelling in the operation; looking for it at every statement would cost more than it tells.
   */
  #mayBeUnknown(gate: Pick<Gate, 'masked'>): boolean {
    return !gate.masked && this.#clock.monotonic() - this.#lookedMs < LOOK_AGAIN_MS
  }

  /** Says of a statement that was judged just now whether that still holds. Later commands of this session come after it. */
  currency(statement: StatementFacts): () => boolean {
    const since = this.#since
    return () => !this.#source.changes.concernedSince(since, namesOf(statement), this.own.session)
  }

  /** For a statement that was judged just now by a catalog: whether its answer comes so late that it has to be judged once more, and by which. */
  again(statement: StatementFacts, catalog: Catalog): { isDue(): boolean; read(): Promise<Catalog> } | undefined {
    if (!asksCatalog(statement)) return undefined
    const judgedMs = this.#clock.monotonic()
    const derived = this.#derived.get(catalog)
    const from = derived?.from ?? catalog
    const isLate = (): boolean => this.#clock.monotonic() - judgedMs > SOON_MS
    return {
      isDue: () => isLate() || this.#source.freshCatalog() !== from || this.#mayHaveChanged(statement),
      read: async () => {
        const now = await this.#source.readCatalog()
        return derived === undefined ? now : now.while(derived.change, derived.made, derived.definesOfCode)
      },
    }
  }

  /** Says of what was judged by a snapshot whether it would be judged by the same one now. */
  standing(catalog: Catalog, gate: Masking): () => boolean {
    const light = this.own.light.count
    const isOwn = (): boolean => !gate.masked && this.own.light.count === light
    return () =>
      !this.own.areMaking &&
      (this.#source.freshCatalog() === catalog || (isOwn() && this.#source.freshCatalog(this.own.session) === catalog))
  }
}
