// Cancel requests: the secrets that clients hold are gate's own, and each cancels its own session only.
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
  /** By process id; servers of several targets may have processes of the same. */
  readonly #sessions = new Map<number, Set<Registered>>()

  /**
   * Makes a key for a session. `minor` is the protocol version that its client speaks. The process id is the one that
   * clients know from pg_backend_pid() and from notifications; a random one where the target said none.
   */
  register(
    minor: number,
    processId: number | undefined,
    subject: string,
    session: string,
    cancel: () => Promise<void>,
  ): CancelKey {
    const known = processId ?? randomInt(1, 2 ** 31)
    const secret = randomBytes(SECRET_BYTES[minor] ?? 4)
    const registered: Registered = { secret, subject, session, cancel }
    const same = this.#sessions.get(known) ?? new Set()
    this.#sessions.set(known, same.add(registered))
    const forget = (): void => {
      same.delete(registered)
      if (same.size === 0 && this.#sessions.get(known) === same) this.#sessions.delete(known)
    }
    return { processId: known, secret, [Symbol.dispose]: forget }
  }

  /** Cancels what runs in the session that the key belongs to, if it is the same person's. */
  cancel(
    processId: number,
    secret: Buffer,
    subject: string,
  ): { readonly session: string; readonly taken: Promise<void> } | undefined {
    for (const found of this.#sessions.get(processId) ?? []) {
      if (found.subject !== subject || found.secret.length !== secret.length) continue
      if (timingSafeEqual(found.secret, secret)) return { session: found.session, taken: found.cancel() }
    }
    return undefined
  }
}

/** The process id that the agent was told at login: four bytes, with or without a sign (a pooler makes up its own). */
export function readProcessId(text: string | undefined): number | undefined {
  const processId = Number(text)
  return Number.isInteger(processId) && processId !== 0 && Math.abs(processId) < 2 ** 31 ? processId : undefined
}
