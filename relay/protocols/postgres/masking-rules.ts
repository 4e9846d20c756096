// What a person from whom columns are masked may run at all: what gate can follow, and what only compares as policy allows. Pure.
// Deny unless it is known to be safe; the second net is the mask by table and column number on every row.
import type { MaskObligation, Obligation } from '@gate/shared/model'
import type { StatementFacts } from './analysis/facts.ts'
import { isMultiplying } from './analysis/forms.ts'
import { isFollowed } from './analysis/known-names.ts'
import type { Lineage } from './analysis/lineage.ts'
import { wholeTextTypes } from './analysis/tree.ts'
import { withElement } from './as-read.ts'
import { relationsBeyond } from './beyond.ts'
import type { Relation } from './catalog-relations.ts'
import { opaqueCommand } from './followable.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import { type Followed, follow } from './lineage/evaluate.ts'
import type { Missing } from './lineage/findings.ts'
import { type Column, flowsOf, keepsNull, maskOf } from './lineage/scope.ts'
import { isMade } from './made-callers.ts'
import type { ComputedColumns, CopyOutMasking, FedMask } from './mask.ts'
import type { MaskedColumns } from './masked-columns.ts'
import { writesSettings } from './operation.ts'
import { isPlanSetting, planRefusal } from './settings.ts'
import { shadowRefusal } from './shadows.ts'

/**
 * Columns of the system catalogs that hold values or texts of others: masked for everybody from whom anything is.
 * @see https://www.postgresql.org/docs/current/views.html
 */
export const systemMasks: readonly MaskObligation[] = [
  {
    kind: 'mask',
    columns: [
      'pg_catalog.pg_stats.*',
      'pg_catalog.pg_statistic.*',
      'pg_catalog.pg_stats_ext.*',
      'pg_catalog.pg_stats_ext_exprs.*',
      'pg_catalog.pg_statistic_ext_data.*',
      'pg_catalog.pg_stat_activity.query',
      'pg_catalog.pg_prepared_statements.statement',
      'pg_catalog.pg_cursors.statement',
      'pg_catalog.pg_largeobject.data',
      'pg_catalog.pg_authid.rolpassword',
      'pg_catalog.pg_shadow.passwd',
      'pg_catalog.pg_user_mapping.umoptions',
      'pg_catalog.pg_user_mappings.umoptions',
      'information_schema._pg_user_mappings.umoptions',
      'information_schema.user_mapping_options.option_value',
      'pg_catalog.pg_subscription.subconninfo',
      '*.pg_stat_statements.query',
      // An UPDATE writes as many bytes as differ from the values before.
      '*.pg_stat_statements.wal_bytes',
      '*.pg_stat_statements.wal_buffers_full',
      'pg_catalog.pg_stat_wal.*',
    ],
    detect: [],
    with: 'null',
    fixed: undefined,
    computed: 'deny',
    predicates: 'equality',
  },
  {
    kind: 'mask',
    columns: [
      // A value that rows have from before their column was added. pg_dump reads it in a CASE.
      'pg_catalog.pg_attribute.attmissingval',
      // How much WAL was written; monitoring computes with them.
      ...['restart_lsn', 'confirmed_flush_lsn', 'safe_wal_size'].map(name => `pg_catalog.pg_replication_slots.${name}`),
      ...['sent', 'write', 'flush', 'replay'].map(name => `pg_catalog.pg_stat_replication.${name}_lsn`),
      'pg_catalog.pg_replication_origin_status.local_lsn',
      // What was decoded of it: rows as they are since.
      ...['spill', 'stream', 'total'].map(name => `pg_catalog.pg_stat_replication_slots.${name}_bytes`),
      // Since version 18 also that of WAL, and each file of it that is full.
      ...['writes', 'write_bytes', 'write_time'].map(name => `pg_catalog.pg_stat_io.${name}`),
      ...['archived_count', 'last_archived_wal', 'last_archived_time'].map(
        name => `pg_catalog.pg_stat_archiver.${name}`,
      ),
      // How long the values are that a COPY of one's own, which waits, has sent so far.
      'pg_catalog.pg_stat_progress_copy.bytes_processed',
      // A serializable transaction locks the page of an index where the value is, or would be, that it looked up.
      ...['page', 'tuple'].map(name => `pg_catalog.pg_locks.${name}`),
      // Whoever looks a value up touches that page as well.
      ...['bufferid', 'relblocknumber', 'usagecount'].map(name => `*.pg_buffercache.${name}`),
    ],
    detect: [],
    with: 'null',
    fixed: undefined,
    computed: 'mask',
    predicates: 'deny',
  },
]

