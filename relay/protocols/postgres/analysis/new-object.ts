// Objects that mostly run code, in the forms in which a statement can make them so that they run none. Pure.
import { as, isObject, type Json, type JsonObject, list, strings, text } from './tree.ts'

/** What is made by the statement, and what decides whether that runs code. */
export type NewObject =
  /** `unlessThere`: where there is one of the name, the server only says so. */
  | { readonly kind: 'extension'; readonly name: string; readonly unlessThere: boolean }
  /** `base` is the name of the type under it. */
  | { readonly kind: 'domain'; readonly schema: string | undefined; readonly name: string; readonly base: string }
  /** Of a deterministic one only the same values are equal. */
  | { readonly kind: 'collation'; readonly isDeterministic: boolean }

/** What a statement makes of these; undefined: nothing. */
export function newObjectOf(name: string, content: JsonObject): NewObject | undefined {
  if (name === 'CreateExtensionStmt')
    return { kind: 'extension', name: text(content['extname']), unlessThere: content['if_not_exists'] === true }
  if (name === 'CreateDomainStmt') {
    const names = strings(content['domainname'])
    const base = strings(typeOf(content['typeName'])['names']).at(-1) ?? ''
    return { kind: 'domain', schema: names.at(-2), name: names.at(-1) ?? '', base }
  }
  if (name === 'DefineStmt' && content['kind'] === 'OBJECT_COLLATION')
    return { kind: 'collation', isDeterministic: list(content['definition']).every(isDeterministic) }
  return undefined
}

const typeOf = (value: Json | undefined): JsonObject => (isObject(value) ? (as(value, 'TypeName') ?? value) : {})

/** Whether an option leaves a collation what it is without it. */
function isDeterministic(option: Json): boolean {
  const element = as(option, 'DefElem')
  return text(element?.['defname']) !== 'deterministic' || text(as(element?.['arg'], 'String')?.['sval']) === 'true'
}
