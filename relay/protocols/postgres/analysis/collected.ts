// What a statement reads, writes and calls. Pure.
import type { ChangedSetting } from './changed-setting.ts'
import type { OtherObject, RelationName } from './objects.ts'

export interface NestedWrite {
  readonly action: string
  readonly written: readonly RelationName[]
  readonly hasWhere: boolean
  readonly columnsWritten: readonly string[]
  readonly returning: boolean
  /** The rows are among those that the command tag of the statement counts. */
  readonly tagged?: true
}

export interface Collected {
  readonly reads: readonly RelationName[]
  readonly written: readonly RelationName[]
  readonly others: readonly OtherObject[]
  readonly functions: readonly string[]
  /** Names of functions that the grammar of the newest server has for syntax; an older one may call functions of these names. */
  readonly newer: readonly string[]
  readonly operators: readonly string[]
  /** Names behind a dot: `f` of `t.f`, which is a column, or else a function of the row t. */
  readonly fields: readonly string[]
  /** Names of types, without their schemas. */
  readonly types: readonly string[]
  /** Names of collations, without their schemas. */
  readonly collations: readonly string[]
  readonly columns: readonly string[]
  readonly columnsWritten: readonly string[]
  readonly hasWhere: boolean
  readonly returning: boolean
  /** FOR UPDATE and the like, however deep. */
  readonly locking: boolean
  /** Data-modifying CTEs, and what the statement writes besides what its name says. */
  readonly nested: readonly NestedWrite[]
  /** What set_config() changes. */
  readonly settings: readonly ChangedSetting[]
}
