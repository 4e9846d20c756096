// Whether the open transaction has made tables, views or columns: nobody else sees them, and no snapshot shows them. Pure.
import type { StatementFacts } from './analysis/facts.ts'

/**
 * What is in them came from statements of the session itself, each of which was judged: none carries masked values to where
 * they would be clear, and none alters a table of which anything is masked.
 */
export class OwnRelations {
  /** Commands that make some, until they end. */
  readonly #beginning = new Set<number>()
  #made = false

  /** Whether what a snapshot does not show, though it was read after the server began to answer, is the session's own. */
  get areMade(): boolean {
    return this.#made
  }

  begins(statement: StatementFacts, commands: readonly number[]): void {
    if (!makesOwn(statement)) return
    for (const number of commands) this.#beginning.add(number)
  }

  ended(command: number): void {
    if (this.#beginning.delete(command)) this.#made = true
  }

  /** It did not run. */
  unsent(command: number): void {
    this.#beginning.delete(command)
  }

  /** The transaction is over: from now on snapshots show what was made. */
  over(): void {
    this.#made = false
  }
}

/** What moved keeps its OID and its columns. */
function makesOwn({ node, makes }: StatementFacts): boolean {
  return node === 'AlterTableStmt' || (makes !== undefined && !makes.moved)
}
