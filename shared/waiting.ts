// Whether somebody still waits for what is being done: what an AbortSignal says, for work that is shorter than making one takes.
import type { GateError } from './errors.ts'

export class Waiting {
  #gone: GateError | undefined
  #onGone: ((cause: GateError) => void) | undefined

  /** Why nobody waits any more. */
  get gone(): GateError | undefined {
    return this.#gone
  }

  /** Nobody waits any more: told once, with the first cause. */
  leave(cause: GateError): void {
    if (this.#gone !== undefined) return
    this.#gone = cause
    this.#onGone?.(cause)
  }

  /** The one who is told, in place of whoever was before; not if it has happened already. */
  set onGone(told: ((cause: GateError) => void) | undefined) {
    this.#onGone = told
  }

  /** A signal that is aborted then; it takes the place of whoever is told. */
  readonly signal = (): AbortSignal => {
    const controller = new AbortController()
    if (this.#gone === undefined) this.#onGone = cause => controller.abort(cause)
    else controller.abort(this.#gone)
    return controller.signal
  }
}
