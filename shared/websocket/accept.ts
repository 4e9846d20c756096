// Takes WebSockets that agents and command lines dial, or refuses them.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { errorCodes, GateError } from '../errors.ts'
import { trim } from './channel.ts'
import { ControlSocket } from './control-socket.ts'
import { MAX_MESSAGE_BYTES } from './limits.ts'
import { Tunnel, type TunnelOptions } from './tunnel.ts'

const serverOptions = {
  noServer: true,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
  skipUTF8Validation: false,
  clientTracking: false,
} as const

/** Completes the upgrade of an accepted request; the caller has authenticated it. */
export function createAcceptor(): {
  tunnel(request: IncomingMessage, socket: Duplex, head: Buffer, options: TunnelOptions): Promise<Tunnel>
  control(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<ControlSocket>
} {
  const server = new WebSocketServer(serverOptions)
  const accept = <T>(request: IncomingMessage, socket: Duplex, head: Buffer, wrap: (socket: WebSocket) => T) =>
    new Promise<T>((resolve, reject) => {
      const failed = (): void => reject(new GateError('ERR_GATE_PROTOCOL', 'the WebSocket handshake failed'))
      if (socket.destroyed) return failed()
      socket.once('error', reject)
      // ws answers a request that is no WebSocket handshake by itself, and tells nobody.
      socket.once('close', failed)
      server.handleUpgrade(request, socket, head, accepted => resolve(wrap(accepted)))
    })
  return {
    tunnel: (request, socket, head, options) => accept(request, socket, head, ws => new Tunnel(ws, socket, options)),
    control: (request, socket, head) => accept(request, socket, head, ws => new ControlSocket(ws)),
  }
}

/** Refuses an upgrade with an HTTP answer whose JSON body is the error. */
export function refuseUpgrade(socket: Duplex, error: GateError): void {
  const body = JSON.stringify(trim(error))
  socket.end(
    `HTTP/1.1 ${errorCodes[error.code].status} Refused\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
