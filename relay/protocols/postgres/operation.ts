// A statement's facts → Operations: what policy and people see. Pure.
import type { Operation, Parameter, Resource, Vocabulary } from '@gate/shared/model'
import { noFacts, type Part, type StatementFacts } from './analysis/facts.ts'
import type { RelationName } from './analysis/objects.ts'
import { setRole } from './analysis/parts.ts'
import { relationsBeyond } from './beyond.ts'
import type { Catalog } from './catalog.ts'
import { isMade } from './made-callers.ts'
import type { BoundValue } from './questions.ts'
import { functionsMadeBy } from './schema-changes.ts'

/** The facts of this room's operations, by type, for policy. */
export const vocabulary: Vocabulary = Object.fromEntries(
  Object.entries(noFacts).map(([name, value]) => [
    name,
    typeof value === 'boolean' ? 'bool' : typeof value === 'string' ? 'string' : 'list<string>',
  ]),
)

/** Bytes of a parameter that are recorded and shown. */
const SHOWN_PARAMETER_BYTES = 1024
const MAX_SHOWN_PARAMETERS = 200

/** The operations of a statement: itself and, for data-modifying CTEs and the like, each further thing that it does. */
export function operationsOf(
  facts: StatementFacts,
  text: string,
  parameters: readonly Parameter[],
  catalog: Catalog,
): Operation[] {
  const operations = facts.parts.map(part => operation(part, text, parameters, catalog))
  const calls = hiddenCalls(facts, operations, catalog)
  const hidden = [...(calls === undefined ? [] : [calls]), ...(writesSettings(facts, catalog) ? [setRole] : [])]
  return [...operations, ...hidden.map(part => operation(part, text, parameters, catalog))]
}

/** By a view over that of all settings. */
export function writesSettings({ parts }: StatementFacts, catalog: Catalog): boolean {
  if (parts.every(({ written, action }) => written.length === 0 || action === 'create')) return false
  const isOfSettings = (relation: RelationName): boolean =>
    isMade('settings', relation, catalog) ||
    catalog.resolve(relation.schema, relation.name).some(({ oid }) => catalog.isOfSettings(oid))
  return parts
    .filter(({ action }) => action !== 'create')
    .flatMap(({ written }) => written)
    .filter(({ name }) => name !== 'pg_settings')
    .some(isOfSettings)
}

/** What runs or defines functions is decided as that; what is dropped or described is not called. */
const calling = new Set(['call', 'do', 'drop', 'comment'])
/** The functions that they name are those that get the name; see `replacedBy`. */
const namingOnly = new Set(['CreateFunctionStmt', 'AlterFunctionStmt', 'RenameStmt'])
/** They run what they select. */
const running = new Set(['CreateTableAsStmt', 'SelectStmt'])

/**
 * What a statement calls beside what it says: functions that may do anything, by name, as `t.f`, through an operator, a cast, a
 * check of a domain or in a view. What a definition says will be called by whoever uses what it makes, so that counts as well.
 */
function hiddenCalls(facts: StatementFacts, operations: readonly Operation[], catalog: Catalog): Part | undefined {
  const [first] = facts.parts
  if (first === undefined || calling.has(first.action)) return undefined
  const text = operations[0]?.text ?? ''
  const called = namingOnly.has(facts.node) ? replacedBy(facts, catalog, text) : calledBy(facts, first, catalog)
  if (called.length === 0 || operations.some(each => each.action === 'call')) return undefined
  return {
    action: 'call',
    writes: true,
    routine: false,
    reads: [],
    written: [],
    others: [],
    facts: { ...noFacts, functions: called, nested: true, prepared: first.facts['prepared'] === true },
  }
}

/** What runs by itself from now on, in whoever's statements, in place of what ran before; or at once, when the server looks through it. */
function replacedBy(facts: StatementFacts, catalog: Catalog, text: string): string[] {
  // What was defined in this transaction may call it already, by whatever way.
  if (catalog.definesOfCode) return [...functionsMadeBy(facts)]
  if (facts.node === 'RenameStmt') return []
  const makesValues = facts.node === 'CreateFunctionStmt' && catalog.calling.mayMakeValues(text)
  return functionsMadeBy(facts).filter(name => makesValues || catalog.calling.runsByItself(name))
}

function calledBy(facts: StatementFacts, { action, facts: said }: Part, catalog: Catalog): string[] {
  if (action === 'explain' && said['analyze'] !== true) return calledBefore(facts, catalog)
  const own = catalog.calling.by(facts)
  const defines = ['create', 'alter'].includes(action) && !running.has(facts.node)
  return defines ? own : [...own, ...viewsOf(facts, catalog, oid => catalog.isCaller(oid))]
}