/** Whether a statement touches a relation with masked columns. */
function touchesMasked(facts: StatementFacts, masked: MaskedColumns): boolean {
  return relationsOf(facts, masked).some(relation => masked.isMasked(relation.oid))
}

/** What a statement names, or is about without naming it. */
export function relationsOf(facts: StatementFacts, masked: MaskedColumns): readonly Relation[] {
  return facts.parts
    .flatMap(part => [...part.reads, ...part.written])
    .flatMap(name => masked.catalog.resolve(name.schema, name.name))
    .concat(facts.parts.flatMap(part => relationsBeyond(part, masked.catalog)))
}

/** Whether any column is masked by name; other masks only search results. */
export function masksColumns(obligations: readonly Obligation[]): boolean {
  return obligations.some(obligation => obligation.kind === 'mask' && obligation.columns.length > 0)
}

/** Results that do not come to the client, or whose form is not known, are not searched. */
function unsearchedResult(facts: StatementFacts, obligations: readonly Obligation[]): string | undefined {
  const kinds = obligations.flatMap(obligation => (obligation.kind === 'mask' ? obligation.detect : []))
  if (kinds.length === 0) return undefined
  const { copyOut } = facts
  if (copyOut !== undefined && 'reason' in copyOut)
    return `the result of this COPY cannot be searched: ${copyOut.reason}`
  const copies = copyOut === undefined && facts.parts.some(part => part.facts['copyDirection'] === 'to')
  if (!copies && facts.node !== 'FunctionCall') return undefined
  const what = copies ? 'COPY to elsewhere' : 'a function call by its OID'
  return `results are searched for ${[...new Set(kinds)].join(', ')} before you see them, and that of ${what} cannot be`
}

/** Why the statement cannot be run while these columns are masked; undefined when it can. */
export function maskingRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const unsearched = unsearchedResult(facts, masked.obligations)
  if (unsearched !== undefined) return unsearched
  if (!masksColumns(masked.obligations)) return undefined
  const why = opaqueCommand(facts, masked.catalog)
  if (why !== undefined) return `columns are masked for you, and ${why}`
  if (makesTrusted(facts))
    return "columns are masked for you, and a type of this name would be taken for PostgreSQL's own"
  const shadow = shadowRefusal(facts, masked)
  if (shadow !== undefined) return shadow
  if (facts.parts.some(part => part.action === 'set_role' && part.writes) || writesSettings(facts, masked.catalog))
    return 'columns are masked for you, so the session stays the one they are masked in'
  const named = facts.parts.flatMap(part => [...part.reads, ...part.written])
  if (named.some(({ schema, name }) => schema === 'pg_toast' || /^pg_toast_\d/.test(name)))
    return 'columns are masked for you, and tables in pg_toast hold their long values'
  if (facts.isReadOtherwise && !masked.catalog.isUtf8)
    return 'columns are masked for you, and names in it are not told apart in the encoding of this database as in UTF8'
  const code = codeRefusal(facts, masked)
  if (code !== undefined) return code
  const loose = facts.newObject === undefined ? undefined : looseRefusal(facts, masked)
  if (loose !== undefined) return loose
  return touchesMasked(facts, masked) ? lineageRefusal(facts, masked) : undefined
}

