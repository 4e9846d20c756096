// What the definition of a view says that nothing else in the catalog does: that it reads what holds values or texts of others. Pure.

/**
 * What a view can read without depending on it, since PostgreSQL does not say of its own objects who depends on them: its
 * functions that read others, and values that rows have from before their column was added. Other catalogs that hold values or texts
 * of others are followed as tables are.
 */
const hiding = new RegExp(
  `\\b(${[
    '(query|cursor|table|schema|database)_to_xml(_and_xmlschema)?|pg_read_\\w+|pg_ls_\\w+|pg_stat_file|lo_get|loread|ts_stat',
    'pg_logical_\\w+|pg_stat_get_activity|pg_prepared_statement|pg_cursor|pg_lock_status|attmissingval',
  ].join('|')})\\b`,
)

/** Another name for a table or join, and for its columns. */
const renaming = /(?:\bpg_attribute|\)) (?:\w+|"(?:[^"]|"")+")\(/

/** A definition names each column of `*`, but not those of a whole row, nor those that an alias gives other names. */
export const hides = (definition: string): boolean =>
  hiding.test(definition) ||
  (/\bpg_attribute\b/.test(definition) && (definition.includes('.*') || renaming.test(definition)))
