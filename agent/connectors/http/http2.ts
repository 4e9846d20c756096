// HTTP/2 to a service (RFC 9113): a session for each stream of the relay's, with one request on it at a time.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  sensitiveHeaders,
} from 'node:http2'
import { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { asGateError, GateError } from '@gate/shared/errors'
import type { HttpTarget } from '../../http-target.ts'
import { Http1Connection, IDLE_MS, MAX_HEADER_BYTES, readFiles } from './dial.ts'
import { lateConnection, lateHead, noHttp2 } from './errors.ts'
import type { Controller, Handler, ServiceConnection, WrittenRequest } from './service-connection.ts'

/** As many fields as the relay takes, and pseudo-fields. */
const MAX_FIELDS = 256
/** Bytes that a service may send before they are read, of one answer and of all together. */
const WINDOW_BYTES = 256 * 1024
/** Megabytes that node keeps for a session: heads, frames and data together. */
const SESSION_MEMORY_MB = 2
/** What is written at once of a body that is there as a whole: all of it would take up that memory. */
const SLICE_BYTES = 64 * 1024
/** As undici has it over HTTP/1.1: nothing else notices that a service is gone which may be silent. */
const KEEP_ALIVE_MS = 60_000

export class Http2Connection implements ServiceConnection {
  readonly #target: HttpTarget
  #session: ClientHttp2Session | undefined
  #upgrades: Http1Connection | undefined
  #idle: NodeJS.Timeout | undefined
  #isDestroyed = false

  constructor(target: HttpTarget) {
    this.#target = target
  }

  /** WebSockets go over HTTP/1.1: few services have them over HTTP/2 (RFC 8441). */
  dispatch(request: WrittenRequest, handler: Handler): void {
    if (request.upgrade === undefined) return void this.#ask(request, handler)
    this.#upgrades ??= new Http1Connection(this.#target)
    this.#upgrades.dispatch(request, handler)
  }

  async #ask(request: WrittenRequest, handler: Handler): Promise<void> {
    const exchange = new Http2Exchange(this.#target, handler)
    try {
      const session = await this.#open()
      clearTimeout(this.#idle)
      await exchange.run(session, request)
    } catch (thrown) {
      exchange.fail(thrown instanceof Error ? thrown : asGateError(thrown))
    } finally {
      // It may not be HTTP/2 that is spoken there, or nobody may be there any more.
      if (exchange.isLate) this.#session?.destroy()
      this.#idle = setTimeout(() => this.#session?.close(), IDLE_MS).unref()
    }
  }

  async #open(): Promise<ClientHttp2Session> {
    const known = this.#session
    if (known !== undefined && !known.closed && !known.destroyed) return known
    const files = await readFiles(this.#target)
    if (this.#isDestroyed) throw new GateError('ERR_GATE_CANCELLED', 'the client went away')
    const { url, tls_server_name: servername } = this.#target
    const session = connect(new URL(url).origin, {
      ...files,
      ...(servername === undefined ? {} : { servername }),
      ALPNProtocols: ['h2'],
      maxHeaderListPairs: MAX_FIELDS,
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { enablePush: false, initialWindowSize: WINDOW_BYTES, maxHeaderListSize: MAX_HEADER_BYTES },
    })
    this.#session = session
    session.once('remoteSettings', () => greeted.add(session))
    await this.#connected(session)
    session.setLocalWindowSize(WINDOW_BYTES)
    return session
  }

  /** @throws {GateError} ERR_GATE_TIMEOUT, ERR_GATE_TARGET_PROTOCOL; what node says of a connection that did not come about. */
  #connected(session: ClientHttp2Session): Promise<void> {
    const { name, timeouts } = this.#target
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => session.destroy(lateConnection(name)), timeouts.connect)
      session.once('connect', (_session, socket) => {
        clearTimeout(timer)
        socket.setKeepAlive(true, KEEP_ALIVE_MS)
        const { encrypted, alpnProtocol } = socket as TLSSocket
        if (encrypted !== true || alpnProtocol === 'h2') return resolve()
        session.destroy(noHttp2(name, `its TLS agreed to ${alpnProtocol || 'no protocol'} (ALPN)`))
      })
      // Whoever asks is told; afterwards each request is told by its own stream.
      session.on('error', reject)
      session.once('close', () => {
        clearTimeout(timer)
        reject(new GateError('ERR_GATE_TARGET_UNREACHABLE', `${name} closed the connection`))
      })
    })
  }

  async destroy(): Promise<void> {
    this.#isDestroyed = true
    clearTimeout(this.#idle)
    this.#session?.destroy()
    await this.#upgrades?.destroy()
  }
}

