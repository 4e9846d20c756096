// Policy's patterns for columns, in order: which is the first that names a column. Pure.

interface Named {
  readonly schema: string
  readonly name: string
}

interface Pattern {
  /** `*` is any. */
  readonly schema: string
  readonly column: string
  /** Which of the lists it stands in. */
  readonly rank: number
}

const ANY = '*'
/** More than any list has. */
const NONE = Number.MAX_SAFE_INTEGER

/** Catalogs have columns by the hundred thousand and policies patterns by the hundred: each table meets only the patterns that can name it. */
export class ColumnPatterns {
  /** By the table's name, with those of any table under `*`. */
  readonly #byTable = new Map<string, Pattern[]>()

  /**
   * Lists of `schema.table.column`, `table.column` or `*.column`; a star stands for any one name, and with two parts the schema
   * is any.
   */
  constructor(lists: readonly (readonly string[])[]) {
    for (const [rank, patterns] of lists.entries()) {
      for (const pattern of patterns) {
        const [column = ANY, table = ANY, schema = ANY] = pattern.split('.').reverse()
        const known = this.#byTable.get(table)
        if (known === undefined) this.#byTable.set(table, [{ schema, column, rank }])
        else known.push({ schema, column, rank })
      }
    }
  }

  /** For a relation: the number of the first list that names a column, or more than there are lists; undefined when none names any. */
  of({ schema, name }: Named): ((column: string) => number) | undefined {
    const byColumn = new Map<string, number>()
    for (const table of [name, ANY]) {
      for (const pattern of this.#byTable.get(table) ?? []) {
        if (pattern.schema !== ANY && pattern.schema !== schema) continue
        byColumn.set(pattern.column, Math.min(pattern.rank, byColumn.get(pattern.column) ?? NONE))
      }
    }
    if (byColumn.size === 0) return undefined
    const any = byColumn.get(ANY) ?? NONE
    return column => Math.min(any, byColumn.get(column) ?? NONE)
  }
}
