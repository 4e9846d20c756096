// Requests that make something else of the connection: WebSocket, if policy allows it.
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import { forHandshake } from '@gate/shared/http-frames'
import { portStream } from '@gate/shared/port-stream'
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws'
import type { Command, TargetStream } from '../protocol.ts'
import { withSources } from './copy-source.ts'
import { forwardedFields } from './fields.ts'
import { Following } from './following.ts'
import { acceptLines, refusalBytes } from './handshake-answer.ts'
import { targetOf } from './location.ts'
import { MAX_FRAGMENTS, relayMessages, type Side } from './messages.ts'
import { placesOf } from './places.ts'
import { type Masking, maskedRequestFields } from './plan.ts'
import { type Problem, problemOf, rawProblem, refusalOf } from './problem.ts'
import { askedOf, commandOf, type Decidable, type ReadHead, readHead, WEBSOCKET_VERSION } from './request.ts'
import type { Shared } from './room.ts'
import { spellingOf } from './spelling.ts'
import { chosenBy, type Handshake, headersOf, type Refused, refusedBy, saidBy } from './target-handshake.ts'
import type { AnswerHead } from './way.ts'

const HANDSHAKE_TIMEOUT_MS = 30_000
/** Of a handshake itself, which is made anew on each side; extensions would make frames that cannot be read. */
const ofHandshake: ReadonlySet<string> = new Set([
  ...['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-extensions', 'sec-websocket-protocol', 'te'],
])

const ofFrames = {
  autoPong: false,
  maxFragments: MAX_FRAGMENTS,
  maxBufferedChunks: MAX_FRAGMENTS,
} satisfies ClientOptions

/** By the longest message that they take. */
const servers = new Map<number, WebSocketServer>()

function serverFor(maxPayload: number): WebSocketServer {
  const known = servers.get(maxPayload)
  if (known !== undefined) return known
  const server = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    ...ofFrames,
    maxPayload,
    clientTracking: false,
    // The target has chosen already.
    handleProtocols: (_offered, request) => agreed.get(request)?.protocol ?? false,
  })
  server.on('headers', (lines, request) => lines.push(...(agreed.get(request)?.lines ?? [])))
  servers.set(maxPayload, server)
  return server
}

/** What the target said to a client's handshake: the subprotocol that it chose, and fields for the client. */
const agreed = new WeakMap<IncomingMessage, { readonly protocol: string | undefined; readonly lines: string[] }>()

interface Opened extends AnswerHead {
  /** Paused. */
  readonly socket: WebSocket
  readonly stream: Duplex
  readonly protocol: string | undefined
}

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
  const fields = problem.status === UPGRADE_REQUIRED ? { 'sec-websocket-version': WEBSOCKET_VERSION } : {}
  if (stream.writable) stream.end(rawProblem(problem, fields))
  else stream.destroy()
}

async function upgrade(
  connection: Shared,
  request: IncomingMessage,
  stream: Duplex,
  first: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const { session, keys, limits } = connection
  const { messageBytes } = limits
  const { method = '', url = '', rawHeaders } = request
  const read = { method, target: url, raw: rawHeaders, isUpgrade: true }
  const head = readHead(read, session.target.name, session.gate)
  const content = { start: undefined, isWhole: true, length: 0 }
  const { standing } = session.gate
  let decidable = commandOf(head, content, session.gate, keys.recordKey)
  const readAgain = (): Decidable =>
    commandOf(readHead(read, session.target.name, session.gate), content, session.gate, keys.recordKey)
  const again = (): Command => {
    decidable = readAgain()
    return decidable.command
  }
  const verdict = await session.gate.decide(
    [{ ...decidable.command, again }],
    () => askedOf(decidable, false),
    notice => session.log.info('http.held', { session: session.id, request: notice.request }),
    () => signal,
  )
  if (verdict.settled.effect === 'deny') {
    return tell(stream, refusalOf(verdict.settled, verdict.request, session.id, statusOf(head, request)))
  }
  const [number = 0] = verdict.commands
  let firstByteAtMs: number | undefined
  const observe = (status: string, bytes: number): void =>
    session.gate.observe({ command: number, rows: undefined, bytes, firstByteAtMs, status })
  if (verdict.recorded !== undefined) await verdict.recorded
  const following = new Following(session.gate, standing, decidable, readAgain, verdict, keys.maskKey)
  const { masking } = following
  const forwarded = withSources(forwardedFields(head.fields, session.id, ofHandshake), head.sources)
  const ask = async (): Promise<Opened | Refused> => {
    const target = await session.open(forHandshake)
    target.declare({ actions: [decidable.command.operation.action], approvals: verdict.approvals })
    return dial(target, {
      path: targetOf(head.location),
      fields: masking === undefined ? forwarded : maskedRequestFields(forwarded, masking),
      spelling: spellingOf(rawHeaders),
      protocols: protocolsOf(request),
      isBodyWanted: masking === undefined,
      signal,
      messageBytes,
    })
  }
  let said: Opened | Refused | undefined
  try {
    said = await ask()
    firstByteAtMs = session.gate.now()
    const refusal = following.refusal()
    if (refusal !== undefined) throw refusal
    if (said.socket === undefined) stream.end(refusalBytes(said, following.masking))
    else agree(request, said, following.masking)
  } catch (thrown) {
    said?.socket?.terminate()
    observe(asGateError(thrown).code, 0)
    throw thrown
  }
  if (said.socket === undefined) return observe(String(said.status), said.body?.length ?? 0)
  const target: Side = said
  const client = await accept(request, stream, first, messageBytes).catch((thrown: unknown) => {
    target.socket.terminate()
    observe('cancelled', 0)
    throw thrown
  })
  const { plain: path } = head.location
  const place = placesOf(path, session.gate, keys.recordKey)
  const relayed = await relayMessages(
    { session, keys, path, place, following, signal },
    { socket: client, stream },
    target,
  )
  observe(relayed.cause === undefined ? '101' : `101 ${relayed.cause.code}`, relayed.bytes)
}

