// One local connection as one WebSocket to the relay. Knows no protocol: bytes go through, refusals come back in them.
import type { Duplex } from 'node:stream'
import { asGateError, type GateError } from '@gate/shared/errors'
import type { OfflineAnswers } from '@gate/shared/model'
import { join, socketPort } from '@gate/shared/port'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialChannel, type TlsOptions } from '@gate/shared/websocket/dial'
import { answerOffline } from './offline.ts'

const DIAL_TIMEOUT_MS = 10_000

export interface StreamContext {
  readonly relay: string
  readonly tls: TlsOptions | undefined
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
  try {
    await join(socketPort(socket, 'ERR_GATE_CANCELLED'), channel)
  } catch (thrown) {
    const error = asGateError(thrown)
    // A client that goes away without a word is nothing to report.
    if (error.code !== 'ERR_GATE_CANCELLED') context.say(error)
  }
}

async function dial(context: StreamContext, isPeerKnown: boolean, signal: AbortSignal): Promise<Channel> {
  const token = await context.token()
  const url = `${context.relay.replace(/^http/, 'ws')}/v1/connect/${encodeURIComponent(context.target)}`
  const channel = await dialChannel(url, 'ERR_GATE_RELAY_UNREACHABLE', {
    headers: {
      authorization: `Bearer ${token}`,
      ...(context.task === undefined ? {} : { 'gate-task': encodeURIComponent(context.task) }),
      ...(context.reason === undefined ? {} : { 'gate-reason': encodeURIComponent(context.reason) }),
      ...(context.breakGlass ? { 'gate-break-glass': '1' } : {}),
      ...(isPeerKnown ? {} : { 'gate-peer': 'gone' }),
    },
    tls: context.tls,
    timeoutMs: DIAL_TIMEOUT_MS,
    signal,
  })
  channel.onMessage = message => {
    if (message.type === 'notice') context.notice(message.text)
    else channel.destroy(asGateError(undefined, 'ERR_GATE_PROTOCOL', `unexpected ${message.type} from the relay`))
  }
  return channel
}
