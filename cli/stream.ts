// One local connection as one channel to the relay. Knows no protocol: bytes go through, refusals come back in them.
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { asGateError, type GateError } from '@gate/shared/errors'
import type { OfflineAnswers } from '@gate/shared/model'
import { join, type Port, socketPort } from '@gate/shared/port'
import type { Channel } from '@gate/shared/websocket/channel'
import { breakOff } from './last-bytes.ts'
import { answerOffline } from './offline.ts'
import type { RelayTunnel } from './tunnel.ts'

export interface StreamContext {
  readonly tunnel: RelayTunnel
  readonly target: string
  readonly task: string | undefined
  readonly reason: string | undefined
  /** Passes holds without being approved, where rules allow it. */
  readonly breakGlass: boolean
  readonly offline: OfflineAnswers
  /** A valid session token. @throws {GateError} */
  token(): Promise<string>
  /** Tells the person at the terminal. */
  say(error: GateError): void
  /** The relay has something to say beside the stream. */
  notice(text: string): void
}

/**
 * Serves one socket, or what stands for one, until it is done. Never throws: what goes wrong is said to the client and at the
 * terminal. Where nobody knows whose process the peer is, the relay lets it do nothing that a session is needed for.
 */
export async function serveStream(socket: Duplex, context: StreamContext, isPeerKnown = true): Promise<void> {
  let channel: Channel
  const gone = new AbortController()
  const close = (): void => gone.abort()
  socket.once('close', close)
  try {
    channel = await dial(context, isPeerKnown, gone.signal)
  } catch (thrown) {
    const error = asGateError(thrown)
    if (gone.signal.aborted) return
    context.say(error)
    const unauthenticated = error.code === 'ERR_GATE_UNAUTHENTICATED' || error.code === 'ERR_GATE_TOKEN'
    return answerOffline(socket, unauthenticated ? context.offline.unauthenticated : context.offline.unreachable)
  } finally {
    socket.off('close', close)
  }
  const port = localPort(socket)
  try {
    await join(port, channel)
  } catch (thrown) {
    const error = asGateError(thrown)
    // A client that goes away without a word is nothing to report.
    if (error.code !== 'ERR_GATE_CANCELLED') context.say(error)
  }
  await port.released()
}

interface LocalPort extends Port<Buffer> {
  /** Settled when nothing is left to do for the socket. */
  readonly released: () => Promise<void>
}

function localPort(socket: Duplex): LocalPort {
  const port = socketPort(socket, 'ERR_GATE_CANCELLED')
  if (!(socket instanceof Socket)) return Object.assign(port, { released: () => Promise.resolve() })
  let released = Promise.resolve()
  return Object.assign(port, {
    destroy: () => {
      if (!socket.destroyed) released = breakOff(socket)
    },
    released: () => released,
  })
}

async function dial(context: StreamContext, isPeerKnown: boolean, signal: AbortSignal): Promise<Channel> {
  const { target, task, reason, breakGlass } = context
  const token = await context.token()
  const wish = { token, target, task, reason, breakGlass, isPeerGone: !isPeerKnown }
  return context.tunnel.connect(wish, text => context.notice(text), signal)
}
