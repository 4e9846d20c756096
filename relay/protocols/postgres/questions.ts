// What the machine has to ask before it can go on, and what it is told. Types only.

import type { RowCount } from '../protocol.ts'
import type { ErrorFields } from './codec.ts'
import type { MaskedColumns } from './masked-columns.ts'
import type { Lookup } from './names.ts'
import type { Again, Prepared, StatementPlan } from './pending.ts'
import type { ReadingNow } from './reading.ts'
import type { Failing } from './unreadable.ts'

export interface BoundValue {
  readonly format: number
  readonly value: Buffer | null
}

/** What SQL means by the name of a prepared statement or cursor, now. */
export type NameLookup = (kind: 'statement' | 'portal', name: string) => Lookup<Prepared | undefined>

/** A statement that is not read; only the beginning of its text is there. */
export interface TooLong {
  readonly kind: 'too-long'
  readonly bytes: number
  readonly beginning: Buffer
  /** There is no room for it now. */
  readonly isCrowded: boolean
}

export type Question =
  | {
      readonly kind: 'query'
      readonly text: Buffer
      readonly reading: ReadingNow | undefined
      readonly literals: ReadingNow['certain']
      readonly names: NameLookup
      readonly searchPath: string | undefined
    }
  | {
      readonly kind: 'parse'
      readonly text: Buffer
      readonly reading: ReadingNow | undefined
      readonly literals: ReadingNow['certain']
      readonly parameterTypes: readonly number[]
      readonly names: NameLookup
    }
  /** A statement is bound, and so planned, that was decided over when functions or views may have been others. */
  | { readonly kind: 'bind'; readonly prepared: Prepared; readonly names: NameLookup }
  | {
      readonly kind: 'execute'
      /** Undefined when gate did not see the statement being prepared. */
      readonly prepared: Prepared | undefined
      readonly portal: string
      /** The portal is suspended, and was decided over like this. */
      readonly goesOn: StatementPlan | undefined
      readonly reading: ReadingNow | undefined
      readonly parameters: readonly BoundValue[]
      readonly uninspectedBytes: number
      readonly names: NameLookup
      readonly searchPath: string | undefined
    }
  | {
      readonly kind: 'call'
      readonly function: number
      readonly parameters: readonly BoundValue[]
      readonly uninspectedBytes: number
      readonly searchPath: string | undefined
    }
  | TooLong
  /** A result comes from a table that the catalog does not know. */
  | { readonly kind: 'catalog'; readonly columns: MaskedColumns }
  /** The answer to a statement was long in coming. */
  | { readonly kind: 'again'; readonly again: Again }
  /** Commands under a row limit have run and are not committed; `fault` says why they cannot be, whatever was counted. */
  | { readonly kind: 'rows'; readonly counts: readonly RowCount[]; readonly fault: string | undefined }

export type Answer =
  | { readonly kind: 'go'; readonly plans: readonly StatementPlan[]; readonly prepared?: Prepared }
  /** With `failing`, the server gets that to fail at, and may say itself what is wrong with it. */
  | { readonly kind: 'refuse'; readonly error: ErrorFields; readonly failing?: Failing | undefined }
  /** The meaning of a name depends on answers that are on their way. */
  | { readonly kind: 'again' }
  /** `areOwn`: relations and columns that even this catalog does not know were made by the open transaction. */
  | { readonly kind: 'catalog'; readonly columns: MaskedColumns; readonly areOwn: boolean }
  /** How a statement is carried out that was judged once more; undefined: it must not run. */
  | { readonly kind: 'carried'; readonly carried: Awaited<ReturnType<Again['judge']>> }
