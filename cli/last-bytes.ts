// How a local connection is broken off: what had come before still reaches its client, and then it is reset.
import type { Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { unsentBytes } from './peer.ts'

/** A client that has not read all by then loses what is left. */
const UNREAD_MS = 30_000
/** Where the system does not say how much a client has yet to read. */
const UNKNOWN_MS = 1_000
const FIRST_LOOK_MS = 10
const LOOK_MS = 500

/**
 * What is broken off must not look whole: where only the end of the connection says how long an answer is, a reset is all that
 * tells. But a reset drops what the client's side of the kernel has not taken yet, and that may be an answer that came whole.
 * What was ended before is only let out.
 */
export async function breakOff(socket: Socket): Promise<void> {
  // Nobody takes any more what the client says; unread it would make a reset of every end.
  socket.removeAllListeners('data')
  socket.resume()
  const began = performance.now()
  const isOver = (limitMs: number): boolean => socket.destroyed || performance.now() - began >= limitMs
  for (let pause = FIRST_LOOK_MS; await isLeft(socket, isOver); pause = Math.min(LOOK_MS, pause * 2))
    await wait(pause, undefined, { ref: false })
  if (socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}

/** Whether there is something that has not reached the client, and may yet. */
async function isLeft(socket: Socket, isOver: (limitMs: number) => boolean): Promise<boolean> {
  if (isOver(UNREAD_MS)) return false
  if (socket.writableLength > 0) return true
  // The kernel sends it, and behind it the end.
  if (socket.writableEnded) return !socket.writableFinished
  if (socket.bytesWritten === 0) return false
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined)
    return false
  const unsent = await unsentBytes(
    { address: localAddress, port: localPort },
    { address: remoteAddress, port: remotePort },
  )
  return unsent === 'unknown' ? !isOver(UNKNOWN_MS) : unsent > 0
}
