// Names under which a statement makes what runs more than it says: functions, and relations and types that are made of such or get
// another name. Until it is committed, no snapshot shows it. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import type { Catalog } from './catalog.ts'
import { ANYTHING, type MadeCaller } from './functions.ts'
import { functionsMadeBy, namesOf } from './schema-changes.ts'

/** They give a relation or type a name or a rule; what they say themselves is a call of its own. */
const givesNames: ReadonlySet<string> = new Set(['ViewStmt', 'RuleStmt', 'RenameStmt', 'AlterObjectSchemaStmt'])

/** What a relation, or what is beneath it, can be. */
const kinds: Readonly<Record<'relation' | 'ruled' | 'settings', (catalog: Catalog, oid: number) => boolean>> = {
  relation: (catalog, oid) => catalog.isCaller(oid),
  ruled: (catalog, oid) => catalog.beneath(oid).some(each => catalog.ruled.has(each)),
  settings: (catalog, oid) => catalog.isOfSettings(oid),
}
const kindNames = Object.keys(kinds) as (keyof typeof kinds)[]

/** Whether the name, or that of something beneath what it means, is one that a command gave which no snapshot shows. */
export function isMade(kind: keyof typeof kinds, { schema, name }: RelationName, catalog: Catalog): boolean {
  const { functions } = catalog
  if (!functions.areMade) return false
  if (functions.isMadeCaller(`${kind} ${name}`)) return true
  return catalog
    .resolve(schema, name)
    .flatMap(({ oid }) => catalog.beneath(oid))
    .some(each => functions.isMadeCaller(`${kind} ${catalog.relation(each)?.name ?? ''}`))
}

/** Whether it may make such. */
export function mayMakeCallers(statement: StatementFacts): boolean {
  return givesNames.has(statement.node) || functionsMadeBy(statement).length > 0 || isAnything(statement)
}

/** What was prepared may be anything; until now only those who prepared it knew of it. */
const isAnything = ({ transaction }: StatementFacts): boolean => transaction === 'TRANS_STMT_COMMIT_PREPARED'

/** The names: of functions as they are, of others with what they are in front; `made` are those from before. */
export function madeBy(
  statement: StatementFacts,
  catalog: Catalog,
  made: ReadonlySet<string> = new Set(),
): readonly (string | MadeCaller)[] {
  if (isAnything(statement)) return [ANYTHING]
  const functions = functionsMadeBy(statement)
  if (functions.length > 0 || !givesNames.has(statement.node)) return functions
  // Everything in the schema is found under its new name.
  if (statement.parts[0]?.facts['objectType'] === 'schema') return allOf(catalog)
  return [...relationsMadeBy(statement, catalog, made), ...typesMadeBy(statement, catalog, made)]
}

function relationsMadeBy(statement: StatementFacts, catalog: Catalog, made: ReadonlySet<string>): MadeCaller[] {
  const { node, makes } = statement
  const named = namesOf(statement)
  // A rule is for one of the tables that it names, and runs what it says.
  const given = makes === undefined ? named.map(({ name }) => name) : [makes.name]
  const is = (kind: keyof typeof kinds): boolean =>
    (kind === 'ruled' && node === 'RuleStmt') ||
    (kind === 'relation' && node === 'ViewStmt' && catalog.calling.by(statement).length > 0) ||
    named.some(each => isOne(kind, each, catalog, made))
  return kindNames.filter(is).flatMap(kind => given.map((name): MadeCaller => `${kind} ${name}`))
}

function isOne(kind: keyof typeof kinds, relation: RelationName, catalog: Catalog, made: ReadonlySet<string>): boolean {
  const { schema, name } = relation
  if (made.has(`${kind} ${name}`) || isMade(kind, relation, catalog)) return true
  return catalog.resolve(schema, name).some(({ oid }) => kinds[kind](catalog, oid))
}

/** A relation's rows are a type of its name too. */
function typesMadeBy(statement: StatementFacts, catalog: Catalog, made: ReadonlySet<string>): MadeCaller[] {
  const isType = (name: string): boolean => made.has(`type ${name}`) || catalog.calling.types([name]).length > 0
  const { makes, parts } = statement
  const types = (parts[0]?.others ?? []).filter(({ kind }) => kind === 'type').map(({ name }) => name)
  const ofRows = makes !== undefined && namesOf(statement).some(({ name }) => isType(name)) ? [makes.name] : []
  return [...ofRows, ...(types.some(isType) ? types : [])].map((name): MadeCaller => `type ${name}`)
}

const allOf = (catalog: Catalog): MadeCaller[] =>
  [...catalog.relations].flatMap(({ oid, name }) =>
    kindNames.filter(kind => kinds[kind](catalog, oid)).map((kind): MadeCaller => `${kind} ${name}`),
  )
