// What an UPDATE leaves as it is: a column that is given its own value, or that where nothing else is. Pure.
import { columnName } from './forms.ts'
import { as, isObject, type Json, list, node } from './tree.ts'

const nothing: Json = { A_Const: { isnull: true } }

/**
 * The value that is put into a column, without that column where it stays in its own place: `coalesce($1, email)` and
 * `CASE WHEN … THEN $1 ELSE email END` put in `$1`. `names` are what the column is called there, as `c.email`.
 */
export function besidesItself(value: Json | undefined, names: ReadonlySet<string>): Json | undefined {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return names.has(columnName(content).join('.')) ? nothing : value
    case 'CoalesceExpr': {
      // One that others follow decides whether they are looked at.
      const args = list(content['args'])
      return {
        CoalesceExpr: { ...content, args: [...args.slice(0, -1), besidesItself(args.at(-1), names) ?? nothing] },
      }
    }
    case 'CaseExpr':
      return {
        CaseExpr: {
          ...content,
          args: list(content['args']).map(item => besidesItsResult(item, names)),
          defresult: besidesItself(content['defresult'], names) ?? nothing,
        },
      }
    default:
      return value
  }
}

function besidesItsResult(item: Json, names: ReadonlySet<string>): Json {
  const when = as(item, 'CaseWhen')
  if (!isObject(when)) return item
  return { CaseWhen: { ...when, result: besidesItself(when['result'], names) ?? nothing } }
}
