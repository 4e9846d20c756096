// Connections to a service: one pool for all streams, TLS with the files as they are at that moment.
import { readFile } from 'node:fs/promises'
import { GateError } from '@gate/shared/errors'
import { buildConnector, Pool } from 'undici'
import type { HttpTarget } from '../../http-target.ts'
import { MAX_CONNECTIONS } from './slots.ts'

/** Of an answer's headers, and of a request's. */
export const MAX_HEADER_BYTES = 64 * 1024

/** Makes the pool; nothing is dialled before the first request. HTTP/1.1 only. */
export function createPool(target: HttpTarget): Pool {
  return new Pool(new URL(target.url).origin, {
    connections: MAX_CONNECTIONS,
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: target.timeouts.headers,
    // Streams may be silent for hours.
    bodyTimeout: 0,
    connect: dialer(target, target.timeouts.connect),
  })
}

export interface TlsFiles {
  readonly name: string
  readonly ca?: string | undefined
  readonly client_certificate?: string | undefined
  readonly client_key?: string | undefined
  readonly tls_server_name?: string | undefined
}

/** Dials with certificates that are read anew each time: they are rotated while the agent runs. */
export function dialer(target: TlsFiles, timeoutMs: number): buildConnector.connector {
  return (options, callback) => {
    readFiles(target).then(
      files => {
        const { tls_server_name: servername } = target
        const connect = buildConnector({
          allowH2: false,
          timeout: timeoutMs,
          ...files,
          ...(servername === undefined ? {} : { servername }),
        })
        connect(options, callback)
      },
      (error: GateError) => callback(error, null),
    )
  }
}

async function readFiles(target: TlsFiles): Promise<{ ca?: Buffer; cert?: Buffer; key?: Buffer }> {
  const read = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : readFile(path)
  try {
    const [ca, cert, key] = await Promise.all([target.ca, target.client_certificate, target.client_key].map(read))
    return {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
    }
  } catch (cause) {
    throw new GateError('ERR_GATE_TARGET_LOGIN', `a certificate or key for ${target.name} cannot be read`, { cause })
  }
}
