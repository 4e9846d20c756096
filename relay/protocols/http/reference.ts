// The actions and facts of this room for people who write policy: an example of each. docs/http.md is made from it.
import type { vocabulary } from './operation.ts'

/** What a request is, by its `op.action`. */
export const actions: Readonly<Record<string, string>> = {
  'get, head, options, post, put, patch, delete, …': 'a request, by its method in lower case',
  websocket: 'the handshake of a WebSocket',
  message: 'one message of a WebSocket, in either direction (allowed unless a rule says otherwise)',
}

/** A request in which a fact has the value shown. */
export interface Example {
  readonly method?: string
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const json = { 'content-type': 'application/json' }

/** Each fact: what it says, and a request in which it has the value shown. Routes and headers are those of the policy above them. */
export const factExamples: Readonly<
  Record<keyof typeof vocabulary, { readonly says: string; readonly example: Example; readonly value: unknown }>
> = {
  method: { says: 'the method', example: { method: 'DELETE', target: '/users/7' }, value: 'DELETE' },
  path: { says: 'the path, normalised', example: { target: '/a/../users/%37' }, value: '/users/7' },
  route: {
    says: 'the most exact of the `routes` that the path fits; empty when none does',
    example: { target: '/users/7' },
    value: '/users/{id}',
  },
  query: {
    says: 'names of the query’s parameters',
    example: { target: '/users?limit=5&all' },
    value: ['limit', 'all'],
  },
  parameters: { says: 'the same with their values', example: { target: '/users?limit=5' }, value: ['limit=5'] },
  headers: {
    says: 'those headers that the policy lists under `headers`',
    example: { target: '/users', headers: { 'x-tenant': '7', 'x-other': '1' } },
    value: ['x-tenant: 7'],
  },
  contentType: {
    says: 'the media type of the body, without parameters',
    example: { method: 'POST', target: '/users', headers: json, body: '{}' },
    value: 'application/json',
  },
  bodyKind: {
    says: '`none`, `json`, `form`, `other`, or `unread`',
    example: { method: 'POST', target: '/users', headers: json, body: '{"a":1}' },
    value: 'json',
  },
  bodyBytes: {
    says: 'the length of the body; -1 when it is not known',
    example: { method: 'POST', target: '/users', headers: json, body: '{"a":1}' },
    value: 7,
  },
  bodyFields: {
    says: 'names of its members, with those that they are in (the first 200)',
    example: { method: 'PATCH', target: '/users/7', headers: json, body: '{"address":{"city":"X"}}' },
    value: ['address', 'address.city'],
  },
  graphqlType: {
    says: '`query`, `mutation`, `subscription`; of several the one that may do most; `unknown` when it cannot be told',
    example: { method: 'POST', target: '/graphql', headers: json, body: '{"query":"mutation { pay }"}' },
    value: 'mutation',
  },
  graphqlNames: {
    says: 'names of its operations',
    example: { method: 'POST', target: '/graphql', headers: json, body: '{"query":"query Q { me { id } }"}' },
    value: ['Q'],
  },
  graphqlFields: {
    says: 'fields that its operations begin with',
    example: { method: 'POST', target: '/graphql', headers: json, body: '{"query":"query Q { me { id } }"}' },
    value: ['me'],
  },
  direction: { says: 'of a message: `sent` or `received`', example: { target: '/users' }, value: '' },
}
