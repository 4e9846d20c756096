// What a person from whom columns are masked may run at all: plain projections and writes of given values. Pure.
// Deny unless it is known to be safe; the second net is the mask by table and column number on every row.
import type { MaskObligation } from '@gate/shared/model'
import type { RelationName } from './analysis/collect.ts'
import type { StatementFacts } from './analysis/facts.ts'
import { isHarmless } from './harmless.ts'
import type { MaskedColumns } from './masked-columns.ts'

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
      'pg_catalog.pg_subscription.subconninfo',
      '*.pg_stat_statements.query',
    ],
    detect: [],
    with: 'null',
    fixed: undefined,
  },
]

/** Commands that run, or define for later, what gate cannot look into. */
const opaque: Readonly<Record<string, string>> = {
  DoStmt: 'DO runs code',
  CallStmt: 'CALL runs code',
  LoadStmt: 'LOAD runs code',
  CreateFunctionStmt: 'functions hide what they read',
  AlterFunctionStmt: 'functions hide what they read',
  CreateTrigStmt: 'triggers hide what they read',
  CreateEventTrigStmt: 'triggers hide what they read',
  RuleStmt: 'rules hide what they read',
  DefineStmt: 'operators, aggregates and types run functions',
  CreateCastStmt: 'casts run functions',
  CreateDomainStmt: 'domains run functions',
  AlterDomainStmt: 'domains run functions',
  CreateExtensionStmt: 'extensions bring code',
  CreatePLangStmt: 'languages run code',
  CreateTransformStmt: 'transforms run functions',
  CreateConversionStmt: 'conversions run functions',
  CreateSubscriptionStmt: 'replication carries whole tables',
  CreatePublicationStmt: 'replication carries whole tables',
  CreateForeignTableStmt: 'foreign tables carry data elsewhere',
  CreateForeignServerStmt: 'foreign tables carry data elsewhere',
  ImportForeignSchemaStmt: 'foreign tables carry data elsewhere',
}

/** Whether a statement touches a relation with masked columns. */
export function touchesMasked(facts: StatementFacts, masked: MaskedColumns): boolean {
  return relationsOf(facts).some(name =>
    masked.catalog.resolve(name.schema, name.name).some(relation => isMasked(masked, relation.oid)),
  )
}

function relationsOf(facts: StatementFacts): RelationName[] {
  return facts.parts.flatMap(part => [...part.reads, ...part.written])
}

function isMasked(masked: MaskedColumns, oid: number): boolean {
  const names = masked.names(oid)
  return names === undefined || names.size > 0
}

/** Why the statement cannot be run while these columns are masked; undefined when it can. */
export function maskingRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const why = opaque[facts.node]
  if (why !== undefined) return `columns are masked for you, and ${why}`
  if (facts.parts.some(part => part.action === 'set_role'))
    return 'columns are masked for you, so the session stays the one they are masked in'
  const call = facts.functions.find(
    name => !masked.catalog.isImmutable(name) && !(masked.catalog.isBuiltIn(name) && isHarmless(name)),
  )
  if (call !== undefined) return `columns are masked for you, and gate does not know that ${call}() shows none of them`
  const operator = facts.operators.find(name => !masked.catalog.isBuiltInOperator(name))
  if (operator !== undefined) return `columns are masked for you, and the operator ${operator} is not PostgreSQL's own`
  return touchesMasked(facts, masked) ? shapeRefusal(facts, masked) : undefined
}

function shapeRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const { shape } = facts
  if (shape.kind === 'inert') return undefined
  const relations = relationsOf(facts).flatMap(name => masked.catalog.resolve(name.schema, name.name))
  const named = (oid: number): string => {
    const relation = masked.catalog.relation(oid)
    return `${relation?.schema}.${relation?.name}`
  }
  for (const relation of relations) {
    const names = masked.names(relation.oid)
    if (names === undefined) return `the view ${named(relation.oid)} is made of masked columns`
    if (names.size === 0) continue
    if (shape.kind === 'none') return `${named(relation.oid)} has masked columns, and ${shape.reason}`
    const used = shape.used.find(column => names.has(column))
    if (used !== undefined)
      return `${named(relation.oid)}.${used} is masked for you, so it can be selected but not used in a condition or computation`
  }
  return undefined
}

/** What the person can do instead. */
export const maskingHint =
  'Select the plain columns you need, without expressions; or ask for a target where they are not masked for you.'
