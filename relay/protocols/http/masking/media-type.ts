// What a body is, as far as masking it goes: the media type that its head names. Pure.

/** How a body is read. */
export type BodyForm = 'json' | 'json-lines' | 'json-sequence' | 'csv' | 'form' | 'event-stream' | 'text'

export interface MediaType {
  /** `type/subtype`, in lower case. */
  readonly name: string
  /** By their names in lower case; the values as they are. */
  readonly parameters: ReadonlyMap<string, string>
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const essence = new RegExp(`^[ \\t]*(${TOKEN}/${TOKEN})[ \\t]*`)
const parameter = new RegExp(
  `;[ \\t]*(?:(${TOKEN})=(?:(${TOKEN})|"((?:[\\t\\x20\\x21\\x23-\\x5b\\x5d-\\x7e\\x80-\\xff]|\\\\[\\t\\x20-\\x7e\\x80-\\xff])*)"))?[ \\t]*`,
  'y',
)
/** Longer ones are not read. */
const MAX_LENGTH = 1_024

/**
 * Reads a Content-Type; undefined when it is none, or names a parameter twice, since readers differ in which counts.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1
 */
export function readMediaType(text: string): MediaType | undefined {
  const found = text.length > MAX_LENGTH ? null : essence.exec(text)
  if (found === null) return undefined
  const parameters = new Map<string, string>()
  let at = found[0].length
  while (at < text.length) {
    parameter.lastIndex = at
    const next = parameter.exec(text)
    if (next === null) return undefined
    const name = next[1]?.toLowerCase()
    if (name !== undefined) {
      if (parameters.has(name)) return undefined
      parameters.set(name, next[2] ?? (next[3] ?? '').replaceAll(/\\(.)/g, '$1'))
    }
    at = parameter.lastIndex
  }
  return { name: (found[1] ?? '').toLowerCase(), parameters }
}

/** The charset of a text of this type, UTF-8 where none is named; undefined where the type itself is none. */
export function charsetOf(contentType: string | undefined): string | undefined {
  const type = contentType === undefined ? undefined : readMediaType(contentType)
  if (contentType !== undefined && type === undefined) return undefined
  return type?.parameters.get('charset') ?? 'utf-8'
}

const forms: ReadonlyMap<string, BodyForm> = new Map([
  ['application/json', 'json'],
  // As they were called before they were registered, and as AWS and JSON-RPC call it.
  ['application/x-json', 'json'],
  ['text/x-json', 'json'],
  ['application/x-amz-json-1.0', 'json'],
  ['application/x-amz-json-1.1', 'json'],
  ['application/json-rpc', 'json'],
  ['application/jsonrequest', 'json'],
  ['application/x-ndjson', 'json-lines'],
  ['application/ndjson', 'json-lines'],
  ['application/jsonl', 'json-lines'],
  ['application/jsonlines', 'json-lines'],
  ['application/x-jsonlines', 'json-lines'],
  ['application/x-ldjson', 'json-lines'],
  ['application/stream+json', 'json-lines'],
  ['application/json-seq', 'json-sequence'],
  ['text/csv', 'csv'],
  ['application/x-www-form-urlencoded', 'form'],
  ['text/event-stream', 'event-stream'],
  ['text/json', 'json'],
  ['application/xml', 'text'],
  ['application/javascript', 'text'],
  ['application/x-javascript', 'text'],
  ['application/ecmascript', 'text'],
])

const charsets = new Set(['utf-8', 'utf8', 'us-ascii'])

/** The form of a body of this type; undefined when gate cannot read it. */
export function formOf({ name, parameters }: MediaType): BodyForm | undefined {
  const charset = parameters.get('charset')
  if (charset !== undefined && !charsets.has(charset.toLowerCase())) return undefined
  const form = forms.get(name)
  if (form !== undefined) return form
  if (name.endsWith('+json-seq')) return 'json-sequence'
  if (/\+(?:x-)?ndjson$/.test(name)) return 'json-lines'
  if (name.endsWith('+json')) return 'json'
  return name.startsWith('text/') || name.endsWith('+xml') ? 'text' : undefined
}

const streams: ReadonlySet<BodyForm | undefined> = new Set(['json-lines', 'json-sequence', 'event-stream'])

/**
 * Whether parts of a body of this type are worth something before the rest comes: events, changes, tokens. A watch may call
 * itself JSON, but does not say how long it is.
 */
export function isStream(contentType: string | undefined, hasLength: boolean): boolean {
  const type = contentType === undefined ? undefined : readMediaType(contentType)
  const form = type === undefined ? undefined : formOf(type)
  return streams.has(form) || (form === 'json' && !hasLength)
}
