// Copies and moves that would carry what is masked to where it is not: masks with routes do not go along. Pure.
import { manifestSource } from '@gate/shared/http-command'
import type { FieldMaskObligation, Obligation } from '@gate/shared/model'
import type { CopySource } from './copy-source.ts'
import { type Location, readLocation } from './location.ts'
import { compileRoutes } from './routes.ts'

/** What masks of routes know of a path. */
interface Place {
  /** Templates that masks go by there. */
  readonly routes: readonly string[]
  /** Templates that paths below it may fit: folders are copied with what is in them. */
  readonly below: readonly string[]
  readonly depth: number
}

/** One path that something is copied from, and where to. */
export interface Copying {
  readonly from: Place
  readonly to: Place
}

const none: readonly Copying[] = []
/** A source of more segments may be any path: each of its ends would have to be looked at, and a header has room for thousands. */
const MAX_SOURCE_SEGMENTS = 64
/** They give what their bodies name another path as well (RFC 5842, RFC 3253). */
const bindings: ReadonlySet<string> = new Set(['BIND', 'REBIND', 'MERGE'])

/** What a request copies or moves, and where to; `templates` are all that masks go by. */
export function copiesOf(asking: Asking, templates: readonly string[]): readonly Copying[] {
  const { location, destination, sources } = asking
  const named = namedPlaces(asking)
  if (destination === undefined && sources.length === 0 && named.length === 0) return none
  const { maskRoutesOf, routesBelow } = compileRoutes(templates)
  const placeOf = (path: string): Place => ({
    routes: maskRoutesOf(path),
    below: routesBelow(path),
    depth: path.split('/').filter(segment => segment !== '').length,
  })
  const here = placeOf(location.plain)
  const anywhere: Place = { routes: templates, below: [], depth: 0 }
  const placesOf = ({ field, location: { plain } }: CopySource): Place[] => {
    const ends = field === manifestSource ? undefined : endsOf(plain)
    return ends === undefined ? [anywhere] : ends.map(placeOf)
  }
  return [
    ...(destination === undefined ? [] : [{ from: here, to: placeOf(destination.plain) }]),
    ...named.map(path => ({ from: here, to: placeOf(path) })),
    ...sources.flatMap(source => placesOf(source).map(from => ({ from, to: here }))),
  ]
}

const writing: ReadonlySet<string> = new Set(['PUT', 'POST', 'PATCH'])
/** As WebHDFS, Artifactory and others call it. */
const placeName = /^:?(?:dest(?:ination)?(?:_?path)?|to(?:_?path)?|target_?path|new_?(?:path|url))$/i

/** Paths that parameters name as where something goes: `op=RENAME&destination=/b`, `/api/copy/a?to=/b`. */
function namedPlaces({ method, location }: Asking): string[] {
  if (!writing.has(method)) return []
  return location.parameters.flatMap(([name, value]) =>
    placeName.test(name) && value.startsWith('/') ? [plainOf(value)] : [],
  )
}

/** A path that cannot be read is none that a mask is about. */
function plainOf(path: string): string {
  try {
    return readLocation(encodeURI(path)).plain
  } catch {
    return ''
  }
}

/** What of a request says that it copies. */
interface Asking {
  readonly method: string
  readonly location: Location
  readonly destination: Location | undefined
  readonly sources: readonly CopySource[]
}

/**
 * A source in a header has a bucket, an ARN or a base path before what the service's own paths are, or none of them: it is
 * where any end of it is. Undefined where there are too many.
 */
function endsOf(path: string): string[] | undefined {
  const ends: string[] = []
  for (let at = 0; at >= 0; at = path.indexOf('/', at + 1)) {
    if (ends.length === MAX_SOURCE_SEGMENTS) return undefined
    ends.push(path.slice(at))
  }
  return ends
}

/** Whether masks of these obligations would be left behind; what is copied is asked for only where one has routes. */
export function leavesMasks(
  method: string,
  copies: () => readonly Copying[],
  obligations: readonly Obligation[],
): boolean {
  const masks = obligations.filter(
    (each): each is FieldMaskObligation => each.kind === 'mask-fields' && each.routes.length > 0,
  )
  if (masks.length === 0) return false
  if (bindings.has(method)) return true
  const found = copies()
  return masks.some(({ routes }) => found.some(copying => leaves(routes, copying)))
}

function leaves(routes: readonly string[], { from, to }: Copying): boolean {
  const isOf = (route: string): boolean => routes.includes(route)
  if (from.routes.some(isOf) && !to.routes.some(isOf)) return true
  const below = from.below.filter(isOf)
  if (below.length === 0) return false
  const goesAlong = (route: string): boolean =>
    to.below.includes(route) && (route.endsWith('/**') || from.depth === to.depth)
  // Another template there may be the more exact one for what comes to be below.
  const isTaken = to.below.some(route => !isOf(route) && !from.below.includes(route))
  return isTaken || !below.every(goesAlong)
}
