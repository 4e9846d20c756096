// Which commands can run under a row limit: those whose rows the server itself counts before they are committed. Pure.
import type { StatementFacts } from './analysis/facts.ts'

const written = new Set(['insert', 'update', 'delete', 'merge'])
/** The statements whose command tag counts what their main part writes. What PREPARE prepared is written at EXECUTE. */
const tagged = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'PrepareStmt'])

/** Whether the command tag of the statement counts what this part writes. */
export function isCounted(facts: StatementFacts, index: number): boolean {
  const part = facts.parts[index]
  if (part === undefined || part.facts['nested'] === true || !tagged.has(facts.node)) return false
  return written.has(part.action) || (part.action === 'copy' && part.facts['copyDirection'] === 'from')
}

/**
 * Why a part of a statement cannot run under a row limit; undefined when it can, or writes nothing. `message` is everything
 * that would run with it.
 */
export function limitRefusal(
  facts: StatementFacts,
  index: number,
  message: readonly StatementFacts[],
): string | undefined {
  const part = facts.parts[index]
  if (part === undefined || !part.writes || part.routine) return undefined
  if (part.action === 'copy' && part.facts['copyDirection'] === 'to') return undefined
  if (!isCounted(facts, index)) {
    const where = index > 0 ? ` inside ${facts.parts[0]?.action ?? 'another statement'}` : ''
    return `a row limit applies, and the server does not say how many rows a statement of kind ${part.action}${where} changes`
  }
  if (message.length > 1) {
    if (message.some(({ node }) => node === 'TransactionStmt'))
      return 'a row limit applies: transaction control has to be sent in messages of its own'
    if (message.some(({ node }) => node === 'CopyStmt'))
      return 'a row limit applies: COPY has to be sent in a message of its own'
  }
  return undefined
}
