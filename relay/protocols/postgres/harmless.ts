// Functions that show nothing but what they are given, the catalog's own texts, or the state of the session. Pure.
// PostgreSQL's immutable functions are harmless by their nature; these are the stable and volatile ones.
// Not here, on purpose: everything that takes SQL as text, reads files, large objects, other sessions or replication, or tells
// how much WAL was written: an UPDATE writes as many bytes as differ.

const groups = [
  // Time, session and server
  'now clock_timestamp statement_timestamp transaction_timestamp timeofday version current_database current_schema',
  'current_schemas current_setting current_query pg_backend_pid pg_is_in_recovery pg_postmaster_start_time pg_conf_load_time',
  'inet_client_addr inet_client_port inet_server_addr inet_server_port txid_current pg_current_xact_id pg_sleep random setseed',
  'txid_current_if_assigned txid_current_snapshot txid_status pg_current_xact_id_if_assigned pg_current_snapshot pg_xact_status',
  'pg_sleep_for pg_sleep_until pg_trigger_depth pg_listening_channels pg_notification_queue_usage pg_export_snapshot mxid_age',
  'pg_last_wal_receive_lsn pg_last_wal_replay_lsn',
  'pg_last_xact_replay_timestamp pg_is_wal_replay_paused pg_get_wal_replay_pause_state pg_xact_commit_timestamp',
  'pg_blocking_pids pg_safe_snapshot_blocking_pids pg_show_all_settings pg_settings_get_flags',
  'getpgusername system_user has_parameter_privilege has_largeobject_privilege pg_char_to_encoding pg_numa_available',
  'pg_get_wait_events random_normal uuidv4 uuidv7 pg_stat_clear_snapshot',
  'gen_random_uuid pg_client_encoding getdatabaseencoding pg_my_temp_schema pg_is_other_temp_schema pg_jit_available',
  // Dates, numbers, text
  'age date_part date_trunc extract timezone to_char to_date to_number to_timestamp date make_timestamptz make_interval',
  'isfinite concat concat_ws format quote_literal quote_nullable convert convert_from convert_to overlaps generate_series',
  'array_to_string array_append array_cat array_prepend array_remove array_position array_positions unnest cardinality',
  'time timetz timestamp timestamptz numeric money interval textanycat date_add date_subtract array_sample array_shuffle',
  'enum_first enum_last enum_range pg_column_size pg_column_compression pg_collation_for pg_input_is_valid pg_input_error_info xml_is_well_formed',
  'width_bucket lower upper length substring position text date_bin justify_interval pg_size_pretty pg_size_bytes',
  // JSON and aggregates
  'to_json to_jsonb row_to_json array_to_json json_build_object json_build_array json_object json_agg json_object_agg jsonb_agg',
  'jsonb_object_agg jsonb_build_object jsonb_build_array string_agg array_agg jsonb_pretty json_populate_record jsonb_populate_record',
  'count sum avg min max bool_and bool_or every stddev variance percentile_cont percentile_disc mode',
  'jsonb_populate_record_valid json_populate_recordset jsonb_populate_recordset json_to_record json_to_recordset jsonb_to_record jsonb_to_recordset',
  'jsonb_path_exists_tz jsonb_path_match_tz jsonb_path_query_tz jsonb_path_query_array_tz jsonb_path_query_first_tz',
  'json_to_tsvector jsonb_to_tsvector ts_debug ts_parse ts_token_type ts_match_tq ts_match_tt get_current_ts_config',
  'to_tsvector to_tsquery plainto_tsquery phraseto_tsquery websearch_to_tsquery ts_headline ts_rank',
  // The catalog's own texts, as psql, drivers and administration tools read them
  'format_type obj_description col_description shobj_description pg_typeof pg_get_userbyid pg_encoding_to_char',
  'pg_get_expr pg_get_indexdef pg_get_constraintdef pg_get_triggerdef pg_get_ruledef pg_get_viewdef pg_get_functiondef',
  'pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result pg_get_function_arg_default',
  'pg_get_function_sqlbody pg_get_partkeydef pg_get_partition_constraintdef pg_get_statisticsobjdef',
  'pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_serial_sequence pg_get_keywords pg_get_catalog_foreign_keys',
  'pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_operator_is_visible pg_opclass_is_visible',
  'pg_opfamily_is_visible pg_collation_is_visible pg_conversion_is_visible pg_statistics_obj_is_visible pg_ts_config_is_visible',
  'pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_index_column_has_property pg_index_has_property',
  'pg_indexam_has_property pg_relation_size pg_total_relation_size pg_table_size pg_indexes_size pg_database_size',
  'pg_tablespace_size pg_tablespace_location pg_relation_filenode pg_relation_filepath pg_relation_is_publishable',
  'pg_relation_is_updatable pg_column_is_updatable pg_describe_object pg_identify_object pg_options_to_table pg_partition_root',
  'pg_partition_ancestors pg_partition_tree pg_sequence_parameters pg_sequence_last_value pg_get_sequence_data pg_timezone_names pg_timezone_abbrevs',
  'pg_available_extensions pg_available_extension_versions pg_extension_config_dump pg_stat_get_last_analyze_time',
  'pg_stat_get_last_vacuum_time pg_stat_get_last_autovacuum_time pg_stat_get_last_autoanalyze_time pg_stat_get_live_tuples',
  'pg_get_object_address pg_identify_object_as_address pg_get_replica_identity_index pg_get_publication_tables to_regcollation',
  'pg_collation_actual_version pg_database_collation_actual_version pg_tablespace_databases pg_extension_update_paths oidvectortypes',
  'pg_stat_get_backend_idset pg_stat_get_backend_pid pg_stat_get_backend_dbid pg_stat_get_backend_userid pg_stat_get_backend_start',
  'pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type pg_basetype regclass aclitemout pg_get_acl',
  'pg_stat_get_dead_tuples pg_stat_get_numscans aclexplode acldefault makeaclitem to_regclass to_regtype to_regproc',
  'to_regprocedure to_regnamespace to_regtypemod to_regrole to_regoper to_regoperator has_table_privilege has_column_privilege',
  'has_any_column_privilege has_schema_privilege has_database_privilege has_function_privilege has_sequence_privilege',
  'has_type_privilege has_language_privilege has_server_privilege has_tablespace_privilege has_foreign_data_wrapper_privilege',
  'pg_has_role row_security_active currval lastval nextval set_config',
  'pg_advisory_lock pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock pg_advisory_lock_shared',
  'pg_advisory_unlock_shared pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_xact_lock',
  'pg_try_advisory_lock_shared pg_try_advisory_xact_lock_shared',
]

