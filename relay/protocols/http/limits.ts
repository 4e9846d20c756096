// How long clients of the HTTP room may take, and how long their messages may be.

export interface HttpLimits {
  /** The head of a request comes within this time from its first byte, and the first byte from the connection's beginning. */
  readonly headMs: number
  /** What is read of a body before a request is decided comes within this time. */
  readonly bodyMs: number
  /** Of a body on its way, which may take any time, the next byte comes within this one, and within twice this at the latest. */
  readonly idleMs: number
  /** A longer message ends its WebSocket. */
  readonly messageBytes: number
}

const MEBIBYTE = 1024 * 1024

export const defaultHttpLimits: HttpLimits = { headMs: 60_000, bodyMs: 60_000, idleMs: 300_000, messageBytes: MEBIBYTE }

/** Messages are held and read whole. */
export const LARGEST_MESSAGE_BYTES = 16 * MEBIBYTE
