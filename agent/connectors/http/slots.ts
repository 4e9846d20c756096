// How many requests are under way at one service: more wait their turn, so many and so long.
import { abortReason, GateError } from '@gate/shared/errors'
import type { Waiting } from '@gate/shared/waiting'

/** Requests that wait for one of them. */
export const MAX_WAITING = 1024
const WAIT_MS = 30_000

export class Slots {
  readonly #name: string
  #free: number
  /** In the order in which they came. */
  readonly #waiting = new Set<() => void>()

  constructor(name: string, count: number) {
    this.#name = name
    this.#free = count
  }

  /**
   * Takes one; it has to be given back.
   * @throws {GateError} ERR_GATE_LIMIT when too many wait, ERR_GATE_TIMEOUT after 30 seconds, why whoever asked is gone.
   */
  async take(asker: Waiting): Promise<void> {
    if (asker.gone !== undefined) throw asker.gone
    if (this.#free > 0) {
      this.#free -= 1
      return
    }
    if (this.#waiting.size >= MAX_WAITING)
      throw new GateError('ERR_GATE_LIMIT', `too many requests wait for ${this.#name}`)
    await this.#wait(asker.signal())
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (done: () => void): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
        this.#waiting.delete(given)
        done()
      }
      const given = (): void => settle(resolve)
      const abort = (): void => settle(() => reject(abortReason(signal)))
      const late = (): GateError =>
        new GateError('ERR_GATE_TIMEOUT', `no connection to ${this.#name} became free in time`, {
          hint: 'Where many streams or WebSockets stay open, raise connections of the target in agent.yaml.',
        })
      const timer = setTimeout(() => settle(() => reject(late())), WAIT_MS)
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.add(given)
    })
  }

  give(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free += 1
    else next()
  }
}
