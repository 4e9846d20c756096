// What policy makes of a path that stays while policy changes: a WebSocket's, over all of its messages. Pure.
import type { Gate } from '../protocol.ts'
import { withoutValues } from './path-values.ts'
import { compileRoutes, withRoutesOfMasks } from './routes.ts'

export interface PlaceInPolicy {
  readonly route: string
  /** The routes that masks go by. */
  readonly maskRoutes: readonly string[]
  /** The path as it is recorded. */
  readonly recordedPath: string
}

/** Gives the place of a path, worked out anew only when policy is another. `path` is in its plain form. */
export function placesOf(
  path: string,
  gate: Pick<Gate, 'routes' | 'recordFields'>,
  recordKey: Uint8Array,
): () => PlaceInPolicy {
  let known: (PlaceInPolicy & Pick<Gate, 'routes' | 'recordFields'>) | undefined
  return () => {
    const { routes, recordFields } = gate
    if (known?.routes === routes && known.recordFields === recordFields) return known
    const maskRoutes = compileRoutes(withRoutesOfMasks(routes, recordFields)).maskRoutesOf(path)
    const recordedPath = withoutValues(path, maskRoutes, recordFields, recordKey)
    known = { routes, recordFields, route: compileRoutes(routes).routeOf(path), maskRoutes, recordedPath }
    return known
  }
}
