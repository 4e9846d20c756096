// How long clients of the HTTP room may take.

export interface HttpLimits {
  /** The head of a request comes within this time from its first byte, and the first byte from the connection's beginning. */
  readonly headMs: number
  /** What is read of a body before a request is decided comes within this time. */
  readonly bodyMs: number
  /** Of a body on its way, which may take any time, the next byte comes within this one, and within twice this at the latest. */
  readonly idleMs: number
}

export const defaultHttpLimits: HttpLimits = { headMs: 60_000, bodyMs: 60_000, idleMs: 300_000 }
