// Names under which a statement makes what may call functions: functions, and what is made of or renamed from what calls. Until it
// is committed, no snapshot shows it. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import type { Catalog } from './catalog.ts'
import type { MadeCaller } from './functions.ts'
import { functionsMadeBy, namesOf } from './schema-changes.ts'

/** They give a relation or type a name or a rule; what they say themselves is a call of its own. */
const givesNames: ReadonlySet<string> = new Set(['ViewStmt', 'RuleStmt', 'RenameStmt', 'AlterObjectSchemaStmt'])

/** Whether it may make such. */
export function mayMakeCallers(statement: StatementFacts): boolean {
  return givesNames.has(statement.node) || functionsMadeBy(statement).length > 0
}

/** The names: of functions as they are, of others with what they are in front; `made` are those from before. */
export function madeBy(
  statement: StatementFacts,
  catalog: Catalog,
  made: ReadonlySet<string> = new Set(),
): readonly (string | MadeCaller)[] {
  const functions = functionsMadeBy(statement)
  if (functions.length > 0 || !givesNames.has(statement.node)) return functions
  const { node, parts, makes } = statement
  const [first] = parts
  // Everything in the schema is found under its new name.
  if (first?.facts['objectType'] === 'schema') return allCallers(catalog)
  const isCaller = ({ schema, name }: RelationName): boolean =>
    made.has(`relation ${name}`) ||
    catalog.functions.isMadeCaller(`relation ${name}`) ||
    catalog.resolve(schema, name).some(({ oid }) => catalog.isCaller(oid))
  const isType = (name: string): boolean => made.has(`type ${name}`) || catalog.calling.types([name]).length > 0
  const named = namesOf(statement)
  const calls = named.some(isCaller) || (node === 'ViewStmt' && catalog.calling.by(statement).length > 0)
  // A rule is for one of the tables that it names.
  const given = makes === undefined ? named.map(({ name }) => name) : [makes.name]
  const types = (first?.others ?? []).filter(({ kind }) => kind === 'type').map(({ name }) => name)
  const ofRows = makes !== undefined && named.some(({ name }) => isType(name)) ? [makes.name] : []
  return [
    ...(calls ? given.map((name): MadeCaller => `relation ${name}`) : []),
    ...[...ofRows, ...(types.some(isType) ? types : [])].map((name): MadeCaller => `type ${name}`),
  ]
}

const allCallers = (catalog: Catalog): MadeCaller[] =>
  [...catalog.relations].filter(({ oid }) => catalog.isCaller(oid)).map(({ name }): MadeCaller => `relation ${name}`)
