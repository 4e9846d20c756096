// A request's target (RFC 9112 section 3.2) in the one form that policy sees and the target gets. Pure.
import { GateError } from '@gate/shared/errors'

/** Longer ones are refused; servers' own limits are at 8 kB. */
const MAX_TARGET_LENGTH = 32 * 1024
const MAX_PARAMETERS = 1_000

export interface Location {
  /** Normalised and still percent-encoded, as the target gets it. */
  readonly path: string
  /** The same in the form that rules see: servers take `%40` for `@`, and so on. Without parameters of segments. */
  readonly plain: string
  /** With its question mark, as it was sent but for backslashes and a `%` that begins no escape; empty when there is none. */
  readonly query: string
  /** Of the query, then of the path; decoded, in order. */
  readonly parameters: readonly (readonly [name: string, value: string])[]
  /** Of the absolute form, which proxies are sent. */
  readonly authority: string | undefined
}

/** What is kept in paths to targets that take it for no separator; otherwise it is refused. */
export interface KeptInPaths {
  readonly keepsEncodedSlashes?: boolean
  readonly keepsPathParameters?: boolean
}

/** RFC 3986 section 2.3: characters that mean the same encoded or not. */
const unreserved = /[A-Za-z0-9._~-]/
/** Segments of nothing but letters, digits, dashes and underscores, none of them empty. */
const plainTarget = /^(?:\/[A-Za-z0-9_-]+)+$/
/** What a path may hold as it is: pchar and the slash, without `;`, whose meaning servers do not agree on. */
const pathCharacters = /^(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})*$/
const queryCharacters = /^(?:[A-Za-z0-9._~!$&'()*+,;=:@/?[\]{}|^`"<>-]|%[0-9A-Fa-f]{2})*$/
/** A slash, a backslash or a control character that only some server would see. */
const hiddenSeparator = /%(?:2f|5c|[01][0-9a-f]|7f)/i
/** What would be an escape if it were decoded twice. */
const doubleEscape = /%25[0-9a-f]{2}/i

/**
 * Reads a request target. Dot segments are resolved, escapes of unreserved characters are undone and others written in
 * upper case (RFC 3986 section 6.2.2). Empty segments are refused: some servers take them out, and to others, such as object
 * stores, they are a part of a name.
 * With `keepsEncodedSlashes` a `%2F` is a part of its segment. With `keepsPathParameters` what follows a `;` is none
 * (RFC 3986 section 3.3): the target gets it, and rules see it beside the query.
 * @throws {GateError} ERR_GATE_PROTOCOL for what servers read in different ways.
 */
export function readLocation(target: string, keeps: KeptInPaths = {}): Location {
  if (target.length > MAX_TARGET_LENGTH) throw refuse(`is longer than ${MAX_TARGET_LENGTH} characters`)
  // Most are what all of the rest would give back.
  if (plainTarget.test(target)) return { path: target, plain: target, query: '', parameters: [], authority: undefined }
  const absolute = /^https?:\/\/([^/?#@\\]+)([/?].*)?$/i.exec(target)
  const authority = absolute?.[1]?.toLowerCase()
  const local = absolute === null ? target : (absolute[2] ?? '/')
  const origin = local.startsWith('?') ? `/${local}` : local
  if (!origin.startsWith('/')) throw refuse('is neither a path nor a URL')
  if (origin.includes('#')) throw refuse('has a fragment')
  const mark = origin.indexOf('?')
  const path = normalisePath(mark === -1 ? origin : origin.slice(0, mark), keeps)
  const query = mark === -1 ? '' : normaliseQuery(origin.slice(mark))
  const parameters = parametersOf(path, query)
  // Also those that are empty, and wherever else a server may cut: each is looked into.
  if (parameters.length > MAX_PARAMETERS || query.split(/[&;]/, MAX_PARAMETERS + 1).length > MAX_PARAMETERS)
    throw new GateError('ERR_GATE_LIMIT', `the request has more than ${MAX_PARAMETERS} parameters`)
  return { path, plain: plainPath(path.replace(/;[^/]*/g, '')), query, parameters, authority }
}

/** A target as it goes on. */
export function targetOf({ path, query }: Pick<Location, 'path' | 'query'>): string {
  return `${path}${query}`
}

/** A target that cannot be read is recorded up to this length. */
const RECORDED_TARGET_LENGTH = 1_000

/**
 * What the record has of a target that was refused, and goes nowhere: what looks like parameters in it is told from the path,
 * since their values may be masked for somebody.
 */
export function refusedLocation(target: string): Location {
  const written = target.slice(0, RECORDED_TARGET_LENGTH).replace(/^(https?:\/\/)[^/?#]*@/i, '$1')
  const mark = written.search(/[?#]/)
  const path = mark === -1 ? written : written.slice(0, mark)
  const query = mark === -1 ? '' : written.slice(mark)
  return { path, plain: path.replace(/;[^/]*/g, ''), query, parameters: [], authority: undefined }
}

function refuse(
  why: string,
  hint = 'Servers read such a path in different ways; send it in its plain form.',
): GateError {
  return new GateError('ERR_GATE_PROTOCOL', `the request's path ${why}`, { hint })
}

/**
 * A `%` that begins no escape stands for itself (URL Standard, percent-decode), as in `?q=100%`. Some services refuse it or leave
 * the parameter out: they get it as what rules see. Browsers leave a backslash as it is.
 */
function normaliseQuery(written: string): string {
  if (queryCharacters.test(written)) return written
  const query = written.replace(/%(?![0-9A-Fa-f]{2})/g, '%25').replaceAll('\\', '%5C')
  if (queryCharacters.test(query)) return query
  throw new GateError('ERR_GATE_PROTOCOL', 'the query has a character that has to be percent-encoded')
}

/**
 * Browsers and fetch leave `[`, `]`, `|` and `^` as they are (path percent-encode set of the URL standard), and curl also `{`, `}`,
 * `<`, `>`, `"` and a backtick; RFC 3986 does not, and all read the escapes as the same.
 */
function normalisePath(written: string, { keepsEncodedSlashes, keepsPathParameters }: KeptInPaths): string {
  const path = written.replace(/["<>[\]^`{|}]/g, sign => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
  if (path.includes('\\')) throw refuse('has a backslash')
  if (path.includes(';') && keepsPathParameters !== true) throw refuse('has a semicolon')
  if (!pathCharacters.test(path.replaceAll(';', '')))
    throw refuse('has a character that has to be percent-encoded, or an escape that is none', 'Percent-encode it.')
  if (hiddenSeparator.test(keepsEncodedSlashes === true ? path.replaceAll(/%2f/gi, '') : path))
    throw refuse('has an encoded slash, backslash or control character')
  if (doubleEscape.test(path)) throw refuse('is percent-encoded twice')
  if (/%3b/i.test(path)) throw refuse('has an encoded semicolon')
  checkUtf8(path)
  const plain = path.replace(/%([0-9A-Fa-f]{2})/g, (whole, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return unreserved.test(character) ? character : whole.toUpperCase()
  })
  // Undone escapes can be the digits of another.
  if (doubleEscape.test(plain)) throw refuse('is percent-encoded twice')
  const segments = plain.split('/')
  if (plainPath(plain).split('/').some(isSession))
    throw refuse('has what some servers take for a session, and out of it')
  if (segments.some(hidesSegments)) throw refuse('has encoded slashes around segments that would be taken out')
  if (segments.some((segment, at) => hidesWithParameters(segment, at === segments.length - 1)))
    throw refuse('has parameters behind a segment that would be taken out, or encoded slashes in one that has some')
  return withoutDots(plain)
}

/** Overlong and other invalid UTF-8 is a character for some servers and an error for others. */
function checkUtf8(encoded: string): void {
  try {
    decodeURIComponent(encoded)
  } catch {
    throw refuse('has escapes that are no UTF-8')
  }
}

/** What a segment may hold as it is, and is encoded by some clients all the same (RFC 3986 section 3.3: pchar). */
const escapedCharacters = /%(?:21|24|26|27|28|29|2A|2B|2C|3A|3D|40)/g

/** A normalised path with all escapes undone that a segment does not need. */
export function plainPath(path: string): string {
  return path.replace(escapedCharacters, found => String.fromCharCode(Number.parseInt(found.slice(1), 16)))
}

/** As ASP.NET writes sessions and logins into paths, `/(S(…))/admin`: it takes them out wherever they stand. */
const isSession = (segment: string): boolean => /^\((?:[a-z]\([^()]*\))+\)/i.test(segment)

/** Whether a target that undid encoded slashes would resolve a segment. One that is nothing else is a name (RabbitMQ's `/`). */
function hidesSegments(segment: string): boolean {
  if (!segment.includes('%2F') || segment === '%2F') return false
  return segment.split('%2F').some(part => part === '' || part === '.' || part === '..')
}

/** Whether a target that took the parameters off would resolve a segment, or find another where they were. */
function hidesWithParameters(segment: string, isLast: boolean): boolean {
  const [name, ...parameters] = segment.split(';')
  if (parameters.length === 0) return false
  return name === '.' || name === '..' || (name === '' && !isLast) || segment.includes('%2F')
}

/** Of a query as forms are encoded (WHATWG URL section 5.1), then of a path. */
export function parametersOf(path: string, query: string): [string, string][] {
  return [...new URLSearchParams(query.slice(1)), ...pathParameters(path)]
}

/** As matrix parameters are written; of `;jsessionid` the value is empty. */
function pathParameters(path: string): [string, string][] {
  const members = path.split('/').flatMap(segment => segment.split(';').slice(1))
  return members.map(member => {
    // In a path a plus is a plus, and an ampersand separates nothing.
    const [pair] = new URLSearchParams(member.replaceAll('+', '%2B').replaceAll('&', '%26'))
    return pair ?? ['', '']
  })
}

/** RFC 3986 section 5.2.4. */
function withoutDots(path: string): string {
  const kept: string[] = []
  const segments = path.split('/')
  if (segments.slice(1, -1).includes('')) throw refuse('has an empty segment')
  for (const segment of segments) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  const last = segments.at(-1)
  const isDirectory = kept.length > 0 && (last === '' || last === '.' || last === '..')
  return `/${kept.join('/')}${isDirectory ? '/' : ''}`
}