/** Sessions whose service has said that it speaks HTTP/2 (RFC 9113 section 3.4). */
const greeted = new WeakSet<ClientHttp2Session>()

/** What node says of frames that are none. */
const foreign = /^ERR_HTTP2_(?:STREAM_|SESSION_)?ERROR$/

/** One request and its answer, told to a handler as undici would. */
class Http2Exchange {
  readonly #target: HttpTarget
  readonly #handler: Handler
  #session: ClientHttp2Session | undefined
  #stream: ClientHttp2Stream | undefined
  #isOver = false
  #hasHead = false
  /** It was given up for want of an answer. */
  isLate = false
  /** Resets the stream with CANCEL. close() would say before that what was sent is all of it. */
  readonly #cut = new AbortController()
  #done = (): void => {}
  /** Set as they come: names and values in turn. */
  readonly #controller: Controller & { rawHeaders: string[]; rawTrailers: string[] }

  constructor(target: HttpTarget, handler: Handler) {
    this.#target = target
    this.#handler = handler
    this.#controller = {
      abort: cause => this.fail(cause),
      pause: () => void this.#stream?.pause(),
      resume: () => void this.#stream?.resume(),
      rawHeaders: [],
      rawTrailers: [],
    }
  }

  get #isGreeted(): boolean {
    return this.#session === undefined || greeted.has(this.#session)
  }

  /** Resolves when the handler was told of the end. */
  run(session: ClientHttp2Session, request: WrittenRequest): Promise<void> {
    return new Promise(resolve => {
      this.#done = resolve
      this.#handler.onRequestStart(this.#controller)
      // What was given up by now is never sent.
      if (this.#isOver) return
      this.#session = session
      const stream = session.request(headersOf(request, this.#target), {
        endStream: request.body === null,
        signal: this.#cut.signal,
      })
      this.#stream = stream
      const late = this.#listen(stream)
      send(request.body, stream, late, cause => this.fail(cause))
    })
  }

  /** Gives the clock that runs until the answer begins. */
  #listen(stream: ClientHttp2Stream): NodeJS.Timeout {
    const { name, timeouts } = this.#target
    const late = setTimeout(() => {
      this.isLate = true
      this.fail(lateHead(name))
    }, timeouts.headers)
    // Answers before the answer say that there will be one.
    const early = (headers?: IncomingHttpHeaders): void => {
      late.refresh()
      this.#try(() => this.#handler.onResponseStart(this.#controller, Number(headers?.[':status'] ?? 100)))
    }
    stream.on('continue', early).on('headers', early)
    stream.once('response', (headers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      clearTimeout(late)
      const status = Number(headers[':status'])
      if (status < 200)
        return this.fail(new GateError('ERR_GATE_TARGET_PROTOCOL', `${name} answered with status ${status}`))
      this.#hasHead = true
      this.#controller.rawHeaders = fieldsOf(raw)
      this.#try(() => this.#handler.onResponseStart(this.#controller, status))
    })
    stream.on('data', (chunk: Buffer) => {
      if (!this.#isOver) this.#try(() => this.#handler.onResponseData(this.#controller, chunk))
    })
    stream.once('trailers', (_trailers: IncomingHttpHeaders, _flags: number, raw: string[]) => {
      this.#controller.rawTrailers = fieldsOf(raw)
    })
    const isWhole = wholeness(stream)
    const broken = (): void => this.fail(new GateError('ERR_GATE_TARGET_UNREACHABLE', `${name} broke off the request`))
    // Node closes a stream that was reset without an error only when all that was to be sent has gone, and nobody takes it.
    stream.once('end', () => {
      if (this.#hasHead && isWhole()) this.#end()
      else broken()
    })
    stream.on('error', cause => this.fail(cause))
    stream.once('close', () => {
      clearTimeout(late)
      broken()
    })
    return late
  }

  #try(tell: () => void): void {
    try {
      tell()
    } catch (thrown) {
      this.fail(asGateError(thrown))
    }
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    // Nobody wants the rest of what was to be sent.
    if (this.#stream?.writableFinished === false) this.#cut.abort()
    this.#handler.onResponseEnd(this.#controller)
    this.#done()
  }

  fail(cause: Error): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#cut.abort()
    const isForeign = 'code' in cause && foreign.test(String(cause.code)) && !this.#isGreeted
    const error = isForeign ? noHttp2(this.#target.name, 'it answered in another protocol', cause) : cause
    this.#handler.onResponseError(this.#controller, error)
    this.#done()
  }
}

const secret: readonly string[] = ['authorization', 'cookie', 'cookie2', 'proxy-authorization', 'x-amz-security-token']

/** Lists of which node takes one field only. */
const lists: ReadonlySet<string> = new Set(['if-match', 'if-none-match'])

/** What logs in is not to be remembered by whoever compresses it (RFC 7541 section 7.1). */
function sensitiveNames({ credential }: HttpTarget): readonly string[] {
  const own = credential !== undefined && 'header' in credential ? [credential.header.name.toLowerCase()] : []
  return [...secret, ...own]
}

function headersOf({ method, path, headers, body }: WrittenRequest, target: HttpTarget): OutgoingHttpHeaders {
  // What Host is over HTTP/1.1, whatever name is in the certificate.
  const fields = new Map<string, string[]>([
    [':method', [method]],
    [':path', [path]],
    [':authority', [new URL(target.url).host]],
  ])
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const name = (headers[at] ?? '').toLowerCase()
    fields.set(name, [...(fields.get(name) ?? []), headers[at + 1] ?? ''])
  }
  if (Buffer.isBuffer(body)) fields.set('content-length', [String(body.length)])
  const written = [...fields].map(([name, values]) => [name, lists.has(name) ? values.join(', ') : values] as const)
  return Object.assign(Object.fromEntries(written), { [sensitiveHeaders]: sensitiveNames(target) })
}

