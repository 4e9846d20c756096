// What schema commands that are under way may do to what names mean: until they are committed, no snapshot shows it.
import type { StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import { asRead } from './as-read.ts'

/** Names of relations, in any schema, that may get other columns or become others; or any of them. */
export type Change = ReadonlySet<string> | 'all'

/** Changes that are remembered after they began; of what was decided before all of them nothing is known. */
const MAX_RECENT = 1_000

/** What in ALTER TABLE leaves names and places of columns as they are. */
const harmless: ReadonlySet<string> = new Set([
  ...['column_default', 'set_not_null', 'drop_not_null', 'set_statistics', 'set_storage', 'set_options'],
  ...['reset_options'],
  ...['add_constraint', 'drop_constraint', 'validate_constraint', 'alter_constraint', 'change_owner', 'cluster_on'],
  ...['set_rel_options', 'reset_rel_options', 'enable_row_security', 'disable_row_security', 'force_row_security'],
  ...['no_force_row_security', 'replica_identity', 'enable_trig', 'disable_trig', 'set_table_space', 'add_index'],
  ...['enable_trig_all', 'disable_trig_all', 'enable_trig_user', 'disable_trig_user'],
])

/** Objects whose names are nothing that is read from. */
const apart: ReadonlySet<string> = new Set([
  ...['index', 'tabconstraint', 'policy', 'trigger', 'statistic_ext', 'statistics', 'function', 'procedure', 'role'],
])

const relations: ReadonlySet<string> = new Set(['table', 'view', 'materialized_view', 'foreign_table', 'sequence'])

/** They are no relations, and a column that needs one keeps it from being dropped, unless CASCADE takes the column along. */
const needed: ReadonlySet<string> = new Set([
  ...['type', 'domain', 'collation', 'aggregate', 'operator', 'opclass', 'opfamily', 'cast', 'conversion', 'language'],
  ...['tsconfiguration', 'tsdictionary', 'tsparser', 'tstemplate', 'publication', 'event_trigger'],
])

/** What there is of them afterwards is nothing that is read from. */
const apartWhenMade: ReadonlySet<string> = new Set(['domain', 'collation', 'extension'])

/** Labels of an enum, and whose an object is. */
const aside: ReadonlySet<string> = new Set(['AlterEnumStmt', 'AlterOwnerStmt'])

/**
 * What a statement may do to names; undefined: nothing. Of commands that it is not known of, anything. Code (DO, CALL, functions)
 * is left out: where something is masked, none runs that gate does not know.
 */
export function changeOf({ node, parts, transaction, makes, cascades }: StatementFacts): Change | undefined {
  // What was prepared may be anything; until now only those who prepared it knew of it.
  if (transaction === 'TRANS_STMT_COMMIT_PREPARED') return 'all'
  const changes = parts.flatMap(({ action, written, facts }): Change[] => {
    if (action !== 'create' && action !== 'alter' && action !== 'drop') return []
    const type = String(facts['objectType'] ?? '')
    const alterations = [facts['alterations'] ?? []].flat()
    const names = new Set(written.map(({ name }) => name))
    // DROP SCHEMA takes its tables along; a new schema has none that anybody could mean.
    if (aside.has(node)) return []
    if (type === 'schema') return action === 'create' ? [] : ['all']
    if (action === 'create' && apartWhenMade.has(type)) return []
    if (needed.has(type) && node === 'DropStmt' && facts['cascade'] !== true) return []
    if (node === 'RenameStmt' && type === 'column') return [names]
    // Attributes of a composite type: tables of it, and columns that need it, keep them as they are.
    const isOfType = (node === 'AlterTableStmt' && type === 'type') || type === 'attribute'
    if (isOfType && cascades !== true && facts['cascade'] !== true) return [names]
    // ALTER INDEX renames tables as well: RenameRelation in src/backend/commands/tablecmds.c.
    if (apart.has(type) && !(node === 'RenameStmt' && type === 'index')) return []
    // What depends on a relation goes by its OID: only the two names are others afterwards.
    if (node === 'RenameStmt') return makes === undefined ? ['all'] : [new Set([...names, makes.name])]
    if (!relations.has(type) && !(type === 'type' && action === 'create')) return ['all']
    return alterations.length > 0 && alterations.every(each => harmless.has(String(each))) ? [] : [names]
  })
  return together(changes)
}

/** CREATE and ALTER FUNCTION, and ALTER … RENAME of one: what they name first is the name that there is afterwards. */
const makesFunctions: ReadonlySet<string> = new Set(['CreateFunctionStmt', 'AlterFunctionStmt', 'RenameStmt'])

/**
 * Names of functions that a statement makes. One that takes another's place, or stands beside one of PostgreSQL's own, may do
 * what that does not; so may one that gets another label.
 */
export function functionsMadeBy({ node, functions }: StatementFacts): readonly string[] {
  const [name] = makesFunctions.has(node) ? functions : []
  return name === undefined ? [] : [name.slice(name.lastIndexOf('.') + 1)]
}

/** Several changes as one; undefined when there is none. */
export function together(changes: readonly Change[]): Change | undefined {
  if (changes.length <= 1) return changes[0]
  return changes.includes('all') ? 'all' : new Set(changes.flatMap(change => [...change]))
}

/** Whether any of these names may mean something else. */
export function concerns(change: Change, names: readonly RelationName[]): boolean {
  return change === 'all' ? names.length > 0 : names.some(({ name }) => change.has(name))
}

/** The same of names as they are read, and of what can call, which is any of what may be. */
function namesAnyOf(statement: StatementFacts, change: Change): boolean {
  if (change === 'all') return asksCatalog(statement)
  return namesOf(statement).some(({ name }) => change.has(asRead(name)))
}

/** Whether what it does depends on what there is: relations, and whatever else can call, also for constants. */
export function asksCatalog(statement: StatementFacts): boolean {
  const { functions, newer, operators, fields, types } = statement
  return [namesOf(statement), functions, newer, operators, fields, types].some(({ length }) => length > 0)
}

/** Whether it makes what values are cast to or compared by, which may call: the name of no relation says so. */
export const makesApart = ({ parts }: StatementFacts): boolean =>
  parts.some(({ action, facts }) => {
    const type = String(facts['objectType'] ?? '')
    return action === 'create' && (type === 'type' || apartWhenMade.has(type))
  })

/** What a statement reads or writes, by name. */
export function namesOf({ parts }: StatementFacts): readonly RelationName[] {
  return parts.flatMap(({ reads, written }) => [...reads, ...written])
}

interface Begun {
  readonly change: Change
  /** Whose it is: one for each session. */
  readonly owner: symbol
  /** Nobody else's names mean what it makes. */
  readonly isPrivate: boolean
}

/** Temporary relations are found by their own session alone. */
export const isPrivate = ({ makes }: StatementFacts): boolean =>
  makes?.temporary === true && !makes.moved && makes.schema?.startsWith('pg_temp_') !== true

/** The changes of one target, in all sessions. */
export class SchemaChanges {
  readonly #open = new Set<Begun>()
  /** The newest last. */
  readonly #recent: Begun[] = []
  readonly #committing = new Set<{ readonly change: Change; readonly owner: symbol }>()
  #count = 0

  /** How many have begun. */
  get count(): number {
    return this.#count
  }

  /** A change begins; what is given ends it. */
  begin(change: Change, owner: symbol, isPrivate = false): () => void {
    const entry = { change, owner, isPrivate }
    this.#open.add(entry)
    this.#recent.push(entry)
    this.#count += 1
    if (this.#recent.length > MAX_RECENT) this.#recent.shift()
    return () => void this.#open.delete(entry)
  }

  /** The server commits a change, and may have done so long before it says that; what is given ends it when it has. */
  commits(change: Change, owner: symbol): () => void {
    const entry = { change, owner }
    this.#committing.add(entry)
    return () => void this.#committing.delete(entry)
  }

  /** Whether somebody else may have committed that what it names is something else, and no snapshot need show it. */
  mayHaveCommitted(statement: StatementFacts, self: symbol): boolean {
    return [...this.#committing].some(({ change, owner }) => owner !== self && namesAnyOf(statement, change))
  }

  /** Everything that is under way and can matter to a session; undefined when nothing is. */
  openTo(self: symbol): Change | undefined {
    if (this.#open.size === 0) return undefined
    const all = [...this.#open].filter(({ owner, isPrivate }) => owner === self || !isPrivate)
    return all.length === 0 ? undefined : together(all.map(({ change }) => change))
  }

  /** Whether one of somebody else began after so many that concerns these names. */
  concernedSince(count: number, names: readonly RelationName[], self: symbol): boolean {
    const began = this.#count - count
    if (began > this.#recent.length) return true
    if (began <= 0) return false
    return this.#recent
      .slice(-began)
      .some(({ change, owner, isPrivate }) => owner !== self && !isPrivate && concerns(change, names))
  }
}