/** Where other values are equal too, being equal tells of a part of a value. */
function looseRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const { loose } = masked.catalog
  // Options of a new collation are read as types, `provider = icu`; what it is copied from is among the collations.
  const types = facts.newObject?.kind === 'collation' ? [] : facts.types
  const name =
    facts.collations.find(collation => loose.collations.has(collation)) ??
    types.find(type => loose.types.has(type) || mayBeNew(type, masked.catalog))
  if (name === undefined) return undefined
  return `columns are masked for you, and ${nameOfType(name)} takes other values for equal as well`
}

/** Whether it can be a type that no snapshot shows yet, or shows otherwise: a row of it can have a field of any collation. */
function mayBeNew(type: string | number, catalog: MaskedColumns['catalog']): boolean {
  if (typeof type === 'number') return type >= FIRST_NORMAL_OBJECT_ID && catalog.isSomethingChanging
  // Of an array by the name that it has in the catalog.
  const names = withElement(type)
  const isKnown = names.some(name => catalog.typeNames.has(name) || catalog.resolve(undefined, name).length > 0)
  return !isKnown || names.some(name => catalog.isChanging(name))
}

/** What runs code that is not PostgreSQL's own, whatever tables the statement is about. */
function codeRefusal(facts: StatementFacts, { catalog, isRuled }: MaskedColumns): string | undefined {
  const call =
    facts.functions.find(name => !catalog.functions.showsOnlyItsArguments(name) && !isOpened(name, facts, catalog)) ??
    facts.newer.find(name => catalog.functions.isMade(name))
  if (call !== undefined) return `columns are masked for you, and gate does not know that ${call}() shows none of them`
  const cast = facts.functions.find(name => mayCast(name, catalog))
  if (cast !== undefined) return `columns are masked for you, and a type has the name of ${cast}()`
  const operator = facts.operators.find(name => !catalog.isBuiltInOperator(name))
  if (operator !== undefined) return `columns are masked for you, and the operator ${operator} is not PostgreSQL's own`
  const field = facts.fields.find(name => catalog.functions.isCalledOfRows(name))
  if (field !== undefined) return `columns are masked for you, and .${field} calls the function ${field}() of a row`
  const type = facts.types.find(name => catalog.isCastByFunction(name))
  if (type !== undefined) return `columns are masked for you, and casts of the type ${nameOfType(type)} run functions`
  const shadowed = declaring.has(facts.node)
    ? undefined
    : facts.types.find(name => typeof name === 'string' && trusted.has(name) && isShadowed(name, catalog))
  if (shadowed !== undefined) return `columns are masked for you, and ${shadowed} may be another type than PostgreSQL's`
  const setting = facts.settings.find(name => name !== undefined && isPlanSetting(name))
  if (setting !== undefined) return `columns are masked for you, and ${setting} ${planRefusal}`
  const changed = facts.parts.filter(part => rewritten.has(part.action)).flatMap(part => part.written)
  const made = changed.find(name => isMade('ruled', name, catalog))
  if (made !== undefined)
    return `columns are masked for you, and what rules of ${made.name} do is not known before this transaction is committed`
  const ruled = changed.flatMap(name => catalog.resolve(name.schema, name.name)).find(relation => isRuled(relation.oid))
  return ruled === undefined
    ? undefined
    : `columns are masked for you, and rules of ${full(ruled)} read them or run functions`
}

/** Whether what it is given to run was read. */
const isOpened = (name: string, { opened = [] }: StatementFacts, { functions }: MaskedColumns['catalog']): boolean =>
  opened.includes(name) && functions.isOfExtension(name, 'tablefunc')

const trusted: ReadonlySet<string> = new Set(wholeTextTypes)

/** What they make has columns of a type, whichever that is: nothing is cast to it, and it is as good as any other. */
const declaring: ReadonlySet<string> = new Set(['CreateStmt', 'CompositeTypeStmt'])

