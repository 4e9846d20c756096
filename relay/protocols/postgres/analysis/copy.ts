// How COPY TO STDOUT writes its rows: the options of the statement, as far as they decide where one value ends. Pure.
import { as, isObject, type Json, type JsonObject, list, node, object, strings, text } from './tree.ts'

/** `null` is what stands for SQL NULL. */
export type CopyForm =
  | { readonly kind: 'binary' }
  | { readonly kind: 'text'; readonly delimiterByte: number; readonly null: string; readonly header: boolean }
  | {
      readonly kind: 'csv'
      readonly delimiterByte: number
      readonly quoteByte: number
      readonly escapeByte: number
      /** Columns whose values are quoted even where they need not be: all, or those of these names. */
      readonly forceQuote: 'all' | readonly string[]
      readonly null: string
      readonly header: boolean
    }

/** What leaves by COPY TO STDOUT; `reason` says why its rows cannot be read. Undefined for everything else. */
export type CopyOut = { readonly form: CopyForm } | { readonly reason: string }

/** Options that change nothing in how a row is to be read; the server refuses those that only belong to COPY FROM. */
const ignored = new Set(['freeze'])

/** Names of UTF8 that pg_char_to_encoding takes, without what it strips: src/common/encnames.c. */
const utf8Names = new Set(['utf8', 'unicode'])

/** @see https://www.postgresql.org/docs/current/sql-copy.html */
export function copyOutOf(name: string, content: JsonObject): CopyOut | undefined {
  if (name !== 'CopyStmt' || content['is_from'] === true) return undefined
  if (content['is_program'] === true || text(content['filename']) !== '') return undefined
  const options = new Map<string, Json | undefined>()
  for (const option of list(content['options'])) {
    const element = object(as(option, 'DefElem'))
    const optionName = text(element['defname'])
    if (options.has(optionName)) return { reason: `the option ${optionName} stands twice` }
    options.set(optionName, element['arg'])
  }
  const known = ['format', 'delimiter', 'null', 'header', 'quote', 'escape', 'force_quote', 'encoding']
  for (const option of options.keys())
    if (!known.includes(option) && !ignored.has(option)) return { reason: `gate does not know the option ${option}` }
  const encoding = word(options.get('encoding'))
  if (encoding !== undefined && !utf8Names.has(encoding.toLowerCase().replace(/[^a-z0-9]/g, '')))
    return { reason: `its rows are written in ${encoding}` }
  return formOf(options)
}

function formOf(options: ReadonlyMap<string, Json | undefined>): CopyOut {
  const kind = word(options.get('format')) ?? 'text'
  const header = options.has('header') && isTrue(options.get('header'))
  switch (kind) {
    case 'binary':
      return { form: { kind } }
    case 'text': {
      const delimiterByte = byte(options, 'delimiter', '\t')
      if (delimiterByte === undefined) return { reason: 'its delimiter is no single character' }
      return { form: { kind, delimiterByte, null: word(options.get('null')) ?? '\\N', header } }
    }
    case 'csv': {
      const delimiterByte = byte(options, 'delimiter', ',')
      const quoteByte = byte(options, 'quote', '"')
      const escapeByte = options.has('escape') ? byte(options, 'escape', '') : quoteByte
      if (delimiterByte === undefined || quoteByte === undefined || escapeByte === undefined)
        return { reason: 'its delimiter, quote or escape is no single character' }
      const forced = options.get('force_quote')
      const forceQuote = as(forced, 'A_Star') === undefined ? strings(as(forced, 'List')?.['items']) : 'all'
      const nullWord = word(options.get('null')) ?? ''
      return { form: { kind, delimiterByte, quoteByte, escapeByte, forceQuote, null: nullWord, header } }
    }
    default:
      return { reason: `gate does not know the format ${kind}` }
  }
}

function byte(options: ReadonlyMap<string, Json | undefined>, name: string, otherwise: string): number | undefined {
  const bytes = Buffer.from(options.has(name) ? (word(options.get(name)) ?? '') : otherwise, 'utf8')
  return bytes.length === 1 ? bytes[0] : undefined
}

/** The text of an option's value; undefined when it has none. */
function word(value: Json | undefined): string | undefined {
  if (!isObject(value)) return undefined
  const [name, content] = node(value)
  if (name === 'String') return text(content['sval'])
  return name === 'Integer' ? String(content['ival'] ?? 0) : undefined
}

/** defGetBoolean in src/backend/commands/define.c: an option without a value is true. What it does not take, the server refuses. */
function isTrue(value: Json | undefined): boolean {
  if (!isObject(value)) return true
  const [name, content] = node(value)
  if (name === 'Boolean') return content['boolval'] === true
  return !/^(false|off|0)$/i.test(word(value) ?? '')
}
