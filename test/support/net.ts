// Ports that nobody has.
import { createServer } from 'node:net'

/** What this process was given already: two that start at the same time would get the same one. */
const given = new Set<number>()
const MAX_TRIES = 100

/** A free TCP port on loopback; another process could take it before it is used, which is rare enough. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const port = await listenOnce()
    if (given.has(port)) continue
    given.add(port)
    return port
  }
  throw new Error('no port is free')
}

function listenOnce(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
