// Cancel requests: the keys that clients hold are gate's own, and each cancels its own session only.
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto'

/** BackendKeyData of protocol 3.0 has room for four bytes; 3.2 takes up to 256. */
const SECRET_BYTES: Readonly<Record<number, number>> = { 0: 4, 2: 32 }

export interface CancelKey extends Disposable {
  readonly processId: number
  readonly secret: Buffer
}

interface Registered {
  readonly secret: Buffer
  readonly subject: string
  readonly session: string
  cancel(): Promise<void>
}

export class Cancels {
  readonly #sessions = new Map<number, Registered>()

  /** Makes a key for a session. `minor` is the protocol version that its client speaks. */
  register(minor: number, subject: string, session: string, cancel: () => Promise<void>): CancelKey {
    let processId = randomInt(1, 2 ** 31)
    while (this.#sessions.has(processId)) processId = randomInt(1, 2 ** 31)
    const secret = randomBytes(SECRET_BYTES[minor] ?? 4)
    this.#sessions.set(processId, { secret, subject, session, cancel })
    return { processId, secret, [Symbol.dispose]: () => void this.#sessions.delete(processId) }
  }

  /** Cancels what runs in the session that the key belongs to, if it is the same person's. */
  cancel(
    processId: number,
    secret: Buffer,
    subject: string,
  ): { readonly session: string; readonly taken: Promise<void> } | undefined {
    const found = this.#sessions.get(processId)
    if (found === undefined || found.subject !== subject) return undefined
    if (found.secret.length !== secret.length || !timingSafeEqual(found.secret, secret)) return undefined
    return { session: found.session, taken: found.cancel() }
  }
}