/** RFC 6455 section 4.4: a client of another version is told which one is spoken here. */
const UPGRADE_REQUIRED = 426

function statusOf({ fault }: ReadHead, { headers }: IncomingMessage): number {
  if (fault === undefined) return 403
  const version = headers['sec-websocket-version']
  const isOther = fault.code === 'ERR_GATE_PROTOCOL' && version !== undefined && version !== WEBSOCKET_VERSION
  return isOther ? UPGRADE_REQUIRED : errorCodes[fault.code].status
}

/** Keeps what the client is told when its side opens. @throws {GateError} where the target's answer could be read in two ways. */
function agree(request: IncomingMessage, said: Opened, masking: Masking | undefined): void {
  agreed.set(request, { protocol: said.protocol, lines: acceptLines(said, masking) })
}

/** Opens the client's side. @throws {GateError} ERR_GATE_CANCELLED when the client is gone by now. */
function accept(request: IncomingMessage, stream: Duplex, first: Buffer, messageBytes: number): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const gone = (): void => reject(new GateError('ERR_GATE_CANCELLED', 'the client went away'))
    if (stream.destroyed) return gone()
    stream.once('close', gone)
    serverFor(messageBytes).handleUpgrade(request, stream, first, client => {
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

/** Opens the target's WebSocket through an agent. @throws {GateError} what the agent said, or why it cannot be opened. */
function dial({ port }: TargetStream, handshake: Handshake): Promise<Opened | Refused> {
  const { signal, protocols, messageBytes } = handshake
  const stream = portStream(port)
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://target${handshake.path}`, {
      createConnection: () => stream as never,
      headers: headersOf(handshake),
      perMessageDeflate: false,
      ...ofFrames,
      maxPayload: messageBytes,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    })
    let accepted: Omit<Opened, 'socket' | 'stream'> | undefined
    const abort = (): void => {
      socket.terminate()
      stream.destroy()
      reject(asGateError(signal.reason, 'ERR_GATE_CANCELLED', 'the client went away'))
    }
    const done = (): void => signal.removeEventListener('abort', abort)
    signal.addEventListener('abort', abort, { once: true })
    socket.on('unexpected-response', (_request, response) => {
      // The stream breaks when the rest of the answer is not waited for.
      response.on('error', () => {})
      void refusedBy(response, handshake.isBodyWanted)
        .finally(() => stream.on('error', () => {}).destroy())
        .finally(done)
        .then(resolve, reject)
    })
    socket.once('upgrade', response => {
      try {
        accepted = { ...saidBy(response), protocol: chosenBy(response, protocols) }
      } catch (thrown) {
        reject(asGateError(thrown))
        socket.terminate()
      }
    })
    socket.on('error', thrown =>
      reject(asGateError(thrown, 'ERR_GATE_AGENT_LOST', 'the connection to the target broke')),
    )
    socket.once('open', () => {
      done()
      socket.pause()
      if (accepted !== undefined) resolve({ ...accepted, socket, stream })
    })
  })
}
