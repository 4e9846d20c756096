// How many of something there are, of everybody and of each subject. Pure.

export class PerSubject {
  readonly #counts = new Map<string, number>()
  #all = 0

  get all(): number {
    return this.#all
  }

  of(subject: string): number {
    return this.#counts.get(subject) ?? 0
  }

  /** One more; call what is returned when it is over. */
  enter(subject: string): () => void {
    this.#all += 1
    this.#counts.set(subject, this.of(subject) + 1)
    return () => {
      this.#all -= 1
      const left = this.of(subject) - 1
      if (left === 0) this.#counts.delete(subject)
      else this.#counts.set(subject, left)
    }
  }
}
