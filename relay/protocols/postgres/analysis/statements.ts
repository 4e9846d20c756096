// A parse tree → the facts of each statement in it. Pure.
import type { Fact } from '@gate/shared/model'
import { type BoundSetting, isOtherEncoding, readsAsGate, settingName } from '../settings.ts'
import { beyondOf } from './beyond.ts'
import type { ChangedSetting } from './changed-setting.ts'
import { collect } from './collect.ts'
import type { Collected } from './collected.ts'
import { copyOutOf } from './copy.ts'
import { type Naming, noFacts, type Part, type StatementFacts, unfollowedFacts } from './facts.ts'
import { type Kind, kindOf } from './kinds.ts'
import { makingOf } from './making.ts'
import { meetingsOf } from './meeting.ts'
import { newObjectOf } from './new-object.ts'
import { hasOtherNames } from './other-names.ts'
import { givenParts, identityParts, languageOf, mainPart, nestedPart, writesSettings } from './parts.ts'
import { lineageOf } from './queries.ts'
import { recordableOf, type Surrounding } from './recordable.ts'
import { openTexts } from './texts-in-calls.ts'
import { as, constant, explains, type Json, type JsonObject, list, node, object, strings, text, walk } from './tree.ts'

/** src/include/nodes/parsenodes.h */
const CURSOR_OPT_HOLD = 0x20

/** The facts of every statement in a parse result of libpg-query, and what may be recorded of it; `key` is that of placeholders. */
export function readFacts(
  result: Json,
  bytes: Uint8Array,
  key: Uint8Array,
  parse: ((text: string) => Json | undefined) | undefined,
): StatementFacts[] {
  return list(object(result)['stmts']).map(raw => {
    const entry = object(raw)
    const start = Number(entry['stmt_location'] ?? 0)
    const length = Number(entry['stmt_len'] ?? 0)
    const place = { start, length: length === 0 ? bytes.length - start : length }
    const opened = parse === undefined ? undefined : openTexts(entry['stmt'], parse)
    const whole = readStatement(opened?.statement ?? entry['stmt'], place.start, place.length)
    const read = opened === undefined ? whole : { ...whole, opened: opened.functions }
    const isReadOtherwise = hasOtherNames(bytes.subarray(place.start, place.start + place.length))
    const facts = isReadOtherwise ? { ...read, isReadOtherwise } : read
    const surrounding = surroundingOf(entry['stmt'], facts.functions)
    return {
      ...facts,
      recordable: recordableOf(bytes, place.start, place.length, meetingsOf(entry['stmt']), surrounding, key),
    }
  })
}

/** Commands whose constants are passwords, or say where and as whom to log in. */
const secretive: ReadonlySet<string> = new Set([
  ...['CreateUserMappingStmt', 'AlterUserMappingStmt', 'CreateForeignServerStmt', 'AlterForeignServerStmt'],
  ...['CreateSubscriptionStmt', 'AlterSubscriptionStmt'],
])
/** Functions that are given keys, passwords or connection strings. */
const keyFunctions = /^(?:.*\.)?(?:dblink\w*|crypt|hmac|pgp_\w+|(?:en|de)crypt(?:_\w+)?)$/

function surroundingOf(statement: Json | undefined, functions: readonly string[]): Surrounding {
  const [name, content] = node(statement)
  const hasBody =
    ['DoStmt', 'CreateFunctionStmt'].includes(name) &&
    ['', 'sql', 'plpgsql'].includes(languageOf(content).toLowerCase())
  return { hidesAll: secretive.has(name) || functions.some(called => keyFunctions.test(called)), hasBody }
}

