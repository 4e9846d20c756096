// The name that PostgreSQL gives to an output column without AS: FigureColname in src/backend/parser/parse_target.c. Pure.
import { as, type Json, list, node, object, strings, text } from './tree.ts'

/** Undefined where it is not known; the column may then have any name. */
export function outputName(value: Json | undefined): string | undefined {
  const known = certainName(value)
  return known === undefined ? guessedName(value) : known.name
}

/** Of what has no certain name. */
function guessedName(value: Json | undefined): string | undefined {
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
    case 'CaseExpr': {
      const inner = outputName(content['defresult'])
      return inner === undefined || inner === '?column?' ? 'case' : inner
    }
    case 'A_Indirection': {
      const field = list(content['indirection'])
        .map(item => text(as(item, 'String')?.['sval']))
        .at(-1)
      return field || outputName(content['arg'])
    }
    case 'SubLink':
      return sublinkName(content['subLinkType'], content['subselect'])
    case 'A_Const':
      return '?column?'
    default:
      return undefined
  }
}

/**
 * Whether it is that name on every version of the server. What SELECT makes of EXTRACT, XML, subqueries and the like has
 * changed, or depends on more than is looked at here.
 */
export const isCertainName = (value: Json | undefined): boolean => certainName(value) !== undefined

/** A name of one's own, one that a cast or a CASE around it takes the place of, or none, which is `?column?`. */
interface Certain {
  readonly name: string
  readonly strength: 'own' | 'weak' | 'none'
}

const own = (name: string | undefined): Certain | undefined =>
  name === undefined || name === '' ? undefined : { name, strength: 'own' }

const unnamed: Certain = { name: '?column?', strength: 'none' }

/** FigureColnameInternal, as far as all versions agree. */
function certainName(value: Json | undefined): Certain | undefined {
  const [name, content] = node(value)
  switch (name) {
    case 'ColumnRef':
      return own(text(as(list(content['fields']).at(-1), 'String')?.['sval']))
    case 'FuncCall': {
      const called = strings(content['funcname']).at(-1)
      // EXTRACT was date_part() up to version 13.
      return content['funcformat'] === 'COERCE_SQL_SYNTAX' && called === 'extract' ? undefined : own(called)
    }
    case 'A_Indirection': {
      const fields = list(content['indirection'])
      if (fields.some(item => as(item, 'A_Star') !== undefined)) return undefined
      const field = fields.map(item => text(as(item, 'String')?.['sval'])).findLast(each => each !== '')
      return field === undefined ? certainName(content['arg']) : own(field)
    }
    case 'CollateClause':
      return certainName(content['arg'])
    case 'TypeCast':
      return around(certainName(content['arg']), strings(object(content['typeName'])['names']).at(-1))
    case 'CaseExpr':
      return around(content['defresult'] === undefined ? unnamed : certainName(content['defresult']), 'case')
    case 'A_Expr':
      return content['kind'] === 'AEXPR_NULLIF' ? own('nullif') : unnamed
    case 'MinMaxExpr':
      return own(content['op'] === 'IS_LEAST' ? 'least' : 'greatest')
    case 'CoalesceExpr':
      return own('coalesce')
    case 'A_ArrayExpr':
      return own('array')
    case 'RowExpr':
      return own('row')
    case 'GroupingFunc':
      return own('grouping')
    case 'ParamRef':
    case 'BoolExpr':
    case 'NullTest':
    case 'BooleanTest':
      return unnamed
    case 'A_Const':
      return content['boolval'] === undefined ? unnamed : undefined
    default:
      return undefined
  }
}

function around(inner: Certain | undefined, name: string | undefined): Certain | undefined {
  if (inner === undefined || inner.strength === 'own') return inner
  return name === undefined || name === '' ? undefined : { name, strength: 'weak' }
}

function sublinkName(type: Json | undefined, subselect: Json | undefined): string | undefined {
  if (type === 'EXISTS_SUBLINK') return 'exists'
  if (type === 'ARRAY_SUBLINK') return 'array'
  if (type !== 'EXPR_SUBLINK') return '?column?'
  const [target] = list(object(as(subselect, 'SelectStmt'))['targetList'])
  const named = object(as(target, 'ResTarget'))
  return text(named['name']) || outputName(named['val'])
}
