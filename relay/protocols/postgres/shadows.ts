// Relations that would be written to in the place of others: a trigger's `INSERT INTO audit_log` means the first of that name in
// pg_temp and search_path of whoever caused it, and would carry there what it was to keep. Pure.
import type { Obligation } from '@gate/shared/model'
import type { StatementFacts } from './analysis/facts.ts'
import type { Making } from './analysis/making.ts'
import { relationsBeyond } from './beyond.ts'
import type { Catalog } from './catalog.ts'
import type { Relation } from './catalog-relations.ts'
import { FIRST_NORMAL_OBJECT_ID } from './functions.ts'
import type { MaskedColumns } from './masked-columns.ts'
import { settingName } from './settings.ts'

const isTemporary = ({ schema }: Relation): boolean => schema.startsWith('pg_temp_')

/** Names that somebody's code can say only as the word that they are. */
const plainName = /^[a-z][a-z0-9_]{0,62}$/

/** Whether code that something calls by itself may write to whatever has the name then; EXECUTE writes to what nobody sees. */
function mayBeWritten(name: string, { usedWords }: Catalog): boolean {
  const word = name.toLowerCase()
  return !plainName.test(word) || usedWords.has(word) || usedWords.has('execute')
}

/** Why a person from whom columns are masked must not make it, wherever their search_path leads. */
export function shadowRefusal(facts: StatementFacts, masked: MaskedColumns): string | undefined {
  const { makes, node } = facts
  const { catalog, obligations } = masked
  const goes = goingRefusal(facts, masked)
  if (goes !== undefined || makes === undefined) return goes
  const { name } = makes
  if (isBesideOthers(makes, catalog) && mayBeWritten(name, catalog))
    return `columns are masked for you, and triggers would write to this ${name} in the place of another one`
  const carries = lasting(name, catalog).some(
    relation => isSaid(relation.name, catalog) && masked.isMasked(relation.oid),
  )
  if (node === 'ViewStmt' && carries)
    return `columns are masked for you, and triggers write what is masked to ${name}, which would carry it to other tables now`
  const keeping = makes.replaces === true ? keepingRefusal(name, masked) : undefined
  if (keeping !== undefined) return keeping
  if (isAnew(name, catalog) && isSaid(name, catalog) && isNamedByMasks(name, obligations))
    return `columns are masked for you, and triggers write what is masked to a table called ${name}, which would have other columns now`
  return undefined
}

/**
 * Materialized views, and columns of rows, keep what a view showed: of another one nothing would say that it is masked. They belong to the
 * view itself and not to its name: one that is made anew after DROP has none.
 */
function keepingRefusal(name: string, masked: MaskedColumns): string | undefined {
  const { catalog } = masked
  if (!catalog.resolve(undefined, name).some(({ oid }) => masked.isMasked(oid))) return undefined
  const keeping = [...catalog.withDependents([name])]
    .filter(each => each !== name)
    .flatMap(each => catalog.resolve(undefined, each))
    .find(({ oid, kind }) => kind !== 'v' && masked.isMasked(oid))
  return keeping && `columns are masked for you, and ${keeping.name} keeps rows that ${name} showed`
}

function isBesideOthers({ name, schema, temporary, moved }: Making, catalog: Catalog): boolean {
  const same = lasting(name, catalog)
  // The one that is moved is itself of the name.
  const others = schema === undefined || temporary ? same : same.filter(relation => relation.schema !== schema)
  const isOther = moved ? others.length > (schema === undefined ? 0 : 1) : others.length > 0
  return isOther && (schema !== undefined || temporary || moved)
}

const lasting = (name: string, catalog: Catalog): readonly Relation[] =>
  catalog.resolve(undefined, name).filter(relation => !isTemporary(relation))

/** Whether code that something calls by itself says the name of what it may write to; of a quoted one, its words. */
function isSaid(name: string, { usedWords, writtenWords }: Catalog): boolean {
  const words = name.toLowerCase().split(/[^a-z0-9_$]+/)
  const said = words.filter(word => word !== '')
  // A name that is a value goes wherever the code likes.
  const written = usedWords.has('execute') ? usedWords : writtenWords
  return said.every(word => usedWords.has(word)) && (said.length === 0 || said.some(word => written.has(word)))
}

/**
 * Why DROP must leave it: a view or a partition is masked as its tables are. Once it is gone nothing says so, and what triggers write to
 * another one of its name would be clear.
 */
function goingRefusal({ node, parts, cascades }: StatementFacts, masked: MaskedColumns): string | undefined {
  if (node !== 'DropStmt' && cascades !== true) return undefined
  const { catalog, obligations } = masked
  const named = parts
    .flatMap(part => part.written.flatMap(({ schema, name }) => catalog.resolve(schema, name)))
    .concat(parts.flatMap(part => relationsBeyond(part, catalog)))
  const dropped = new Set(named.flatMap(({ oid }) => catalog.family(oid)))
  const cascade = cascades === true || parts.some(({ facts }) => facts['cascade'] === true)
  const isAnything = cascade && parts.some(({ facts }) => !followed.has(String(facts['objectType'])))
  const going = [...catalog.relations].find(
    relation =>
      isSaid(relation.name, catalog) &&
      !isNamedByMasks(relation.name, obligations) &&
      relation.oid >= FIRST_NORMAL_OBJECT_ID &&
      (isAnything || (cascade ? catalog.beneath(relation.oid) : [relation.oid]).some(each => dropped.has(each))) &&
      masked.isMasked(relation.oid),
  )
  if (going === undefined) return undefined
  return `columns are masked for you, and triggers may write what is masked to ${going.name}: in another of its name it would be clear`
}

/** Of these it is known which relations go with them; a type, a function or an extension can take any along. */
const followed: ReadonlySet<string> = new Set([
  'table',
  'view',
  'materialized_view',
  'foreign_table',
  'sequence',
  'index',
  'schema',
])

/** Whether the one that had the name can be gone: where it is there, the server makes no other. */
const isAnew = (name: string, catalog: Catalog): boolean =>
  catalog.isChanging(name) || lasting(name, catalog).length === 0

/** Whether a mask can have been for columns of a table of that name. */
const isNamedByMasks = (name: string, obligations: readonly Obligation[]): boolean =>
  obligations
    .flatMap(obligation => (obligation.kind === 'mask' ? obligation.columns : []))
    .some(pattern => ['*', name].includes(pattern.split('.').at(-2) ?? '*'))

/** Why it must not where names without a schema are, or will be, looked for elsewhere first. */
export function pathRefusal({ makes, node, parts }: StatementFacts, catalog: Catalog, path: Path): string | undefined {
  const reason =
    'triggers would write to it in the place of another one, since it may be found before that in search_path'
  if (node === 'CreateSchemaStmt') {
    const [name] = (parts[0]?.others ?? []).filter(({ kind }) => kind === 'schema')
    return name === undefined || name.name === path.role ? `columns are masked for you, and ${reason}` : undefined
  }
  if (makes === undefined || makes.schema !== undefined || makes.temporary) return undefined
  const others = catalog.resolve(undefined, makes.name)
  // Where it is there already, the server makes no other.
  const isThere = !path.changed && (makes.moved || others.some(({ schema }) => schema === catalog.madeIn))
  const isOther = others.length > 0 && !isThere
  return isOther && mayBeWritten(makes.name, catalog) ? `columns are masked for you, and ${reason}` : undefined
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
