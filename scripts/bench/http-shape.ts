// What gate's shape alone costs HTTP: node's parser and undici at both hops, as gate has them, and nothing else.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'
import { join, type Port, socketPort } from '@gate/shared/port'
import { portStream } from '@gate/shared/port-stream'
import { Client, type Dispatcher } from 'undici'

type Forward = (request: IncomingMessage, response: ServerResponse) => void

const forwards = new WeakMap<Duplex, Forward>()
const server = createServer({ keepAliveTimeout: 0 }, (request, response) =>
  forwards.get(request.socket)?.(request, response),
)

const ofThisHop: ReadonlySet<string> = new Set(['connection', 'host', 'transfer-encoding', 'keep-alive'])

function endToEnd(raw: readonly string[]): string[] {
  return raw.filter((_, at) => !ofThisHop.has(raw[at - (at % 2)]?.toLowerCase() ?? ''))
}

/** Requests without a body, each written anew. */
function forwardOver(dispatcher: Dispatcher): Forward {
  return (request, response) => {
    const { method = 'GET', url = '/', rawHeaders } = request
    const options = { method: method as 'GET', path: url, headers: endToEnd(rawHeaders), body: null }
    dispatcher.dispatch(options, {
      onRequestStart: () => {},
      onResponseStart: ({ rawHeaders: raw }, status) => {
        response.writeHead(status, endToEnd((raw as Buffer[]).map(value => value.toString('latin1'))))
      },
      onResponseData: (_controller, chunk) => void response.write(chunk),
      onResponseEnd: () => void response.end(),
      onResponseError: () => response.destroy(),
    })
  }
}

/** The relay's hop: requests of a client, written anew for an agent. */
export function serveRelay(client: Port<Buffer>, target: Port<Buffer>): Promise<void> {
  const stream = portStream(client)
  const agent = new Client('http://target', {
    // Not at once: undici is not ready for it.
    connect: (_options, connected) => queueMicrotask(() => connected(null, portStream(target) as never)),
    pipelining: 1,
  })
  forwards.set(stream, forwardOver(agent))
  stream.on('error', () => {})
  server.emit('connection', stream)
  return new Promise(resolve => stream.once('close', () => agent.destroy().then(resolve, () => resolve())))
}

/** The agent's hop: requests of a relay, written anew for the service. */
export function serveAgent(channel: Port<Buffer>, service: Client): Promise<void> {
  const [near, far] = duplexPair()
  forwards.set(near, forwardOver(service))
  near._writev = (writes, done) =>
    near._write(Buffer.concat(writes.map(({ chunk }) => chunk as Buffer)), 'binary', done)
  server.emit('connection', near)
  return join(channel, socketPort(far, 'ERR_GATE_TARGET_UNREACHABLE'))
}
