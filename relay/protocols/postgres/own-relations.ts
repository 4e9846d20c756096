// Whether the open transaction has made tables, views or columns: nobody else sees them, and no snapshot shows them. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import { Begun } from './begun.ts'
import type { Catalog } from './catalog.ts'
import { OwnNames, type Step, stepsOf } from './own-names.ts'
import type { Path } from './shadows.ts'

/**
 * What is in them came from statements of the session itself, each of which was judged: none carries masked values to where
 * they would be clear, and none alters a table of which anything is masked. Triggers of others can, and make some as well.
 */
export class OwnRelations {
  readonly #making = new Begun()
  readonly #triggering = new Begun()
  /** What commands make that have not ended; and what there is of it in the open transaction. */
  readonly #underWay = new Map<number, readonly Step[]>()
  readonly #names = new OwnNames()

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
    const steps = stepsOf(statement)
    if (steps.length > 0) for (const number of commands) this.#underWay.set(number, steps)
    if (triggersMaking(statement, catalog)) this.#triggering.add(commands)
  }

  /** Whether `over` has to be called when the transaction of these commands is. */
  endWithTransaction(commands: readonly number[]): boolean {
    return commands.some(number => this.#making.has(number) || this.#triggering.has(number) || this.#makes(number))
  }

  ended(command: number): void {
    this.#making.ended(command)
    this.#triggering.ended(command)
    for (const step of this.#underWay.get(command) ?? []) this.#names.take(step)
    this.#underWay.delete(command)
  }

  /** It did not run. */
  unsent(command: number): void {
    this.#making.unsent(command)
    this.#triggering.unsent(command)
    this.#underWay.delete(command)
  }

  /** The transaction is over: from now on snapshots show what was made. */
  over(): void {
    this.#making.over()
    this.#triggering.over()
    this.#names.clear()
  }

  #makes(command: number): boolean {
    return this.#underWay.get(command)?.some(({ kind }) => kind === 'made') === true
  }

  /** Whether the session makes what a name stands for: it did, or what stands `before` it in the message does. */
  isMade(name: RelationName, before: readonly Step[], path: Path): boolean {
    return this.#names.with([...[...this.#underWay.values()].flat(), ...before]).has(name, path)
  }
}

const schemaCommands: ReadonlySet<string> = new Set(['create', 'alter', 'drop'])

/**
 * What a statement reads or writes and nobody knows: the server says so, unless somebody makes it while the statement waits there. Then
 * nothing is known of it, and it can be gone before a snapshot shows it.
 */
export interface Strangers {
  readonly first: RelationName
  /** What is in it would come to elsewhere. */
  readonly areCopied: boolean
}

export function strangersIn(
  { facts, effective }: { readonly facts: StatementFacts; readonly effective: StatementFacts },
  catalog: Catalog,
  isMade: (name: RelationName) => boolean,
): Strangers | undefined {
  // FETCH gives rows of what was looked at when it was declared.
  const kind = facts.naming?.kind
  if (kind === 'fetch' || kind === 'prepare') return undefined
  const isUnknown = (name: RelationName): boolean =>
    catalog.resolve(name.schema, name.name).length === 0 && !isMade(name)
  const { lineage, parts } = effective
  const read = parts.flatMap(({ reads }) => reads).find(isUnknown)
  const others = parts.flatMap(({ action, written }) => (schemaCommands.has(action) ? [] : written))
  const first = read ?? others.find(isUnknown)
  if (first === undefined) return undefined
  const isShown = lineage.kind === 'query' && ['client', 'plan', 'analysis'].includes(lineage.sink)
  const writes = kind === 'declare' || parts.some(part => part.writes)
  return { first, areCopied: read !== undefined && (!isShown || writes) }
}

/** What moved keeps its OID and its columns. */
function makesOwn({ node, makes }: StatementFacts): boolean {
  return node === 'AlterTableStmt' || node === 'CreateSeqStmt' || (makes !== undefined && !makes.moved)
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
