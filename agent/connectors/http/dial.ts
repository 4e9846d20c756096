// Connections to a service: one for each stream, TLS with the files as they are at that moment.
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { GateError } from '@gate/shared/errors'
import { buildConnector, Client } from 'undici'
import type { HttpTarget } from '../../http-target.ts'
import { EarlyAnswers } from './early-answers.ts'
import { RESET } from './errors.ts'
import type { Handler, ServiceConnection, WrittenRequest } from './service-connection.ts'

/** Of an answer's headers, and of a request's. */
export const MAX_HEADER_BYTES = 64 * 1024

/** A connection on which nothing was asked for so long is closed; a service that says how long it waits is believed up to this. */
export const IDLE_MS = 4_000
const MAX_IDLE_MS = 60_000

/**
 * One stream's connection, dialled for the first request and anew when it was closed. Nobody else's requests go there: a
 * service that answers twice, or that logs in a connection, does so to one person. HTTP/1.1.
 */
export class Http1Connection implements ServiceConnection {
  readonly #client: Client
  /** Of the connection that there is. */
  #early: EarlyAnswers | undefined

  constructor(target: HttpTarget) {
    const dial = dialer(target, target.timeouts.connect)
    this.#client = new Client(new URL(target.url).origin, {
      pipelining: 1,
      allowH2: false,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: MAX_IDLE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: target.timeouts.headers,
      // Streams may be silent for hours.
      bodyTimeout: 0,
      connect: (options, callback) =>
        dial(options, (...dialled) => {
          if (dialled[1]) this.#early = passOverEarly(dialled[1])
          callback(...dialled)
        }),
    })
  }

  dispatch(request: WrittenRequest, handler: Handler): void {
    this.#early?.begin()
    this.#client.dispatch(request, handler)
  }

  destroy(): Promise<void> {
    return this.#client.destroy()
  }
}

/** undici takes what it parses by `read()`. */
function passOverEarly(socket: Socket): EarlyAnswers {
  const answers = new EarlyAnswers()
  const { read } = socket
  socket.read = function next(size?: number): unknown {
    const bytes: unknown = read.call(this, size)
    if (!Buffer.isBuffer(bytes)) return bytes
    const passed = answers.push(bytes)
    return passed.length > 0 ? passed : null
  }
  return answers
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
        connect(options, (...dialled) => {
          dialled[1]?.on('error', markReset)
          if (dialled[1]) readBeforeFailing(dialled[1])
          callback(...dialled)
        })
      },
      (error: GateError) => callback(error, null),
    )
  }
}

/**
 * undici takes a reset for the end of an answer that only the connection's end delimits: half of it would look like all. It
 * goes by the code, and its listener comes after this one.
 */
function markReset(error: NodeJS.ErrnoException): void {
  if (error.code === 'ECONNRESET') error.code = RESET
}

/** For the other side to say why it takes no more: then the failure counts, whatever came. */
const LAST_WORDS_MS = 1_000

/** What a service says that closes: no more can be written, and what it said is to be read still. */
const closedForWriting: ReadonlySet<string> = new Set(['EPIPE', 'ECONNRESET'])

/**
 * Lets a failed write wait until everything is read. A service that refuses an upload answers and closes while the body
 * still goes there; node destroys the socket at the first write that fails, and with it the answer that has arrived.
 */
function readBeforeFailing(socket: Socket): void {
  const after =
    (done: WriteDone): WriteDone =>
    error => {
      const code = error && 'code' in error ? String(error.code) : ''
      if (!closedForWriting.has(code) || socket.destroyed || socket.readableEnded) return done(error)
      const fail = (): void => {
        clearTimeout(timer)
        socket.off('end', fail)
        socket.off('close', fail)
        done(error)
      }
      const timer = setTimeout(fail, LAST_WORDS_MS)
      socket.once('end', fail)
      socket.once('close', fail)
    }
  const { _write: write, _writev: writev } = socket
  socket._write = (chunk, encoding, done) => write.call(socket, chunk, encoding, after(done))
  if (writev != null) socket._writev = (chunks, done) => writev.call(socket, chunks, after(done))
}

type WriteDone = (error?: Error | null) => void

/** @throws {GateError} ERR_GATE_TARGET_LOGIN. */
export async function readFiles(target: TlsFiles): Promise<{ ca?: Buffer; cert?: Buffer; key?: Buffer }> {
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
