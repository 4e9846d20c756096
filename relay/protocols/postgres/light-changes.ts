// Commands after which only the tables that they name are others: the rest of an older snapshot still holds. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { definesOfCode } from './definitions-of-code.ts'
import { madeBy } from './made-callers.ts'
import type { Resolved } from './resolving.ts'
import { changeOf, namesOf } from './schema-changes.ts'

/** After light changes to more tables than that, all is read again. */
const MAX_NAMES = 1_000

/** What in ALTER TABLE runs nothing later that did not run before, and brings no rows of other tables along. */
const lightAlterations: ReadonlySet<string> = new Set([
  ...['add_column', 'drop_column', 'column_default', 'set_not_null', 'drop_not_null', 'change_owner', 'set_statistics'],
  ...['add_constraint', 'drop_constraint', 'validate_constraint', 'replica_identity'],
])

/** What can be dropped so that its name alone means something else; functions stand in each other's way. */
const lightToDrop: ReadonlySet<string> = new Set(['table', 'index', 'sequence', 'view', 'materialized_view'])

/** They name all that they reach; others may have to look up what belongs to somebody, or is in a schema. */
const named: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge', 'copy'])

/**
 * The names of tables that a command makes, changes or drops, where it does nothing else that the catalog would tell; undefined
 * for all other commands.
 */
export function lightChangeOf(statement: StatementFacts, catalog: Catalog): readonly string[] | undefined {
  if (!isLight(statement) || statement.fault !== undefined) return undefined
  if (changeOf(statement) === 'all' || madeBy(statement, catalog).length > 0 || definesOfCode(statement, catalog))
    return undefined
  return namesOf(statement).map(({ name }) => name)
}

function isLight(statement: StatementFacts): boolean {
  const { node, parts } = statement
  const [part, second] = parts
  if (part === undefined || second !== undefined || part.others.length > 0) return false
  switch (node) {
    // INHERITS, PARTITION OF and LIKE name others, and bring their defaults along.
    case 'CreateStmt':
      return part.written.length === 1
    case 'IndexStmt':
    case 'CreateSeqStmt':
    case 'AlterSeqStmt':
      return true
    case 'AlterTableStmt': {
      const alterations = [part.facts['alterations'] ?? []].flat().map(String)
      return alterations.length > 0 && alterations.every(each => lightAlterations.has(each))
    }
    // CASCADE takes columns of tables along that it does not name.
    case 'DropStmt':
      return part.facts['cascade'] !== true && lightToDrop.has(String(part.facts['objectType'] ?? ''))
    default:
      return false
  }
}

/** Those of one session that the newest snapshot lacks. */
export class LightChanges {
  readonly #names = new Set<string>()
  #areAll = true

  /** Whether the open transaction, or the last command, has made no other changes. */
  get areAll(): boolean {
    return this.#areAll
  }

  /** A command has ended that changes the catalog. */
  ended(names: readonly string[] | undefined): void {
    this.#areAll &&= names !== undefined && this.#names.size < MAX_NAMES
    for (const name of names ?? []) this.#names.add(name)
  }

  /** A transaction is over. */
  over(): void {
    this.#areAll = true
  }

  /** There is a snapshot that shows them. */
  shown(): void {
    this.#names.clear()
  }

  /** Whether statements mean the same with and without them, by a snapshot that lacks them. */
  leave(statements: readonly Resolved[], catalog: Catalog): boolean {
    if (this.#names.size === 0) return false
    return statements.every(({ effective, unknown }) => unknown === undefined && this.#leaves(effective, catalog))
  }

  /** What a name without a schema stands for can be what was made just now; one with a schema says which it is. */
  #leaves(statement: StatementFacts, catalog: Catalog): boolean {
    const concerned = namesOf(statement).filter(({ name }) => this.#names.has(name))
    if (lightChangeOf(statement, catalog) !== undefined) return concerned.every(({ schema }) => schema !== undefined)
    const { parts, naming } = statement
    return naming === undefined && parts.every(({ action }) => named.has(action)) && concerned.length === 0
  }
}
