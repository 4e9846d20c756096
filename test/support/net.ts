// Ports that nobody has.
import { createServer } from 'node:net'

/** A free TCP port on loopback; somebody else could take it before it is used, which is rare enough. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