function readStatement(statement: Json | undefined, start: number, length: number): Omit<StatementFacts, 'recordable'> {
  const [name, content] = node(statement)
  const kind = kindOf(name, content)
  if (kind === undefined) {
    const fault = `gate does not know the statement ${name}`
    return { ...unfollowedFacts(name, start, length, fault), fault }
  }
  const { main, nested, collected, naming } = describe(name, content, kind)
  const identity = [...identityParts(collected), ...givenParts(content)]
  const changes = changesOf(name, content, collected)
  return {
    node: name,
    start,
    length,
    parts: [...(main === undefined ? [] : [main]), ...nested, ...identity],
    naming,
    transaction: name === 'TransactionStmt' ? text(content['kind']) : undefined,
    savepoint: savepointOf(name, content),
    fault: undefined,
    changesReading: changesReading(changes, collected),
    otherEncoding: changes.some(
      ({ name, value, parameter }) => parameter === undefined && isOtherEncoding(name, value),
    ),
    boundSettings: boundSettings(collected),
    functions: collected.functions,
    newer: collected.newer,
    operators: collected.operators,
    fields: collected.fields,
    types: [...collected.types, ...list(content['argtypes']).flatMap(type => strings(as(type, 'TypeName')?.['names']))],
    collations: collected.collations,
    settings: changes.map(setting => setting.name),
    makes: makingOf(name, content),
    newObject: newObjectOf(name, content),
    cascades: list(content['cmds']).some(command => as(command, 'AlterTableCmd')?.['behavior'] === 'DROP_CASCADE'),
    namesSequence: name === 'CreateStmt' || name === 'AlterTableStmt' ? namesSequence(content) : false,
    isReadOtherwise: false,
    lineage: lineageOf(name, content),
    copyOut: copyOutOf(name, content),
  }
}

/** `GENERATED … AS IDENTITY (SEQUENCE NAME s)`. */
function namesSequence(content: JsonObject): boolean {
  let found = false
  walk(content, (name, { defname }) => {
    found ||= name === 'DefElem' && defname === 'sequence_name'
    return found
  })
  return found
}

interface Described {
  readonly main: Part | undefined
  readonly nested: readonly Part[]
  readonly collected: Collected
  readonly naming: Naming | undefined
}

function describe(name: string, content: JsonObject, kind: Kind): Described {
  switch (name) {
    case 'PrepareStmt':
      return wrapping(content['query'], { kind: 'prepare', name: text(content['name']) }, { prepared: true })
    case 'DeclareCursorStmt':
      return wrapping(
        content['query'],
        {
          kind: 'declare',
          name: text(content['portalname']),
          holdable: (Number(content['options'] ?? 0) & CURSOR_OPT_HOLD) !== 0,
        },
        { cursor: true },
      )
    case 'ExplainStmt':
      return explain(content, kind)
    case 'ExecuteStmt':
      return named(name, content, { kind: 'execute', name: text(content['name']) })
    case 'FetchStmt':
      return named(name, content, { kind: 'fetch', name: text(content['portalname']) })
    case 'CreateSchemaStmt':
      return createSchema(content, kind)
    case 'CreateTableAsStmt': {
      const plain = plainly(name, content, kind)
      const execute = as(content['query'], 'ExecuteStmt')
      return execute === undefined ? plain : { ...plain, naming: { kind: 'execute', name: text(execute['name']) } }
    }
    default:
      return plainly(name, content, kind)
  }
}

/** What another statement holds: it can be one that gate does not know. */
function describeInner(name: string, content: JsonObject): Described {
  const unknown: Kind = { action: 'unknown', objectType: '', writes: true, routine: false }
  return describe(name, content, kindOf(name, content) ?? unknown)
}

/** Each statement inside it is one of its own. */
function createSchema(content: JsonObject, kind: Kind): Described {
  const { schemaElts, ...alone } = content
  const own = plainly('CreateSchemaStmt', alone, kind)
  const elements = list(schemaElts).map(element => describeInner(...node(element)))
  if (elements.length === 0) return own
  const nested = elements.flatMap(({ main, nested: inner }) => [...(main === undefined ? [] : [main]), ...inner])
  return { ...own, nested, collected: collect('CreateSchemaStmt', content) }
}

