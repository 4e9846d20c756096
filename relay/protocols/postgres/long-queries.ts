// How many bytes of long simple queries wait at once, and how long each may be: such a query is kept whole until it is decided.

/** A simple query up to this length is read if what makes it long are constants. */
export const MAX_LONG_QUERY_BYTES = 64 * 1024 * 1024
/** Those of all sessions together. A query takes up to three times its length while it is read. */
const MAX_TOGETHER_BYTES = 128 * 1024 * 1024

export class LongQueries {
  #bytes = 0

  /** What one session takes of it, one query at a time. */
  share(): LongQueryShare {
    let taken = 0
    const give = (): void => {
      this.#bytes -= taken
      taken = 0
    }
    return {
      take: bytes => {
        give()
        if (bytes > MAX_LONG_QUERY_BYTES || this.#bytes + bytes > MAX_TOGETHER_BYTES) return false
        this.#bytes += bytes
        taken = bytes
        return true
      },
      give,
      [Symbol.dispose]: give,
    }
  }
}

export interface LongQueryShare extends Disposable {
  /** Room for a query of so many bytes, in place of what was taken before; false when there is none. */
  take(bytes: number): boolean
  /** The query has gone on, or away. */
  give(): void
}
