// Which masker a body gets, or why it cannot be read: what obligations say, by the type of the body. Pure.
import type { FieldMaskObligation, Obligation } from '@gate/shared/model'
import { CsvMasker } from './csv.ts'
import { compileSearches, fieldMaskOf, type Searches } from './detecting.ts'
import { EventStreamMasker } from './event-stream.ts'
import { lettersOf } from './field-paths.ts'
import { FormMasker } from './form.ts'
import { GuardedJsonMasker } from './guarded-json.ts'
import { JsonMasker } from './json-masker.ts'
import { JsonSearch } from './json-search.ts'
import type { FieldMask } from './json-values.ts'
import { type BodyMasker, GuardedMasker, untouched } from './masker.ts'
import { type BodyForm, formOf, type MediaType, readMediaType } from './media-type.ts'
import { type FieldMasks, Paths } from './paths.ts'
import { TextMasker } from './text.ts'

/** What is masked in the answers of one route for one person. Compiled once; maskers of many bodies share it. */
export interface BodyMasks {
  readonly fields: FieldMasks | undefined
  /**
   * The same for rows and forms, each of which may be an element of what patterns begin with: whoever asks for CSV gets `email`,
   * and not `customers.email`.
   */
  readonly elements: FieldMasks | undefined
  /** The same for lines, events and messages, which hold such elements in envelopes of their own: `{"payload":{"email":…}}`. */
  readonly anywhere: FieldMasks | undefined
  readonly searches: Searches
  /** By the names of headers in lower case; of several masks the first. */
  readonly headers: ReadonlyMap<string, FieldMask>
  /** For people: what stands in the place of values in forms is not encoded. */
  readonly isReadable: boolean
  /** Replaces what is masked in a value of a form that is a text in a language of its own. */
  readonly literals?: ((text: string) => string) | undefined
}

/** Why a body cannot be read, for people. It is refused; an empty one has nothing to refuse. */
export interface Unreadable {
  readonly unreadable: string
}

/** The fields of several masks, each with how it is masked; undefined when there are none. */
export function compileFields(
  masks: readonly { readonly fields: readonly string[]; readonly mask: FieldMask }[],
): FieldMasks | undefined {
  const all = masks.filter(({ fields }) => fields.length > 0)
  if (all.length === 0) return undefined
  return { paths: new Paths(all.map(({ fields }) => fields)), masks: all.map(({ mask }) => mask) }
}

/** The patterns, and each without the first, the first two, … of its names, as long as one is left that is a name. */
function withEndings(patterns: readonly string[]): string[] {
  const all = patterns.flatMap(pattern => {
    const names = pattern.split('.')
    return names
      .map((_, at) => names.slice(at))
      .filter((rest, at) => at === 0 || rest.some(name => !/^\*+$/.test(name)))
  })
  const written = all.map(names => names.join('.'))
  return [...new Set([...written, ...written.map(pattern => lettersOf(pattern) ?? pattern)])]
}

/** The pattern for documents in which a field may be anywhere, with any part of what is around it: its last name, and what follows. */
export function endOfPattern(pattern: string): string {
  const names = pattern.split('.')
  const last = names.findLastIndex(name => !/^\*+$/.test(name))
  return last < 0 ? pattern : `**.${names.slice(last).join('.')}`
}

/** Whether a mask is about the answers of one of these routes. */
function isAbout(mask: FieldMaskObligation, routes: readonly string[]): boolean {
  return mask.routes.length === 0 || mask.routes.some(route => routes.includes(route))
}

/** The masks that bind answers of these routes. */
export function masksOf(obligations: readonly Obligation[], routes: readonly string[]): readonly Obligation[] {
  return obligations.filter(each => each.kind === 'mask' || (each.kind === 'mask-fields' && isAbout(each, routes)))
}

/** Whether fields of these routes' answers are masked. */
export function masksFields(obligations: readonly Obligation[], routes: readonly string[]): boolean {
  return obligations.some(each => each.kind === 'mask-fields' && each.fields.length > 0 && isAbout(each, routes))
}

/** Fields that are masked, as a request may name them. */
export interface NamedFields {
  /** Wherever they are. */
  readonly fields: Paths
  /** Knows the names of what is around them as well: under another name for that no pattern would find them. */
  readonly names: Paths
  /** Whether one is hidden only where it is, and not in something else that it is put into. */
  readonly isAnchored: boolean
}

/** The fields of these routes' answers that are masked; undefined where none is. */
export function namedFields(obligations: readonly Obligation[], routes: readonly string[]): NamedFields | undefined {
  const patterns = obligations.flatMap(each =>
    each.kind === 'mask-fields' && isAbout(each, routes) ? each.fields : [],
  )
  if (patterns.length === 0) return undefined
  const isAnchored = patterns.some(pattern => !pattern.startsWith('**'))
  return { fields: new Paths([patterns.map(endOfPattern)]), names: new Paths([patterns]), isAnchored }
}

