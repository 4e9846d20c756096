// What INSERT, UPDATE, DELETE and MERGE write. Pure.
import type { NestedWrite } from './collected.ts'
import { relationOf } from './objects.ts'
import { choosesRows, type Named, namedOf } from './predicate.ts'
import { as, type Json, type JsonObject, list, object, text } from './tree.ts'

const actions: Readonly<Record<string, string>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
}

/** Whether it is one of the statements that write rows, by its parse node. */
export const writesRows = (name: string): boolean => Object.hasOwn(actions, name)

/**
 * What such a statement writes: by its name first, then what else PostgreSQL asks a privilege for, the UPDATE of ON CONFLICT and
 * the actions of MERGE. `chosen`: whether something says which rows an INSERT puts in, and so which it can conflict with.
 */
export function writesOf(name: string, content: JsonObject, chosen: boolean): [NestedWrite, ...NestedWrite[]] {
  const target = object(content['relation'])
  const hasOthers = ['fromClause', 'usingClause', 'sourceRelation'].some(field => content[field] !== undefined)
  const table: Named = { ...namedOf(target), hasOthers }
  const conflict = object(content['onConflictClause'])
  const whens = list(content['mergeWhenClauses']).map(clause => object(as(clause, 'MergeWhenClause')))
  const condition = content['whereClause'] ?? content['joinCondition']
  const chooses = (some: readonly JsonObject[]): boolean =>
    choosesRows(condition, table) && !some.some(when => isAboutAll(when, table))
  const common = {
    written: [relationOf(target)],
    returning: content['returningClause'] !== undefined,
  }
  const assigned = name === 'InsertStmt' ? content['cols'] : content['targetList']
  const main: NestedWrite = {
    ...common,
    action: actions[name] ?? 'unknown',
    hasWhere: chooses(whens),
    columnsWritten: [assigned, conflict['targetList'], ...whens.map(when => when['targetList'])].flatMap(columnsOf),
  }
  const merged = Object.entries(merging).flatMap(([command, action]): NestedWrite[] => {
    const some = whens.filter(when => when['commandType'] === command)
    if (some.length === 0) return []
    const columnsWritten = some.flatMap(when => columnsOf(when['targetList']))
    return [{ ...common, action, hasWhere: action !== 'insert' && chooses(some), columnsWritten }]
  })
  if (conflict['action'] !== 'ONCONFLICT_UPDATE') return [main, ...merged]
  const hasWhere = chosen || choosesRows(conflict['whereClause'], table)
  return [main, { ...common, action: 'update', hasWhere, columnsWritten: columnsOf(conflict['targetList']) }]
}

/** What MERGE does by its clauses: commandType → action. */
const merging: Readonly<Record<string, string>> = {
  CMD_INSERT: 'insert',
  CMD_UPDATE: 'update',
  CMD_DELETE: 'delete',
}

/** Whether a clause of MERGE is about rows that the join condition does not choose, and its own condition neither. */
function isAboutAll({ matchKind, commandType, condition }: JsonObject, table: Named): boolean {
  if (matchKind !== 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' || commandType === 'CMD_NOTHING') return false
  return !choosesRows(condition, table)
}

function columnsOf(targets: Json | undefined): string[] {
  return list(targets).flatMap(entry => {
    const column = text(as(entry, 'ResTarget')?.['name'])
    return column === '' ? [] : [column]
  })
}
