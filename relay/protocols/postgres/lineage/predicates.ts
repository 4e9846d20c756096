// Where the value of an expression decides something: conditions, comparisons and what depends on their outcome.
import type { Expression, Operand, Test, Use } from '../analysis/lineage.ts'
import { keepsWhole } from '../widening.ts'
import type { Evaluating } from './evaluating.ts'
import type { Findings } from './findings.ts'
import { isNullAsShown } from './nulls.ts'
import type { Tables } from './results.ts'
import {
  asText,
  type Column,
  type Flows,
  flowsOf,
  hasCase,
  isComparedWhole,
  isPartMet,
  noFlows,
  type Scope,
  shareColumn,
  union,
} from './scope.ts'

export class Predicates {
  readonly #evaluation: Evaluating
  readonly #findings: Findings
  /** What came of comparisons: one can be part of several expressions, and counts once. */
  readonly #tested = new Map<Test, { readonly scope: Scope; readonly flows: Flows }>()

  constructor(evaluation: Evaluating, findings: Findings) {
    this.#evaluation = evaluation
    this.#findings = findings
  }

  /** Takes note of what the use of a value tells of it. */
  use(use: Use, scope: Scope, tables: Tables): void {
    switch (use.kind) {
      case 'exists':
        this.#evaluation.query(use.query, scope, tables)
        return
      case 'presence': {
        const { flows, allowed } = this.#presence(use, scope, tables)
        if (allowed) this.#findings.present(use.where, flows)
        else this.#findings.undivided(use.where, flows)
        return
      }
      case 'moved':
        this.#findings.moved(this.#evaluation.value(use.expression, scope, tables).flows)
        return
      case 'condition':
        this.#condition(use, scope, tables)
        return
      case 'equality': {
        const { flows, allowed, isTold } = this.#equality(use, scope, tables)
        if (allowed) this.#findings.compared(use.where, flows, use.times)
        else if (isTold) this.#findings.chosen(use.where, flows)
        else this.#findings.undivided(use.where, flows)
      }
    }
  }

  #condition({ where, expression }: Extract<Use, { kind: 'condition' }>, scope: Scope, tables: Tables): void {
    const { flows } = this.#evaluation.value(expression, scope, tables)
    if (choosing.has(where)) this.#findings.chosen(where, flows)
    else this.#findings.undivided(where, flows)
  }

  /**
   * Whether a comparison is one of a whole masked value with a given one, or of two such. `isTold`: one side is a given value, or what is
   * computed from a masked one meets what is not.
   */
  #equality(
    { left, right }: Extract<Test, { kind: 'equality' }>,
    scope: Scope,
    tables: Tables,
  ): { flows: Flows; allowed: boolean; isTold: boolean } {
    const one = this.#operand(left, scope, tables)
    const other = this.#operand(right, scope, tables)
    const lookedUp = (one.whole && other.constant) || (other.whole && one.constant)
    const joined = one.masked && other.masked
    // A column compared with itself in another case would tell which letters it has.
    const itself = left.letters?.case !== right.letters?.case && shareColumn(one.flows, other.flows)
    const isTold = one.constant || other.constant || isPartMet([one, other])
    return { flows: union(one.flows, other.flows), allowed: lookedUp || (joined && !itself), isTold }
  }

  /** `masked`: it is a whole masked value, and never a clear one, of which somebody could have a table. */
  #operand(
    operand: Operand,
    scope: Scope,
    tables: Tables,
  ): { flows: Flows; whole: boolean; masked: boolean; constant: boolean } {
    const { queries, form } = operand.expression
    const [query] = queries
    if (form === 'subquery' && query !== undefined) {
      // A subquery of whole values compares as those do; what is computed from its value is another one.
      const { columns } = this.#evaluation.query(query, scope, tables)
      const whole = columns.every(column => column.whole && isComparedWhole(column))
      return { flows: flowsOf(columns), whole, masked: whole && columns.every(isMasked), constant: false }
    }
    const { flows } = this.#evaluation.value(operand.expression, scope, tables)
    const found = operand.column === undefined ? undefined : this.#evaluation.column(operand.column, scope)
    const isCast = operand.expression.cast || operand.letters?.ofText === true
    const column = found !== undefined && isCast ? asText(found) : found
    // Of a range lower() and upper() are its bounds.
    const keepsCase = column !== undefined && (operand.letters?.ofText !== false || hasCase(column))
    const keepsValue = operand.widened === undefined || keepsWhole(column?.type, operand.widened)
    const whole = keepsCase && keepsValue && column.whole && isComparedWhole(column)
    // A value that is another for each row would try all there may be.
    const constant = isFixed(operand.expression) && flows.size === 0
    return { flows, whole, masked: whole && isMasked(column), constant: constant && form === 'computed' }
  }

  /** What flows into the outcome of a comparison: nothing, where it tells no more than it may. */
  outcome(test: Test, scope: Scope, tables: Tables): Flows {
    const known = this.#tested.get(test)
    if (known?.scope === scope) return known.flows
    const { flows, allowed } = this.#told(test, scope, tables)
    const denied = [...flows].some(({ mask }) => mask.predicates === 'deny')
    const told = !allowed || denied || (this.#findings.isView && test.kind === 'equality') ? flows : noFlows
    if (told.size === 0 && test.kind === 'equality') this.#findings.compared(test.where, flows, test.times)
    this.#tested.set(test, { scope, flows: told })
    return told
  }

  #presence(
    { expression, counted }: Extract<Test, { kind: 'presence' }>,
    scope: Scope,
    tables: Tables,
  ): { flows: Flows; allowed: boolean } {
    const { flows } = this.#evaluation.value(expression, scope, tables)
    return { flows, allowed: flows.size === 0 || expression.columns.every(path => isNullAsShown(path, scope, counted)) }
  }

  #told(test: Test, scope: Scope, tables: Tables): { flows: Flows; allowed: boolean } {
    if (test.kind === 'equality') return this.#equality(test, scope, tables)
    return this.#presence(test, scope, tables)
  }
}

/** Where a condition says which rows there are. */
const choosing: ReadonlySet<string> = new Set(['WHERE', 'HAVING', 'ON', 'LIMIT', 'TABLESAMPLE'])

const isMasked = ({ flows, perhapsClear }: Column): boolean => flows.size > 0 && perhapsClear !== true

/** Whether it is one value for all rows: nothing of a row flows into it, and nothing of one decides in it. */
function isFixed({ columns, queries, uses, tests, varies }: Expression): boolean {
  return columns.length + queries.length === 0 && varies !== true && [...uses, ...tests].every(isFixedUse)
}

function isFixedUse(use: Use): boolean {
  if (use.kind === 'exists') return false
  return use.kind === 'equality'
    ? isFixed(use.left.expression) && isFixed(use.right.expression)
    : isFixed(use.expression)
}
