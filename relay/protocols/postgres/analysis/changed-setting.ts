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

/** What a call of set_config() changes; `said` are values that columns have by the WHERE of its query. */
export function changedSetting(call: JsonObject, said: ReadonlyMap<string, string>): ChangedSetting {
  const [setting, value] = list(call['args'])
  const column = as(setting, 'ColumnRef')
  const name = column === undefined ? constant(setting) : said.get(columnName(column).join('.'))
  return { name, value: constant(value), parameter: parameterNumber(value) }
}

/** `name = 'work_mem' AND …`: pg_dump calls set_config(name, …) of the settings that such a condition leaves. */
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
