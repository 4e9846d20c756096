// What was found in an expression so far. Pure.
import { computed } from './forms.ts'
import type { ColumnName, Expression, Query, Test, Use } from './lineage.ts'

export class Gathered {
  varies = false
  readonly columns: ColumnName[] = []
  readonly queries: Query[] = []
  readonly uses: Use[] = []
  readonly tests: Test[] = []

  expression(): Expression {
    const { columns, queries, uses, tests } = this
    return { columns, queries, uses, tests, ...computed, ...(this.varies ? { varies: true } : {}) }
  }

  take({ columns, queries, uses, tests, varies }: Gathered | Expression): void {
    this.varies ||= varies === true
    this.columns.push(...columns)
    this.queries.push(...queries)
    this.uses.push(...uses)
    this.tests.push(...tests)
  }
}
