// Servers that are no relay, and are asked as if they were: they answer with what they are given, or not at all.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { KeyPair } from './certificates.ts'

export interface Answering extends AsyncDisposable {
  /** Host and port, for either scheme. */
  readonly host: string
}

/** Answers every request with this status and body, over TLS when it has a certificate. */
export async function answering(status: number, body: string, pair?: KeyPair): Promise<Answering> {
  const secure =
    pair === undefined ? undefined : { cert: await readFile(pair.certificate), key: await readFile(pair.key) }
  const server = secure === undefined ? createServer() : createSecureServer(secure)
  server.on('request', (_request, response) => response.writeHead(status).end(body))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
