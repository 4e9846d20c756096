// Under which masks the open transaction made or ran what no snapshot shows: a view that was made before there were any shows
// values after it as before. Pure.
import type { Obligation, Operation } from '@gate/shared/model'
import { namesNothing } from './catalog-bearing.ts'
import type { Resolved } from './resolving.ts'
import { changesCatalog } from './worked-out.ts'

/** The masks that bind a person. */
type Masks = readonly Obligation[]

/** What may make objects by what it runs. */
const running: ReadonlySet<string> = new Set(['call', 'do'])

const others =
  'what is masked for you has changed in this transaction, which has made or run what nobody looked at for that: end it first'

const keyOf = (masks: Masks): string => JSON.stringify(masks)

export class MadeUnder {
  /** Masks that there were when commands were let go on that have not ended. */
  readonly #underWay = new Map<number, string>()
  /** Of those that have ended in the open transaction. */
  readonly #ended = new Set<string>()

  /** These commands carry out the statement. */
  begins({ effective }: Resolved, operations: readonly Operation[], commands: readonly number[], masks: Masks): void {
    if (!changesCatalog(effective) && !operations.some(({ action }) => running.has(action))) return
    const key = keyOf(masks)
    for (const number of commands) this.#underWay.set(number, key)
  }

  /** Why a statement must not run in this transaction any more; undefined when it may. */
  refusal(statement: Resolved, masks: Masks): string | undefined {
    const made = [...this.#ended, ...this.#underWay.values()]
    if (made.length === 0 || namesNothing(statement)) return undefined
    const key = keyOf(masks)
    return made.every(each => each === key) ? undefined : others
  }

  /** Whether `over` has to be called when the transaction of these commands is. */
  endWithTransaction(commands: readonly number[]): boolean {
    return commands.some(number => this.#underWay.has(number))
  }

  ended(command: number): void {
    const key = this.#underWay.get(command)
    if (key !== undefined) this.#ended.add(key)
    this.#underWay.delete(command)
  }

  /** It did not run. */
  unsent(command: number): void {
    this.#underWay.delete(command)
  }

  /** The transaction is over. */
  over(): void {
    this.#ended.clear()
  }
}
