// Templates of paths, such as /users/{id}: which of them a path fits, and which is the most exact. Pure.
import type { FieldMaskObligation } from '@gate/shared/model'
import { plainPath } from './location.ts'

type Part =
  | { readonly kind: 'name'; readonly text: string }
  | { readonly kind: 'pattern'; readonly parts: readonly string[] }

interface Route {
  /** The template in the form of paths. */
  readonly pattern: string
  readonly template: string
  readonly parts: readonly Part[]
  /** `/**`: more may follow. */
  readonly isOpen: boolean
}

/** The most exact template that fits a path; empty when none does. */
export type RouteOf = (path: string) => string

export interface Routes {
  /** Of a path in its plain form. A slash at the end changes nothing: servers serve both alike. */
  readonly routeOf: RouteOf
  /**
   * The same for masks, which hide too much rather than too little: unless a template without parameters fits, also those that
   * fit without regard to case, to suffixes such as `.json`, to dots and blanks at the end of any segment, to a script before
   * it, and to how a key is written (OData).
   */
  readonly maskRoutesOf: (path: string) => readonly string[]
  /** Templates that some path below this one fits, in any case; `/**` also where it fits this one. */
  readonly routesBelow: (path: string) => readonly string[]
}

const compiled = new WeakMap<readonly string[], Routes>()

/** Compiles templates; the same list is compiled once. Of those that fit, names beat parameters from left to right. */
export function compileRoutes(templates: readonly string[]): Routes {
  const known = compiled.get(templates)
  if (known !== undefined) return known
  const routeOf = matcher(templates.map(template => [plainTemplate(template), template]))
  const anyCase = matcher(
    templates.flatMap(template => {
      const small = folded(plainTemplate(template))
      return [...new Set([small, keysAsSegments(small)])].map(pattern => [pattern, template] as const)
    }),
  )
  const named = new Set(templates.filter(template => isPlain(readRoute(template, template))))
  const alike = groupsOf(templates)
  const maskRoutesOf = (path: string): readonly string[] => {
    const exact = routeOf(path)
    const others = named.has(exact) ? [] : pathsLike(path).map(anyCase)
    return [...new Set([exact, ...others].flatMap(route => alike.get(route) ?? []))]
  }
  const small = templates.map(template => readRoute(folded(plainTemplate(template)), template))
  const routesBelow = (path: string): readonly string[] => {
    const segments = segmentsOf(withoutSlash(folded(path))).filter(segment => segment !== '')
    return small.filter(route => reaches(route, segments)).map(({ template }) => template)
  }
  const made = { routeOf, maskRoutesOf, routesBelow }
  compiled.set(templates, made)
  return made
}

/** Templates that differ in the names of parameters, in case or in a slash at the end have one shape. */
function shapeOf(template: string): string {
  return folded(plainTemplate(template)).replace(/\{[^}]*\}/g, '{}')
}

/** Each template with those of its shape. */
function groupsOf(templates: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const byShape = new Map<string, string[]>()
  const groups = new Map<string, readonly string[]>()
  for (const template of templates) {
    const shape = shapeOf(template)
    const group = byShape.get(shape) ?? []
    byShape.set(shape, group)
    group.push(template)
    groups.set(template, group)
  }
  return groups
}

const withMasks = new WeakMap<readonly string[], WeakMap<readonly FieldMaskObligation[], readonly string[]>>()

/** The templates that masks go by: those of the policy, and those that masks themselves name. The same list for the same lists. */
export function withRoutesOfMasks(
  templates: readonly string[],
  masks: readonly FieldMaskObligation[],
): readonly string[] {
  const byMasks = withMasks.get(templates) ?? new WeakMap<readonly FieldMaskObligation[], readonly string[]>()
  withMasks.set(templates, byMasks)
  const known = byMasks.get(masks)
  if (known !== undefined) return known
  const all = [...new Set([...templates, ...masks.flatMap(mask => mask.routes)])]
  const made = all.length === templates.length ? templates : all
  byMasks.set(masks, made)
  return made
}

/** Letters of any script in one case and form: those that are not ASCII are encoded, and a capital otherwise than its small letter. */
function folded(path: string): string {
  const decoded = path.replace(/(?:%[89A-Fa-f][0-9A-Fa-f])+/g, bytes => {
    try {
      return decodeURIComponent(bytes)
    } catch {
      return bytes
    }
  })
  return decoded.normalize('NFC').toLowerCase().toUpperCase().toLowerCase()
}

/** A script that other paths go through: `/index.php/customers` is `/customers` to what is behind it. */
const throughScript = /^\/(?:[^/]+\/){0,8}?[^/]+\.(?:php\d?|phtml|f?cgi|pl|wsgi|aspx?|ashx|dll)(?=\/.)/

/** Paths that a service may take for this one, besides what is written otherwise in it. */
function pathsLike(path: string): string[] {
  const small = folded(path)
  const behind = small.replace(throughScript, '')
  // What follows a script is none of its path to others: `/export.php/x` is `/export.php`.
  const [script = small] = throughScript.exec(small) ?? []
  // To some an encoded slash is one.
  const written = [small, behind, script, small.replaceAll('%2f', '/')].flatMap(each => [each, trimmed(each)])
  return [...new Set(written.flatMap(each => [each, keysAsSegments(each)]))].flatMap(withoutSuffixes)
}

