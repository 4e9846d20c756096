// What kind of command each statement is: every statement of PostgreSQL's grammar, by its parse node. Pure.
import { settingName } from '../settings.ts'
import { constant, type JsonObject, list, object, text } from './tree.ts'

export interface Kind {
  readonly action: string
  /** What kind of object a schema command is about; empty for others. */
  readonly objectType: string
  readonly writes: boolean
  /** Keeps the session going and touches no data. */
  readonly routine: boolean
}

const kind = (action: string, objectType = '', writes = true, routine = false): Kind => ({
  action,
  objectType,
  writes,
  routine,
})
const create = (objectType: string): Kind => kind('create', objectType)
const alter = (objectType: string): Kind => kind('alter', objectType)
const drop = (objectType: string): Kind => kind('drop', objectType)

/** `OBJECT_FOREIGN_TABLE` → `foreign_table`; materialised views have a name that people write. */
export function objectTypeOf(value: string): string {
  const name = value.replace(/^OBJECT_/, '').toLowerCase()
  return name === 'matview' ? 'materialized_view' : name
}

const byObject =
  (action: string, field: string) =>
  (statement: JsonObject): Kind =>
    kind(action, objectTypeOf(text(statement[field])))

const transactions: Readonly<Record<string, Kind>> = {
  TRANS_STMT_PREPARE: kind('prepare_transaction'),
  TRANS_STMT_COMMIT_PREPARED: kind('prepare_transaction'),
  TRANS_STMT_ROLLBACK_PREPARED: kind('prepare_transaction'),
}

const settings = (statement: JsonObject): Kind => {
  const name = settingName(text(statement['name']))
  if (name !== 'role' && name !== 'session_authorization') return kind('set', '', false, true)
  return kind('set_role', '', !goesBack(statement))
}

/** RESET ROLE, SET ROLE NONE and SET SESSION AUTHORIZATION DEFAULT: one becomes who one was when the session began. */
function goesBack({ kind: how, name, args }: JsonObject): boolean {
  if (how === 'VAR_RESET' || how === 'VAR_SET_DEFAULT') return true
  return settingName(text(name)) === 'role' && list(args).map(constant)[0] === 'none'
}

