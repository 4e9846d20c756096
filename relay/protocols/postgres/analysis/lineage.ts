// What masking needs to know of a statement: which columns flow into its results, and which only decide about them. Pure.
// A parse tree without everything else, flat enough to be walked on any stack.

/** A column as written: `["email"]`, `["c", "email"]`, `["public", "customers", "email"]`; a star is `"*"`. */
export type ColumnName = readonly string[]

/** An expression: what flows into its value, and what only decides in it (CASE, FILTER, EXISTS, …). */
export interface Expression {
  readonly columns: readonly ColumnName[]
  /** Subqueries whose output flows in. */
  readonly queries: readonly Query[]
  readonly uses: readonly Use[]
  /** Comparisons whose outcome flows in: it tells no more than they do in a condition. */
  readonly tests: readonly Test[]
  readonly form: Form
  /** The value is cast to text, whole. */
  readonly cast: boolean
  /** It can be another value for each row, also where no column flows in: `random()`, `row_number() OVER ()`. */
  readonly varies?: true
}

export type Form =
  /** One column, or a star, and nothing else. */
  | 'column'
  /** The one value of a subquery, and nothing else. */
  | 'subquery'
  | 'computed'

export interface Letters {
  readonly case: 'lower' | 'upper'
  /** The value was cast to text before, whatever the type of the column. */
  readonly ofText: boolean
}

/** One side of a comparison. */
export interface Operand {
  readonly expression: Expression
  /** The column, when the operand is one, at most cast to text or in one case: equality then tells of the whole value. */
  readonly column: ColumnName | undefined
  /** The case that it is compared in, where it is not the value's own. */
  readonly letters?: Letters | undefined
  /** The type of PostgreSQL's own that the column is cast to, other than a text: wide enough for the whole value or not. */
  readonly widened?: string | undefined
}

export type Test =
  | {
      readonly kind: 'equality'
      readonly where: string
      readonly left: Operand
      readonly right: Operand
      /** How many comparisons it is: CASE tells which of several values is there. */
      readonly times: number
    }
  /** Whether a value is NULL, which a mask does not hide. `counted`: a row of NULLs alone is not, as it is for IS NULL. */
  | { readonly kind: 'presence'; readonly where: string; readonly expression: Expression; readonly counted?: true }

/** Values that decide which rows come, in which order or how many, without being shown. */
export type Use =
  | Test
  | { readonly kind: 'condition'; readonly where: string; readonly expression: Expression }
  | { readonly kind: 'exists'; readonly query: Query }
  /** Given to a function that keeps it, sends it or lets it be felt. */
  | { readonly kind: 'moved'; readonly where: string; readonly expression: Expression }

/** An item of ORDER BY, GROUP BY or DISTINCT ON: it can mean an output column, by position or by name. */
export interface Arrangement {
  readonly where: string
  readonly expression: Expression
  readonly position: number | undefined
  /** It is one of several sets of GROUP BY: in each of them other items are missing. */
  readonly inSet: boolean
}

export type From =
  | {
      readonly kind: 'relation'
      readonly schema: string | undefined
      readonly name: string
      readonly alias: string | undefined
      /** Names that the alias gives to columns, in order. */
      readonly columns: readonly string[]
      /** It is written: then it is never one of the queries that WITH names. */
      readonly written: boolean
      /** TABLESAMPLE. */
      readonly sampled: readonly Use[]
    }
  | {
      readonly kind: 'query'
      readonly query: Query
      readonly lateral: boolean
      readonly alias: string | undefined
      readonly columns: readonly string[]
    }
  | {
      readonly kind: 'function'
      readonly expression: Expression
      /** Undefined when the name that PostgreSQL gives it is not known: it may be any. */
      readonly alias: string | undefined
      readonly columns: readonly string[]
    }
  | {
      readonly kind: 'join'
      readonly left: From
      readonly right: From
      readonly using: readonly string[] | 'natural' | undefined
      readonly conditions: readonly Use[]
      readonly alias: string | undefined
      readonly columns: readonly string[]
    }

export interface Output {
  /** Undefined when PostgreSQL's name for it is not known: it may be any. */
  readonly name: string | undefined
  /** It is probably called that, and may be called anything. */
  readonly guessed?: true
  /** It stands for columns of a composite value, whose number is not known: `(x).*`. */
  readonly expands?: true
  readonly expression: Expression
  /** Of a star, the generated columns are left out: COPY of a table does that. */
  readonly stored?: true
}

/** A column that SEARCH or CYCLE adds, made of others of the query, which it compares. */
export interface AddedColumn {
  readonly name: string
  readonly of: readonly string[]
}

export interface CommonTable {
  readonly name: string
  readonly columns: readonly string[]
  /** In the order in which they follow the others. */
  readonly added: readonly AddedColumn[]
  readonly query: Query
}

export type Body =
  | { readonly kind: 'select'; readonly outputs: readonly Output[] }
  | { readonly kind: 'set'; readonly compares: boolean; readonly left: Query; readonly right: Query }
  /** Every row's expression of a column together. */
  | { readonly kind: 'values'; readonly columns: readonly Expression[]; readonly expands: boolean }
  | {
      readonly kind: 'write'
      /** What is put into a table. */
      readonly moved: readonly Expression[]
      readonly source: Query | undefined
      /** ON CONFLICT: `excluded` names the row that could not be put in. */
      readonly excluded: boolean
      /** What RETURNING calls the row as it was before, and as it is now. */
      readonly versions: readonly string[]
      /** RETURNING. */
      readonly outputs: readonly Output[]
    }

export interface Query {
  readonly tables: readonly CommonTable[]
  readonly recursive: boolean
  readonly from: readonly From[]
  readonly body: Body
  readonly uses: readonly Use[]
  readonly arrangements: readonly Arrangement[]
  /** SELECT DISTINCT compares all outputs. */
  readonly distinct: boolean
}

/** Columns of a table that a definition names; none of them: those of its primary key. */
export interface ReferencedColumns {
  readonly schema: string | undefined
  readonly name: string
  readonly columns: readonly string[]
  /** Those of them that the table's name is before: where it has no such column, that calls a function of its row. */
  readonly dotted?: readonly string[]
}

/** Where the result of a statement goes. */
export type Sink =
  | 'client'
  /** To the client by COPY, where no row description says what it is made of. */
  | 'copy'
  /** Into an object of the database, or out of it by another way. */
  | 'elsewhere'
  /** Nowhere: EXPLAIN. */
  | 'plan'
  /** Nowhere, but it is run: EXPLAIN ANALYZE. */
  | 'analysis'

export type Lineage =
  | { readonly kind: 'query'; readonly query: Query; readonly sink: Sink }
  /** Neither shows nor moves what tables hold. */
  | { readonly kind: 'inert' }
  /** Defines something that goes by columns of tables; `reason` is why no other table with masked columns may be in it. */
  | {
      readonly kind: 'definition'
      readonly references: readonly ReferencedColumns[]
      /** A table that it makes. */
      readonly made: { readonly schema: string | undefined; readonly name: string } | undefined
      readonly reason: string
    }
  /** `runs`: it is that of a prepared statement, whose result goes there. */
  | { readonly kind: 'unknown'; readonly reason: string; readonly runs?: Sink }
