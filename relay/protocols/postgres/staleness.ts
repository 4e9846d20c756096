// What has changed a target's catalog since its newest snapshot, and whose doing it was.

/** Changes that are told apart; beyond them they are anybody's. */
const MAX_CHANGES = 1_000

interface Entry {
  readonly atMs: number
  /** Undefined where it matters whom it concerns. */
  readonly owner: symbol | undefined
}

export class Staleness {
  #entries: Entry[] = []

  /** Something changed the catalog, or may have; with `owner` it is no news to that session. */
  changed(atMs: number, owner?: symbol): void {
    const last = this.#entries.at(-1)
    // Of many by one session the first and the last say all.
    if (last !== undefined && last.owner === owner && this.#entries.at(-2)?.owner === owner) this.#entries.pop()
    this.#entries.push({ atMs, owner })
    if (this.#entries.length > MAX_CHANGES)
      this.#entries = [
        { atMs: this.#entries[0]?.atMs ?? atMs, owner: undefined },
        { atMs, owner: undefined },
      ]
  }

  /** A snapshot has been read that was begun then: what was before is in it. */
  read(beganMs: number): void {
    this.#entries = this.#entries.filter(({ atMs }) => atMs >= beganMs)
  }

  /** Whether a snapshot that was begun then shows everything. */
  isFresh(beganMs: number): boolean {
    return this.#entries.every(({ atMs }) => atMs < beganMs)
  }

  /** Whether all that such a snapshot lacks was done by this session. */
  isOnlyBy(owner: symbol, beganMs: number): boolean {
    return this.#entries.every(entry => entry.atMs < beganMs || entry.owner === owner)
  }
}
