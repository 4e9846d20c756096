// WebSocket through a stream: the handshake is written anew, then bytes go both ways as they are.
import { type IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import { join, socketPort } from '@gate/shared/port'
import { Waiting } from '@gate/shared/waiting'
import { answerHeaders, type Passed, type RawHeaders, valuesOf, without } from './headers.ts'
import { answerError, responseSink } from './response.ts'
import type { Service, StreamOptions } from './service.ts'

/**
 * A response on a stream that node's server has let go of, as it does with every upgrade and CONNECT. The stream ends with
 * it: what the client says after a refused upgrade need not be HTTP.
 */
export function answerUpgrade(request: IncomingMessage, near: Duplex): ServerResponse {
  const response = new ServerResponse(request)
  response.shouldKeepAlive = false
  response.assignSocket(near as Socket)
  // Node's server would have passed it on.
  const drained = (): void => void response.emit('drain')
  near.on('drain', drained)
  response.once('finish', () => {
    near.off('drain', drained)
    response.detachSocket(near as Socket)
    near.end()
    near.resume()
  })
  return response
}

/** Asks the service for a WebSocket and joins it with the stream; any other answer is the client's answer. */
export async function serveUpgrade(
  service: Service,
  request: IncomingMessage,
  near: Duplex,
  head: Buffer,
  stream: StreamOptions,
): Promise<void> {
  const response = answerUpgrade(request, near)
  if (!isHandshake(request)) {
    answerError(response, new GateError('ERR_GATE_USAGE', 'only WebSocket is served as an upgrade'), 501)
    return
  }
  if (head.length > 0) near.unshift(head)
  const asker = new Waiting()
  near.once('close', () => asker.leave(new GateError('ERR_GATE_CANCELLED', 'the client went away')))
  const { method = '', url = '', rawHeaders: fields } = request
  await service.forward({ method, path: url, fields, length: 0, body: undefined }, responseSink(response), asker, {
    ...stream,
    upgraded: (socket, raw) => {
      const head = acceptHead(raw, service.pass)
      response.detachSocket(near as Socket)
      near.write(head)
      return join(socketPort(near, 'ERR_GATE_AGENT_LOST'), socketPort(socket, 'ERR_GATE_TARGET_UNREACHABLE'))
    },
  })
}

/** RFC 6455 section 4.1. */
function isHandshake(request: IncomingMessage): boolean {
  const { method, headers } = request
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return method === 'GET' && headers.upgrade?.toLowerCase() === 'websocket' && !hasBody
}

/**
 * The head of the answer, one byte for each character: node writes those of upgrades as UTF-8.
 * @throws {GateError} ERR_GATE_TARGET_PROTOCOL for an extension that nobody asked for: its frames would not be readable.
 */
function acceptHead(raw: RawHeaders, pass: readonly Passed[]): Buffer {
  if (valuesOf(raw, 'sec-websocket-extensions').length > 0)
    throw new GateError('ERR_GATE_TARGET_PROTOCOL', 'the target chose a WebSocket extension that was not offered')
  const fields = [
    'Connection',
    'Upgrade',
    'Upgrade',
    'websocket',
    ...without(answerHeaders(raw, pass), 'content-length'),
  ]
  const lines = fields.flatMap((name, index) => (index % 2 === 0 ? [`${name}: ${fields[index + 1] ?? ''}`] : []))
  return Buffer.from(['HTTP/1.1 101 Switching Protocols', ...lines, '', ''].join('\r\n'), 'latin1')
}
