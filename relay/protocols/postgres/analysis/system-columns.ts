// Columns that every table has beside its own.

/** @see src/backend/catalog/heap.c in PostgreSQL's sources */
export const systemColumns: ReadonlySet<string> = new Set(['ctid', 'xmin', 'cmin', 'xmax', 'cmax', 'tableoid'])
