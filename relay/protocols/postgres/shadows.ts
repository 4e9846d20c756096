// Relations that would be written to in the place of others: a trigger's `INSERT INTO audit_log` means the first of that name in
// pg_temp and search_path of whoever caused it, and would carry there what it was to keep. Pure.
import type { StatementFacts } from './analysis/facts.ts'
import type { Making } from './analysis/making.ts'
import type { Catalog } from './catalog.ts'
import type { Relation } from './catalog-relations.ts'
import { settingName } from './settings.ts'

const isTemporary = ({ schema }: Relation): boolean => schema.startsWith('pg_temp_')

/** Why a person from whom columns are masked must not make it, wherever their search_path leads. */
export function shadowRefusal(making: Making | undefined, catalog: Catalog): string | undefined {
  if (making === undefined) return undefined
  const { name, schema, temporary, moved } = making
  const same = catalog.resolve(undefined, name).filter(relation => !isTemporary(relation))
  // The one that is moved is itself of the name.
  const others = schema === undefined || temporary ? same : same.filter(relation => relation.schema !== schema)
  const isOther = moved ? others.length > (schema === undefined ? 0 : 1) : others.length > 0
  if (!isOther || (schema === undefined && !temporary && !moved)) return undefined
  return `columns are masked for you, and triggers would write to this ${name} in the place of another one`
}

/** Why it must not where names without a schema may be looked for elsewhere first. */
export function pathRefusal({ makes, node, parts }: StatementFacts, catalog: Catalog, path: Path): string | undefined {
  const reason =
    'triggers would write to it in the place of another one, since it may be found before that in search_path'
  if (node === 'CreateSchemaStmt') {
    const [name] = (parts[0]?.others ?? []).filter(({ kind }) => kind === 'schema')
    return name === undefined || name.name === path.role ? `columns are masked for you, and ${reason}` : undefined
  }
  if (makes === undefined || makes.schema !== undefined || makes.temporary || !path.changed) return undefined
  return catalog.resolve(undefined, makes.name).length > 0 ? `columns are masked for you, and ${reason}` : undefined
}

/** Where a session looks for names without a schema. */
export interface Path {
  /** The session has set it, or brought it. */
  readonly changed: boolean
  /** The role that commands run as: a schema of its name comes first by default. */
  readonly role: string | undefined
}

/** Whether it can change where names are looked for. */
export const changesPath = ({ settings }: StatementFacts): boolean =>
  settings.some(name => name === undefined || ['search_path', 'role'].includes(settingName(name)))
