// A socket to a PostgreSQL server, encrypted as sslmode says.
import { readFile } from 'node:fs/promises'
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { GateError } from '@gate/shared/errors'
import { serialize } from 'pg-protocol'
import type { PostgresTarget } from '../../config.ts'

export type SslMode = NonNullable<PostgresTarget['sslmode']>

const CONNECT_TIMEOUT_MS = 10_000

/** On this machine libpq's default; anywhere else the server has to prove who it is. */
export function sslModeOf(target: PostgresTarget): SslMode {
  const local =
    target.host.startsWith('/') ||
    target.host === 'localhost' ||
    target.host === '::1' ||
    target.host.startsWith('127.')
  return target.sslmode ?? (local ? 'prefer' : 'verify-full')
}

function unreachable(target: PostgresTarget, why: string, cause?: unknown): GateError {
  return new GateError(
    'ERR_GATE_TARGET_UNREACHABLE',
    `the agent cannot reach ${target.name} (${why})`,
    cause === undefined ? {} : { cause },
  )
}

/**
 * Opens a socket. With `allow` it is plain: the caller tries again with TLS when the server refuses that.
 * @throws {GateError} ERR_GATE_TARGET_UNREACHABLE, also when the server has no TLS or proves to be another.
 */
export async function openSocket(
  target: PostgresTarget,
  mode: SslMode,
  signal: AbortSignal,
): Promise<Socket | TLSSocket> {
  const plain = await openPlain(target, signal)
  if (mode === 'disable' || mode === 'allow' || target.host.startsWith('/')) return plain
  try {
    plain.write(serialize.requestSsl())
    const answer = await firstByte(plain, target, signal)
    if (answer === 'S') return await encrypt(plain, target, mode, signal)
    if (answer === 'N' && mode === 'prefer') return plain
    throw unreachable(
      target,
      answer === 'N' ? `the server has no TLS, and sslmode is ${mode}` : 'the server does not speak PostgreSQL',
    )
  } catch (thrown) {
    plain.destroy()
    throw thrown
  }
}

function openPlain(target: PostgresTarget, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const { host, port } = target
    const where = host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { host, port }
    const socket = connectTcp({
      ...where,
      noDelay: true,
      keepAlive: true,
      timeout: CONNECT_TIMEOUT_MS,
      signal,
      allowHalfOpen: true,
    })
    socket.once('timeout', () => socket.destroy(new Error('ETIMEDOUT')))
    socket.once('error', (cause: NodeJS.ErrnoException) =>
      reject(unreachable(target, cause.code ?? cause.message, cause)),
    )
    socket.once('connect', () => {
      socket.setTimeout(0)
      socket.removeAllListeners('timeout')
      resolve(socket)
    })
  })
}

/** The server answers an SSLRequest with one byte. More than one would be somebody's bytes in clear before TLS. */
function firstByte(socket: Socket, target: PostgresTarget, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(unreachable(target, 'no answer to the request for TLS')), CONNECT_TIMEOUT_MS)
    const done = (): void => {
      clearTimeout(timer)
      socket.off('data', data)
      socket.off('close', closed)
    }
    const data = (bytes: Buffer): void => {
      done()
      socket.pause()
      if (bytes.length === 1) resolve(bytes.toString('latin1'))
      else reject(unreachable(target, 'unencrypted data after the request for TLS'))
    }
    const closed = (): void => {
      done()
      reject(unreachable(target, signal.aborted ? 'given up' : 'the server closed the connection'))
    }
    socket.on('data', data)
    socket.once('close', closed)
  })
}

async function encrypt(plain: Socket, target: PostgresTarget, mode: SslMode, signal: AbortSignal): Promise<TLSSocket> {
  const read = async (path: string | undefined): Promise<Buffer | undefined> =>
    path === undefined ? undefined : readFile(path)
  const [ca, cert, key] = await Promise.all([read(target.sslrootcert), read(target.sslcert), read(target.sslkey)])
  const verifies = mode === 'verify-ca' || mode === 'verify-full'
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      socket: plain,
      // RFC 6066 section 3: server names are no addresses.
      ...(isIP(target.host) === 0 ? { servername: target.host } : {}),
      host: target.host,
      rejectUnauthorized: verifies,
      ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      minVersion: 'TLSv1.2',
    })
    const abort = (): void => void socket.destroy(new Error('given up'))
    signal.addEventListener('abort', abort, { once: true })
    socket.once('error', (cause: NodeJS.ErrnoException) =>
      reject(unreachable(target, `TLS: ${cause.code ?? cause.message}`, cause)),
    )
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', abort)
      resolve(socket)
    })
  })
}