/** What runs is what the name stands for. */
function named(name: string, content: JsonObject, naming: Naming): Described {
  return { main: undefined, nested: [], collected: collect(name, content), naming }
}

/** SELECT … INTO is a CREATE TABLE AS by another name. */
function plainly(name: string, content: JsonObject, kind: Kind): Described {
  const collected = collect(name, content)
  const into = name === 'SelectStmt' && collected.written.length > 0
  const main = mainPart(
    into ? { ...kind, action: 'create', objectType: 'table', writes: true } : kind,
    content,
    collected,
  )
  const beyond = beyondOf(name, content)
  return {
    main: beyond === undefined ? main : { ...main, beyond },
    nested: collected.nested.map(nestedPart),
    collected,
    naming: namingOf(name, content),
  }
}

function wrapping(inner: Json | undefined, naming: Naming, facts: Record<string, Fact>): Described {
  const [name, content] = node(inner)
  const described = describeInner(name, content)
  const main =
    described.main === undefined ? undefined : { ...described.main, facts: { ...described.main.facts, ...facts } }
  return { ...described, main, naming }
}

/** EXPLAIN shows a plan; EXPLAIN ANALYZE runs the statement, so it is that statement as well. */
function explain(content: JsonObject, kind: Kind): Described {
  const analyze = explains(content, 'analyze')
  const [name, inner] = node(content['query'])
  const described = describeInner(name, inner)
  const { collected } = described
  const besides = collected.nested.filter(write => write.tagged !== true).flatMap(write => write.written)
  const reads = [...collected.reads, ...collected.written, ...besides]
  const main: Part = {
    ...mainPart(kind, {}, { ...collected, reads, written: [] }),
    writes: analyze,
    facts: { ...noFacts, analyze, functions: collected.functions, columns: collected.columns },
  }
  const ran = analyze && described.main !== undefined ? [described.main, ...described.nested] : []
  // EXECUTE has to be looked up; nothing that it explains defines a name, whatever it looks like.
  const naming = described.naming?.kind === 'execute' ? described.naming : undefined
  return { main, nested: ran, collected, naming }
}

function namingOf(name: string, content: JsonObject): Naming | undefined {
  const given = (field: string): string | undefined => text(content[field]) || undefined
  switch (name) {
    case 'DeallocateStmt':
      return { kind: 'deallocate', name: content['isall'] === true ? undefined : given('name') }
    case 'ClosePortalStmt':
      return { kind: 'close', name: given('portalname') }
    case 'DiscardStmt':
      return { kind: 'discard', what: text(content['target']) }
    default:
      return undefined
  }
}

function boundSettings(collected: Collected): BoundSetting[] {
  return collected.settings.flatMap(({ name, parameter }) =>
    name === undefined || parameter === undefined ? [] : [{ name, parameter }],
  )
}

/** Settings that it changes, with what they get. RESET brings back what a session began with. */
function changesOf(name: string, content: JsonObject, collected: Collected): readonly ChangedSetting[] {
  if (name !== 'VariableSetStmt' || content['kind'] !== 'VAR_SET_VALUE') return collected.settings
  const value = list(content['args']).map(constant)[0]
  return [...collected.settings, { name: text(content['name']), value, parameter: undefined }]
}

/** A name that is computed may be any. */
function changesReading(changes: readonly ChangedSetting[], collected: Collected): StatementFacts['changesReading'] {
  if (writesSettings(collected) || changes.some(({ name }) => name === undefined)) return 'encoding'
  const changed = changes.flatMap(({ name = '', value }) => (readsAsGate(name, value) === false ? [name] : []))
  if (changed.length === 0) return undefined
  return changed.every(name => settingName(name) === 'standard_conforming_strings') ? 'literals' : 'encoding'
}

function savepointOf(name: string, content: JsonObject): string | undefined {
  const savepoint = name === 'TransactionStmt' ? text(content['savepoint_name']) : ''
  return savepoint === '' ? undefined : savepoint
}
