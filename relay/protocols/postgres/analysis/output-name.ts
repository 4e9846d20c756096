// The name that PostgreSQL gives to an output column without AS: FigureColname in src/backend/parser/parse_target.c. Pure.
import { as, type Json, list, node, object, strings, text } from './tree.ts'

const fixedNames: Readonly<Record<string, string>> = {
  CaseExpr: 'case',
  A_ArrayExpr: 'array',
  RowExpr: 'row',
  CoalesceExpr: 'coalesce',
  GroupingFunc: 'grouping',
  A_Const: '?column?',
  ParamRef: '?column?',
  BoolExpr: '?column?',
  NullTest: '?column?',
  BooleanTest: '?column?',
}

/** Undefined where it is not known; the column may then have any name. */
export function outputName(value: Json | undefined): string | undefined {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return strings(content['fields']).at(-1)
    case 'FuncCall':
      return strings(content['funcname']).at(-1)
    case 'CollateClause':
      return outputName(content['arg'])
    case 'TypeCast': {
      const inner = outputName(content['arg'])
      return inner === undefined || inner === '?column?' ? strings(object(content['typeName'])['names']).at(-1) : inner
    }
    case 'MinMaxExpr':
      return content['op'] === 'IS_LEAST' ? 'least' : 'greatest'
    case 'A_Expr':
      return content['kind'] === 'AEXPR_NULLIF' ? 'nullif' : '?column?'
    case 'CaseExpr': {
      const inner = outputName(content['defresult'])
      return inner === undefined || inner === '?column?' ? fixedNames[name] : inner
    }
    case 'A_Indirection': {
      const field = list(content['indirection'])
        .map(item => text(as(item, 'String')?.['sval']))
        .at(-1)
      return field || outputName(content['arg'])
    }
    case 'SubLink':
      return sublinkName(content['subLinkType'], content['subselect'])
    default:
      return Object.hasOwn(fixedNames, name) ? fixedNames[name] : undefined
  }
}

/**
 * Whether it is that name on every version of the server: of a column, or of a function that is called as such. What
 * SELECT makes of CASE, subqueries and the like has changed, and depends on more than is looked at here.
 */
export function isCertainName(value: Json | undefined): boolean {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return as(list(content['fields']).at(-1), 'String') !== undefined
    case 'FuncCall':
      return content['funcformat'] !== 'COERCE_SQL_SYNTAX'
    case 'A_Indirection':
      return as(list(content['indirection']).at(-1), 'String') !== undefined
    case 'CollateClause':
    case 'TypeCast':
      return isCertainName(content['arg'])
    default:
      return false
  }
}

function sublinkName(type: Json | undefined, subselect: Json | undefined): string | undefined {
  if (type === 'EXISTS_SUBLINK') return 'exists'
  if (type === 'ARRAY_SUBLINK') return 'array'
  if (type !== 'EXPR_SUBLINK') return '?column?'
  const [target] = list(object(as(subselect, 'SelectStmt'))['targetList'])
  const named = object(as(target, 'ResTarget'))
  return text(named['name']) || outputName(named['val'])
}
