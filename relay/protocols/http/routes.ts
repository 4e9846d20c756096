// Templates of paths, such as /users/{id}: which of them a path fits, and which is the most exact. Pure.

type Part =
  | { readonly kind: 'name'; readonly text: string }
  | { readonly kind: 'pattern'; readonly parts: readonly string[] }

interface Route {
  readonly template: string
  readonly parts: readonly Part[]
  /** `/**`: more may follow. */
  readonly isOpen: boolean
}

/** The most exact template that fits a path; empty when none does. */
export type RouteOf = (path: string) => string

const compiled = new WeakMap<readonly string[], RouteOf>()

/** Compiles templates; the same list is compiled once. Of those that fit, names beat parameters from left to right. */
export function compileRoutes(templates: readonly string[]): RouteOf {
  const known = compiled.get(templates)
  if (known !== undefined) return known
  const routes = templates.map(readRoute).sort(byExactness)
  const exact = new Map(routes.filter(isPlain).map(route => [route.template, route.template]))
  const others = routes.filter(route => !isPlain(route))
  const routeOf: RouteOf = path => {
    const found = exact.get(path)
    if (found !== undefined) return found
    if (others.length === 0) return ''
    const segments = segmentsOf(path)
    return others.find(route => fits(route, segments))?.template ?? ''
  }
  compiled.set(templates, routeOf)
  return routeOf
}

const isPlain = ({ parts, isOpen }: Route): boolean => !isOpen && parts.every(part => part.kind === 'name')

function segmentsOf(path: string): string[] {
  return path.split('/').slice(1)
}

function readRoute(template: string): Route {
  const isOpen = template.endsWith('/**')
  const parts = segmentsOf(isOpen ? template.slice(0, -3) : template).map((segment): Part => {
    const literals = segment.split(/\{[^}]*\}/)
    return literals.length === 1 ? { kind: 'name', text: segment } : { kind: 'pattern', parts: literals }
  })
  return { template, parts, isOpen }
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
