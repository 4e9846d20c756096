// Which requests must not be sent where something is masked: answers to them would show it where masks do not find it. Pure.
import type { Deny, Obligation } from '@gate/shared/model'
import type { Body } from './body.ts'
import { type Copying, leavesMasks } from './copying.ts'
import { documentIn } from './document.ts'
import { renamesInStatement } from './languages.ts'
import { masksFields, type NamedFields, namedFields } from './masking/body.ts'
import { everyMember, type Member, plainName } from './members.ts'
import { type Asked, askedOf } from './names-in.ts'
import { carriesFields } from './patch.ts'
import { givesOtherNames } from './renaming.ts'
import { hidesNames, takesNamesAway } from './searches.ts'
import { membersOf, renamesFieldsIn } from './select.ts'

/** What of a request counts here. `path` is without parameters, `query` without its question mark. */
export interface Performed {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly body: Body
  readonly copies: () => readonly Copying[]
  /** Of its path. */
  readonly parameters: () => readonly Member[]
  /** Routes of the requests in its body. */
  readonly within: () => readonly string[]
}

/** Columns are nothing that an answer of HTTP has: not to mask them would be to let them out. */
export function perform(
  obligations: readonly Obligation[],
  routes: readonly string[],
  request: Performed,
): Deny | undefined {
  if (obligations.some(each => each.kind === 'mask' && each.columns.length > 0)) {
    return deny(
      'policy masks columns on this target, and an HTTP service has none',
      'Whoever writes the policy: mask fields instead, or match protocol: postgres.',
    )
  }
  const { method, body, copies } = request
  if (leavesMasks(method, copies, obligations))
    return deny(
      'parts of what it copies, moves or binds are masked for you, and would not be there',
      'Copy it to where the same masks apply, or have them not limited to routes.',
    )
  if (asksBesides(request, obligations, routes))
    return deny(
      'its body has requests of whose answers parts are masked for you, and would not be here',
      'Send them one by one, or have the masks not limited to routes.',
    )
  if (!masksFields(obligations, routes)) return undefined
  const renaming = renamingRefusalOf(request, () => namedFields(obligations, routes))
  if (renaming !== undefined) return renaming
  const isFile = isUpload(method, body)
  if (body.isPersisted === true) return persistedRefusal
  if (body.renames?.() === true || (!isFile && body.mayRename?.() === true))
    return deny(
      'fields are masked for you, and the request may ask for some under other names',
      'Leave out its aliases, and @stream.',
    )
  const patches = isFile ? undefined : patchRefusal(obligations, routes, body)
  if (patches !== undefined) return patches
  if (body.renames !== undefined || !mayRename(method, body)) return undefined
  return deny(
    'fields are masked for you, and gate cannot read whether the body asks for some under other names',
    'Send less than 1 MiB and without Content-Encoding, or have the masks limited to other routes.',
  )
}

/** Whether a batch has requests that masks are about which are not about the batch. */
function asksBesides(
  { path, body, within }: Performed,
  obligations: readonly Obligation[],
  routes: readonly string[],
): boolean {
  const others = obligations.filter(
    each => each.kind === 'mask-fields' && each.routes.length > 0 && !each.routes.some(route => routes.includes(route)),
  )
  if (others.length === 0) return false
  const { bodyKind, contentType } = body.facts
  if (bodyKind === 'unread') return path.endsWith('/$batch') || contentType === 'multipart/mixed'
  const inner = within()
  return others.some(each => each.kind === 'mask-fields' && each.routes.some(route => inner.includes(route)))
}