/** Names of files lose dots and blanks at their end on Windows, those of directories too. */
const trimmed = (path: string): string => path.replace(/(?<![. ]|%20)(?:\.|%20)+(?=\/)/g, '')

/** A key in brackets: a text in quotes, in which quotes are doubled, or anything else that has no brackets. */
const bracketed = /(?<=[^/(])\((?:'((?:[^'/]|'')+)'|([^()/]*))\)(?=[/.]|%20|$)/g

/** `/users('7')` as `/users/7`, and `/users()` as `/users`: OData has all of them (4.01, URL conventions, section 4.3.6; 2.0). */
function keysAsSegments(path: string): string {
  if (!path.includes('(')) return path
  return path.replace(bracketed, (_, text: string | undefined, key = '') => {
    const written = text ?? key
    return written === '' ? '' : `/${written}`
  })
}

/** More suffixes than anybody has. */
const MAX_SUFFIXES = 16

/** A path as it is, and without the last, the last two, … and all of its suffixes: what follows a dot, and blanks. */
function withoutSuffixes(path: string): string[] {
  const paths = [path]
  for (let shorter = path; paths.length <= MAX_SUFFIXES; paths.push(shorter)) {
    const found = /(?:\.[^./]*|%20)\/?$/.exec(shorter)
    if (found === null) return paths
    shorter = shorter.slice(0, found.index)
  }
  const segment = path.lastIndexOf('/', path.length - 2) + 1
  return [...paths, path.slice(0, segment + path.slice(segment).search(/\.|%20/))]
}

/** A template as paths are written: what is not ASCII in it encoded, what need not be encoded as it is. */
function plainTemplate(template: string): string {
  const encoded = template
    .replace(/[^\x20-\x7e]+/gu, letters => encodeURIComponent(letters))
    .replace(/%[0-9a-f]{2}/gi, found => found.toUpperCase())
  return withoutSlash(plainPath(encoded))
}

const withoutSlash = (path: string): string => (path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path)

/** Of pairs of a pattern and the template that it stands for. */
function matcher(patterns: readonly (readonly [pattern: string, template: string])[]): RouteOf {
  const routes = patterns.map(([pattern, template]) => readRoute(pattern, template)).sort(byExactness)
  const exact = new Map(routes.filter(isPlain).map(({ pattern, template }) => [pattern, template]))
  const others = routes.filter(route => !isPlain(route))
  return written => {
    const path = withoutSlash(written)
    const found = exact.get(path)
    if (found !== undefined) return found
    if (others.length === 0) return ''
    const segments = segmentsOf(path)
    return others.find(route => fits(route, segments))?.template ?? ''
  }
}

const isPlain = ({ parts, isOpen }: Route): boolean => !isOpen && parts.every(part => part.kind === 'name')

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1)
}

function readRoute(pattern: string, template: string): Route {
  const isOpen = pattern.endsWith('/**')
  const parts = segmentsOf(isOpen ? pattern.slice(0, -3) : pattern).map((segment): Part => {
    const literals = segment.split(/\{[^}]*\}/)
    return literals.length === 1 ? { kind: 'name', text: segment } : { kind: 'pattern', parts: literals }
  })
  return { pattern, template, parts, isOpen }
}

function byExactness(a: Route, b: Route): number {
  const length = Math.min(a.parts.length, b.parts.length)
  for (let index = 0; index < length; index += 1) {
    const order = weight(b.parts[index]) - weight(a.parts[index])
    if (order !== 0) return order
  }
  return Number(a.isOpen) - Number(b.isOpen) || b.parts.length - a.parts.length
}

/** Letters that are given, so that `report.{format}` beats `{name}`. */
function weight(part: Part | undefined): number {
  if (part === undefined) return 0
  return part.kind === 'name' ? Number.MAX_SAFE_INTEGER : part.parts.join('').length
}

function fits({ parts, isOpen }: Route, segments: readonly string[]): boolean {
  if (isOpen ? segments.length < parts.length : segments.length !== parts.length) return false
  return parts.every((part, index) => fitsPart(part, segments[index] ?? ''))
}

/** Whether a template fits some path that begins with these segments and has more. */
function reaches({ parts, isOpen }: Route, segments: readonly string[]): boolean {
  if (!isOpen && segments.length >= parts.length) return false
  return parts.slice(0, segments.length).every((part, index) => fitsPart(part, segments[index] ?? ''))
}

/** A parameter stands for at least one character. Linear in the segment: literals are looked for from left to right. */
function fitsPart(part: Part, segment: string): boolean {
  if (part.kind === 'name') return part.text === segment
  const [first = '', ...rest] = part.parts
  const last = rest.at(-1) ?? ''
  if (!segment.startsWith(first) || !segment.endsWith(last)) return false
  let at = first.length
  for (const literal of rest.slice(0, -1)) {
    const found = segment.indexOf(literal, at + 1)
    if (found === -1) return false
    at = found + literal.length
  }
  return at + 1 <= segment.length - last.length
}
