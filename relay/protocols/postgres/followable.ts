// Which commands people may run from whom something is masked: those that gate can follow, and none that run or hide code. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import { makesNoCode } from './definable.ts'

/** Why commands are refused that run, or define for later, what gate cannot look into; but for those of `makesNoCode`. */
const opaque: Readonly<Record<string, string>> = {
  DoStmt: 'DO runs code',
  CallStmt: 'CALL runs code',
  FunctionCall: 'a function call by its OID runs code',
  LoadStmt: 'LOAD runs code',
  CreateFunctionStmt: 'functions hide what they read',
  AlterFunctionStmt: 'functions hide what they read',
  CreateTrigStmt: 'triggers hide what they read',
  CreateEventTrigStmt: 'triggers hide what they read',
  RuleStmt: 'rules hide what they read',
  DefineStmt: 'new operators, aggregates, types and collations compute what gate does not follow',
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
  ClusterStmt: 'rows come in the order that it gives them',
}

/** Commands that can be followed, or that touch nothing but what they name; every other one is refused. */
const followable: ReadonlySet<string> = new Set([
  ...['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'TruncateStmt', 'ExplainStmt'],
  ...['PrepareStmt', 'ExecuteStmt', 'DeallocateStmt', 'DeclareCursorStmt', 'FetchStmt', 'ClosePortalStmt'],
  ...['TransactionStmt', 'VariableSetStmt', 'VariableShowStmt', 'ConstraintsSetStmt', 'DiscardStmt', 'LockStmt'],
  ...['ListenStmt', 'UnlistenStmt', 'NotifyStmt', 'CheckPointStmt', 'VacuumStmt', 'ReindexStmt'],
  ...['RefreshMatViewStmt', 'CommentStmt', 'GrantStmt', 'AlterDefaultPrivilegesStmt', 'AlterOwnerStmt', 'DropStmt'],
  ...[
    'CreateStmt',
    'CreateTableAsStmt',
    'ViewStmt',
    'IndexStmt',
    'CreateSeqStmt',
    'CreateSchemaStmt',
    'CreateStatsStmt',
  ],
  ...['CreateEnumStmt', 'CompositeTypeStmt', 'CreatePolicyStmt', 'AlterPolicyStmt', 'AlterTableStmt', 'AlterSeqStmt'],
  ...['CreateExtensionStmt', 'CreateDomainStmt', 'DefineStmt'],
  ...['AlterEnumStmt', 'AlterStatsStmt', 'RenameStmt', 'AlterObjectSchemaStmt'],
])

/** What can get another name: a function or a schema that did would be another one than the catalog says. */
const renamable: ReadonlySet<string> = new Set([
  ...['table', 'view', 'materialized_view', 'foreign_table', 'sequence', 'index', 'column', 'tabconstraint', 'policy'],
  ...['statistic_ext', 'trigger'],
])

/** Why a command is refused whatever it is about; undefined when it can be followed. */
export function opaqueCommand(facts: StatementFacts, catalog: Catalog): string | undefined {
  const { node, parts } = facts
  const known = opaque[node]
  if (known !== undefined && !makesNoCode(facts, catalog)) return known
  if (!followable.has(node)) return 'gate does not know that this command shows none of them'
  if (node === 'CreateSchemaStmt' && parts.length > 1) return 'statements inside CREATE SCHEMA are not followed'
  const said = parts[0]?.facts
  // A program can do anything, and the tables themselves are files.
  if (said?.['copyProgram'] === true || (said?.['copyFile'] === true && said['copyDirection'] === 'from'))
    return 'COPY with programs of the server, or from its files, reads what it likes'
  const type = said?.['objectType']
  const moves = node === 'RenameStmt' || node === 'AlterObjectSchemaStmt'
  return moves && !renamable.has(String(type)) ? 'names stay what they are while gate goes by them' : undefined
}
