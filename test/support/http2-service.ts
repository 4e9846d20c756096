// A service that speaks nothing but HTTP/2.
import { once } from 'node:events'
import {
  createSecureServer,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type SecureServerOptions,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void

export interface Http2Service extends AsyncDisposable {
  readonly url: string
  readonly sessions: ReadonlySet<ServerHttp2Session>
  /** Closes all connections without a word. */
  drop(): void
}

/** With prior knowledge where there is no TLS. */
export async function startHttp2(onStream: OnStream, tls?: SecureServerOptions): Promise<Http2Service> {
  const server: Http2Server = tls === undefined ? createServer() : (createSecureServer(tls) as unknown as Http2Server)
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', session => {
    sessions.add(session)
    session.on('error', () => {})
  })
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {})
    onStream(stream, headers)
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessions,
    drop: () => {
      for (const socket of sockets) socket.destroy()
    },
    [Symbol.asyncDispose]: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const session of sessions) session.destroy()
      }),
  }
}
