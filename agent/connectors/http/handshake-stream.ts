// The agent's end of a stream that is to become a WebSocket: node's strict parser reads the one handshake on it.
import { createServer, type Server } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import { type Port, socketPort } from '@gate/shared/port'
import { MAX_HEADER_BYTES } from './dial.ts'
import { answerError } from './response.ts'
import type { Service, StreamOptions } from './service.ts'
import { answerUpgrade, serveUpgrade } from './upgrade.ts'

/** Bytes that stand between the stream and the parser, each way. */
const PAIR_BYTES = 64 * 1024

/** Opens a stream to a service. */
export type OpenHandshake = (options: Omit<StreamOptions, 'connection'>) => Port<Buffer>

export function handshakesTo(service: Service): OpenHandshake {
  const server = createHandshakeServer(service)
  return options => openHandshake(server, service, options)
}

/** Makes the server that reads the handshakes to one service. It listens nowhere: streams are given to it. */
function createHandshakeServer(service: Service): Server {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    insecureHTTPParser: false,
    // The relay watches over its clients; here a stream may be silent before its handshake.
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
  })
  server.timeout = 0
  // Node drops what is above the number without a word; the size alone is the limit.
  server.maxHeadersCount = 0
  // The relay may end its side while an answer is under way: node then closes after it instead of within.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('upgrade', (request, near, head) => {
    const stream = streams.get(near)
    if (stream !== undefined) void serveUpgrade(service, request, near, head, stream)
  })
  server.on('request', (_request, response) => answerError(response, onlyHandshakes, NOT_IMPLEMENTED))
  server.on('connect', (request, near) => answerError(answerUpgrade(request, near), onlyHandshakes, NOT_IMPLEMENTED))
  server.on('clientError', (error, near) => {
    near.destroy(
      error instanceof GateError
        ? error
        : new GateError('ERR_GATE_PROTOCOL', 'the request is not HTTP', { cause: error }),
    )
  })
  return server
}

const NOT_IMPLEMENTED = 501
const onlyHandshakes = new GateError('ERR_GATE_USAGE', 'only WebSocket is asked for on this stream')

const streams = new WeakMap<Duplex, StreamOptions>()

/** A stream to the service: one end for whoever asks, the other read by the server. */
function openHandshake(server: Server, service: Service, options: Omit<StreamOptions, 'connection'>): Port<Buffer> {
  const [near, far] = duplexPair({ highWaterMark: PAIR_BYTES })
  const connection = service.connect()
  streams.set(near, { ...options, connection })
  near.once('close', () => void connection.destroy().catch(() => {}))
  // What is written in one turn would be several messages to the relay.
  near._writev = (writes, done) =>
    near._write(Buffer.concat(writes.map(({ chunk }) => chunk as Buffer)), 'binary', done)
  tie(near, far)
  tie(far, near)
  server.emit('connection', near)
  return socketPort(far, 'ERR_GATE_TARGET_UNREACHABLE')
}

/** When one end is closed before everything was said, so is the other, for the same reason: node leaves it open. */
function tie(end: Duplex, other: Duplex): void {
  // Whoever reads the end has a listener of its own; between two readers there is none.
  end.on('error', () => {})
  end.once('close', () => {
    if (end.writableFinished && other.writableFinished) return
    other.destroy(end.errored instanceof GateError ? end.errored : undefined)
  })
}
