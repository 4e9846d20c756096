// Dials a relay's WebSockets.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { ConnectionOptions } from 'node:tls'
import { WebSocket } from 'ws'
import { abortReason, type GateError } from '../errors.ts'
import { parseRefusal } from '../messages.ts'
import { relayError, strangeAnswer } from '../relay-error.ts'
import { ControlSocket } from './control-socket.ts'
import { MAX_MESSAGE_BYTES } from './limits.ts'
import { Tunnel, type TunnelOptions } from './tunnel.ts'

const MAX_REFUSAL_BODY_BYTES = 64 * 1024

/** How a client checks the relay's certificate; see pinnedTls. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'checkServerIdentity' | 'rejectUnauthorized' | 'servername'>

export interface DialOptions {
  headers: Record<string, string>
  tls?: TlsOptions | undefined
  timeoutMs: number
  signal?: AbortSignal | undefined
}

/**
 * Dials a WebSocket towards a relay.
 * Frames carry a zero mask: RFC 6455 section 5.3 masks them so that a script in a browser cannot choose the bytes
 * that an intermediary sees; gate's clients are no browsers and the tunnel is TLS, so masking would only cost
 * a pass over every byte. @see https://www.rfc-editor.org/rfc/rfc6455#section-10.3
 */
function dial<T>(url: string, options: DialOptions, wrap: (socket: WebSocket, stream: Duplex) => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, {
      headers: options.headers,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      handshakeTimeout: options.timeoutMs,
      generateMask: mask => mask.fill(0),
      ...options.tls,
    })
    const { signal } = options
    const abort = (): void => {
      socket.terminate()
      if (signal !== undefined) reject(abortReason(signal))
    }
    const settled = (): void => signal?.removeEventListener('abort', abort)
    signal?.addEventListener('abort', abort, { once: true })
    socket.once('upgrade', ({ socket: stream }) => {
      stream.setNoDelay(true)
      // The wrapper listens before the socket is open: ws drops a message that nobody listens for.
      const wrapped = wrap(socket, stream)
      socket.once('open', () => {
        settled()
        resolve(wrapped)
      })
    })
    socket.once('error', thrown => {
      settled()
      reject(relayError(url, thrown))
    })
    socket.once('unexpected-response', (_request, response) => {
      readRefusal(url, response)
        .then(reject, reject)
        .finally(() => socket.terminate())
    })
    if (signal?.aborted === true) abort()
  })
}

export function dialTunnel(url: string, tunnel: TunnelOptions, options: DialOptions): Promise<Tunnel> {
  return dial(url, options, (socket, stream) => new Tunnel(socket, stream, tunnel))
}

export function dialControl(url: string, options: DialOptions): Promise<ControlSocket> {
  return dial(url, options, socket => new ControlSocket(socket))
}

async function readRefusal(url: string, response: IncomingMessage): Promise<GateError> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of response) {
      bytes += (chunk as Buffer).length
      if (bytes > MAX_REFUSAL_BODY_BYTES) break
      chunks.push(chunk as Buffer)
    }
    const refusal = parseRefusal(JSON.parse(Buffer.concat(chunks).toString('utf8')))
    if (refusal !== undefined) return refusal
  } catch (cause) {
    return strangeAnswer(url, response.statusCode, cause)
  }
  return strangeAnswer(url, response.statusCode)
}
