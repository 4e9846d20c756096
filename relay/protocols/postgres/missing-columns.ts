// Columns that a statement names and no relation of its queries has: a mistake, or newer than the catalog that was read. Pure.
import type { Catalog } from './catalog.ts'
import type { Missing } from './lineage/findings.ts'
import { type MaskedColumns, resolveMasks } from './masked-columns.ts'
import { missing } from './masking-rules.ts'
import type { Resolved } from './resolving.ts'

/** Columns are what they are whatever is masked. */
const unmasked = new WeakMap<Catalog, MaskedColumns>()

function columnsOf(catalog: Catalog): MaskedColumns {
  const known = unmasked.get(catalog) ?? resolveMasks([], catalog, [])
  unmasked.set(catalog, known)
  return known
}

/** The first, as it is written; undefined when there is none, or nobody can tell. */
export function missingColumn(statements: readonly Resolved[], catalog: Catalog): Missing | undefined {
  for (const { effective } of statements) {
    const found = missing(effective, columnsOf(catalog))
    if (found !== undefined) return found
  }
  return undefined
}
