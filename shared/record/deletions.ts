// Records that a relay deleted because of their age, told from records that somebody took away: the record itself says which. Pure.
import { TILE_WIDTH } from './tiles.ts'

/** Records that are gone, and the record that says so. */
export interface Deleted {
  readonly first: number
  readonly last: number
  readonly byRecord: number
  readonly timeMs: number
}

const RETENTION_MARK = Buffer.from('"type":"retention"')
const LENGTH_BYTES = 2

interface Said {
  readonly record: number
  readonly timeMs: number
  /** This record and all before it were deleted. */
  readonly last: number
}

/** Gathered while a record is read from its first bundle to its last: what is missing comes before what explains it. */
export class Deletions {
  readonly #missing: { first: number; last: number }[] = []
  readonly #said: Said[] = []

  /** A whole bundle that is not there, whose hashes are. */
  miss(first: number): void {
    const before = this.#missing.at(-1)
    if (before !== undefined && before.last === first - 1) before.last += TILE_WIDTH
    else this.#missing.push({ first, last: first + TILE_WIDTH - 1 })
  }

  /** Looks for what a bundle says of deletions; its records have been compared with their hashes. */
  look(index: number, bytes: Buffer): void {
    if (!bytes.includes(RETENTION_MARK)) return
    let record = index * TILE_WIDTH
    for (let at = 0; at + LENGTH_BYTES <= bytes.length; ) {
      const end = at + LENGTH_BYTES + bytes.readUInt16BE(at)
      const line = bytes.subarray(at + LENGTH_BYTES, end)
      at = end
      record += 1
      if (!line.includes(RETENTION_MARK)) continue
      const { timeMs, body } = safeJson(line)
      if (body?.type !== 'retention' || !Number.isSafeInteger(body.last) || !Number.isFinite(timeMs)) continue
      // Nothing can have deleted what came after it.
      if ((body.last ?? 0) < record) this.#said.push({ record, timeMs: timeMs ?? 0, last: body.last ?? 0 })
    }
  }

  /** What was deleted, and what is missing without a word. */
  settle(): { readonly deleted: readonly Deleted[]; readonly missing: readonly { first: number; last: number }[] } {
    const deleted: Deleted[] = []
    const missing: { first: number; last: number }[] = []
    for (const range of this.#missing) {
      let { first } = range
      // Each says that everything up to its number is gone; the oldest that is still there covers the least.
      for (const { record, timeMs, last } of this.#said) {
        if (last < first || first > range.last) continue
        const until = Math.min(last, range.last)
        deleted.push({ first, last: until, byRecord: record, timeMs })
        first = until + 1
      }
      if (first <= range.last) missing.push({ first, last: range.last })
    }
    return { deleted, missing }
  }
}

interface SaidLine {
  readonly timeMs?: number
  readonly body?: { readonly type?: string; readonly last?: number }
}

function safeJson(line: Buffer): SaidLine {
  try {
    return JSON.parse(line.toString('utf8')) as SaidLine
  } catch {
    return {}
  }
}