/** The refusal of a request that asks for a masked field under another name, or none, as REST services let clients do. */
function renamingRefusalOf(
  { method, path, query, body, parameters }: Performed,
  named: () => NamedFields | undefined,
): Deny | undefined {
  const asked = askedOf(named)
  const members = [...(query === '' ? [] : membersOf(query)), ...parameters()]
  const documents = documentsIn(query)
  if (renamesFieldsIn(members, true, asked) || givesOtherNames(documents, asked)) return renamingIn('query')
  const sent: Asking = isUpload(method, body) ? {} : body
  const within = (sent.requests?.() ?? []).flatMap(each => membersOf(each.query))
  if (renamesFieldsIn(within, true, asked) || asksOtherNames(sent, asked)) return renamingIn('body')
  if (carriesFields(documents, named))
    return deny('fields are masked for you, and the query refers to one of them', 'Ask for it as it is.')
  const all = [...documents, ...(sent.documents?.() ?? [])]
  const statement: Member[] = sent.text === undefined ? [] : [['query', sent.text]]
  const isForeign = body.facts.bodyKind === 'other' && (body.documents?.() ?? []).length === 0
  if (hidesNames(path, members, all, isForeign, asked.isMasked) || takesNamesAway([...members, ...statement], all))
    return deny(
      'fields are masked for you, and the answer would have values without the names of their fields',
      'Sort by another field, ask for rows with the names of their fields, and send JSON.',
    )
  return undefined
}

/** The documents that parameters hold, each under its name. */
function documentsIn(query: string): readonly object[] {
  if (!/[[{]|%[57]b/i.test(query)) return []
  return everyMember(query).flatMap(([name, value]) => {
    const found = documentIn(value)
    return found === undefined ? [] : [{ [plainName(name)]: found }]
  })
}

const renamingIn = (place: string): Deny =>
  deny(`fields are masked for you, and the ${place} asks for one of them under another name`, 'Ask for it as it is.')

/** What of a body asks for something; nothing of a file does. */
type Asking = Pick<Body, 'members' | 'documents' | 'requests' | 'text'>

/** Whether a body, or what a client sends over a WebSocket, asks for one of these fields under another name. */
export function asksOtherNames({ members, documents, text }: Asking, asked: Asked): boolean {
  if (renamesFieldsIn(members?.() ?? [], false, asked) || givesOtherNames(documents?.() ?? [], asked)) return true
  return text !== undefined && renamesInStatement(text, asked.isAround)
}

/** Files hold any words: what is put somewhere and is no document asks for nothing. */
const isUpload = (method: string, { facts: { bodyKind, contentType }, isDocument }: Body): boolean =>
  bodyKind === 'other' &&
  isDocument !== true &&
  (method === 'PUT' || (method === 'PATCH' && contentType.endsWith('octet-stream'))) &&
  !/json|graphql|form|multipart/.test(contentType)

/** Of a query that the service has from before: it may hold aliases, which are refused where they can be read. */
export const persistedRefusal: Deny = {
  effect: 'deny',
  rule: 'http',
  reason:
    'fields are masked for you, and the request asks for a persisted query, of which gate does not know the fields',
  hint: 'Send the text of the query, with its hash or without.',
}

/** The refusal of a body that is or may be a patch of what is masked; undefined where it is none. */
export function patchRefusal(
  obligations: readonly Obligation[],
  routes: readonly string[],
  { document, documents, mayPatch }: Body,
): Deny | undefined {
  if (!carriesFields(documents?.() ?? document, () => namedFields(obligations, routes)) && mayPatch?.() !== true)
    return undefined
  return deny(
    'fields are masked for you, and the patch copies, moves or tests one of them',
    'Leave this operation out of it.',
  )
}

/** A refusal of the room's own, which no rule of the policy is. */
export const deny = (reason: string, hint: string | undefined): Deny => ({
  effect: 'deny',
  rule: 'http',
  reason,
  hint,
})

/** Types of which no target makes a text. */
const isNoText = /^(?:image|audio|video|font|model)\/|^application\/(?:zip|gzip|pdf|wasm|vnd\.(?!.*(?:json|graphql)))/

/** Whether a body that was not read could be GraphQL or a patch to a target, whatever it is called. */
function mayRename(method: string, { facts: { contentType } }: Body): boolean {
  if (method !== 'PUT' && method !== 'PATCH') return !isNoText.test(contentType)
  // Uploads by PATCH say that they are some; one without a type may be a patch.
  return /json|graphql/.test(contentType) || (method === 'PATCH' && contentType === '')
}
