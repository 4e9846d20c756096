// The agent's end of a stream: node's strict parser reads requests from it, one after the other, and the answers go back.
import { createServer, type Server, type ServerResponse } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'
import { GateError } from '@gate/shared/errors'
import { type Port, socketPort } from '@gate/shared/port'
import { Waiting } from '@gate/shared/waiting'
import { MAX_HEADER_BYTES } from './dial.ts'
import { answerError } from './errors.ts'
import type { Service, StreamOptions } from './service.ts'
import { answerUpgrade, serveUpgrade } from './upgrade.ts'

/** Bytes that stand between the stream and the parser, each way. */
const PAIR_BYTES = 64 * 1024

/** Opens a stream to a service. */
export type OpenStream = (options: Omit<StreamOptions, 'connection'>) => Port<Buffer>

export function streamsTo(service: Service): OpenStream {
  const server = createStreamServer(service)
  return options => openStream(server, service, options)
}

/** Makes the server that reads the streams to one service. It listens nowhere: streams are given to it. */
function createStreamServer(service: Service): Server {
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    insecureHTTPParser: false,
    // The relay watches over its clients; here a stream may be silent for hours, before a request as well as within one.
    requestTimeout: 0,
    headersTimeout: 0,
    keepAliveTimeout: 0,
  })
  server.timeout = 0
  // Node drops what is above the number without a word; the size alone is the limit.
  server.maxHeadersCount = 0
  // The relay may end its side while an answer is under way: node then closes after it instead of within.
  Object.assign(server, { httpAllowHalfOpen: true })
  server.on('request', (request, response) => {
    const stream = streams.get(request.socket)
    if (stream === undefined || !isNext(request.socket, response)) return
    const asker = new Waiting()
    response.once('close', () => {
      // An error costs more than the rest of this: it is made only for somebody who is still there to be told.
      if (!response.writableFinished) asker.leave(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    })
    void service.forward(request, response, asker, stream)
  })
  server.on('upgrade', (request, near, head) => {
    const stream = streams.get(near)
    if (stream !== undefined && isNext(near)) void serveUpgrade(service, request, near, head, stream)
  })
  server.on('connect', (request, near) => {
    if (!isNext(near)) return
    const response = answerUpgrade(request, near)
    answerError(response, new GateError('ERR_GATE_USAGE', 'CONNECT is not served'), 501)
  })
  server.on('clientError', (error, near) => {
    near.destroy(
      error instanceof GateError
        ? error
        : new GateError('ERR_GATE_PROTOCOL', 'the request is not HTTP', { cause: error }),
    )
  })
  return server
}

const streams = new WeakMap<Duplex, StreamOptions>()

/** A stream to the service: one end for whoever asks, the other read by the server. */
function openStream(server: Server, service: Service, options: Omit<StreamOptions, 'connection'>): Port<Buffer> {
  const [near, far] = duplexPair({ highWaterMark: PAIR_BYTES })
  const connection = service.connect()
  streams.set(near, { ...options, connection })
  near.once('close', () => void connection.destroy().catch(() => {}))
  // A head, a chunk's length and the chunk are three writes, and would be three messages to the relay.
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

/** The last response of each stream. */
const last = new WeakMap<Duplex, ServerResponse>()

/** Ends a stream that asks before it is answered: in a queue, answers could be taken for one another's. */
function isNext(near: Duplex, response?: ServerResponse): boolean {
  if (last.get(near)?.writableEnded === false) {
    near.destroy(new GateError('ERR_GATE_PROTOCOL', 'a request came before the answer to the one before it'))
    return false
  }
  if (response !== undefined) last.set(near, response)
  return true
}