/** Without those that hold the status and the like. */
function fieldsOf(raw: readonly string[]): string[] {
  return raw.filter((_, at) => !(raw[at - (at % 2)] ?? '').startsWith(':'))
}

/**
 * Says at the end of a stream whether the service has said that it is the end: node ends what was reset without an error as
 * well, and closes it before.
 */
function wholeness(stream: ClientHttp2Stream): () => boolean {
  const push = stream.push.bind(stream)
  let isWhole = false
  stream.push = (chunk, encoding) => {
    if (chunk === null && !stream.closed) isWhole = true
    return push(chunk, encoding)
  }
  return () => isWhole && stream.rstCode === constants.NGHTTP2_NO_ERROR
}

function send(
  body: WrittenRequest['body'],
  stream: ClientHttp2Stream,
  late: NodeJS.Timeout,
  failed: (cause: Error) => void,
): void {
  if (body === null) return
  const source = Buffer.isBuffer(body) ? Readable.from(slicesOf(body)) : body
  source.on('error', failed)
  // A service that takes what comes has time to answer.
  source.on('data', () => late.refresh())
  // A body that breaks off does not end the stream: what is cut off must not look whole.
  source.pipe(stream)
}

function* slicesOf(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += SLICE_BYTES) yield body.subarray(at, at + SLICE_BYTES)
}
