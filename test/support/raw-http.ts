// HTTP by hand: bytes to a port, and a service that says exactly these bytes and keeps exactly what it got.

import type { AddressInfo } from 'node:net'
import { connect, createServer, type Server, type Socket } from 'node:net'

/** Sends bytes and gives everything that comes back until the other side closes. */
export function sendRaw(port: number, ...pieces: readonly (string | Buffer)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1' })
    const chunks: Buffer[] = []
    const done = (): void => {
      socket.destroy()
      resolve(Buffer.concat(chunks).toString('latin1'))
    }
    socket.on('data', chunk => chunks.push(chunk))
    socket.on('end', done).on('close', done)
    socket.on('error', error => ((error as NodeJS.ErrnoException).code === 'ECONNREFUSED' ? reject(error) : done()))
    for (const piece of pieces) socket.write(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
  })
}

/** Sends bytes, ends this side and gives all that comes back until the other side has ended as well. */
export function sendAndEnd(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let answer = ''
    socket.on('data', chunk => {
      answer += chunk.toString('latin1')
    })
    socket.on('error', reject).on('close', () => resolve(answer))
    socket.end(bytes, 'latin1')
  })
}

/** The statuses of the answers in what came back, those of answers before the answer left out. */
export function statuses(answer: string): number[] {
  return [...answer.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status)).filter(each => each >= 200)
}

export interface RawService extends AsyncDisposable {
  readonly port: number
  /** What each connection sent, in the order in which they were opened. */
  readonly got: string[]
}

/** Answers every connection's first request, once its head is there, by path; `say` writes what it likes. */
export async function startRawService(say: (path: string, socket: Socket) => void): Promise<RawService> {
  const got: string[] = []
  const sockets = new Set<Socket>()
  const server: Server = createServer(socket => {
    const index = got.push('') - 1
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    let isAsked = false
    socket.on('data', chunk => {
      got[index] += chunk.toString('latin1')
      if (isAsked || !got[index]?.includes('\r\n\r\n')) return
      isAsked = true
      say(got[index]?.split(' ')[1] ?? '', socket)
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    port: (server.address() as AddressInfo).port,
    got,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
