// Requests in the body of another, as batches have them (OData, Graph, Salesforce, Parse, Facebook): paths and queries of their own. Pure.
import { documentIn } from './document.ts'
import { eachInside } from './inside.ts'
import { readLocation } from './location.ts'
import { compileRoutes } from './routes.ts'

/** The address of such a request, as it is written. */
export interface Inner {
  readonly path: string
  /** Without its question mark. */
  readonly query: string
}

const MAX_DEPTH = 64
const MAX_TEXTS = 16
const keepsAll = { keepsEncodedSlashes: true, keepsPathParameters: true }
/** Of an address; each of its ends is looked at. */
const MAX_SEGMENTS = 16
/** More in one body may be about anything. */
const MAX_REQUESTS = 1_000

const verb = /^(?:get|head|post|put|patch|delete|merge|options|query|search)$/i
const ofMethods: readonly string[] = ['method', 'verb', 'httpmethod', 'http_method']
const ofAddresses: readonly string[] = ['url', 'uri', 'path', 'href', 'relative_url', 'relativeurl']
const mayHoldRequest = /method|verb|\\u00/i
/** The first line of a request in a part (OData's batches, Google's). */
const line = /^(?:GET|HEAD|POST|PUT|PATCH|DELETE|MERGE|OPTIONS|QUERY|SEARCH) (\S{1,8192})(?: HTTP\/\d(?:\.\d)?)?\r?$/gim

/** Requests that a document holds, also in its texts: what has a method and an address. */
export function requestsWithin(document: unknown): readonly Inner[] {
  const found: Inner[] = []
  addRequests(document, found, 0, 0)
  return found
}

function addRequests(document: unknown, found: Inner[], depth: number, texts: number): void {
  if (typeof document === 'string') {
    const inner = texts < MAX_TEXTS && mayHoldRequest.test(document) ? documentIn(document) : undefined
    if (inner !== undefined) addRequests(inner, found, depth, texts + 1)
    return
  }
  if (typeof document !== 'object' || document === null || depth > MAX_DEPTH) return
  if (!Array.isArray(document) && textsOf(document, ofMethods).some(each => verb.test(each)))
    for (const address of textsOf(document, ofAddresses)) found.push(innerOf(address))
  eachInside(document, each => addRequests(each, found, depth + 1, texts))
}

/** Texts that members of these names have, which are in lower case. */
function textsOf(document: object, names: readonly string[]): string[] {
  const found: string[] = []
  for (const name in document) {
    const value: unknown = document[name as keyof typeof document]
    if (typeof value === 'string' && names.includes(name.toLowerCase())) found.push(value)
  }
  return found
}

/** The same of a body of parts. */
export function requestsInParts(text: string): Inner[] {
  return [...text.matchAll(line)].map(([, address = '']) => innerOf(address))
}

function innerOf(address: string): Inner {
  const [path = '', ...query] = address.replace(/^https?:\/\/[^/?#]*/i, '').split('?')
  return { path, query: query.join('?') }
}

/**
 * The routes that masks go by, of what such requests are about: an address is one of the service, of what the batch is below, or
 * has a base path before it.
 */
export function routesWithin(
  requests: readonly Inner[],
  batch: string,
  templates: readonly string[],
): readonly string[] {
  const { maskRoutesOf } = compileRoutes(templates)
  const bases = endsOf(batch, -1)
  const written = new Set(requests.map(({ path }) => path))
  if (written.size > MAX_REQUESTS) return templates
  const found = [...written].flatMap(path => {
    const whole = `/${path.replace(/^\/+/, '')}`
    const segments = whole.split('/').length
    if (segments > MAX_SEGMENTS) return templates
    try {
      const paths = [...endsOf(whole, 1), ...bases.map(base => base + whole)]
      return paths.flatMap(each => maskRoutesOf(readLocation(each, keepsAll).plain))
    } catch {
      return templates
    }
  })
  return [...new Set(found)]
}

/** What begins (-1) or ends (1) a path, cut at its slashes. */
function endsOf(path: string, side: -1 | 1): string[] {
  const ends: string[] = []
  for (let at = path.indexOf('/'); at >= 0 && ends.length < MAX_SEGMENTS; at = path.indexOf('/', at + 1))
    ends.push(side === 1 ? path.slice(at) : path.slice(0, at))
  return ends
}
