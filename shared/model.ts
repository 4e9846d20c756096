// The words all of gate shares: who asks, for what, and what was decided. Types only.

/** A person or machine, as its OpenID provider describes it. */
export interface Subject {
  /** `issuer` and `sub` joined by `|`: the only stable name of a person. */
  readonly id: string
  readonly issuer: string
  readonly email: string | undefined
  readonly name: string | undefined
  readonly groups: readonly string[]
}

/** A private system that an agent serves. */
export interface Target {
  readonly name: string
  readonly protocol: string
  readonly labels: Readonly<Record<string, string>>
  /** What the protocol's room needs to know before it dials, for example the database's name. Never a credential. */
  readonly options: Readonly<Record<string, string>>
}

/** A thing that a command reads or writes, by its full name as far as the command says it. */
export interface Resource {
  readonly kind: string
  readonly name: string
  readonly mode: 'read' | 'write'
}

/** One bound value; `text` is cut at the room's limit, `bytes` is the full length, null stands for SQL NULL. */
export interface Parameter {
  readonly text: string | null
  readonly bytes: number
  readonly format: 'text' | 'binary'
  /** The name of the type that the client declared, in the protocol's words. */
  readonly type?: string
}

export type Fact = string | number | boolean | null | readonly string[]

/** What policy and people see of one command. Everything in it is recorded. */
export interface Operation {
  readonly protocol: string
  readonly action: string
  readonly resources: readonly Resource[]
  /** The command exactly as sent. */
  readonly text: string
  readonly parameters: readonly Parameter[]
  /** Whether it may change anything, here or elsewhere; decides how durable its record must be. */
  readonly writes: boolean
  /** Keeps the connection going and touches no data (BEGIN, SHOW): allowed unless a rule says otherwise. */
  readonly routine: boolean
  /** What the room knows. Every documented fact of the protocol is present in every operation. */
  readonly facts: Readonly<Record<string, Fact>>
  /** The document that it carries, for policy alone (`op.body`): what is recorded of it is in `text`. */
  readonly document?: unknown
  /** Facts, `text` and `body` among them, that are not known: a condition that asks for one cannot be computed. */
  readonly unknown?: readonly string[]
  /** Rows that it has written and not committed, when people are asked about their number. */
  readonly rows?: number
}

export type FactType = 'string' | 'bool' | 'int' | 'list<string>'

/** The facts that rules may use, by name. */
export type Vocabulary = Readonly<Record<string, FactType>>

/** Who must agree, for example "1 of dba and 1 of managers". */
export interface Quorum {
  readonly text: string
  readonly parts: readonly { readonly count: number; readonly group: string }[]
}

export type MaskKind = 'redact' | 'partial' | 'hash' | 'null' | 'fixed'

/** What a target expects a command to do, before it runs it. */
export interface Estimate {
  readonly rows: number
  /** The target's own words, for people. */
  readonly detail: string
}

/** An obligation to hide values (XACML's word: what the enforcement point must do when it allows). */
export interface MaskObligation {
  readonly kind: 'mask'
  /** `schema.table.column` patterns; `*` stands for any one name. Empty when `detect` is used. */
  readonly columns: readonly string[]
  readonly detect: readonly string[]
  readonly with: MaskKind
  readonly fixed: string | undefined
  /** What becomes of a column that is computed from a masked one: the command is refused, or the column masked. */
  readonly computed: 'deny' | 'mask'
  /** What a masked column may decide: anything, whether it equals a given value, or nothing. */
  readonly predicates: 'allow' | 'equality' | 'deny'
}

/** An obligation to hide fields of answers that are documents, and headers of them. */
export interface FieldMaskObligation {
  readonly kind: 'mask-fields'
  /** Names joined by dots; `*` stands for any one name, `**` for any number of them. Arrays have no name: they are looked through. */
  readonly fields: readonly string[]
  /** Names of headers, in lower case. */
  readonly headers: readonly string[]
  /** Routes whose answers are masked; empty stands for all. */
  readonly routes: readonly string[]
  readonly with: MaskKind
  readonly fixed: string | undefined
}

/** An obligation to stop a write that changes more rows than this, before it is committed. */
export interface RowLimitObligation {
  readonly kind: 'row-limit'
  readonly rule: string
  readonly rows: number
  readonly then: 'hold' | 'deny'
  readonly hold: Hold | undefined
}

export type Obligation = MaskObligation | FieldMaskObligation | RowLimitObligation

export interface Allow {
  readonly effect: 'allow'
  readonly rule: string
  readonly obligations: readonly Obligation[]
  /** The command is recorded as it was sent, too, for those only who may read that. */
  readonly record?: 'full'
}

export interface Deny {
  readonly effect: 'deny'
  readonly rule: string
  readonly reason: string
  /** What the person can do instead. */
  readonly hint: string | undefined
  readonly record?: 'full'
}

export interface Hold {
  readonly effect: 'hold'
  readonly rule: string
  readonly approvers: Quorum
  readonly timeoutMs: number
  readonly obligations: readonly Obligation[]
  /** Whether the command waits for people, or is refused until it comes again with their approval. */
  readonly mode: 'wait' | 'retry'
  /** How long one approval may stand for repetitions; undefined when it stands for one command only. */
  readonly grants: { readonly maxMs: number } | undefined
  /** Whether approvers are told what the target expects the command to do. */
  readonly estimate: boolean
  /** Groups whose members may pass without being approved, at the price of a review. */
  readonly breakGlass: readonly string[]
  readonly record?: 'full'
}

export type Decision = Allow | Deny | Hold
export type Settled = Allow | Deny

/** Everything a decision depends on (OpenID AuthZEN: subject, action, resource, context). */
export interface AccessRequest {
  readonly subject: Subject
  readonly target: Target
  readonly operation: Operation
  readonly context: Context
}

export interface Context {
  readonly task: string | undefined
  readonly reason: string | undefined
  /** Milliseconds since 1970-01-01 UTC. */
  readonly timeMs: number
}

/** How a person uses an open local port, in the protocol's own words; filled in by the CLI, which knows no protocol. */
export interface ConnectHint {
  /** Lines to print. `{host}`, `{port}`, `{target}`, `{file:NAME}` are replaced. */
  readonly lines: readonly { readonly label: string; readonly text: string }[]
  /** Environment of `gate connect … -- command`. */
  readonly environment: Readonly<Record<string, string>>
  /** Sections that the CLI keeps up to date in files of its own, for example pg_service.conf. */
  readonly files: readonly { readonly name: string; readonly section: string; readonly text: string }[]
}

/**
 * What a local port answers while no relay can be asked: the first rule whose `when` (hex) starts the
 * client's bytes is replied with (hex) and those bytes are taken away; a rule without `when` ends the connection.
 */
export interface OfflineAnswer {
  readonly rules: readonly {
    readonly when?: string
    readonly take?: number
    readonly reply: string
    readonly end: boolean
  }[]
  /** Bytes to wait for before the rules are tried. */
  readonly need: number
}

export interface OfflineAnswers {
  readonly unreachable: OfflineAnswer
  readonly unauthenticated: OfflineAnswer
}
