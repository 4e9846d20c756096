// What a command of the client waits for before it is sent: people, the parser, the catalog, the disk. All but the disk can be cancelled.
import { GateError } from '@gate/shared/errors'
import type { Answer } from './questions.ts'

export class Waits {
  #hold: AbortController | undefined
  /** A command that waits for the parser, the catalog or the disk. */
  #waiting: { cancelled: boolean } | undefined
  /** Of the newest command that is not on the disk yet; it comes after all others there. */
  #recorded: Promise<void> | undefined

  /** Everything that was decided is recorded when it resolves; undefined: now. */
  get recorded(): Promise<void> | undefined {
    return this.#recorded
  }

  /** What was decided goes on when it is recorded. */
  record(recorded: Promise<void> | undefined): void {
    if (recorded === undefined) return
    this.#recorded = recorded
    const over = (): void => {
      if (this.#recorded === recorded) this.#recorded = undefined
    }
    // If it fails it stays: nothing goes to the target any more.
    recorded.then(over, () => {})
  }

  /** People are asked, until `released`. */
  held(hold: AbortController): void {
    this.#hold = hold
  }

  /** People are asked no more; true when that is because the client cancelled. */
  released(hold: AbortController | undefined): boolean {
    const cancelled = hold !== undefined && this.#hold === hold && hold.signal.aborted
    if (this.#hold === hold) this.#hold = undefined
    return cancelled
  }

  /** The client cancels: true when it was a held command, which is then withdrawn. */
  cancelHold(): boolean {
    this.#hold?.abort(new GateError('ERR_GATE_CANCELLED', 'cancelled by the client'))
    return this.#hold !== undefined
  }

  /** The same for a command that waits for anything else: it fails as soon as it need not wait. */
  cancelWaiting(): boolean {
    if (this.#waiting === undefined) return false
    this.#waiting.cancelled = true
    return true
  }

  /** The command at hand was cancelled meanwhile. */
  get cancelled(): boolean {
    return this.#waiting?.cancelled === true
  }

  /** While the answer is waited for it can be cancelled; then `instead` is the answer in place of one that lets it go on. */
  async cancellable(answer: Promise<Answer>, instead: (answer: Answer & { kind: 'go' }) => Answer): Promise<Answer> {
    const waiting = { cancelled: false }
    this.#waiting = waiting
    const settled = await answer.finally(() => {
      if (this.#waiting === waiting) this.#waiting = undefined
    })
    return waiting.cancelled && settled.kind === 'go' ? instead(settled) : settled
  }
}
