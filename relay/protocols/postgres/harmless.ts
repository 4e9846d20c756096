// Functions that show nothing but what they are given, the catalog's own texts, or the state of the session. Pure.
// PostgreSQL's immutable functions are harmless by their nature; these are the stable and volatile ones.
// Not here, on purpose: everything that takes SQL as text, reads files, large objects, other sessions or replication.

const groups = [
  // Time, session and server
  'now clock_timestamp statement_timestamp transaction_timestamp timeofday version current_database current_schema',
  'current_schemas current_setting current_query pg_backend_pid pg_is_in_recovery pg_postmaster_start_time pg_conf_load_time',
  'inet_client_addr inet_client_port inet_server_addr inet_server_port txid_current pg_current_xact_id pg_sleep random setseed',
  'gen_random_uuid pg_client_encoding getdatabaseencoding pg_my_temp_schema pg_is_other_temp_schema pg_jit_available',
  // Dates, numbers, text
  'age date_part date_trunc extract timezone to_char to_date to_number to_timestamp date make_timestamptz make_interval',
  'isfinite concat concat_ws format quote_literal quote_nullable convert convert_from convert_to overlaps generate_series',
  'array_to_string array_append array_cat array_prepend array_remove array_position array_positions unnest cardinality',
  'width_bucket lower upper length substring position text date_bin justify_interval pg_size_pretty pg_size_bytes',
  // JSON and aggregates
  'to_json to_jsonb row_to_json array_to_json json_build_object json_build_array json_object json_agg json_object_agg jsonb_agg',
  'jsonb_object_agg jsonb_build_object jsonb_build_array string_agg array_agg jsonb_pretty json_populate_record jsonb_populate_record',
  'count sum avg min max bool_and bool_or every stddev variance percentile_cont percentile_disc mode',
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
  'pg_partition_ancestors pg_partition_tree pg_sequence_parameters pg_sequence_last_value pg_timezone_names pg_timezone_abbrevs',
  'pg_available_extensions pg_available_extension_versions pg_extension_config_dump pg_stat_get_last_analyze_time',
  'pg_stat_get_last_vacuum_time pg_stat_get_last_autovacuum_time pg_stat_get_last_autoanalyze_time pg_stat_get_live_tuples',
  'pg_stat_get_dead_tuples pg_stat_get_numscans aclexplode acldefault makeaclitem to_regclass to_regtype to_regproc',
  'to_regprocedure to_regnamespace to_regrole to_regoper to_regoperator has_table_privilege has_column_privilege',
  'has_any_column_privilege has_schema_privilege has_database_privilege has_function_privilege has_sequence_privilege',
  'has_type_privilege has_language_privilege has_server_privilege has_tablespace_privilege has_foreign_data_wrapper_privilege',
  'pg_has_role row_security_active currval lastval nextval set_config',
  'pg_advisory_lock pg_advisory_unlock pg_advisory_unlock_all pg_advisory_xact_lock pg_advisory_lock_shared',
  'pg_advisory_unlock_shared pg_advisory_xact_lock_shared pg_try_advisory_lock pg_try_advisory_xact_lock',
]

const harmless: ReadonlySet<string> = new Set(groups.flatMap(group => group.split(' ')))

/** Whether the name, without a schema or with pg_catalog's, is on the list. */
export function isHarmless(name: string): boolean {
  return harmless.has(name.replace(/^pg_catalog\./, ''))
}
