// Walking PostgreSQL's parse tree as libpg-query gives it: JSON objects whose single key names the node. Pure.

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [key: string]: Json | undefined
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function list(value: Json | undefined): readonly Json[] {
  return Array.isArray(value) ? (value as readonly Json[]) : []
}

export function text(value: Json | undefined): string {
  return typeof value === 'string' ? value : ''
}

export function object(value: Json | undefined): JsonObject {
  return isObject(value) ? value : {}
}

/** A node and its name: `{ "ColumnRef": { … } }` → `["ColumnRef", { … }]`. */
export function node(value: Json | undefined): readonly [string, JsonObject] {
  if (!isObject(value)) return ['', {}]
  const [name] = Object.keys(value)
  return name === undefined ? ['', {}] : [name, object(value[name])]
}

/** The node's content when it has this name. */
export function as(value: Json | undefined, name: string): JsonObject | undefined {
  const content = isObject(value) ? value[name] : undefined
  return isObject(content) ? content : undefined
}

/** Strings of a list such as a qualified name: `[{String:{sval:'public'}},{String:{sval:'t'}}]`. */
export function strings(value: Json | undefined): string[] {
  const found: string[] = []
  for (const item of list(value)) {
    const string = as(item, 'String')
    if (string !== undefined) found.push(text(string['sval']))
  }
  return found
}

/** Calls `visit` for every node below and including `value`; when it returns true, its children are left out. */
export function walk(value: Json | undefined, visit: (name: string, content: JsonObject) => boolean): void {
  // A stack of our own: parse trees of left-recursive expressions are as deep as the statement is long.
  const stack: (Json | undefined)[] = [value]
  while (stack.length > 0) {
    const next = stack.pop()
    if (Array.isArray(next)) {
      for (let index = next.length - 1; index >= 0; index -= 1) stack.push(next[index])
    } else if (isObject(next)) {
      const keys = Object.keys(next)
      for (let index = keys.length - 1; index >= 0; index -= 1) {
        const key = keys[index] ?? ''
        const child = next[key]
        // Node names begin with a capital letter, fields with a small one.
        if (isObject(child) && key >= 'A' && key <= 'Z~' && visit(key, child)) continue
        if (typeof child === 'object' && child !== null) stack.push(child)
      }
    }
  }
}

/** Whether any node of one of these names is below. */
export function contains(value: Json | undefined, ...names: readonly string[]): boolean {
  let found = false
  walk(value, name => {
    if (names.includes(name)) found = true
    return found
  })
  return found
}

/**
 * A constant string, number or boolean as text; undefined for anything that is computed. A cast may be one that keeps the
 * whole of it: `'role_x'::varchar(4)` is `role`.
 */
export function constant(value: Json | undefined): string | undefined {
  const cast = as(value, 'TypeCast')
  if (cast !== undefined) return isWholeText(cast) ? constant(cast['arg']) : undefined
  const literal = as(value, 'A_Const')
  if (literal === undefined) return undefined
  const { sval, ival, fval, boolval } = literal
  if (isObject(sval)) return text(sval['sval'])
  if (isObject(ival)) return String(ival['ival'] ?? 0)
  if (isObject(fval)) return text(fval['fval'])
  if (isObject(boolval)) return String(boolval['boolval'] ?? false)
  return undefined
}

/** The number of a parameter (`$1` is 1), also of one that is cast as a whole. */
export function parameterNumber(value: Json | undefined): number | undefined {
  const cast = as(value, 'TypeCast')
  if (cast !== undefined) return isWholeText(cast) ? parameterNumber(cast['arg']) : undefined
  const reference = as(value, 'ParamRef')
  return reference === undefined ? undefined : Number(reference['number'] ?? 0)
}

/** Whether an option of EXPLAIN is on. Where it stands twice, the server takes the last; here one is enough. */
export function explains(explain: JsonObject, option: 'analyze' | 'memory' | 'wal'): boolean {
  return list(explain['options']).some(item => {
    const element = object(object(item)['DefElem'])
    return element['defname'] === option && !isFalse(element['arg'])
  })
}

function isFalse(value: Json | undefined): boolean {
  const [name, content] = node(value)
  if (name === 'Boolean') return content['boolval'] !== true
  if (name === 'Integer') return (content['ival'] ?? 0) === 0
  return name === 'String' && /^(off|false|no|0)$/i.test(text(content['sval']))
}

/** Types that a cast to keeps the whole value, by their names. */
export const wholeTextTypes: readonly string[] = ['text', 'varchar']

/** Whether it is a cast to a text without a length, which keeps the whole value. */
export function isWholeText(cast: JsonObject): boolean {
  const type = object(cast['typeName'])
  const names = strings(type['names'])
  const own = names.length === 1 || (names.length === 2 && names[0] === 'pg_catalog')
  const whole = own && wholeTextTypes.includes(names.at(-1) ?? '') && type['typmods'] === undefined
  return whole && type['arrayBounds'] === undefined && type['setof'] !== true
}
