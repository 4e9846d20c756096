// Waiting for what comes by itself.
import { setTimeout as wait } from 'node:timers/promises'

/** On a machine that other tests keep busy as well. */
const PATIENCE_MS = 60_000
const LOOK_MS = 50

/** Looks until there is something to see, and returns it; throws, with what was waited for, after a minute. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<Exclude<T, false | undefined>> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await wait(LOOK_MS)) {
    const found = await look()
    if (found !== false && found !== undefined) return found as Exclude<T, false | undefined>
  }
  throw new Error(`it did not come: ${what}`)
}
