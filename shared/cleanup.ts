// What has to be undone, undone in the opposite order. Node 20 has `await using` but no AsyncDisposableStack.

export class Cleanup implements AsyncDisposable {
  #undo: (() => unknown)[] = []

  /** Keeps a resource until the end. */
  use<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.#undo.push(() =>
      Symbol.asyncDispose in resource ? resource[Symbol.asyncDispose]() : resource[Symbol.dispose](),
    )
    return resource
  }

  /** Keeps a value that is ended by a function. */
  adopt<T>(value: T, end: (value: T) => unknown): T {
    this.#undo.push(() => end(value))
    return value
  }

  /** Hands everything to a new owner; this one has nothing to undo any more. */
  move(): Cleanup {
    const moved = new Cleanup()
    moved.#undo = this.#undo
    this.#undo = []
    return moved
  }

  /** Undoes everything, also when some of it fails. @throws {AggregateError} with what failed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = []
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo()
      } catch (thrown) {
        failures.push(thrown)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'not everything could be closed')
  }
}
