// Which commands can run under a row limit: those whose rows the server itself counts before they are committed. Pure.
import type { Operation } from '@gate/shared/model'
import type { StatementFacts } from './analysis/facts.ts'

const written = new Set(['insert', 'update', 'delete', 'merge'])
/** The statements whose command tag counts what their main part writes. What PREPARE prepared is written at EXECUTE. */
const tagged = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'PrepareStmt'])

/** Whether the command tag of the statement counts what its main part writes. */
export function isCounted({ node, parts: [main] }: StatementFacts): boolean {
  if (main === undefined || main.facts['nested'] === true || !tagged.has(node)) return false
  return written.has(main.action) || (main.action === 'copy' && main.facts['copyDirection'] === 'from')
}

/**
 * Why one operation of a statement cannot run under a row limit; undefined when it can, or writes nothing. `isMain`: it is the
 * statement's main one, or its rows are counted with that. `message` is everything that would run with it.
 */
export function limitRefusal(
  facts: StatementFacts,
  operation: Operation,
  isMain: boolean,
  message: readonly StatementFacts[],
): string | undefined {
  if (!operation.writes || operation.routine) return undefined
  if (operation.action === 'copy' && operation.facts['copyDirection'] === 'to') return undefined
  if (!isMain || !isCounted(facts)) {
    const where = isMain ? '' : ` inside ${facts.parts[0]?.action ?? 'another statement'}`
    return `a row limit applies, and the server does not say how many rows a statement of kind ${operation.action}${where} changes`
  }
  if (message.length > 1) {
    if (message.some(({ node }) => node === 'TransactionStmt'))
      return 'a row limit applies: transaction control has to be sent in messages of its own'
    if (message.some(({ node }) => node === 'CopyStmt'))
      return 'a row limit applies: COPY has to be sent in a message of its own'
  }
  return undefined
}
