// What INSERT, UPDATE, DELETE and MERGE write. Pure.
import type { NestedWrite } from './collected.ts'
import { relationOf } from './objects.ts'
import { choosesRows, namedOf } from './predicate.ts'
import { as, type JsonObject, list, object, text } from './tree.ts'

const actions: Readonly<Record<string, string>> = {
  InsertStmt: 'insert',
  UpdateStmt: 'update',
  DeleteStmt: 'delete',
  MergeStmt: 'merge',
}

/** Whether it is one of the statements that write rows, by its parse node. */
export const writesRows = (name: string): boolean => Object.hasOwn(actions, name)

/** What such a statement writes. */
export function writeOf(name: string, content: JsonObject): NestedWrite {
  const target = object(content['relation'])
  const assigned = name === 'InsertStmt' ? content['cols'] : content['targetList']
  const conflict = object(object(content['onConflictClause']))
  const whens = list(content['mergeWhenClauses']).map(clause => object(as(clause, 'MergeWhenClause')))
  const merged = whens.flatMap(when => list(when['targetList']))
  // They are about rows that the join condition does not choose.
  const widely = whens.some(
    when =>
      when['matchKind'] === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' &&
      when['commandType'] !== 'CMD_NOTHING' &&
      !choosesRows(when['condition'], namedOf(target)),
  )
  return {
    action: actions[name] ?? 'unknown',
    written: [relationOf(target)],
    hasWhere: !widely && choosesRows(content['whereClause'] ?? content['joinCondition'], namedOf(target)),
    columnsWritten: [...list(assigned), ...list(conflict['targetList']), ...merged].flatMap(entry => {
      const column = text(as(entry, 'ResTarget')?.['name'])
      return column === '' ? [] : [column]
    }),
    returning: content['returningList'] !== undefined || content['returningClause'] !== undefined,
  }
}
