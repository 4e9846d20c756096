// What statements are to the catalog: those that ask nothing of it, and those after which functions or cursors are others. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Resolved } from './resolving.ts'
import { functionsMadeBy } from './schema-changes.ts'

/** BEGIN, COMMIT, SHOW and the like mean the same whatever is in the catalog; each CREATE of a migration may stand between two. */
export function namesNothing({ effective: { parts, functions, types }, unknown }: Resolved): boolean {
  return (
    unknown === undefined &&
    parts.length > 0 &&
    parts.every(({ routine, reads, written }) => routine && reads.length + written.length === 0) &&
    functions.length + types.length === 0
  )
}

/** A migration makes one function after the other: making one calls none. */
export const callsNothing = (statement: Resolved): boolean =>
  namesNothing(statement) || statement.effective.node === 'CreateFunctionStmt'

/** Whether it is a cursor WITH HOLD that it declares. */
export const declaresHold = ({ naming }: StatementFacts): boolean => naming?.kind === 'declare' && naming.holdable

/** Whether functions may be others after it. */
export const redefines = (statement: StatementFacts): boolean => functionsMadeBy(statement).length > 0
