// Whether the open transaction has made tables, views or columns: nobody else sees them, and no snapshot shows them. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import { Begun } from './begun.ts'
import type { Catalog } from './catalog.ts'

/**
 * What is in them came from statements of the session itself, each of which was judged: none carries masked values to where
 * they would be clear, and none alters a table of which anything is masked. Triggers of others can, and make some as well.
 */
export class OwnRelations {
  readonly #making = new Begun()
  readonly #triggering = new Begun()

  /** Whether what a snapshot does not show, though it was read after the server began to answer, is the session's own. */
  get areMade(): boolean {
    return this.#making.isDone && !this.mayBeOfTriggers
  }

  /** Whether triggers may have made some, or put into one what nobody has decided over. */
  get mayBeOfTriggers(): boolean {
    return this.#triggering.isAny
  }

  begins(statement: StatementFacts, commands: readonly number[], catalog: Catalog): void {
    if (makesOwn(statement)) this.#making.add(commands)
    if (triggersMaking(statement, catalog)) this.#triggering.add(commands)
  }

  /** Whether `over` has to be called when the transaction of these commands is. */
  endWithTransaction(commands: readonly number[]): boolean {
    return commands.some(number => this.#making.has(number) || this.#triggering.has(number))
  }

  ended(command: number): void {
    this.#making.ended(command)
    this.#triggering.ended(command)
  }

  /** It did not run. */
  unsent(command: number): void {
    this.#making.unsent(command)
    this.#triggering.unsent(command)
  }

  /** The transaction is over: from now on snapshots show what was made. */
  over(): void {
    this.#making.over()
    this.#triggering.over()
  }
}

/** What moved keeps its OID and its columns. */
function makesOwn({ node, makes }: StatementFacts): boolean {
  return node === 'AlterTableStmt' || (makes !== undefined && !makes.moved)
}

/** Whether it writes to what has triggers that make relations. */
export function triggersMaking({ parts }: StatementFacts, catalog: Catalog): boolean {
  if (!catalog.hasRelationMakers) return false
  return parts.some(
    ({ action, written }) =>
      writing.has(action) &&
      written.some(({ schema, name }) => catalog.resolve(schema, name).some(({ oid }) => catalog.makesRelations(oid))),
  )
}

const writing: ReadonlySet<string> = new Set(['insert', 'update', 'delete', 'merge', 'copy', 'truncate'])

/** Why nothing is read after that which no snapshot shows. */
export function triggeredRefusal({ parts, makes }: StatementFacts, catalog: Catalog): string | undefined {
  const named = parts.flatMap(({ action, reads, written }) => (action === 'drop' ? [] : [...reads, ...written]))
  const unknown = named.find(
    ({ schema, name }) => (makes === undefined || makes.name !== name) && catalog.resolve(schema, name).length === 0,
  )
  return unknown === undefined
    ? undefined
    : `columns are masked for you, and what triggers put into ${unknown.name} is not known before this transaction is committed`
}
