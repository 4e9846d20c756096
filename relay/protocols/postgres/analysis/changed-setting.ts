// Settings that calls of set_config() change. Pure.
import { columnName } from './forms.ts'
import { as, constant, type Json, type JsonObject, list, object, parameterNumber, strings } from './tree.ts'

/** Undefined where the name or value is computed. */
export interface ChangedSetting {
  readonly name: string | undefined
  readonly value: string | undefined
  /** The number of the parameter that is the value. */
  readonly parameter: number | undefined
}

export const anySetting: ChangedSetting = { name: undefined, value: undefined, parameter: undefined }

const DUMPED = 'restrict_nonsystem_relation_kind'
/** Values that pg_dump gives it, which are none of any setting that matters here. */
const dumped = /^(?:view|foreign-table)(?:, *(?:view|foreign-table))?$/

/** What a call of set_config() changes; `said` are values that columns have by the WHERE of its query. */
export function changedSetting(call: JsonObject, said: ReadonlyMap<string, string>): ChangedSetting {
  const [setting, value] = list(call['args'])
  const column = as(setting, 'ColumnRef')
  if (column === undefined)
    return { name: constant(setting), value: constant(value), parameter: parameterNumber(value) }
  const name = said.get(columnName(column).join('.'))
  const given = constant(value)
  const isOfDump = name === DUMPED && given !== undefined && dumped.test(given)
  return { name: isOfDump ? name : undefined, value: given, parameter: undefined }
}

/**
 * `name = 'restrict_nonsystem_relation_kind' AND …`: pg_dump calls set_config(name, …) of the setting that such a condition
 * leaves. A name in FROM can be a view that says another one each time, so no other setting is believed.
 */
export function saidBy(where: Json | undefined): Map<string, string> {
  const said = new Map<string, string>()
  const conjunction = as(where, 'BoolExpr')
  const parts = conjunction?.['boolop'] === 'AND_EXPR' ? list(conjunction['args']) : [where ?? null]
  for (const part of parts) {
    const comparison = object(as(part, 'A_Expr'))
    const column = as(comparison['lexpr'], 'ColumnRef')
    const value = constant(comparison['rexpr'])
    const isEqual = comparison['kind'] === 'AEXPR_OP' && strings(comparison['name']).join('.') === '='
    if (isEqual && column !== undefined && value !== undefined) said.set(columnName(column).join('.'), value)
  }
  return said
}
