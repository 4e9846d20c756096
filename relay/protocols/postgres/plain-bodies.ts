// Functions that somebody wrote in SQL and that only compute, as a look into them shows: no tables, nothing that leaves a trace. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import { isMultiplying } from './analysis/forms.ts'
import { isFelt } from './analysis/skipped.ts'
import type { Called } from './calling.ts'
import type { Functions } from './functions.ts'

/** What the body of such a function calls; undefined where it may do more than compute, whatever that is. */
export function calledInBody(facts: StatementFacts): Called | undefined {
  const { node, parts, naming, fault, settings, changesReading, newer, operators, fields, types } = facts
  // Where it comes as a command that would make it, its own name is the first one.
  const isMade = node === 'CreateFunctionStmt'
  const [part, another] = parts
  if (!(isMade || node === 'SelectStmt') || part === undefined || another !== undefined) return undefined
  if (part.reads.length + part.written.length + settings.length + fields.length > 0) return undefined
  if (naming !== undefined || fault !== undefined || changesReading !== undefined) return undefined
  const functions = isMade ? facts.functions.slice(1) : facts.functions
  if (functions.some(name => isFelt(name) || isMultiplying(name))) return undefined
  return { functions, newer, operators, fields, types }
}

/** What is known of what a body can call. */
interface Callable {
  readonly functions: Functions
  isBuiltInOperator(name: string): boolean
  isMadeType(type: string | number): boolean
}

/** Whether all that it calls only computes, as far as that is known by now. */
export function onlyComputes({ functions, newer, operators, types }: Called, catalog: Callable): boolean {
  return (
    functions.every(name => catalog.functions.showsOnlyItsArguments(name)) &&
    !newer.some(name => catalog.functions.isMade(name)) &&
    operators.every(name => catalog.isBuiltInOperator(name)) &&
    !types.some(type => catalog.isMadeType(type))
  )
}
