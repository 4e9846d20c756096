// What is collected of a statement → its parts: what it does itself, the writes inside it, the settings it changes by calls. Pure.
import type { Fact } from '@gate/shared/model'
import { isIdentitySetting, settingName } from '../settings.ts'
import type { Collected } from './collected.ts'
import { noFacts, type Part } from './facts.ts'
import type { Kind } from './kinds.ts'
import { as, type JsonObject, list, object, text } from './tree.ts'

/** What the statement itself does; its facts are those that rules can ask for. */
export function mainPart(kind: Kind, content: JsonObject, collected: Collected): Part {
  // Filled in by assignment: a literal with a spread among its fields takes several times as long, and every new text needs it.
  const facts: Record<keyof typeof noFacts, Fact> = { ...noFacts }
  facts.objectType = kind.objectType
  facts.hasWhere = collected.hasWhere
  facts.hasLimit = hasLimit(content)
  facts.returning = collected.returning
  facts.locking = collected.locking
  facts.columns = collected.columns
  facts.columnsWritten = collected.columnsWritten
  facts.functions = collected.functions
  if (kind.action === 'set' || kind.action === 'set_role' || kind.action === 'show')
    facts.setting = settingName(text(content['name']))
  facts.alterations = alterations(content)
  facts.cascade = content['behavior'] === 'DROP_CASCADE'
  Object.assign(facts, copyFacts(kind, content))
  // DO without LANGUAGE is PL/pgSQL.
  facts.language = languageOf(content) || (kind.action === 'do' ? 'plpgsql' : '')
  return {
    action: kind.action,
    writes: kind.writes,
    routine: kind.routine,
    reads: collected.reads,
    written: collected.written,
    others: collected.others,
    facts,
  }
}

/** A write inside it: in WITH, of ON CONFLICT, of MERGE. */
export function nestedPart(write: Collected['nested'][number]): Part {
  return {
    action: write.action,
    writes: true,
    routine: false,
    reads: [],
    written: write.written,
    others: [],
    facts: {
      ...noFacts,
      hasWhere: write.hasWhere,
      columnsWritten: write.columnsWritten,
      returning: write.returning,
      nested: true,
    },
    tagged: write.tagged === true,
  }
}

function hasLimit(content: JsonObject): boolean {
  let limit = content['limitCount']
  // LIMIT NULL::bigint is none, as LIMIT ALL.
  for (let cast = as(limit, 'TypeCast'); cast !== undefined; cast = as(limit, 'TypeCast')) limit = cast['arg']
  return limit !== undefined && as(limit, 'A_Const')?.['isnull'] !== true
}

/** `AT_DropColumn` → `drop_column`. */
function alterations(content: JsonObject): string[] {
  return list(content['cmds']).flatMap(command => {
    const subtype = text(as(command, 'AlterTableCmd')?.['subtype'])
    return subtype === ''
      ? []
      : [
          subtype
            .replace(/^AT_/, '')
            .replace(/(?<=[a-z])(?=[A-Z])/g, '_')
            .toLowerCase(),
        ]
  })
}

function copyFacts(kind: Kind, content: JsonObject): Record<string, Fact> {
  if (kind.action !== 'copy') return {}
  const program = content['is_program'] === true
  return {
    copyDirection: content['is_from'] === true ? 'from' : 'to',
    copyProgram: program,
    copyFile: !program && text(content['filename']) !== '',
  }
}

/** Of a routine or block; empty where none is named. */
export function languageOf(content: JsonObject): string {
  for (const option of [...list(content['args']), ...list(content['options'])]) {
    const element = as(option, 'DefElem')
    if (element?.['defname'] === 'language') return text(as(element['arg'], 'String')?.['sval'])
  }
  return ''
}

/** Settings that are changed by other means than SET can be `role`, too. */
export const setRole: Part = {
  action: 'set_role',
  writes: true,
  routine: false,
  reads: [],
  written: [],
  others: [],
  facts: { ...noFacts, nested: true },
}

/** set_config() and the view pg_settings change settings as SET does; where the name is not a literal it may be any. */
export function identityParts(collected: Collected): Part[] {
  const parts = identityPartsOf(collected.settings)
  return writesSettings(collected) ? [...parts, setRole] : parts
}

/** Of settings that are changed; one whose name is not known may be any. */
export function identityPartsOf(settings: readonly { readonly name: string | undefined }[]): Part[] {
  return settings
    .filter(({ name }) => name === undefined || isIdentitySetting(name))
    .map(({ name }) => ({ ...setRole, facts: { ...setRole.facts, setting: name ?? '' } }))
}

/** What a function, a role, a database or the server is given for later: who runs that one, or logs in, becomes another then. */
export function givenParts(content: JsonObject): Part[] {
  const options = [...list(content['options']), ...list(content['actions'])].map(
    option => as(option, 'DefElem')?.['arg'],
  )
  const given = [object(content['setstmt']), ...options.map(option => object(as(option, 'VariableSetStmt')))]
  return given.flatMap(({ kind, name }): Part[] => {
    if (kind !== 'VAR_SET_VALUE' && kind !== 'VAR_SET_CURRENT') return []
    return isIdentitySetting(text(name))
      ? [{ ...setRole, facts: { ...setRole.facts, setting: settingName(text(name)) } }]
      : []
  })
}

/** Whether it writes to the view of all settings. */
export function writesSettings(collected: Collected): boolean {
  const written = [...collected.written, ...collected.nested.flatMap(write => write.written)]
  return written.some(relation => relation.name === 'pg_settings')
}
