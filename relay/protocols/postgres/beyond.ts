// The tables that a command is about without naming them, as the catalog has them. Pure.
import type { Part } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import type { Relation } from './catalog-relations.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'

/** Tables beside those that a part of a statement names: see analysis/beyond.ts. */
export function relationsBeyond({ beyond, written }: Part, catalog: Catalog): readonly Relation[] {
  if (beyond === undefined) return []
  const all = [...catalog.relations]
  switch (beyond.kind) {
    case 'schemas':
      return all.filter(({ schema }) => beyond.names.includes(schema))
    case 'owned': {
      const { roles } = beyond
      return all.filter(({ oid, owner }) =>
        roles === undefined ? oid >= FIRST_NORMAL_OBJECT_ID : roles.includes(owner ?? ''),
      )
    }
    case 'referring':
      return referring(
        written.flatMap(({ schema, name }) => catalog.resolve(schema, name)),
        catalog,
      )
  }
}

/** Tables with foreign keys to one of these, or to one of those. */
function referring(relations: readonly Relation[], catalog: Catalog): readonly Relation[] {
  const named = new Set(relations.map(({ oid }) => oid))
  const found = new Set(named)
  for (const oid of found) for (const { table, refersTo } of catalog.references) if (refersTo === oid) found.add(table)
  return [...found].filter(oid => !named.has(oid)).flatMap(oid => catalog.relation(oid) ?? [])
}
