// A local port for one target: only this user's processes get in, and each connection becomes one stream to the relay.
import { createServer, type Server, type Socket } from 'node:net'
import { asGateError, GateError } from '@gate/shared/errors'
import { peerOwner } from './peer.ts'

/** Connections that are being checked and opened; a burst beyond it waits in the system's queue. */
const BACKLOG = 128
const LOOPBACK = ['127.0.0.1', '::1'] as const

export interface Listener extends AsyncDisposable {
  readonly port: number
  /** Addresses that could be bound; a machine may have no IPv6. */
  readonly addresses: readonly string[]
}

export type Serve = (socket: Socket, isKnown: boolean) => void

/**
 * Listens on 127.0.0.1 and ::1. `serve` gets each socket of this user, paused; others are closed and told to `refused`. Whose a
 * socket was that its program closed already nobody can say: `isKnown` is false then, and there is something to read.
 * @throws {GateError} ERR_GATE_PORT_IN_USE when another program has the port.
 */
export async function listen(port: number, serve: Serve, refused: (why: string) => void): Promise<Listener> {
  const servers: Server[] = []
  const sockets = new Set<Socket>()
  const accept = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    // Errors are for whoever serves the socket; one that breaks before that has nobody.
    socket.on('error', () => {})
    admit(socket, serve, refused).catch((thrown: unknown) => {
      socket.destroy()
      refused(asGateError(thrown).message)
    })
  }
  let bound = port
  const addresses: string[] = []
  try {
    for (const host of LOOPBACK) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, accept)
      const found = await bind(server, host, bound)
      if (found === undefined) continue
      bound = found
      servers.push(server)
      addresses.push(host)
    }
  } catch (thrown) {
    for (const server of servers) server.close()
    throw thrown
  }
  return {
    port: bound,
    addresses,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))))
    },
  }
}

/** The bound port; undefined when this machine does not have the address. */
function bind(server: Server, host: string, port: number): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      if (host === '::1' && (cause.code === 'EADDRNOTAVAIL' || cause.code === 'EAFNOSUPPORT')) return resolve(undefined)
      const inUse = cause.code === 'EADDRINUSE'
      reject(
        new GateError(
          inUse ? 'ERR_GATE_PORT_IN_USE' : 'ERR_GATE_CONFIG',
          `port ${port} on ${host} cannot be opened (${cause.code})`,
          {
            cause,
            ...(inUse ? { hint: 'Another gate connect may have it; otherwise choose one with --port.' } : {}),
          },
        ),
      )
    })
    server.listen({ host, port, backlog: BACKLOG, exclusive: true, ipv6Only: host === '::1' }, () => {
      const address = server.address()
      resolve(typeof address === 'object' && address !== null ? address.port : port)
    })
  })
}

async function admit(socket: Socket, serve: Serve, refused: (why: string) => void): Promise<void> {
  const { remoteAddress, remotePort, localAddress, localPort } = socket
  if (remoteAddress === undefined || remotePort === undefined || localAddress === undefined || localPort === undefined)
    return
  const owner = await peerOwner(
    { address: remoteAddress, port: remotePort },
    { address: localAddress, port: localPort },
  )
  if (owner === 'unknown' || (owner !== 'gone' && owner.uid === process.getuid?.())) return serve(socket, true)
  if (owner === 'gone') return serveLast(socket, serve)
  socket.destroy()
  refused(`a process of another user (uid ${owner.uid}) knocked at port ${localPort} and was turned away`)
}

/** What a program said before it closed, such as a request to cancel; without a word there is nothing to serve. */
function serveLast(socket: Socket, serve: Serve): void {
  socket.once('readable', () => {
    const said = socket.read() as Buffer | null
    if (said === null) return void socket.destroy()
    socket.unshift(said)
    serve(socket, false)
  })
}
