// What came of following masked columns through a statement: whether it looks at any, and why it must not run.
import type { Sink } from '../analysis/lineage.ts'
import { type Column, type Flows, type MaskedColumn, noFlows } from './scope.ts'

/** A view's computations, and what it joins and looks up, are its maker's; a plan is made without looking at values. */
export type Purpose = 'statement' | 'plan' | 'view'

/** A name that stands for nothing. */
export interface Missing {
  readonly path: readonly string[]
  /** Nothing in FROM has the name before the dot. */
  readonly noTable: boolean
  /** Why the statement must not run. */
  readonly reason: string
}

/** More in one statement are a search through all values there may be: CASE could name the one that is there. */
const MAX_COMPARISONS = 20

export class Findings {
  readonly purpose: Purpose
  #refusal: string | undefined
  #missing: Missing | undefined
  #comparisons = 0
  /** What decides in the value of a view that is looked at. */
  #deciding: Set<MaskedColumn> | undefined
  /** Whether the statement looks at masked columns at all. */
  touches = false

  constructor(purpose: Purpose) {
    this.purpose = purpose
  }

  /** Whether a masked value is compared for being equal. */
  get compares(): boolean {
    return this.#comparisons > 0
  }

  get isView(): boolean {
    return this.purpose === 'view'
  }

  /** Why the statement must not run; the first one. */
  get refusal(): string | undefined {
    return this.#refusal
  }

  refuse(reason: string): void {
    this.#refusal ??= reason
  }

  /** The first name that stands for nothing, where that is why the statement must not run. */
  get missing(): Missing | undefined {
    return this.#missing
  }

  /** A name of a column stands for nothing. */
  unknown(path: readonly string[], noTable: boolean): void {
    const reason = `nothing says what ${path.join('.')} stands for`
    if (this.#refusal === undefined) this.#missing = { path, noTable, reason }
    this.refuse(reason)
  }

  touch(flows: Flows): void {
    this.touches ||= flows.size > 0
  }

  /** Evaluates a value; `told` is what decides in it, of a view: nobody else is asked about that, so it is as if it flowed in. */
  within<Value>(evaluate: () => Value): { readonly value: Value; readonly told: Flows } {
    if (!this.isView) return { value: evaluate(), told: noFlows }
    const outside = this.#deciding
    const told = new Set<MaskedColumn>()
    this.#deciding = told
    try {
      return { value: evaluate(), told }
    } finally {
      this.#deciding = outside
    }
  }

  /** Copied to where they would be clear. */
  moved(flows: Flows): void {
    const reason = moveRefusal(flows)
    if (reason !== undefined) this.refuse(reason)
  }

  /** Looked at for being NULL alone. */
  present(where: string, flows: Flows): void {
    const denied = [...flows].find(({ mask }) => mask.predicates === 'deny')
    if (denied !== undefined) this.refuse(notIn(denied, where))
  }

  /** Compared for being equal: one value can be looked up. */
  compared(where: string, flows: Flows, times: number): void {
    if (this.isView || flows.size === 0) return
    this.#comparisons += times
    if (this.#comparisons > MAX_COMPARISONS)
      this.refuse(`at most ${MAX_COMPARISONS} comparisons with masked columns are allowed in one statement`)
    this.present(where, flows)
  }

  /**
   * Chooses rows in any other way. What a view compares as a whole is its maker's word; one that shows who is above or below a value, or
   * has a part of it, shows that of whatever it is read for.
   */
  chosen(where: string, flows: Flows): void {
    const denied = [...flows].find(({ mask }) => mask.predicates !== 'allow')
    if (this.isView && this.#deciding === undefined && denied !== undefined) this.refuse(notIn(denied, where))
    else this.undivided(where, flows)
  }

  /** Used in any other way: an order, a pattern or a part tells of the value. */
  undivided(where: string, flows: Flows): void {
    const denied = [...flows].filter(({ mask }) => mask.predicates !== 'allow')
    const [first] = denied
    if (this.isView) for (const each of denied) this.#deciding?.add(each)
    else if (first !== undefined) this.refuse(notIn(first, where))
  }
}

const notIn = ({ label, mask }: MaskedColumn, where: string): string =>
  `${label} is masked for you, so it cannot be used in ${where}${mask.predicates === 'deny' ? '' : '; it can only be compared with given values by = or IN'}`

function moveRefusal(flows: Flows): string | undefined {
  const [moved] = flows
  return moved && `${moved.label} is masked for you, so it cannot be copied to where it would be clear`
}

/** Why the columns of a result must not be shown, or not be where they go to. */
export function resultRefusal(sink: Sink, columns: readonly Column[]): string | undefined {
  if (sink === 'plan' || sink === 'analysis') return undefined
  for (const column of columns) {
    const moved = moveRefusal(sink === 'elsewhere' ? column.flows : noFlows)
    if (moved !== undefined) return moved
    const refused = column.plain ? undefined : computedRefusal(column)
    if (refused !== undefined) return refused
  }
  return undefined
}

/** Why a column must not be computed from what flows in. */
export function computedRefusal({ flows, name }: Column): string | undefined {
  const denied = [...flows].find(({ mask }) => mask.computed === 'deny')
  return denied && `${denied.label} is masked for you, and ${shown(name)} would be computed from it`
}

const shown = (name: string | undefined): string =>
  name === undefined ? 'a column' : `the column ${JSON.stringify(name)}`
