// A way between two programs on which every byte takes a while, as one across an ocean does.
import { connect, createServer, type Socket } from 'node:net'

export interface LongWay extends AsyncDisposable {
  readonly port: number
  /** The most bytes that were on their way at one moment, each way: to who is dialled, and to who dialled. */
  readonly most: { there: number; back: number }
}

/** Hands TCP connections on to a port of this machine, `delayMs` later in each direction. */
export async function startLongWay(port: number, delayMs: number): Promise<LongWay> {
  const most = { there: 0, back: 0 }
  const sockets = new Set<Socket>()
  const carry = (from: Socket, to: Socket, direction: 'there' | 'back'): void => {
    let bytes = 0
    const later = (act: () => void): void => void setTimeout(act, delayMs)
    from.setNoDelay(true)
    from.on('data', chunk => {
      bytes += chunk.length
      most[direction] = Math.max(most[direction], bytes)
      later(() => {
        bytes -= chunk.length
        to.write(chunk)
      })
    })
    from.on('end', () => later(() => to.end()))
    from.on('error', () => to.destroy())
    from.on('close', () => later(() => to.destroy()))
  }
  const server = createServer(socket => {
    const onward = connect(port, '127.0.0.1')
    for (const each of [socket, onward]) sockets.add(each)
    carry(socket, onward, 'there')
    carry(onward, socket, 'back')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    most,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
