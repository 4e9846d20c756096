// Messages that were sent to the server and are not answered yet, in order: what each answer belongs to. Pure.
import type { Queue } from '@gate/shared/queue'
import type { Declaration } from '../machine.ts'
import type { StatementFacts } from './analysis/facts.ts'
import type { ErrorFields } from './codec.ts'
import type { CopyOut } from './copy-out.ts'
import type { HeldMasks, MaskingContext, RowMask } from './mask.ts'
import type { TextGuard } from './texts.ts'
import type { Failing } from './unreadable.ts'

/** A statement as it was prepared; `facts` is undefined for an empty one. */
export interface Prepared {
  readonly text: string
  readonly facts: StatementFacts | undefined
  readonly parameterTypes: readonly number[]
  /** Whether planning it can put masked values into the text of an error. */
  readonly sensitive: boolean
  /** Undefined when nothing is masked for this person, or it is not known yet. */
  readonly guard: TextGuard | undefined
  /**
   * Whether what was decided when it was parsed still holds: Bind plans it, which can call what its functions are by then. Undefined
   * where nothing can make it wrong.
   */
  stands?: (() => boolean) | undefined
  /** Where it is a cursor WITH HOLD, what was masked of its rows when it was declared. */
  readonly held?: HeldMasks | undefined
  /** Where a portal's name stands for it, what was bound. */
  readonly bound?: Bound
}

/** Values of a portal's parameters. */
export interface Bound {
  readonly parameters: readonly { readonly format: number; readonly value: Buffer | null }[]
  /** Bytes of parameters that were too many to be kept. */
  readonly uninspectedBytes: number
}

/** How a statement is judged once more whose answer was long in coming: what its names mean may be something else by then. */
export interface Again {
  /** Whether it has to be, now. */
  isDue(): boolean
  /** How it is to be carried out by the catalog of now; undefined: it must not run. */
  judge(): Promise<Pick<StatementPlan, 'masking' | 'sensitive' | 'looksUp'> | undefined>
}

/** How a statement that was allowed is carried out. */
export interface StatementPlan {
  /** What it was decided by: the gate's basis of then. */
  readonly basis: unknown
  /** The gate's numbers for its outcome. */
  readonly commands: readonly number[]
  /** Undefined when nothing is masked for this person. */
  masking: MaskingContext | undefined
  /** Whether texts of errors and notices can carry masked values. */
  sensitive: boolean
  /** Whether what it computes can look things up by name (`email::regclass`), so that names in texts can be masked values. */
  looksUp?: boolean
  /** It can change how the server reads the client's texts. */
  readonly changesReading?: StatementFacts['changesReading']
  /** It runs code that gate does not see, which can change settings too. */
  readonly runsCode?: boolean
  /** It changes what names mean, for as long as its transaction is open. */
  readonly changesNames?: boolean
  /** It changes the catalog, which others see when its transaction is over. */
  readonly changesCatalog?: boolean
  /** Whether what was decided still holds: no other session has begun to change what the statement names. */
  readonly isCurrent?: () => boolean
  /** Undefined once it was judged again, or need not be. */
  again?: Again | undefined
  /** Applied when the server says that the statement is done. */
  readonly naming: StatementFacts['naming'] | undefined
  /** What a name defined by `naming` stands for. */
  readonly defines: Prepared | undefined
  readonly endsTransaction: boolean
  /** For agents that check approvals themselves. */
  readonly declaration: Declaration
  /** Of `commands`, the one whose rows are counted before its transaction is committed. */
  readonly counted: number | undefined
}

export interface Portal extends Bound {
  readonly prepared: Prepared | undefined
  /** It is a cursor that SQL declared. */
  readonly declared: boolean
  /** Kept beyond its transaction (WITH HOLD). */
  readonly holdable: boolean
  /** `unknown` until a description came; undefined when nothing of it is masked. */
  rowMask: RowMask | undefined | 'unknown'
  /** The body of the server's RowDescription, read when a row is masked by it; undefined before it came. */
  description: Buffer | undefined
  /** A Describe of this portal is on its way or answered. */
  described: boolean
  /** Set by the first Execute. One that goes on with a suspended portal is the same command, as long as policy is the same. */
  plan: StatementPlan | undefined
  suspended: boolean
  /** The server has answered an Execute of it: what is decided over was run. */
  executed: boolean
}

interface Common {
  /** Counts the Syncs before it: after an error the server skips the rest of the segment. */
  readonly segment: number
}

/** A refused message went to the server as one that can only fail; its error is replaced by this one. */
interface Refusable {
  readonly refusal: ErrorFields | undefined
  /** Set when the server's error about this text stands. */
  readonly failing?: Failing | undefined
}

export interface QueryEntry extends Common, Refusable {
  readonly kind: 'query'
  readonly plans: readonly StatementPlan[]
  /** The statement that the server is at. */
  index: number
  rowMask: RowMask | undefined | 'unknown'
  description: Buffer | undefined
  bytes: number
  /** When the first of the answer came; of a query, that of the statement that the server is at. */
  firstByteAtMs: number | undefined
  copyIn: boolean
  /** What rewrites the COPY data that are under way; undefined when they pass as they are. */
  copyOut: CopyOut | undefined
  failed: boolean
}

export interface ParseEntry extends Common, Refusable {
  readonly kind: 'parse'
  readonly name: string
  readonly prepared: Prepared | undefined
}

export interface BindEntry extends Common {
  readonly kind: 'bind'
  readonly name: string
  readonly portal: Portal
}

export interface CloseEntry extends Common {
  readonly kind: 'close'
  readonly what: 'statement' | 'portal'
  readonly name: string
}

export interface DescribeEntry extends Common {
  readonly kind: 'describe'
  readonly portal: Portal | undefined
  /** Made by gate: its answer is not the client's. */
  readonly injected: boolean
}

export interface ExecuteEntry extends Common, Refusable {
  readonly kind: 'execute'
  readonly portal: Portal | undefined
  readonly plan: StatementPlan | undefined
  bytes: number
  firstByteAtMs: number | undefined
  copyIn: boolean
  copyOut: CopyOut | undefined
}

export interface FunctionEntry extends Common, Refusable {
  readonly kind: 'function'
  readonly plan: StatementPlan | undefined
  bytes: number
  firstByteAtMs: number | undefined
  failed: boolean
}

export interface SyncEntry extends Common {
  readonly kind: 'sync'
}

/** CopyDone or CopyFail: ends a COPY FROM STDIN, and means nothing to the server otherwise. */
export interface CopyEndEntry extends Common {
  readonly kind: 'copy-end'
}

/** Made by gate to open and end the transaction of a counted command: none of its answers is the client's, unless it fails. */
export interface InjectedEntry extends Common {
  readonly kind: 'injected'
  readonly what: Transaction
  done: boolean
  failed: boolean
}

export type Transaction = 'begin' | 'commit' | 'rollback'

export type Entry =
  | QueryEntry
  | ParseEntry
  | BindEntry
  | CloseEntry
  | DescribeEntry
  | ExecuteEntry
  | FunctionEntry
  | SyncEntry
  | CopyEndEntry
  | InjectedEntry

export type Pending = Queue<Entry>
