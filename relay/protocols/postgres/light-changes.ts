// Commands after which only the tables that they name are others: the rest of an older snapshot still holds. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import { asRead } from './as-read.ts'
import type { Catalog } from './catalog.ts'
import { definesOfCode } from './definitions-of-code.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
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

/**
 * What can be altered, or dropped so that its name alone means something else: functions stand in each other's way, and tables can be
 * of a composite type.
 */
const lightRelations: ReadonlySet<string> = new Set(['table', 'index', 'sequence', 'view', 'materialized_view'])

/** They name all that they reach; others may have to look up what belongs to somebody, or is in a schema. */
const namingAll: ReadonlySet<string> = new Set(['select', 'insert', 'update', 'delete', 'merge', 'copy'])

/** pg_class.relkind. */
const SEQUENCE = 'S'
/** How the names of sequences end that the server gives: src/backend/parser/parse_utilcmd.c, ChooseRelationName. */
const GIVEN_NAME = /_seq\d*$/

/**
 * The names of tables that a command makes, changes or drops, and of those that change with them, where it does nothing else that
 * the catalog would tell; undefined for all other commands.
 */
export function lightChangeOf(statement: StatementFacts, catalog: Catalog): readonly string[] | undefined {
  if (!isLightHere(statement, catalog)) return undefined
  return [...catalog.withDependents(namesOf(statement).map(({ name }) => asRead(name)))]
}

function isLightHere(statement: StatementFacts, catalog: Catalog): boolean {
  if (!isLight(statement) || statement.fault !== undefined || catalog.hasEventTriggers) return false
  return changeOf(statement) !== 'all' && madeBy(statement, catalog).length === 0 && !definesOfCode(statement, catalog)
}

function isLight(statement: StatementFacts): boolean {
  const { node, parts, cascades, namesSequence } = statement
  const [part, second] = parts
  if (part === undefined || second !== undefined || part.others.length > 0) return false
  if (cascades === true || namesSequence === true) return false
  const type = String(part.facts['objectType'] ?? '')
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
      return lightRelations.has(type) && alterations.length > 0 && alterations.every(each => lightAlterations.has(each))
    }
    // CASCADE takes columns of tables along that it does not name.
    case 'DropStmt':
      return part.facts['cascade'] !== true && lightRelations.has(type)
    default:
      return false
  }
}

/** What of a statement's tables matters to somebody. */
export interface Matters {
  /** Which they are: to a rule, or to a mask. */
  readonly tables: boolean
  /** Which columns they have: something is masked for somebody, and what is recorded of a constant depends on it. */
  readonly constants: boolean
}

/** Those of one session that the newest snapshot lacks. */
export class LightChanges {
  readonly #names = new Set<string>()
  #areAll = true
  #count = 0

  /** How many commands that change the catalog have ended. */
  get count(): number {
    return this.#count
  }

  /** Whether the open transaction, or the last command, has made no other changes. */
  get areAll(): boolean {
    return this.#areAll
  }

  /** A command has ended that changes the catalog. */
  ended(names: readonly string[] | undefined): void {
    this.#count += 1
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
  leave(statements: readonly Resolved[], catalog: Catalog, matters: Matters): boolean {
    if (this.#names.size === 0) return false
    return statements.every(
      ({ effective, unknown }) => unknown === undefined && this.#leaves(effective, catalog, matters),
    )
  }

  #leaves(statement: StatementFacts, catalog: Catalog, { tables, constants: isRedacted }: Matters): boolean {
    const { parts, naming, types } = statement
    if (types.some(type => this.#isOfType(type, catalog))) return false
    const isLight = isLightHere(statement, catalog)
    if (!isLight && (naming !== undefined || !parts.every(({ action }) => namingAll.has(action)))) return false
    const named = namesOf(statement)
    const concerned = named.filter(({ name }) => this.#names.has(asRead(name)))
    if (!tables && concerned.every(each => isPlain(each, catalog))) return true
    if (isLight) {
      if (isRedacted && concerned.length > 0 && hasConstants(statement)) return false
      return named.every(each => each.schema !== undefined || this.#isSure(each, statement, catalog))
    }
    return concerned.length === 0 && named.every(each => this.#isSure(each, statement, catalog))
  }

  /** Rows of a table are a type, and others are made of them. */
  #isOfType(type: string | number, { typesOfRows }: Catalog): boolean {
    if (typeof type === 'number') return type >= FIRST_NORMAL_OBJECT_ID
    return typesOfRows.namesIn(type).some(name => this.#names.has(asRead(name)))
  }

  /**
   * What a name without a schema stands for can be what was made just now, also a sequence that the server made with a table; one
   * with a schema says which it is.
   */
  #isSure({ schema, name }: RelationName, { makes }: StatementFacts, catalog: Catalog): boolean {
    const found = catalog.resolve(schema, name)
    const isKnown = found.length > 0 || (makes !== undefined && asRead(makes.name) === asRead(name))
    if (!isKnown || this.#names.has(asRead(name))) return false
    return schema !== undefined || (!GIVEN_NAME.test(name) && found.every(({ kind }) => kind !== SEQUENCE))
  }
}

/** Whether it runs no code where it is named; a view or a table with triggers may be gone, and something else have its name. */
const isPlain = ({ schema, name }: RelationName, catalog: Catalog): boolean =>
  catalog.resolve(schema, name).every(({ oid }) => !catalog.isView(oid) && !catalog.isCaller(oid))

const hasConstants = ({ recordable }: StatementFacts): boolean =>
  recordable.pieces.some(piece => typeof piece !== 'string' && !('meeting' in piece && piece.meeting === 'nothing'))
