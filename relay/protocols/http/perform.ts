// Which requests must not be sent where something is masked: answers to them would show it where masks do not find it. Pure.
import type { Deny, Obligation } from '@gate/shared/model'
import type { Body } from './body.ts'
import { type Copying, leavesMasks } from './copying.ts'
import { documentIn } from './document.ts'
import { masksFields, namedFields } from './masking/body.ts'
import type { Paths } from './masking/paths.ts'
import { everyMember } from './members.ts'
import { carriesFields } from './patch.ts'
import { membersOf, renamesFieldsIn } from './select.ts'

/** Columns are nothing that an answer of HTTP has: not to mask them would be to let them out. */
export function perform(
  obligations: readonly Obligation[],
  routes: readonly string[],
  method: string,
  body: Body,
  query: string,
  copies: () => readonly Copying[],
): Deny | undefined {
  if (obligations.some(each => each.kind === 'mask' && each.columns.length > 0)) {
    return deny(
      'policy masks columns on this target, and an HTTP service has none',
      'Whoever writes the policy: mask fields instead, or match protocol: postgres.',
    )
  }
  if (leavesMasks(method, copies, obligations))
    return deny(
      'parts of what it copies, moves or binds are masked for you, and would not be there',
      'Copy it to where the same masks apply, or have them not limited to routes.',
    )
  if (!masksFields(obligations, routes)) return undefined
  const names = (): Paths | undefined => namedFields(obligations, routes)?.names
  for (const [place, members] of [
    ['query', query === '' ? [] : membersOf(query)],
    ['body', body.members?.() ?? []],
  ] as const)
    if (renamesFieldsIn(members, place === 'query', names))
      return deny(
        `fields are masked for you, and the ${place} asks for one of them under another name`,
        'Ask for it as it is.',
      )
  const documents = /[[{]|%[57]b/i.test(query) ? everyMember(query).flatMap(([, value]) => documentIn(value) ?? []) : []
  if (carriesFields(documents, () => namedFields(obligations, routes)))
    return deny('fields are masked for you, and the query refers to one of them', 'Ask for it as it is.')
  if (body.isPersisted === true) return persistedRefusal
  if (body.renames?.() === true)
    return deny(
      'fields are masked for you, and the request may ask for some under other names',
      'Leave out its aliases, and @stream.',
    )
  const patches = patchRefusal(obligations, routes, body)
  if (patches !== undefined) return patches
  if (body.renames !== undefined || !mayRename(method, body)) return undefined
  return deny(
    'fields are masked for you, and gate cannot read whether the body asks for some under other names',
    'Send less than 1 MiB and without Content-Encoding, or have the masks limited to other routes.',
  )
}

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
  { document, mayPatch }: Body,
): Deny | undefined {
  if (!carriesFields(document, () => namedFields(obligations, routes)) && mayPatch?.() !== true) return undefined
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
