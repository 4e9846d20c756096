// The yardstick's hops: one WebSocket for each connection, and nothing in it but bytes.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import { Inbox, type Port, SOCKET_INBOX_BYTES } from '@gate/shared/port'
import { WebSocket, WebSocketServer } from 'ws'

/** Bytes waiting to be sent on one socket before writers have to wait. */
const SEND_HIGH_WATER_BYTES = 1024 * 1024

const options = { perMessageDeflate: false, maxPayload: 1024 * 1024 } as const
const server = new WebSocketServer({ ...options, noServer: true, clientTracking: false })

/** A WebSocket's binary messages as bytes; it is closed when both sides have said that they are done, by an empty text. */
export function plainPort(socket: WebSocket): Port<Buffer> {
  const lost = new GateError('ERR_GATE_CANCELLED', 'the connection was closed')
  const inbox = new Inbox<Buffer>(
    SOCKET_INBOX_BYTES,
    () => socket.pause(),
    () => socket.resume(),
  )
  socket.on('message', (data, isBinary) => {
    if (isBinary) inbox.push(data as Buffer)
    else inbox.finish()
  })
  socket.on('error', () => inbox.fail(lost))
  socket.on('close', () => inbox.fail(lost))
  return {
    [Symbol.asyncIterator]: () => inbox,
    write(bytes) {
      if (socket.readyState !== WebSocket.OPEN) return undefined
      if (socket.bufferedAmount + bytes.length <= SEND_HIGH_WATER_BYTES) {
        socket.send(bytes)
        return undefined
      }
      return new Promise(resolve => socket.send(bytes, () => resolve()))
    },
    end: () => socket.send(''),
    destroy: () => socket.terminate(),
  }
}

/** Once the socket is open; it listens from the first byte on. */
export function dialPlain(url: string): Promise<Port<Buffer>> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { ...options, generateMask: mask => mask.fill(0) })
    const port = plainPort(socket)
    socket.once('upgrade', response => response.socket.setNoDelay(true))
    socket.once('open', () => resolve(port))
    socket.once('error', reject)
  })
}

export function acceptPlain(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<Port<Buffer>> {
  return new Promise(resolve => server.handleUpgrade(request, socket, head, accepted => resolve(plainPort(accepted))))
}
