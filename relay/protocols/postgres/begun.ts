// Commands of one kind in the open transaction. Pure.

/** Those of a kind that are under way, and whether one has ended in the open transaction. */
export class Begun {
  readonly #commands = new Set<number>()
  #ended = false

  get isDone(): boolean {
    return this.#ended
  }

  get isUnderWay(): boolean {
    return this.#commands.size > 0
  }

  get isAny(): boolean {
    return this.#ended || this.isUnderWay
  }

  has(command: number): boolean {
    return this.#commands.has(command)
  }

  add(commands: readonly number[]): void {
    for (const number of commands) this.#commands.add(number)
  }

  ended(command: number): void {
    if (this.#commands.delete(command)) this.#ended = true
  }

  /** It did not run. */
  unsent(command: number): void {
    this.#commands.delete(command)
  }

  /** The transaction is over. */
  over(): void {
    this.#ended = false
  }
}