const harmless: ReadonlySet<string> = new Set(groups.flatMap(group => group.split(' ')))

/** Counters and times of the server's statistics, which its views are made of: src/backend/utils/adt/pgstatfuncs.c. */
const counters =
  /^pg_stat_get_(db|tuples|blocks|xact|bgwriter|checkpointer|buf|checkpoint|function|ins|mod|vacuum|autovacuum|analyze|autoanalyze|last|total)_\w+$/

/** Whether a function of PostgreSQL's own, named without its schema, is one of them. */
export function isHarmless(name: string): boolean {
  return harmless.has(name) || counters.test(name)
}

/**
 * Extensions whose immutable functions compute with what they are given, as PostgreSQL's own do. Not here, on purpose:
 * what connects elsewhere, reads pages or files, or takes SQL as text.
 */
export const extensions: ReadonlySet<string> = new Set([
  ...[
    'btree_gin',
    'btree_gist',
    'citext',
    'cube',
    'earthdistance',
    'fuzzystrmatch',
    'hstore',
    'intarray',
    'isn',
    'ltree',
  ],
  ...['pg_trgm', 'pgcrypto', 'postgis', 'seg', 'timescaledb', 'unaccent', 'uuid-ossp', 'vector'],
])

/** Functions of those extensions that are not immutable, and harmless too. */
export const extended: ReadonlySet<string> = new Set([
  ...['unaccent', 'uuid_generate_v1', 'uuid_generate_v1mc', 'uuid_generate_v4', 'gen_random_uuid', 'gen_random_bytes'],
  ...[
    'gen_salt',
    'show_limit',
    'show_trgm',
    'pgp_sym_encrypt',
    'pgp_sym_decrypt',
    'pgp_pub_encrypt',
    'pgp_pub_decrypt',
  ],
  ...['populate_record', 'word_similarity', 'strict_word_similarity'],
])

export function isHarmlessOfExtension(name: string): boolean {
  return extended.has(name)
}