/**
 * Prepares the masking of bodies and headers that answers of these routes need; undefined when they need none.
 * @throws {GateError} ERR_GATE_CONFIG when a pattern has an empty name or there is no such detector.
 */
export function compileBodyMasks(
  obligations: readonly Obligation[],
  routes: readonly string[],
  key: Uint8Array,
): BodyMasks | undefined {
  const applying = obligations
    .filter((obligation): obligation is FieldMaskObligation => obligation.kind === 'mask-fields')
    .filter(obligation => isAbout(obligation, routes))
    .map(obligation => ({ ...obligation, mask: fieldMaskOf(obligation, key) }))
  const headers = new Map<string, FieldMask>()
  for (const { headers: names, mask } of applying)
    for (const name of names) if (!headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), mask)
  const fields = compileFields(applying)
  const elements = compileFields(applying.map(each => ({ ...each, fields: withEndings(each.fields) })))
  const inEnvelopes = compileFields(applying.map(each => ({ ...each, fields: each.fields.map(endOfPattern) })))
  const searches = compileSearches(obligations, key)
  if (fields === undefined && searches.length === 0 && headers.size === 0) return undefined
  return { fields, elements, anywhere: inEnvelopes, searches, headers, isReadable: false }
}

/** Whether anything of bodies is masked, and not headers alone. */
export function masksBodies({ fields, searches }: BodyMasks): boolean {
  return fields !== undefined || searches.length > 0
}

/** A masker for one body of this type, or why such a body cannot be masked. */
export function bodyMasker(contentType: string | undefined, masks: BodyMasks): BodyMasker | Unreadable {
  if (!masksBodies(masks)) return untouched
  if (contentType === undefined) return { unreadable: 'The body does not say of what type it is.' }
  const type = readMediaType(contentType)
  if (type === undefined) return { unreadable: 'The type of the body is not a valid media type.' }
  const form = formOf(type)
  const reason = unreadable(type, form, masks)
  if (form === undefined || reason !== undefined) return { unreadable: reason ?? '' }
  return new GuardedMasker(maskerOf(form, type, masks))
}

/** The same for one message of a stream. */
export function messageMasker(contentType: string | undefined, masks: BodyMasks): BodyMasker | Unreadable {
  return bodyMasker(contentType, { ...masks, fields: masks.anywhere })
}

/**
 * JSON in which `{"path":"/email","value":…}`, `{"name":"email","value":…}` or `["email",{},"text",…]` stand for a field, or whose
 * names are those that a query gives.
 */
const namesAsValues = new RegExp(
  `^application/(?:${[
    ...['json-patch(?:-query)?', 'vcard', 'rdap', 'calendar', 'senml', 'sensml', 'sparql-results'],
    ...[
      'vnd\\.(?:collection|amundsen-uber|uber|siren|sdmx\\.data|dataresource|tabular-data-resource)',
      'prs\\.hal-forms',
    ],
  ].join('|')})\\+json$`,
)

function unreadable(type: MediaType, form: BodyForm | undefined, masks: BodyMasks): string | undefined {
  if (form === undefined) {
    const charset = type.parameters.get('charset')
    const shown = charset === undefined ? type.name : `${type.name}, if it is in ${charset.slice(0, 40)},`
    return `A body of type ${shown} cannot be searched for what has to be masked.`
  }
  if (masks.fields === undefined) return undefined
  if (namesAsValues.test(type.name)) return `A body of type ${type.name} has names of fields in its values.`
  if (form === 'text') return `A body of type ${type.name} has no fields that could be masked.`
  if (form === 'csv' && headerOf(type) === false)
    return 'CSV without a row of names has no fields that could be masked.'
  return undefined
}

/** @see https://www.rfc-editor.org/rfc/rfc4180#section-3 */
function headerOf({ parameters }: MediaType): boolean | undefined {
  const header = parameters.get('header')?.toLowerCase()
  return header === undefined ? undefined : header === 'present'
}

function maskerOf(form: BodyForm, type: MediaType, masks: BodyMasks): BodyMasker {
  const { fields, elements, anywhere, searches, isReadable, literals } = masks
  const search = (): JsonSearch | undefined => (searches.length === 0 ? undefined : new JsonSearch(searches))
  switch (form) {
    case 'json':
      return new GuardedJsonMasker(new JsonMasker(fields, 'objects', search()))
    case 'json-lines':
      return new JsonMasker(anywhere, 'many', search())
    case 'json-sequence':
      return new JsonMasker(anywhere, 'sequence', search())
    case 'csv':
      return new CsvMasker({ fields: elements, searches, header: headerOf(type) })
    case 'form':
      return new FormMasker({ fields: elements, searches, place: isReadable ? 'record' : 'answer', literals })
    case 'event-stream':
      return new EventStreamMasker({ fields: anywhere, searches })
    case 'text':
      return new TextMasker(searches)
  }
}
