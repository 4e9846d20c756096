// The HTTP room.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { asGateError, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { placeholderKey } from '../../mask/placeholder.ts'
import type { Protocol } from '../protocol.ts'
import { Connection } from './connection.ts'
import { httpHint, httpOffline } from './hint.ts'
import type { HttpLimits } from './limits.ts'
import { asksForWebSocket, headWithoutOffer } from './offer.ts'
import { vocabulary } from './operation.ts'
import { serveUpgrade } from './upgrade.ts'

export { defaultHttpLimits, type HttpLimits } from './limits.ts'

/** Names and values of a request's header together. */
const MAX_HEADER_BYTES = 64 * 1024

export interface HttpOptions {
  /** Key of hashed masks; that of placeholders in the record is made of it. */
  readonly maskKey: Uint8Array
  readonly limits: HttpLimits
}

export function createHttp(options: HttpOptions, log: Log): Protocol {
  const parser = new Parser()
  const keys = { maskKey: options.maskKey, recordKey: placeholderKey(options.maskKey) }
  const accept = (stream: Duplex, connection: Connection): void => parser.accept(stream, connection)
  return {
    name: 'http',
    vocabulary,
    obligations: ['mask', 'mask-fields'],
    hint: httpHint,
    offline: httpOffline,
    serve: session => new Connection({ keys, limits: options.limits }, accept, session, log).serve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }
}

/** Node's HTTP parser for the streams of all connections: it never listens, streams are handed to it. */
class Parser {
  readonly #connections = new WeakMap<Duplex, Connection>()
  // Clocks of node's server run only while it listens; the connection has its own.
  readonly #server = createServer({
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEADER_BYTES,
    requireHostHeader: false,
    keepAlive: false,
    // Idle connections may stay: each belongs to a session that has limits of its own.
    keepAliveTimeout: 0,
    joinDuplicateHeaders: false,
  })

  constructor() {
    // Clients that have asked may end their side (`printf … | nc -N`): node would drop them before they are answered.
    Object.assign(this.#server, { httpAllowHalfOpen: true })
    const take = (request: IncomingMessage, response: ServerResponse, proceed?: () => void): void =>
      this.#of(request.socket)?.take(request, response, proceed)
    this.#server.on('request', (request, response) => take(request, response))
    this.#server.on('checkContinue', (request, response) => take(request, response, () => response.writeContinue()))
    this.#server.on('checkExpectation', (request, response) => take(request, response))
    this.#server.on('upgrade', (request, stream, first) => {
      const connection = this.#of(stream)
      if (connection === undefined) return void stream.destroy()
      if (asksForWebSocket(request)) serveUpgrade(connection, request, stream, first)
      else this.#ignoreOffer(connection, request, stream, first)
    })
    this.#server.on('connect', (_request, stream) =>
      this.#of(stream)?.refuseUpgrade(
        stream,
        new GateError('ERR_GATE_PROTOCOL', 'this port is no proxy: CONNECT is refused'),
      ),
    )
    this.#server.on('clientError', (error: ParserError, stream) => {
      const connection = this.#of(stream)
      // A stream that broke has nobody who reads.
      if (connection === undefined || !stream.writable || error.code === 'ECONNRESET') return void stream.destroy()
      connection.refuse(stream, faultOf(error), isOtherMethod(error) ? NOT_IMPLEMENTED : undefined)
    })
  }

  #of(stream: Duplex): Connection | undefined {
    return this.#connections.get(stream)
  }

  accept(stream: Duplex, connection: Connection): void {
    this.#connections.set(stream, connection)
    this.#server.emit('connection', stream)
  }

  /** Node lets go of a stream at every offer. It is read once more from this request on, whose body is still to come. */
  #ignoreOffer(connection: Connection, request: IncomingMessage, stream: Duplex, first: Buffer): void {
    if (!connection.isIdle)
      return connection.refuseUpgrade(
        stream,
        new GateError('ERR_GATE_PROTOCOL', 'an upgrade is offered while another request is open'),
      )
    try {
      const head = headWithoutOffer(request)
      // Node leaves these behind, one of each for every offer.
      stream.removeAllListeners('pause').removeAllListeners('resume')
      stream.unshift(Buffer.concat([head, first]))
      this.#server.emit('connection', stream)
    } catch (thrown) {
      connection.refuseUpgrade(stream, asGateError(thrown))
    }
  }
}

/** RFC 9110 section 15.6.2. */
const NOT_IMPLEMENTED = 501

/** What node's parser says of what it cannot read. */
type ParserError = NodeJS.ErrnoException & { readonly rawPacket?: Buffer; readonly bytesParsed?: number }

/** Whether what cannot be read begins as a request of a method that nobody here knows (RFC 9110 section 9.1: a token). */
function isOtherMethod({ code, rawPacket, bytesParsed = 0 }: ParserError): boolean {
  if (code !== 'HPE_INVALID_METHOD' || rawPacket === undefined) return false
  const start = rawPacket.lastIndexOf('\n', Math.max(0, bytesParsed - 1)) + 1
  return /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64} \S+ HTTP\/1\.[01]\r?\n/.test(rawPacket.toString('latin1', start))
}

/** What honest clients run into, by what node's parser says of it. */
const hints: Readonly<Record<string, string>> = {
  HPE_INVALID_METHOD:
    'Methods are those of IANA’s registry that gate’s HTTP parser knows, in upper case. For LIST, as of Vault, send GET with ?list=true.',
  HPE_INVALID_URL: 'Percent-encode what the target of the request holds beside visible ASCII.',
}

function faultOf(error: ParserError): GateError {
  if (error.code === 'HPE_HEADER_OVERFLOW')
    return new GateError('ERR_GATE_LIMIT', `the header of the request is longer than ${MAX_HEADER_BYTES} bytes`)
  const hint = hints[error.code ?? '']
  const detail = isOtherMethod(error)
    ? 'the method is none that gate knows'
    : `this is no request of HTTP/1.1 (${error.code ?? 'cannot be parsed'})`
  return new GateError('ERR_GATE_PROTOCOL', detail, hint === undefined ? {} : { hint })
}