/** A relation's rows are a type of its name too; pg_temp and what search_path says can be looked into before pg_catalog. */
const isShadowed = (name: string, catalog: MaskedColumns['catalog']): boolean =>
  catalog.isChanging(name) || catalog.isMadeType(name) || catalog.resolve(undefined, name).length > 0

/** Whether what looks like the call of a function that is followed can be a cast. */
function mayCast(called: string, { typeNames }: MaskedColumns['catalog']): boolean {
  const name = called.slice(called.lastIndexOf('.') + 1)
  return isFollowed(name) && !called.startsWith('pg_catalog.') && typeNames.has(name)
}

/** Whether it makes a type of such a name, or one that calls would be casts to. */
const makesTrusted = ({ parts }: StatementFacts): boolean =>
  parts.some(({ action, written, others, facts }) => {
    const types = others.filter(({ kind }) => kind === 'type')
    return (
      action === 'create' &&
      facts['objectType'] === 'type' &&
      [...written, ...types].some(({ name }) => trusted.has(name) || isFollowed(name))
    )
  })

/** What rules are for, beside SELECT of views. */
const rewritten: ReadonlySet<string> = new Set(['insert', 'update', 'delete'])

const nameOfType = (type: string | number): string => (typeof type === 'number' ? `with OID ${type}` : type)

/** Whether what it computes can look for something that is called as a masked value is: by a cast, or by a function. */
export function canLookUp(facts: StatementFacts, masked: MaskedColumns): boolean {
  return touchesMasked(facts, masked) || facts.functions.length > 0
}

/** Whether texts of errors and notices can carry masked values. */
export function canQuoteValues(facts: StatementFacts, masked: MaskedColumns): boolean {
  if (canLookUp(facts, masked)) return true
  // A domain's check can call a function that quotes what it reads.
  if (facts.types.some(type => masked.catalog.isMadeType(type)) || facts.parts.some(part => part.writes)) return true
  return relationsOf(facts, masked).some(({ oid }) => masked.catalog.isGuarded(oid))
}

function lineageRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const { lineage } = facts
  if (lineage.kind === 'inert') return undefined
  const relations = relationsOf(facts, masked)
  const opaqueView = relations.find(relation => masked.isOpaque(relation.oid))
  if (opaqueView !== undefined) {
    const isView = opaqueView.kind === 'v' || opaqueView.kind === 'm'
    return isView
      ? `the view ${full(opaqueView)} is made of masked columns in a way that cannot be followed`
      : `${full(opaqueView)} has columns of types whose casts run functions`
  }
  const first = relations.find(relation => masked.isMasked(relation.oid))
  if (lineage.kind === 'definition') return definitionRefusal(lineage, relations, masked)
  if (lineage.kind === 'unknown')
    return `${first === undefined ? 'a table' : full(first)} has masked columns, and ${lineage.reason}`
  const rows = facts.functions.find(name => masked.catalog.functions.returnsSet(name) && !isMultiplying(name))
  if (rows !== undefined) return `gate does not know what decides how many rows ${rows}() gives`
  const { refusal, outputs, flows, touches, compares } = followed(lineage, masked)
  const isOpen = masked.obligations.every(each => each.kind !== 'mask' || each.predicates === 'allow')
  const loose = compares && !isOpen ? looseRefusal(facts, masked) : undefined
  if (loose !== undefined) return refusal ?? loose
  if (lineage.sink === 'analysis' && touches)
    return `${first === undefined ? 'a table' : full(first)} has masked columns, and EXPLAIN ANALYZE shows what it met`
  if (refusal !== undefined || lineage.sink !== 'copy' || flows.size === 0) return refusal
  if (facts.copyOut !== undefined && 'reason' in facts.copyOut)
    return `masked columns cannot be copied: ${facts.copyOut.reason}`
  return outputs === undefined ? 'nothing says which of the columns that it copies are masked ones' : undefined
}

