// What the parts of an evaluation need of each other. Types only.
import type { Expression, Query } from '../analysis/lineage.ts'
import type { Result, Tables } from './results.ts'
import type { Column, Scope } from './scope.ts'

/** The parts of an evaluation call each other: a condition can have a subquery, and a subquery has conditions. */
export interface Evaluating {
  query(query: Query, scope: Scope | undefined, outer: Tables | undefined): Result
  value(expression: Expression, scope: Scope, tables: Tables): Column
  column(path: readonly string[], scope: Scope): Column
}
