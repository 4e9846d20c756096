// Names of relations that the open transaction has made, in the order of its commands: what it rolled back to a savepoint, or dropped, it has
// not. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Making } from './analysis/making.ts'
import type { RelationName } from './analysis/objects.ts'
import type { Path } from './shadows.ts'

/** A transaction of more is no longer known to have made anything. */
const MAX_STEPS = 10_000

export type Step =
  | { readonly kind: 'made'; readonly making: Making }
  /** No name: any may be gone. */
  | { readonly kind: 'gone'; readonly name: RelationName | undefined }
  | { readonly kind: 'savepoint' | 'released' | 'back'; readonly savepoint: string }

/** What a statement does to these names. */
export function stepsOf(statement: StatementFacts): readonly Step[] {
  const { savepoint, transaction, node, makes, parts } = statement
  if (savepoint !== undefined) {
    if (transaction === 'TRANS_STMT_SAVEPOINT') return [{ kind: 'savepoint', savepoint }]
    return [{ kind: transaction === 'TRANS_STMT_RELEASE' ? 'released' : 'back', savepoint }]
  }
  const made = madeBy(statement).map((making): Step => ({ kind: 'made', making }))
  const isTaken = node === 'DropOwnedStmt' || parts.some(({ action, facts }) => action === 'drop' && takesMore(facts))
  if (isTaken) return [{ kind: 'gone', name: undefined }, ...made]
  const isGone = (action: string): boolean => action === 'drop' || makes?.moved === true
  const gone = parts.flatMap(({ action, written }) => (isGone(action) ? written : []))
  return [...gone.map((name): Step => ({ kind: 'gone', name })), ...made]
}

const takesMore = (facts: StatementFacts['parts'][number]['facts']): boolean =>
  facts['cascade'] === true || facts['objectType'] === 'schema'

/** What a statement makes, or gives another name; sequences hold nothing of others. */
function madeBy({ node, makes, parts }: StatementFacts): readonly Making[] {
  if (makes !== undefined) return [makes]
  if (node !== 'CreateSeqStmt') return []
  return parts.flatMap(({ written }) => written.map(each => ({ ...each, temporary: false, moved: true })))
}

export class OwnNames {
  #steps: Step[]

  constructor(steps: readonly Step[] = []) {
    this.#steps = [...steps]
  }

  /** The same with what is under way. */
  with(steps: readonly Step[]): OwnNames {
    const names = new OwnNames(this.#steps)
    for (const step of steps) names.take(step)
    return names
  }

  take(step: Step): void {
    switch (step.kind) {
      case 'savepoint':
        // Behind one that is not known, as before anything was made, or of a name again, all that was made since is gone when it is gone back to.
        if (this.#steps.length > 0 && this.#placeOf(step.savepoint) < 0) this.#add(step)
        return
      case 'released': {
        const place = this.#placeOf(step.savepoint)
        if (place >= 0) this.#steps.splice(place, 1)
        return
      }
      case 'back':
        this.#steps = this.#steps.slice(0, this.#placeOf(step.savepoint) + 1)
        return
      default:
        this.#add(step)
    }
  }

  #add(step: Step): void {
    if (this.#steps.length >= MAX_STEPS) this.#steps = []
    this.#steps.push(step)
  }

  #placeOf(savepoint: string): number {
    return this.#steps.findIndex(step => step.kind === 'savepoint' && step.savepoint === savepoint)
  }

  /** Whether a name stands for what the transaction made. */
  has(name: RelationName, path: Path): boolean {
    let found = false
    for (const step of this.#steps) {
      if (step.kind === 'made') found ||= isOf(name, step.making, path)
      else if (step.kind === 'gone') found &&= step.name !== undefined && step.name.name !== name.name
    }
    return found
  }

  /** The transaction is over. */
  clear(): void {
    this.#steps = []
  }
}

/**
 * Without a schema it is made, and looked for, where `search_path` leads, by default to a schema of the role's name and to public; what is
 * renamed stays where it is.
 */
function isOf({ schema, name }: RelationName, made: Making, path: Path): boolean {
  // The sequence of a serial column is called after its table.
  if (name !== made.name && !(name.startsWith(`${made.name}_`) && name.endsWith('_seq'))) return false
  if (schema === made.schema) return true
  if (made.temporary) return schema === undefined || schema.startsWith('pg_temp')
  if (schema !== undefined && made.schema !== undefined) return false
  const said = schema ?? made.schema
  return made.moved || path.changed || said === 'public' || said === path.role
}
