// What a statement defines that names somebody's code: no snapshot shows it before COMMIT, so nothing says what runs it. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Catalog } from './catalog.ts'
import type { Relation } from './catalog-relations.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import { functionsMadeBy, namesOf } from './schema-changes.ts'

/**
 * Whether it defines what can run functions that are not PostgreSQL's own: a view, an operator, a cast, a default, a trigger. What is
 * not known counts as somebody's.
 */
export function definesOfCode(statement: StatementFacts, catalog: Catalog): boolean {
  if (functionsMadeBy(statement).length > 0) return false
  const { functions, operators, types } = statement
  return (
    functions.some(name => catalog.functions.isSomebodys(name)) ||
    operators.some(name => !catalog.isBuiltInOperator(name)) ||
    types.some(type => catalog.isMadeType(type)) ||
    namesOf(statement)
      .flatMap(({ schema, name }) => catalog.resolve(schema, name))
      .some(relation => mayRunCode(relation, catalog))
  )
}

const mayRunCode = ({ oid }: Relation, catalog: Catalog): boolean =>
  (oid >= FIRST_NORMAL_OBJECT_ID && catalog.isView(oid)) || catalog.ruled.has(oid) || catalog.hasCastColumns(oid)
