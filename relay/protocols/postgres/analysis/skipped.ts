// Parts of expressions that PostgreSQL does not run where others decide so: whether they ran must not tell of masked values. Pure.
import { movers, rowOf } from './forms.ts'
import { isObject, type Json, type JsonObject, list, strings, text } from './tree.ts'

/**
 * Functions that leave something behind without being given anything, beside `movers`: a sequence that went on, another next
 * random number, a transaction with a number.
 */
const leaving = /^(nextval|random(_normal)?|array_(sample|shuffle)|txid_current|pg_current_xact_id|pg_export_snapshot)$/

/** Operators that stand for several comparisons, of which the first ones decide whether the others are made. */
const severalOnes = /^AEXPR_(IN|(NOT_)?BETWEEN(_SYM)?)$/

/** The arguments that decide whether others of them run, and those; or `all`: any of the node's parts may decide. */
export type Deciding = 'all' | { readonly first: readonly Json[]; readonly others: readonly Json[] }

/** What would be noticed afterwards, by its effect or by the time it took, in the expressions of one statement. */
export class Felt {
  readonly #known = new WeakMap<object, boolean>()

  /** What decides in a node whether something in it runs that would be felt; undefined where nothing does. */
  deciding(name: string, content: JsonObject): Deciding | undefined {
    switch (name) {
      case 'BoolExpr':
      case 'CoalesceExpr': {
        // From the left, as far as it takes.
        const args = list(content['args'])
        const last = args.findLastIndex(arg => this.#isIn(arg))
        return last < 1 ? undefined : { first: args.slice(0, last), others: args.slice(last) }
      }
      case 'A_Expr': {
        const several = severalOnes.test(text(content['kind'])) || [content['lexpr'], content['rexpr']].some(isRow)
        return several && this.#isIn(content) ? 'all' : undefined
      }
      case 'A_Indirection': {
        // Subscripts of an array that is NULL are not asked for.
        const { arg = null, indirection = null } = content
        return this.#isIn(indirection) ? { first: [arg], others: [indirection] } : undefined
      }
      // DEFAULT … ON EMPTY.
      case 'JsonFuncExpr':
        return this.#isIn(content) ? 'all' : undefined
      case 'SubLink':
        // Its rows are made until one decides.
        return content['testexpr'] === undefined ? undefined : 'all'
      case 'FuncCall':
        // lag(value, offset, default) asks for its default where it needs it.
        return content['over'] !== undefined && this.#isIn(content['args']) ? 'all' : undefined
      default:
        return undefined
    }
  }

  /** A subquery runs when its value is asked for, and with it whatever it reads: a WITH, a view. */
  #isIn(value: Json | undefined): boolean {
    if (!isObject(value) && !Array.isArray(value)) return false
    const known = this.#known.get(value)
    if (known !== undefined) return known
    const found = Array.isArray(value)
      ? value.some(item => this.#isIn(item as Json))
      : Object.entries(value).some(([key, child]) => key === 'SubLink' || isFeltCall(key, child) || this.#isIn(child))
    this.#known.set(value, found)
    return found
  }
}

function isFeltCall(key: string, value: Json | undefined): boolean {
  if (key !== 'FuncCall' || !isObject(value)) return false
  return isFelt(strings(value['funcname']).at(-1) ?? '')
}

/** Whether a call of a function, with or without its schema, would be noticed afterwards. */
export function isFelt(called: string): boolean {
  const name = called.slice(called.lastIndexOf('.') + 1)
  return movers.test(name) || leaving.test(name)
}

const isRow = (value: Json | undefined): boolean => rowOf(value) !== undefined
