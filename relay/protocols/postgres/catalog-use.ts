// Which snapshot of the catalog statements are judged by: a fresh one, and a new one where names are unknown or have changed.
import type { Clock } from '@gate/shared/clock'
import type { Gate } from '../protocol.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import type { Resolved } from './resolving.ts'
import { changesCatalog, workOut } from './worked-out.ts'

/** How often a session looks for relations that the snapshot does not know. */
const LOOK_AGAIN_MS = 5_000

/** Where snapshots come from. */
export interface CatalogSource {
  /** The catalog, if a young enough snapshot is at hand. */
  freshCatalog(): Catalog | undefined
  /** The newest snapshot, however old it is and whatever has changed since. */
  newestCatalog(): Catalog | undefined
  /** A snapshot read from now on. */
  readCatalog(): Promise<Catalog>
  /** The catalog may have changed. */
  catalogChanges(): void
}

/** BEGIN, COMMIT, SHOW and the like mean the same whatever is in the catalog; each CREATE of a migration may stand between two. */
function namesNothing({ effective: { parts, functions, types }, unknown }: Resolved): boolean {
  return (
    unknown === undefined &&
    parts.length > 0 &&
    parts.every(({ routine, reads, written }) => routine && reads.length + written.length === 0) &&
    functions.length + types.length === 0
  )
}

export class CatalogUse {
  readonly #source: CatalogSource
  readonly #clock: Clock
  #lookedMs = Number.NEGATIVE_INFINITY
  /** Commands whose end changes the catalog. */
  readonly #changing = new Set<number>()
  #changedInTransaction = false

  constructor(source: CatalogSource, clock: Clock) {
    this.#source = source
    this.#clock = clock
  }

  /**
   * The snapshot to judge statements by. A relation that the newest does not know may be new: it is looked for once more.
   * Whether anything is masked is asked of the gate only where it matters: most statements come without.
   */
  for(statements: readonly Resolved[], gate: Pick<Gate, 'masked'>): Catalog | Promise<Catalog> {
    const newest = statements.every(namesNothing) ? this.#source.newestCatalog() : undefined
    if (newest !== undefined) return newest
    // Of what leaves by COPY the server does not say which column it is: its place in the table must be that of now.
    const copies = statements.some(({ effective }) => effective.copyOut !== undefined)
    const fresh = copies && gate.masked ? undefined : this.#source.freshCatalog()
    if (fresh !== undefined && (this.#allKnown(statements, fresh) || this.#mayBeUnknown(gate))) return fresh
    this.#lookedMs = this.#clock.monotonic()
    return this.#source.readCatalog()
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

  /** These commands carry out the statement. */
  runs(statement: StatementFacts, commands: readonly number[]): void {
    if (changesCatalog(statement)) for (const number of commands) this.#changing.add(number)
  }

  /** What others see changes when a command ends and again when its transaction does. */
  ended(command: number, status: string): void {
    if (this.#changing.delete(command)) {
      this.#changedInTransaction = true
      this.#source.catalogChanges()
    }
    if (this.#changedInTransaction && status === 'COMMIT') {
      this.#changedInTransaction = false
      this.#source.catalogChanges()
    }
  }
}
