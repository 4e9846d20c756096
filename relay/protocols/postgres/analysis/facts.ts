// What is known of a statement from its text: kind, tables, columns, functions, names it defines or uses. Pure.
import type { Fact } from '@gate/shared/model'
import type { BoundSetting } from '../settings.ts'
import type { Beyond } from './beyond.ts'
import type { CopyOut } from './copy.ts'
import type { Lineage } from './lineage.ts'
import type { Making } from './making.ts'
import type { NewObject } from './new-object.ts'
import type { OtherObject, RelationName } from './objects.ts'
import type { Recordable } from './recordable.ts'

/** One thing a statement does; a statement with data-modifying CTEs does several. */
export interface Part {
  readonly action: string
  readonly writes: boolean
  readonly routine: boolean
  readonly reads: readonly RelationName[]
  readonly written: readonly RelationName[]
  /** Objects that are no relations: roles, schemas, functions that are dropped, … */
  readonly others: readonly OtherObject[]
  readonly facts: Readonly<Record<string, Fact>>
  /** Tables that it is about without naming them. */
  readonly beyond?: Beyond | undefined
  /** Of a nested part: what it writes is among what the command tag of the statement counts. */
  readonly tagged?: boolean
}

/** What a statement does with the names of prepared statements and cursors. */
export type Naming =
  | { readonly kind: 'prepare'; readonly name: string }
  | { readonly kind: 'execute'; readonly name: string }
  | { readonly kind: 'deallocate'; readonly name: string | undefined }
  | { readonly kind: 'declare'; readonly name: string; readonly holdable: boolean }
  | { readonly kind: 'fetch'; readonly name: string }
  | { readonly kind: 'close'; readonly name: string | undefined }
  | { readonly kind: 'discard'; readonly what: string }

export interface StatementFacts {
  readonly node: string
  /** Where the statement stands in the text, in bytes. */
  readonly start: number
  readonly length: number
  /** What the statement does, itself first. Empty when a name decides (EXECUTE, FETCH). */
  readonly parts: readonly Part[]
  readonly naming: Naming | undefined
  readonly transaction: string | undefined
  /** Of SAVEPOINT, RELEASE and ROLLBACK TO. */
  readonly savepoint?: string | undefined
  /** Why gate refuses the statement whatever policy says. */
  readonly fault: string | undefined
  /**
   * What it can change of how the server reads texts, from what gate takes for granted: whether a backslash in a literal is one,
   * or their encoding as well.
   */
  readonly changesReading: 'literals' | 'encoding' | undefined
  /** It makes values come in another encoding than UTF8, whatever is bound. */
  readonly otherEncoding: boolean
  /** Settings whose values are bound. */
  readonly boundSettings: readonly BoundSetting[]
  /** Every function and operator that it names, however deep; functions with their schema where it is given. */
  readonly functions: readonly string[]
  /** Functions that it calls if the server is too old to take them for syntax, and has them. */
  readonly newer: readonly string[]
  readonly operators: readonly string[]
  /** Names behind a dot, which can be functions of a row. */
  readonly fields: readonly string[]
  /** Types by name, and those of parameters by OID. */
  readonly types: readonly (string | number)[]
  /** Collations by name. */
  readonly collations: readonly string[]
  /** Settings that it changes; undefined for one whose name is computed. */
  readonly settings: readonly (string | undefined)[]
  /** The relation that it makes, or moves. */
  readonly makes?: Making | undefined
  /** Functions that are given queries as texts, which were read as its subqueries. */
  readonly opened?: readonly string[]
  /** ALTER TYPE or TABLE … CASCADE: tables that are of the type are altered as well, and views go with a column. */
  readonly cascades?: boolean
  /** It gives the sequence of an identity column a name, which is none of those that it writes to. */
  readonly namesSequence?: boolean
  /** What it makes that may run code. */
  readonly newObject?: NewObject | undefined
  /** It reads or writes what nobody knows: what comes of it may be anything. */
  readonly hasStrangers?: boolean
  /** It says names that can be others where the database is not in UTF8. */
  readonly isReadOtherwise: boolean
  /** What masking needs to know. */
  readonly lineage: Lineage
  readonly copyOut: CopyOut | undefined
  /** What may be written down of its text. */
  readonly recordable: Recordable
}

type ChangesReading = StatementFacts['changesReading']

/** What either of two changes. */
export function widest(a: ChangesReading, b: ChangesReading): ChangesReading {
  return a === 'encoding' || b === 'encoding' ? 'encoding' : (a ?? b)
}

/** The facts that every operation of this room has, with the values they have when nothing is said. */
export const noFacts = {
  objectType: '',
  hasWhere: false,
  hasLimit: false,
  returning: false,
  locking: false,
  columns: [] as readonly string[],
  columnsWritten: [] as readonly string[],
  functions: [] as readonly string[],
  setting: '',
  copyDirection: '',
  copyProgram: false,
  copyFile: false,
  analyze: false,
  nested: false,
  cursor: false,
  prepared: false,
  alterations: [] as readonly string[],
  language: '',
  cascade: false,
} satisfies Record<string, Fact>

/** Facts of a statement of which gate knows no more than where it stands, and why its columns cannot be followed. */
export function unfollowedFacts(
  node: string,
  start: number,
  length: number,
  reason: string,
): Omit<StatementFacts, 'recordable'> {
  return {
    node,
    start,
    length,
    parts: [],
    naming: undefined,
    transaction: undefined,
    fault: undefined,
    changesReading: undefined,
    otherEncoding: false,
    boundSettings: [],
    functions: [],
    newer: [],
    operators: [],
    fields: [],
    types: [],
    collations: [],
    settings: [],
    isReadOtherwise: false,
    lineage: { kind: 'unknown', reason },
    copyOut: undefined,
  }
}
