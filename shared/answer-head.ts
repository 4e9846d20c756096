// Lets the head of an HTTP answer go, wherever gate writes one: at the agent and at the relay.
import type { ServerResponse } from 'node:http'

const nothing = Buffer.alloc(0)

/**
 * Sends a head that was given to `writeHead`. What of the body comes in the same turn leaves with it, as one chunk; but the
 * first event of a stream may be a long time off.
 */
export function sendHead(response: ServerResponse): void {
  const { socket } = response
  socket?.cork()
  // Not flushHeaders(), which writes values as UTF-8: bytes beyond ASCII would become others.
  response.write(nothing)
  process.nextTick(() => socket?.uncork())
}
