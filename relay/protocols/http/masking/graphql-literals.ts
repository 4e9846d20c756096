// Values that a text of GraphQL gives to arguments and input fields, replaced in what is recorded where these are masked. Pure.
import { type ASTNode, Kind, type ValueNode, visit } from 'graphql'
import { recordedPlaceholder } from '../../../mask/placeholder.ts'
import { parsed } from '../graphql.ts'
import type { Paths } from './paths.ts'

/** The text with placeholders in the place of such values; the same string when there are none, or it is no GraphQL. */
export function hideLiterals(text: string, fields: Paths, key: Uint8Array): string {
  if (!text.includes('(') || !text.includes('{')) return text
  const document = parsed(text, { located: true })
  if (document === undefined) return text
  let shown = text
  // From the last on, so that the places of those before stay.
  for (const value of hiddenValues(document, fields).reverse()) {
    const { start = 0, end = 0 } = value.loc ?? {}
    const clear = 'value' in value ? String(value.value) : text.slice(start, end)
    shown = `${shown.slice(0, start)}"${recordedPlaceholder(key, clear)}"${shown.slice(end)}`
  }
  return shown
}

/** Those that are not within each other, in order. */
function hiddenValues(document: ASTNode, fields: Paths): ValueNode[] {
  const found: ValueNode[] = []
  const look = (name: string, value: ValueNode | undefined): false | undefined => {
    if (value === undefined || value.kind === Kind.VARIABLE) return undefined
    if (fields.belowText(fields.start, name).mask < 0) return undefined
    found.push(value)
    return false
  }
  visit(document, {
    Argument: ({ name, value }) => look(name.value, value),
    ObjectField: ({ name, value }) => look(name.value, value),
    VariableDefinition: ({ variable, defaultValue }) => look(variable.name.value, defaultValue),
  })
  return found
}

/** The same for every text in documents of valid JSON, or their beginning: a text that is cut off is left out. */
export function hideLiteralsIn(json: string, fields: Paths, key: Uint8Array): string {
  let shown = ''
  let at = 0
  for (let start = json.indexOf('"'); start !== -1; start = json.indexOf('"', at)) {
    let end = start + 1
    while (end < json.length && json[end] !== '"') end += json[end] === '\\' ? 2 : 1
    if (end >= json.length) return shown + json.slice(at, start)
    const written = json.slice(start, end + 1)
    shown += json.slice(at, start) + (written.includes('(') ? hiddenIn(written, fields, key) : written)
    at = end + 1
  }
  return shown + json.slice(at)
}

function hiddenIn(written: string, fields: Paths, key: Uint8Array): string {
  const clear = JSON.parse(written) as string
  const shown = hideLiterals(clear, fields, key)
  return shown === clear ? written : JSON.stringify(shown)
}