/** Node name → kind. A statement that is not here is refused. */
const kinds: Readonly<Record<string, Kind | ((statement: JsonObject) => Kind)>> = {
  SelectStmt: kind('select', '', false),
  InsertStmt: kind('insert'),
  UpdateStmt: kind('update'),
  DeleteStmt: kind('delete'),
  MergeStmt: kind('merge'),
  TruncateStmt: kind('truncate', 'table'),
  CopyStmt: kind('copy'),
  CallStmt: kind('call'),
  DoStmt: kind('do'),
  ExplainStmt: kind('explain', '', false),
  // What they prepare, run or fetch decides; these are only their own names.
  PrepareStmt: kind('prepare', '', false),
  ExecuteStmt: kind('execute'),
  DeclareCursorStmt: kind('declare', '', false),
  FetchStmt: kind('fetch', '', false),
  DeallocateStmt: kind('deallocate', '', false, true),
  ClosePortalStmt: kind('close', '', false, true),
  DiscardStmt: kind('discard', '', false, true),
  TransactionStmt: statement => transactions[text(statement['kind'])] ?? kind('transaction', '', false, true),
  VariableSetStmt: settings,
  VariableShowStmt: kind('show', '', false, true),
  ConstraintsSetStmt: kind('set', '', false, true),
  ListenStmt: kind('listen', '', false),
  UnlistenStmt: kind('unlisten', '', false, true),
  NotifyStmt: kind('notify'),
  LockStmt: kind('lock', '', false),
  LoadStmt: kind('load'),
  CheckPointStmt: kind('checkpoint'),
  VacuumStmt: statement => kind(statement['is_vacuumcmd'] === true ? 'vacuum' : 'analyze', 'table'),
  ClusterStmt: kind('cluster', 'table'),
  ReindexStmt: statement =>
    kind(
      'reindex',
      text(statement['kind'])
        .replace(/^REINDEX_OBJECT_/, '')
        .toLowerCase(),
    ),
  RefreshMatViewStmt: kind('refresh', 'materialized_view'),
  CommentStmt: byObject('comment', 'objtype'),
  SecLabelStmt: byObject('security_label', 'objtype'),
  GrantStmt: statement =>
    kind(statement['is_grant'] === true ? 'grant' : 'revoke', objectTypeOf(text(statement['objtype']))),
  GrantRoleStmt: statement => kind(statement['is_grant'] === true ? 'grant' : 'revoke', 'role'),
  AlterDefaultPrivilegesStmt: ({ action }) =>
    kind(object(action)['is_grant'] === true ? 'grant' : 'revoke', 'default_privileges'),

  CreateStmt: create('table'),
  CreateTableAsStmt: byObject('create', 'objtype'),
  ViewStmt: create('view'),
  CreateForeignTableStmt: create('foreign_table'),
  ImportForeignSchemaStmt: create('foreign_table'),
  CreateSeqStmt: create('sequence'),
  IndexStmt: create('index'),
  CreateFunctionStmt: statement => create(statement['is_procedure'] === true ? 'procedure' : 'function'),
  CreateTrigStmt: create('trigger'),
  CreateEventTrigStmt: create('event_trigger'),
  RuleStmt: create('rule'),
  CreateSchemaStmt: create('schema'),
  CreateExtensionStmt: create('extension'),
  CreateDomainStmt: create('domain'),
  CreateEnumStmt: create('type'),
  CreateRangeStmt: create('type'),
  CompositeTypeStmt: create('type'),
  DefineStmt: byObject('create', 'kind'),
  CreateRoleStmt: create('role'),
  CreatedbStmt: create('database'),
  CreateTableSpaceStmt: create('tablespace'),
  CreateCastStmt: create('cast'),
  CreateConversionStmt: create('conversion'),
  CreateOpClassStmt: create('operator_class'),
  CreateOpFamilyStmt: create('operator_family'),
  CreateAmStmt: create('access_method'),
  CreatePLangStmt: create('language'),
  CreatePolicyStmt: create('policy'),
  CreatePublicationStmt: create('publication'),
  CreateSubscriptionStmt: create('subscription'),
  CreateFdwStmt: create('foreign_data_wrapper'),
  CreateForeignServerStmt: create('foreign_server'),
  CreateUserMappingStmt: create('user_mapping'),
  CreateTransformStmt: create('transform'),
  CreateStatsStmt: create('statistics'),

  AlterTableStmt: byObject('alter', 'objtype'),
  RenameStmt: byObject('alter', 'renameType'),
  AlterObjectSchemaStmt: byObject('alter', 'objectType'),
  AlterObjectDependsStmt: byObject('alter', 'objectType'),
  AlterOwnerStmt: byObject('alter', 'objectType'),
  AlterFunctionStmt: byObject('alter', 'objtype'),
  AlterRoleStmt: alter('role'),
  AlterRoleSetStmt: alter('role'),
  AlterDatabaseStmt: alter('database'),
  AlterDatabaseSetStmt: alter('database'),
  AlterDatabaseRefreshCollStmt: alter('database'),
  AlterSystemStmt: alter('system'),
  AlterSeqStmt: alter('sequence'),
  AlterDomainStmt: alter('domain'),
  AlterEnumStmt: alter('type'),
  AlterTypeStmt: alter('type'),
  AlterExtensionStmt: alter('extension'),
  AlterExtensionContentsStmt: alter('extension'),
  AlterPolicyStmt: alter('policy'),
  AlterPublicationStmt: alter('publication'),
  AlterSubscriptionStmt: alter('subscription'),
  AlterFdwStmt: alter('foreign_data_wrapper'),
  AlterForeignServerStmt: alter('foreign_server'),
  AlterUserMappingStmt: alter('user_mapping'),
  AlterTableSpaceOptionsStmt: alter('tablespace'),
  AlterTableMoveAllStmt: alter('tablespace'),
  AlterOpFamilyStmt: alter('operator_family'),
  AlterOperatorStmt: alter('operator'),
  AlterCollationStmt: alter('collation'),
  AlterTSDictionaryStmt: alter('text_search_dictionary'),
  AlterTSConfigurationStmt: alter('text_search_configuration'),
  AlterStatsStmt: alter('statistics'),
  AlterEventTrigStmt: alter('event_trigger'),
  ReassignOwnedStmt: alter('owned'),

  DropStmt: byObject('drop', 'removeType'),
  DropRoleStmt: drop('role'),
  DropdbStmt: drop('database'),
  DropTableSpaceStmt: drop('tablespace'),
  DropOwnedStmt: drop('owned'),
  DropSubscriptionStmt: drop('subscription'),
  DropUserMappingStmt: drop('user_mapping'),
}

/** The kind of a statement; undefined when its node is not known. */
export function kindOf(name: string, statement: JsonObject): Kind | undefined {
  const found = Object.hasOwn(kinds, name) ? kinds[name] : undefined
  return typeof found === 'function' ? found(statement) : found
}

export const knownStatements: readonly string[] = Object.keys(kinds)
