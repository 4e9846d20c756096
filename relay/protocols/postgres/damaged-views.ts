// Views that a server cannot explain, by mistakes in its catalog: the definitions of the others are read all the same.
import { GateError } from '@gate/shared/errors'
import type { Rows } from './catalog-stream.ts'

/** Questions that it may take to tell damaged views from others; views that are not told apart by then count as not read. */
const MAX_QUESTIONS = 64

export interface Readable {
  readonly rows: Rows
  /** Views that the server does not explain. */
  readonly damaged: readonly number[]
}

/** Only these views, of a query for the definitions of all. */
export const onlyOf = (definitions: string, views: readonly number[]): string =>
  `${definitions} and c.oid = any ('{${views.join(',')}}'::pg_catalog.oid[])`

/** All views but these. */
export const exceptOf = (definitions: string, views: readonly number[]): string =>
  `${definitions} and c.oid <> all ('{${views.join(',')}}'::pg_catalog.oid[])`

/** Halves what cannot be read together until it is a view alone. `ask` gives the definitions of some views, or why it cannot. */
export async function readableOf(
  views: readonly number[],
  ask: (views: readonly number[]) => Promise<Rows | GateError>,
): Promise<Readable> {
  const rows: Rows[number][] = []
  const damaged: number[] = []
  const waiting = [views]
  for (let asked = 0; asked < MAX_QUESTIONS; asked += 1) {
    const some = waiting.pop()
    if (some === undefined) break
    const answer = some.length === 0 ? [] : await ask(some)
    if (!(answer instanceof GateError)) rows.push(...answer)
    else if (some.length === 1) damaged.push(...some)
    else {
      const half = some.length >> 1
      waiting.push(some.slice(half), some.slice(0, half))
    }
  }
  return { rows, damaged }
}
