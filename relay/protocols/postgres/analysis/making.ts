// Which relation a statement makes, or gives another name or place. Pure.
import { relationOf } from './objects.ts'
import { isObject, type JsonObject, node, object, text } from './tree.ts'

/** A relation that there is under this name afterwards. */
export interface Making {
  readonly schema: string | undefined
  readonly name: string
  readonly temporary: boolean
  /** One that there is already got the name, or came into the schema. */
  readonly moved: boolean
  /** CREATE OR REPLACE: where it is there already, it becomes this one. */
  readonly replaces?: true
}

/** Where each command says what it makes. */
const places: Readonly<Record<string, (content: JsonObject) => JsonObject>> = {
  CreateStmt: ({ relation }) => object(relation),
  CreateTableAsStmt: ({ into }) => object(object(into)['rel']),
  ViewStmt: ({ view }) => object(view),
  // Of a UNION and the like, the first SELECT says it.
  SelectStmt: content => {
    let first = content
    while (isObject(first['larg'])) first = first['larg']
    return object(object(first['intoClause'])['rel'])
  },
}

/** What a statement makes; undefined: nothing. */
export function makingOf(name: string, content: JsonObject): Making | undefined {
  if (name === 'ExplainStmt') return makingOf(...node(content['query']))
  if (name === 'RenameStmt' && isObject(content['relation']) && text(content['subname']) === '')
    return { schema: undefined, name: text(content['newname']), temporary: false, moved: true }
  if (name === 'AlterObjectSchemaStmt' && isObject(content['relation'])) {
    const moved = relationOf(content['relation'])
    return { schema: text(content['newschema']), name: moved.name, temporary: false, moved: true }
  }
  const range = Object.hasOwn(places, name) ? places[name]?.(content) : undefined
  if (range === undefined || text(range['relname']) === '') return undefined
  const made = relationOf(range)
  const temporary = range['relpersistence'] === 't' || made.schema === 'pg_temp'
  return { ...made, temporary, moved: false, ...(content['replace'] === true && { replaces: true }) }
}
