// Rows that a task has written under each row limit, over all of its sessions: in this relay's memory only.

/** Sums that are kept; the one that was not used for longest is forgotten first. */
const MAX_SUMS = 10_000

export interface TaskKey {
  readonly subject: string
  readonly target: string
  readonly task: string
  readonly rule: string
}

export class TaskRows {
  readonly #sums = new Map<string, number>()

  of(key: TaskKey): number {
    return this.#sums.get(text(key)) ?? 0
  }

  add(key: TaskKey, rows: number): void {
    const name = text(key)
    const sum = this.of(key) + rows
    this.#sums.delete(name)
    this.#sums.set(name, sum)
    const [oldest] = this.#sums.keys()
    if (this.#sums.size > MAX_SUMS && oldest !== undefined) this.#sums.delete(oldest)
  }
}

function text({ subject, target, task, rule }: TaskKey): string {
  return JSON.stringify([subject, target, task, rule])
}