/** What it makes may be called as a masked table is, and go by the clear columns of others. */
function definitionRefusal(
  { references, made, reason }: Extract<Lineage, { kind: 'definition' }>,
  relations: readonly Relation[],
  masked: MaskedColumns,
): string | undefined {
  const named = [...references, ...(made === undefined ? [] : [made])]
  const known = new Set(named.flatMap(({ schema, name }) => masked.catalog.resolve(schema, name).map(({ oid }) => oid)))
  const other = relations.find(({ oid }) => masked.isMasked(oid) && !known.has(oid))
  if (other !== undefined) return `${full(other)} has masked columns, and ${reason}`
  for (const { schema, name, columns, dotted = [] } of references) {
    const source = masked.source(schema, name)
    const call = dotted.find(each => !source?.columns.some(column => column.name === each && column.isCall !== true))
    if (call !== undefined) return `${name} has masked columns, and ${name}.${call} may be a function of its row`
    const hidden = source?.columns.filter(column => columns.length === 0 || columns.includes(column.name ?? ''))
    const [first] = flowsOf(hidden ?? [])
    if (first === undefined && source?.others === undefined) continue
    return columns.length === 0
      ? `${name} has masked columns: say which of its columns is referred to`
      : `${first?.label ?? name} is masked for you, so no key or index can be made of it`
  }
  return undefined
}

const full = (relation: Relation): string => `${relation.schema}.${relation.name}`

/** What was followed. A statement stays in the analyser's memory for long, so it must not hold the catalog of its time. */
const known = new WeakMap<MaskedColumns, WeakMap<Lineage, Followed>>()

function followed(lineage: Extract<Lineage, { kind: 'query' }>, masked: MaskedColumns): Followed {
  const under = known.get(masked) ?? new WeakMap<Lineage, Followed>()
  known.set(masked, under)
  const before = under.get(lineage)
  if (before !== undefined) return before
  const result = follow(lineage, masked.source)
  under.set(lineage, result)
  return result
}

/** A name in it that stands for nothing, where that is why it must not run. */
export function missing({ lineage }: StatementFacts, masked: MaskedColumns): Missing | undefined {
  return lineage.kind === 'query' ? followed(lineage, masked).missing : undefined
}

/** What becomes of the columns of a result that are not a table's own. */
export function computedColumns(facts: StatementFacts, masked: MaskedColumns): ComputedColumns {
  const { lineage } = facts
  if (lineage.kind === 'inert' || lineage.kind === 'definition') return 'clear'
  if (facts.hasStrangers === true) return 'masked'
  if (!touchesMasked(facts, masked)) return 'clear'
  if (lineage.kind === 'unknown') return 'masked'
  if (lineage.sink === 'plan' || lineage.sink === 'analysis') return 'clear'
  const { flows, outputs, described } = followed(lineage, masked)
  if (flows.size === 0) return 'clear'
  if (outputs !== undefined) return outputs.map(fedMask)
  // A cursor WITH HOLD no longer says after COMMIT what its columns are.
  return described && facts.node === 'SelectStmt' ? 'clear' : 'masked'
}

function fedMask(column: Column): FedMask | undefined {
  const mask = maskOf(column)
  return mask === undefined ? undefined : { mask, keepsNull: keepsNull(column) }
}

/** What has to be known of rows that leave by COPY TO STDOUT. */
export function copyOutMasking(
  { copyOut, lineage }: StatementFacts,
  masked: MaskedColumns,
): CopyOutMasking | undefined {
  if (copyOut === undefined || 'reason' in copyOut) return undefined
  return { form: copyOut.form, columns: lineage.kind === 'query' ? followed(lineage, masked).outputs : undefined }
}

/** What the person can do instead. */
export const maskingHint =
  'Select masked columns as they are, compute with the others; or ask for a target where they are not masked for you.'
