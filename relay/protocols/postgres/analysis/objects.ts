// Objects that a command about the schema names in other ways than as items of FROM. Pure.
import { as, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

export interface RelationName {
  /** Undefined when the statement leaves it to search_path. */
  readonly schema: string | undefined
  readonly name: string
}

/** A table as a statement names it: a RangeVar. */
export function relationOf(range: Json | undefined): RelationName {
  const { schemaname, relname } = object(range)
  return { schema: text(schemaname) || undefined, name: text(relname) }
}

/** An object that is no relation: a role, a schema, a function that is dropped, … */
export interface OtherObject {
  readonly kind: string
  readonly name: string
}

export interface Objects {
  readonly relations: RelationName[]
  readonly others: OtherObject[]
  readonly functions: string[]
}

/** Object types of DROP whose names are names of relations. */
const relationTypes = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_FOREIGN_TABLE',
  'OBJECT_SEQUENCE',
  'OBJECT_INDEX',
])

/** Object types that are parts of a relation, and named behind it. */
const partTypes = new Set(['OBJECT_COLUMN', 'OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY', 'OBJECT_TABCONSTRAINT'])

/** What a command names beside the relations in its tree: what it drops, comments on, or calls. */
export function objectsOf(name: string, content: JsonObject): Objects {
  const found: Objects = { relations: [], others: [], functions: [] }
  if (name === 'DropStmt') {
    for (const item of list(content['objects'])) addDropped(found, text(content['removeType']), item)
    return found
  }
  for (const [field, kind] of [
    ['role', 'role'],
    ['dbname', 'database'],
    ['extname', 'extension'],
    ['schemaname', 'schema'],
    ['conditionname', 'channel'],
  ] as const) {
    const value = content[field]
    const given =
      typeof value === 'string' ? value : text(as(value, 'RoleSpec')?.['rolename']) || text(object(value)['rolename'])
    if (given !== '') found.others.push({ kind, name: given })
  }
  // A composite type is a relation.
  if (name === 'CreateEnumStmt') found.others.push({ kind: 'type', name: strings(content['typeName']).at(-1) ?? '' })
  if (name === 'CreateDomainStmt')
    found.others.push({ kind: 'domain', name: strings(content['domainname']).at(-1) ?? '' })
  if (name === 'RenameStmt' && types.has(text(content['renameType'])))
    found.others.push(
      ...[lastOf(content['object']), text(content['newname'])].map(type => ({ kind: 'type', name: type })),
    )
  const called = strings(content['funcname'] ?? object(content['funccall'])['funcname']).join('.')
  if (called !== '') found.functions.push(called)
  addMadeOf(found, name, content)
  if (['CommentStmt', 'SecLabelStmt'].includes(name)) addDescribed(found, text(content['objtype']), content['object'])
  return found
}

/** Functions that operators, aggregates, casts and ranges are made of, one that is altered, and the new name of one that is renamed. */
function addMadeOf({ functions }: Objects, name: string, content: JsonObject): void {
  if (name === 'AlterFunctionStmt') functions.push(...nameOf(object(content['func'])['objname']))
  if (name === 'CreateCastStmt') functions.push(...nameOf(object(content['func'])['objname']))
  if (name === 'RenameStmt' && routines.has(text(content['renameType']))) functions.push(text(content['newname']))
  if (name !== 'DefineStmt' && name !== 'CreateRangeStmt') return
  for (const item of [...list(content['definition']), ...list(content['params'])]) {
    const { defname, arg } = object(as(item, 'DefElem'))
    if (parts.test(text(defname))) functions.push(...nameOf(namedBy(arg)))
  }
}

/** The last word of a name. */
const lastOf = (object: Json | undefined): string => strings(as(object, 'List')?.['items']).at(-1) ?? ''

const types = new Set(['OBJECT_TYPE', 'OBJECT_DOMAIN'])
const routines = new Set(['OBJECT_FUNCTION', 'OBJECT_PROCEDURE', 'OBJECT_ROUTINE', 'OBJECT_AGGREGATE'])
/** Options of CREATE OPERATOR, AGGREGATE and TYPE AS RANGE that name functions; sfunc1 is an older word for sfunc. */
const parts =
  /^(procedure|function|canonical|subtype_diff|m?sfunc|sfunc1|m?finalfunc|minvfunc|combinefunc|(de)?serialfunc)$/

/** The words of a name, which may be a string constant or a keyword as well: defGetQualifiedName in src/backend/commands/define.c. */
function namedBy(arg: Json | undefined): Json | undefined {
  const [kind, content] = node(arg)
  if (kind === 'String') return [arg ?? null]
  return kind === 'List' ? content['items'] : content['names']
}

function nameOf(names: Json | undefined): string[] {
  const called = strings(names).join('.')
  return called === '' ? [] : [called]
}

/** COMMENT and SECURITY LABEL name relations as lists of words. */
function addDescribed({ relations }: Objects, type: string, item: Json | undefined): void {
  const names = strings(as(item, 'List')?.['items'])
  const parts = relationTypes.has(type) ? names : partTypes.has(type) ? names.slice(0, -1) : []
  if (parts.length > 0) relations.push(qualified(parts))
}

function addDropped({ relations, others }: Objects, type: string, item: Json): void {
  const [kind, inner] = node(item)
  const names = strings(kind === 'List' ? inner['items'] : (inner['objname'] ?? inner['names']))
  if (kind === 'String') names.push(text(inner['sval']))
  if (relationTypes.has(type)) {
    relations.push(qualified(names))
    return
  }
  if (partTypes.has(type) && names.length > 1) relations.push(qualified(names.slice(0, -1)))
  others.push({ kind: type.replace(/^OBJECT_/, '').toLowerCase(), name: names.join('.') })
}

const qualified = (names: readonly string[]): RelationName => ({ schema: names.at(-2), name: names.at(-1) ?? '' })
