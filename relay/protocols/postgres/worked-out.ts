// What was worked out of a statement in a catalog: the same statement comes a thousand times, with other parameters. Pure.
import type { Operation, Parameter } from '@gate/shared/model'
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { operationsOf } from './operation.ts'

export interface WorkedOut {
  readonly text: string
  /** Without parameters. */
  readonly operations: readonly Operation[]
  /** Whether the catalog knows everything that the statement names. */
  readonly isKnown: boolean
}

/** Kept as long as somebody has both the catalog and the facts: there are as many as the analyser's cache and sessions hold. */
const workedOut = new WeakMap<Catalog, WeakMap<StatementFacts, WorkedOut>>()

export function workOut(facts: StatementFacts, text: string, catalog: Catalog): WorkedOut {
  let ofCatalog = workedOut.get(catalog)
  if (ofCatalog === undefined) {
    ofCatalog = new WeakMap()
    workedOut.set(catalog, ofCatalog)
  }
  const before = ofCatalog.get(facts)
  if (before?.text === text) return before
  const made = { text, operations: operationsOf(facts, text, [], catalog), isKnown: allKnown(facts, catalog) }
  ofCatalog.set(facts, made)
  return made
}

export function withParameters(operation: Operation, parameters: readonly Parameter[]): Operation {
  return parameters.length === 0 ? operation : { ...operation, parameters }
}

const schemaActions = new Set(['create', 'alter', 'drop', 'do', 'call'])

export function changesCatalog(facts: StatementFacts): boolean {
  // The fast path calls large objects by the hundred, and reading the catalog takes a login.
  if (facts.node === 'FunctionCall') return false
  return facts.transaction === 'TRANS_STMT_COMMIT_PREPARED' || facts.parts.some(part => schemaActions.has(part.action))
}

function allKnown(facts: StatementFacts, catalog: Catalog): boolean {
  // A function that is not known counts as one that may do anything, so it is looked for once more.
  if (!facts.functions.every(name => catalog.functions.isKnown(name))) return false
  // What a schema command names may be what it is about to make.
  return facts.parts.every(
    part =>
      schemaActions.has(part.action) ||
      [...part.reads, ...part.written].every(name => catalog.resolve(name.schema, name.name).length > 0),
  )
}
