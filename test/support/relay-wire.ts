// Stands between a relay and whoever dials it, so that tests can break or silence connections.
import { connect, createServer, type Server, type Socket } from 'node:net'

export interface Wire extends AsyncDisposable {
  of(path: string): Socket[]
  /** Breaks the connections that asked for this path, without a word; returns how many. */
  cut(path: string): number
  /** Hands on nothing more of them, and tells nobody, as a network does that went away. */
  silence(path: string): number
}

/** Hands TCP connections on to a relay, and knows which of them are tunnels of whom. */
export async function startWire(port: number, relayPort: number): Promise<Wire> {
  const open = new Map<Socket, string>()
  const server: Server = createServer(socket => {
    const onward = connect(relayPort, '127.0.0.1')
    open.set(socket, '')
    socket.once('data', first => open.set(socket, /^GET (\S+)/.exec(first.toString('latin1'))?.[1] ?? ''))
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.pipe(to)
    }
    socket.once('close', () => open.delete(socket))
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const of = (path: string): Socket[] => [...open].filter(([, known]) => known === path).map(([socket]) => socket)
  return {
    of,
    cut: path => of(path).map(socket => socket.resetAndDestroy()).length,
    silence: path => of(path).map(socket => socket.unpipe().pause()).length,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open.keys()) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
