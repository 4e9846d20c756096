// What the definition of a view says that nothing else in the catalog does: that it reads what holds values or texts of others. Pure.

/**
 * What a view can read without depending on it, since PostgreSQL does not say of its own objects who depends on them: its
 * functions that read others, and its catalogs that hold values or texts of others.
 */
const hiding = new RegExp(
  `\\b(${[
    '(query|cursor|table|schema|database)_to_xml(_and_xmlschema)?|pg_read_\\w+|pg_ls_\\w+|pg_stat_file|lo_get|loread|ts_stat',
    'pg_logical_\\w+|pg_stats|pg_stats_ext\\w*|pg_statistic\\w*|pg_stat_activity|pg_stat_get_activity|pg_prepared_statements?',
    'pg_cursors?|pg_largeobject|pg_authid|pg_shadow|_?pg_user_mappings?|user_mapping_options|pg_subscription|attmissingval',
    'pg_stat_wal|pg_replication_slots|pg_stat_replication|pg_replication_origin_status|pg_stat_progress_copy|pg_locks|pg_lock_status',
  ].join('|')})\\b`,
)

/** Another name for a table or join, and for its columns. */
const renaming = /(?:\bpg_attribute|\)) (?:\w+|"(?:[^"]|"")+")\(/

/** A definition names each column of `*`, but not those of a whole row, nor those that an alias gives other names. */
export const hides = (definition: string): boolean =>
  hiding.test(definition) ||
  (/\bpg_attribute\b/.test(definition) && (definition.includes('.*') || renaming.test(definition)))
