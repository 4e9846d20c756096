// Windows that the WINDOW clause of a query gives names to: `OVER w` says nothing of what it divides and sorts by. Pure.
import { as, type Json, type JsonObject, list, object, text } from './tree.ts'

export class Windows {
  /** Of the query that is looked at. */
  #named: ReadonlyMap<string, JsonObject> = new Map()

  /** Looks at a query with a WINDOW clause; those of the query around it are not known there. */
  within<Value>(clause: Json | undefined, look: () => Value): Value {
    const outside = this.#named
    const windows = list(clause).map(item => object(as(item, 'WindowDef')))
    this.#named = new Map(windows.map(window => [text(window['name']), window]))
    try {
      return look()
    } finally {
      this.#named = outside
    }
  }

  /** PARTITION BY, ORDER BY and the frame of a window, and of those that it is made of. */
  used(content: JsonObject): Json[] {
    const used: Json[] = []
    const seen = new Set<JsonObject>()
    let window: JsonObject | undefined = content
    while (window !== undefined && !seen.has(window)) {
      seen.add(window)
      const sorted = list(window['orderClause']).map(item => as(item, 'SortBy')?.['node'] ?? null)
      used.push(...list(window['partitionClause']), ...sorted)
      used.push(window['startOffset'] ?? null, window['endOffset'] ?? null)
      // `OVER w` has a name; `OVER (w …)` and `WINDOW v AS (w …)` refer to one.
      window = this.#named.get(text(window['refname']) || text(window['name']))
    }
    return used
  }
}
