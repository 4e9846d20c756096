// Objects that mostly run code, made in a way in which they run none: people from whom something is masked may make these. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import { isFollowed } from './analysis/known-names.ts'
import { isFelt } from './analysis/skipped.ts'
import { withElement } from './as-read.ts'
import type { Catalog } from './catalog.ts'

/** A name that is a word as it stands, wherever somebody's code says it, and no array of another. */
const plainName = /^[a-z][a-z0-9_]{0,62}$/

/** Whether what the statement makes runs nothing that others wrote, shows nothing, and is not taken for anything else. */
export function makesNoCode({ newObject, functions }: StatementFacts, catalog: Catalog): boolean {
  switch (newObject?.kind) {
    case 'extension':
      // One that is dropped in the open transaction would come anew, with all its code.
      return newObject.unlessThere && catalog.extensions.has(newObject.name) && !catalog.isAnyChanging
    case 'domain': {
      const { schema, name, base } = newObject
      const isTemporary = schema?.startsWith('pg_temp') === true
      // A value that is cast to it is given to what its CHECK calls.
      if (isTemporary || functions.some(called => isFelt(called))) return false
      // Rows of a table are a type as well, and hold what is masked in it. Arrays are called after what is in them.
      return isNewType(name, catalog) && withElement(base).every(each => !isRelation(each, catalog))
    }
    case 'collation':
      // Where others are equal too, being equal tells of a part of a value.
      return newObject.isDeterministic
    default:
      return false
  }
}

const isRelation = (name: string, catalog: Catalog): boolean => catalog.resolve(undefined, name).length > 0

/**
 * A trigger or a policy that casts to a type of this name would have the new one check what it was given; and a call of a function of it
 * would be a cast.
 */
const isNewType = (name: string, catalog: Catalog): boolean =>
  plainName.test(name) &&
  !isFollowed(name) &&
  !catalog.typeNames.has(name) &&
  !isRelation(name, catalog) &&
  !catalog.usedWords.has(name)
