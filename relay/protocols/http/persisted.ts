// Persisted queries of GraphQL: a request that names what it asks for, and does not say it. Pure.
import { createHash } from 'node:crypto'
import { valuesOf } from './graphql.ts'
import { someMember } from './inside.ts'

/** As servers call what a query is known by (GraphQL over HTTP, appendix A; Relay and others). */
const names: ReadonlySet<string> = new Set([
  ...['documentid', 'docid', 'queryid', 'queryhash', 'persistedqueryid', 'operationhash', 'operationid'],
])
/** What else it is called, as much else is: these count by a hash that stands beside what GraphQL has. */
const anyNames: ReadonlySet<string> = new Set(['id', 'hash', 'sha256hash'])
const besidesAny = ['variables', 'operationname'] as const
/** Of a request of GraphQL and of not much else. */
const besides = [...besidesAny, 'extensions'] as const
/** A hash, with or without its name before it. */
const hash = /^(?:[a-z0-9]+:)?[0-9a-f]{32,128}$/i

/** What a request has that is persisted: most have nothing of it. */
const named = /^extensions$|(?:id|hash)$/i

/** Whether a request may ask for what its text does not say: a query that the service has from before. */
export function isPersisted(request: Readonly<Record<string, unknown>>): boolean {
  if (!someMember(request, name => named.test(name))) return false
  const [query, ...others] = valuesOf(request, 'query').flat()
  const text = typeof query === 'string' && query !== '' && others.length === 0 ? query : undefined
  const found = valuesOf(request, 'extensions').flat().flatMap(persistedIn)
  if (found.length > 0) return text === undefined || !found.every(each => isHashOf(each, text))
  if (text !== undefined) return false
  const has = (members: typeof besides | typeof besidesAny): boolean =>
    members.some(each => valuesOf(request, each).length > 0)
  const known = Object.keys(request).filter(name => isName(name, names) || isName(name, anyNames))
  const isHash = (name: string): boolean =>
    [request[name]].flat().some(each => typeof each === 'string' && hash.test(each))
  const [isBeside, isBesideAny] = known.length === 0 ? [false, false] : [has(besides), has(besidesAny)]
  return known.some(name => (isName(name, names) ? isBeside || isHash(name) : isBesideAny && isHash(name)))
}

const isName = (name: string, known: ReadonlySet<string>): boolean => known.has(name.toLowerCase().replaceAll('_', ''))

/** Members as a request: of a name that stands several times, and what several have, the values are a list. */
export function requestOf(members: readonly (readonly [name: string, value: unknown])[]): Record<string, unknown[]> {
  const request = new Map<string, unknown[]>()
  for (const [name, value] of members) request.set(name, [...(request.get(name) ?? []), ...[value].flat()])
  return Object.fromEntries(request)
}

/** What extensions say of persisted queries. In a query string and in forms they are a text. */
function persistedIn(extensions: unknown): unknown[] {
  if (typeof extensions === 'string') {
    try {
      return persistedIn(JSON.parse(extensions))
    } catch {
      // To others it may be JSON nevertheless.
      return extensions.includes('persistedQuery') ? [extensions] : []
    }
  }
  if (typeof extensions !== 'object' || extensions === null) return []
  return valuesOf(extensions as Record<string, unknown>, 'persistedquery').filter(each => each !== null)
}

/** Automatic persisted queries: with its text a service checks the hash, so that it can be nothing else. */
function isHashOf(persisted: unknown, query: string): boolean {
  if (typeof persisted !== 'object' || persisted === null) return false
  const { sha256Hash } = persisted as Record<string, unknown>
  return typeof sha256Hash === 'string' && sha256Hash === createHash('sha256').update(query).digest('hex')
}
