// First in, first out, also where tens of thousands wait. Pure.

/** While more waits, what was taken stays in the array until it is so many, and half of it. */
const KEPT_SHIFTED = 1024

/** A queue whose shift is cheap: that of an array moves all that is left when there is much of it. */
export class Queue<T> {
  #entries: T[] = []
  #head = 0

  get size(): number {
    return this.#entries.length - this.#head
  }

  get head(): T | undefined {
    return this.#entries[this.#head]
  }

  /** The entry after the head. */
  get second(): T | undefined {
    return this.#entries[this.#head + 1]
  }

  /** Whether it holds of any that waits. */
  some(holds: (entry: T) => boolean): boolean {
    return this.#entries.some((entry, index) => index >= this.#head && holds(entry))
  }

  push(entry: T): void {
    this.#entries.push(entry)
  }

  shift(): T | undefined {
    const entry = this.#entries[this.#head]
    if (entry === undefined) return undefined
    this.#head += 1
    if (this.#head === this.#entries.length) this.clear()
    else if (this.#head >= KEPT_SHIFTED && this.#head * 2 >= this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    return entry
  }

  /** Takes away the entry after the head. */
  removeSecond(): T | undefined {
    return this.#entries.splice(this.#head + 1, 1)[0]
  }

  clear(): void {
    this.#entries.length = 0
    this.#head = 0
  }
}