/** What a statement calls when it is planned, or when its values are bound, itself and in views: before it is run. */
export function calledBefore(facts: StatementFacts, catalog: Catalog): string[] {
  return [...catalog.calling.before(facts), ...viewsOf(facts, catalog, oid => catalog.isCallerBefore(oid))]
}

function viewsOf({ parts }: StatementFacts, catalog: Catalog, calls: (oid: number) => boolean): string[] {
  const names = parts.flatMap(part => [...part.reads, ...part.written])
  const made = names.filter(name => isMade('relation', name, catalog))
  const known = names
    .flatMap(name => catalog.resolve(name.schema, name.name))
    .filter(relation => calls(relation.oid))
    .map(({ oid, schema, name }) => `${catalog.isView(oid) ? 'view' : 'table'} ${schema}.${name}`)
  return [...known, ...made.map(({ name }) => `view ${name}`)]
}

function operation(part: Part, text: string, parameters: readonly Parameter[], catalog: Catalog): Operation {
  return {
    protocol: 'postgres',
    action: part.action,
    resources: [
      ...part.reads.flatMap(name => resources(name, 'read', catalog)),
      ...part.written.flatMap(name => resources(name, 'write', catalog)),
      ...relationsBeyond(part, catalog).map(({ schema, name }) => ({
        kind: 'table',
        name: `${schema}.${name}`,
        mode: 'write' as const,
      })),
      ...part.others.map(({ kind, name }) => ({ kind, name, mode: 'write' as const })),
    ],
    text,
    parameters,
    writes: part.writes,
    routine: part.routine,
    facts: part.facts,
  }
}

/** Every relation that a name can mean; a name that the catalog does not know stays as it was written. */
function resources(name: RelationName, mode: Resource['mode'], catalog: Catalog): Resource[] {
  const found = catalog.resolve(name.schema, name.name)
  const names = found.map(relation => `${relation.schema}.${relation.name}`)
  if (names.length === 0) names.push(name.schema === undefined ? name.name : `${name.schema}.${name.name}`)
  return [...new Set(names)].map(full => ({ kind: 'table', name: full, mode }))
}

/** A command that gate cannot look into: refused, and recorded as what it is. */
export function unknownOperation(action: string, text: string): Operation {
  return {
    protocol: 'postgres',
    action,
    resources: [],
    text,
    parameters: [],
    writes: true,
    routine: false,
    facts: noFacts,
  }
}

const TEXT = 0

/** Types that drivers declare most, by their OIDs in src/include/catalog/pg_type.dat. */
const typeNames: Readonly<Record<number, string>> = {
  16: 'bool',
  17: 'bytea',
  20: 'int8',
  21: 'int2',
  23: 'int4',
  25: 'text',
  26: 'oid',
  114: 'json',
  700: 'float4',
  701: 'float8',
  1042: 'bpchar',
  1043: 'varchar',
  1082: 'date',
  1114: 'timestamp',
  1184: 'timestamptz',
  1700: 'numeric',
  2950: 'uuid',
  3802: 'jsonb',
}

/** Bound values as people can read them. */
export function showParameters(
  values: readonly BoundValue[],
  types: readonly number[],
  uninspectedBytes: number,
): Parameter[] {
  if (uninspectedBytes > 0)
    return [{ text: `(${uninspectedBytes} bytes of parameters)`, bytes: uninspectedBytes, format: 'binary' }]
  return values.slice(0, MAX_SHOWN_PARAMETERS).map(({ format, value }, index) => ({
    text: value === null ? null : format === TEXT ? showText(value) : showBinary(value, types[index] ?? 0),
    bytes: value?.length ?? 0,
    format: format === TEXT ? 'text' : 'binary',
    ...(types[index] === undefined || types[index] === 0
      ? {}
      : { type: typeNames[types[index]] ?? `OID ${types[index]}` }),
  }))
}

function showText(value: Buffer): string {
  return value.toString('utf8', 0, SHOWN_PARAMETER_BYTES)
}

/** The types that drivers send in binary most: booleans, integers, floats, text. Others show their bytes. */
function showBinary(value: Buffer, type: number): string {
  if (type === 16 && value.length === 1) return value[0] === 0 ? 'false' : 'true'
  if (type === 21 && value.length === 2) return String(value.readInt16BE())
  if (type === 23 && value.length === 4) return String(value.readInt32BE())
  if (type === 20 && value.length === 8) return String(value.readBigInt64BE())
  if (type === 700 && value.length === 4) return String(value.readFloatBE())
  if (type === 701 && value.length === 8) return String(value.readDoubleBE())
  if ([25, 1042, 1043, 114].includes(type)) return showText(value)
  return `\\x${value.toString('hex', 0, SHOWN_PARAMETER_BYTES / 2)}`
}
