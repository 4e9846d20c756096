// HTTP services for tests, and the agent's connector before them behind a real local port.
import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, connect, createServer as createTcp, type Server as NetServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TlsOptions } from 'node:tls'
import type { ApprovalGuard } from '@gate/agent/approvals/guard'
import { responseSink } from '@gate/agent/connectors/http/response'
import { connectorFor } from '@gate/agent/connectors/registry'
import { httpFaults, httpTarget } from '@gate/agent/http-target'
import { lowerPairsOf, pairsOf } from '@gate/relay/protocols/http/fields'
import { RequestBody } from '@gate/relay/protocols/http/request-body'
import { spelled, spellingOf } from '@gate/relay/protocols/http/spelling'
import { Upstream } from '@gate/relay/protocols/http/upstream'
import type { TargetStream } from '@gate/relay/protocols/protocol'
import { GateError } from '@gate/shared/errors'
import { forHandshake } from '@gate/shared/http-frames'
import { join, socketPort } from '@gate/shared/port'

export interface Listening extends AsyncDisposable {
  readonly port: number
  /** Connections that are open now. */
  readonly sockets: ReadonlySet<Socket>
  /** Connections that were ever opened. */
  readonly opened: number
}

async function listen<Kind extends NetServer>(server: Kind): Promise<Listening & { readonly server: Kind }> {
  const sockets = new Set<Socket>()
  let opened = 0
  server.on('connection', (socket: Socket) => {
    opened += 1
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    server,
    port: (server.address() as AddressInfo).port,
    sockets,
    get opened() {
      return opened
    },
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      }),
  }
}

/** A service as node makes it. */
export async function startService(
  listener: RequestListener,
  tls?: TlsOptions,
): Promise<Listening & { readonly server: Server; readonly url: string }> {
  const server = tls === undefined ? createHttp(listener) : createHttps(tls, listener)
  const listening = await listen(server as Server)
  return Object.assign(listening, {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${listening.port}`,
  })
}

/** A service that says what node would not: it is given each connection once a request's headers are there. */
export async function startRawService(
  answer: (socket: Socket, request: string) => void,
): Promise<Listening & { readonly url: string }> {
  const server = createTcp({ allowHalfOpen: true }, socket => {
    let text = ''
    socket.on('data', chunk => {
      text += chunk.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      const request = text
      text = ''
      answer(socket, request)
    })
  })
  const listening = await listen(server)
  return Object.assign(listening, { url: `http://127.0.0.1:${listening.port}` })
}

export interface Front extends Listening {
  /** Where a client reaches the connector. */
  readonly url: string
  /** Why streams ended that did not end cleanly. */
  readonly failures: readonly unknown[]
}

/**
 * Puts the connector behind a local port, each connection on a stream of its own, as relay and agent do: by the relay's own
 * way to the agent, without what the relay decides. `guard` stands before the service on all of them.
 */
export async function startFront(settings: Readonly<Record<string, unknown>>, guard?: ApprovalGuard): Promise<Front> {
  const config = httpTarget.parse({ name: 'billing-api', protocol: 'http', ...settings })
  const faults = httpFaults(config)
  if (faults.length > 0) throw new Error(faults.join())
  const failures: unknown[] = []
  const open = async (parameters: Readonly<Record<string, string>>, signal: AbortSignal): Promise<TargetStream> => {
    const { port } = await connectorFor(config).connect(config, parameters, signal, guard)
    return { port, detail: {}, declare: () => {}, cancel: async () => {} }
  }
  const server = createHttp({ keepAliveTimeout: 0, requestTimeout: 0, highWaterMark: FRONT_BYTES })
  const ways = new WeakMap<Duplex, Upstream>()
  server.on('request', (request, response) => {
    const { socket } = request
    const way = ways.get(socket) ?? new Upstream(() => open({}, new AbortController().signal))
    if (!ways.has(socket)) {
      ways.set(socket, way)
      socket.once('close', () => way.destroy(new GateError('ERR_GATE_CANCELLED', 'the client went away')))
    }
    passOn(way, request, response, error => failures.push(error))
  })
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {})
    open(forHandshake, new AbortController().signal)
      .then(({ port }) => {
        void port.write(Buffer.concat([headOf(request), head]))
        return join(socketPort(socket, 'ERR_GATE_CANCELLED'), port)
      })
      .catch((error: unknown) => failures.push(error))
  })
  const listening = await listen(server)
  return Object.assign(listening, { url: `http://127.0.0.1:${listening.port}`, failures })
}

const FRONT_BYTES = 64 * 1024

/** As it came. */
function headOf({ method, url, rawHeaders }: IncomingMessage): Buffer {
  const lines = pairsOf(rawHeaders).map(([name, value]) => `${name}: ${value}`)
  return Buffer.from([`${method} ${url} HTTP/1.1`, ...lines, '', ''].join('\r\n'), 'latin1')
}

/** A request to the agent and its answer back, as they are; what the agent says of a failure as JSON, with its code in `gate-error`. */
function passOn(
  way: Upstream,
  request: IncomingMessage,
  response: ServerResponse,
  failed: (error: unknown) => void,
): void {
  const { method = '', url = '', headers, rawHeaders } = request
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  const sink = responseSink(response)
  way.send(
    {
      method,
      path: url,
      fields: lowerPairsOf(rawHeaders),
      spelling: spellingOf(rawHeaders),
      body: hasBody ? new RequestBody(request, undefined) : undefined,
    },
    { actions: [], approvals: [] },
    {
      head: ({ status, phrase, fields, spelling }, resume) => {
        sink.onDrain = resume
        sink.head(status, phrase, spelled(fields, spelling))
      },
      data: chunk => sink.data(chunk),
      end: trailers => sink.end(trailers.flat()),
      fail: error => {
        failed(error)
        sink.fail(error)
      },
    },
  )
}

/** Everything of a service's own error, as the connector answers it. */
export async function gateError(response: {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: { text(): Promise<string> }
}): Promise<{ status: number; header: unknown; body: { code: string; message: string; hint?: string } }> {
  const text = await response.body.text()
  return { status: response.statusCode, header: response.headers['gate-error'], body: JSON.parse(text) }
}

/** Sends bytes as they are and reads until the other side closes or has said so much. */
export async function exchangeBytes(port: number, text: string, until: RegExp): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' })
  let answer = ''
  socket.write(text, 'latin1')
  await new Promise<void>(resolve => {
    socket.on('data', chunk => {
      answer += chunk.toString('latin1')
      if (until.test(answer)) resolve()
    })
    socket.once('close', () => resolve())
    socket.on('error', () => {})
  })
  socket.destroy()
  return answer
}
