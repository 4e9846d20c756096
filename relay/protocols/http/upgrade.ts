// Requests that make something else of the connection: WebSocket, if policy allows it.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { asGateError, errorCodes, errorFromBody, GateError } from '@gate/shared/errors'
import { portStream } from '@gate/shared/port-stream'
import { WebSocket, WebSocketServer } from 'ws'
import type { TargetStream } from '../protocol.ts'
import { forwardedFields } from './fields.ts'
import { maskingOf } from './masking-of.ts'
import { MAX_FRAGMENTS, MAX_MESSAGE_BYTES, relayMessages } from './messages.ts'
import { type Problem, problemOf, rawProblem, refusalOf } from './problem.ts'
import { askedOf, commandOf, readHead } from './request.ts'
import type { Shared } from './room.ts'

const HANDSHAKE_TIMEOUT_MS = 30_000
/** Of a handshake itself, which is made anew on each side; extensions would make frames that cannot be read. */
const ofHandshake: ReadonlySet<string> = new Set([
  ...['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-extensions', 'sec-websocket-protocol'],
])

const ofFrames = {
  autoPong: false,
  maxPayload: MAX_MESSAGE_BYTES,
  maxFragments: MAX_FRAGMENTS,
  maxBufferedChunks: MAX_FRAGMENTS,
}

const server = new WebSocketServer({
  noServer: true,
  perMessageDeflate: false,
  ...ofFrames,
  clientTracking: false,
  // The target has chosen already.
  handleProtocols: (_offered, request) => chosen.get(request) ?? false,
})

/** The subprotocol that the target chose for a client's handshake. */
const chosen = new WeakMap<IncomingMessage, string>()

/** Takes over a stream whose client asked for an upgrade. */
export function serveUpgrade(connection: Shared, request: IncomingMessage, stream: Duplex, first: Buffer): void {
  if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
    const hint = 'A WebSocket is asked for with GET, and with no other protocol beside it.'
    const protocol = (request.headers.upgrade ?? '').slice(0, 50)
    return connection.refuseUpgrade(stream, new GateError('ERR_GATE_PROTOCOL', `no upgrade to ${protocol}`, { hint }))
  }
  if (!connection.isIdle)
    return connection.refuseUpgrade(
      stream,
      new GateError('ERR_GATE_PROTOCOL', 'an upgrade while another request is open'),
    )
  stream.on('error', () => {})
  connection.hand(run(connection, request, stream, first))
}

async function run(connection: Shared, request: IncomingMessage, stream: Duplex, first: Buffer): Promise<void> {
  const { session } = connection
  const gone = new AbortController()
  const lost = (): void => gone.abort(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
  stream.once('close', lost)
  const signal = AbortSignal.any([gone.signal, session.signal])
  try {
    await connection.begin(request.headers['user-agent'] ?? '')
    await upgrade(connection, request, stream, first, signal)
  } catch (thrown) {
    tell(stream, problemOf(asGateError(thrown), session.id))
  } finally {
    stream.off('close', lost)
  }
}

/** The last word on a stream that is not a WebSocket yet. */
function tell(stream: Duplex, problem: Problem): void {
  if (stream.writable) stream.end(rawProblem(problem))
  else stream.destroy()
}

async function upgrade(
  connection: Shared,
  request: IncomingMessage,
  stream: Duplex,
  first: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const { session, keys } = connection
  const { method = '', url = '', rawHeaders } = request
  const head = readHead({ method, target: url, raw: rawHeaders, isUpgrade: true }, session.target.name)
  const content = { start: undefined, isWhole: true, length: 0 }
  const decidable = commandOf(head, content, session.gate, keys.recordKey)
  const verdict = await session.gate.decide(
    [decidable.command],
    () => askedOf(decidable, false),
    notice => session.log.info('http.held', { session: session.id, request: notice.request }),
    () => signal,
  )
  if (verdict.settled.effect === 'deny') {
    const status = head.fault === undefined ? 403 : errorCodes[head.fault.code].status
    return tell(stream, refusalOf(verdict.settled, verdict.request, session.id, status))
  }
  const [number = 0] = verdict.commands
  let firstByteAtMs: number | undefined
  const observe = (status: string, bytes: number): void =>
    session.gate.observe({ command: number, rows: undefined, bytes, firstByteAtMs, status })
  if (verdict.recorded !== undefined) await verdict.recorded
  const masking = maskingOf(verdict.obligations[0] ?? [], decidable.route, keys.maskKey)
  let target: WebSocket
  try {
    const sent = forwardedFields(head.fields, session.id, ofHandshake)
    const path = `${head.location.path}${head.location.query}`
    const stream = await session.open({})
    stream.declare({ actions: [decidable.command.operation.action], approvals: verdict.approvals })
    target = await dial(stream, path, sent, protocolsOf(request), signal)
  } catch (thrown) {
    observe(asGateError(thrown).code, 0)
    throw thrown
  }
  firstByteAtMs = session.gate.now()
  if (target.protocol !== '') chosen.set(request, target.protocol)
  const client = await accept(request, stream, first).catch((thrown: unknown) => {
    target.terminate()
    observe('cancelled', 0)
    throw thrown
  })
  const { path } = head.location
  const relayed = await relayMessages({ session, keys, path, route: decidable.route, masking, signal }, client, target)
  observe(relayed.cause === undefined ? '101' : `101 ${relayed.cause.code}`, relayed.bytes)
}

/** Opens the client's side. @throws {GateError} ERR_GATE_CANCELLED when the client is gone by now. */
function accept(request: IncomingMessage, stream: Duplex, first: Buffer): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    if (stream.destroyed) return gone()
    stream.once('close', gone)
    server.handleUpgrade(request, stream, first, client => {
      stream.off('close', gone)
      resolve(client)
    })
  })
}

function protocolsOf(request: IncomingMessage): string[] {
  return (request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map(protocol => protocol.trim())
    .filter(protocol => protocol !== '')
}

/** Opens the target's WebSocket through an agent. @throws {GateError} what the agent or the target answered instead. */
function dial(
  { port }: TargetStream,
  path: string,
  fields: readonly (readonly [string, string])[],
  protocols: string[],
  signal: AbortSignal,
): Promise<WebSocket> {
  const stream = portStream(port)
  const headers: Record<string, string[]> = {}
  for (const [name, value] of fields) headers[name] = [...(headers[name] ?? []), value]
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://target${path}`, protocols, {
      createConnection: () => stream as never,
      headers: Object.fromEntries(Object.entries(headers).map(([name, values]) => [name, values.join(', ')])),
      perMessageDeflate: false,
      ...ofFrames,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    })
    const abort = (): void => {
      socket.terminate()
      reject(asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away'))
    }
    signal.addEventListener('abort', abort, { once: true })
    socket.on('unexpected-response', (_request, response) => {
      signal.removeEventListener('abort', abort)
      const code = response.headers['gate-error']
      stream.destroy()
      const status = response.statusCode ?? 0
      reject(
        typeof code === 'string'
          ? errorFromBody({ code, message: 'the agent could not open the WebSocket' })
          : new GateError('ERR_GATE_TARGET_PROTOCOL', `the target answered ${status} instead of opening a WebSocket`),
      )
    })
    socket.on('error', thrown =>
      reject(asGateError(thrown, 'ERR_GATE_AGENT_LOST', 'the connection to the target broke')),
    )
    socket.once('open', () => {
      signal.removeEventListener('abort', abort)
      socket.pause()
      resolve(socket)
    })
  })
}
