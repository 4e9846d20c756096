// The relay's door: HTTPS for the API, upgrades for streams; everything unauthenticated is refused here.
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, Server } from 'node:http'
import type { Duplex } from 'node:stream'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { createAcceptor, refuseUpgrade } from '@gate/shared/websocket/accept'
import type { Channel } from '@gate/shared/websocket/channel'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import { ZodError } from 'zod'
import type { RelayConfig } from '../config.ts'

const MAX_HEADER_BYTES = 32 * 1024
const MAX_BODY_BYTES = 64 * 1024
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
/** Upgrades that are being authenticated; more are turned away rather than queued. */
const MAX_HANDSHAKES = 500
const MAX_TASK_LENGTH = 200
const MAX_REASON_LENGTH = 1_000

/** What a person wants to connect to, and what for. */
export interface ConnectWish {
  readonly target: string
  readonly task: string | undefined
  readonly reason: string | undefined
  readonly breakGlass: boolean
  /** The local port could not see whose process it is: it had closed its socket. */
  readonly isPeerGone: boolean
  /** Where the connection comes from: the other end of its socket. What headers say of that is not believed. */
  readonly clientAddress: string
}

/** What becomes of a connection that was upgraded. `authenticate` runs before the upgrade is granted. */
export interface Upgrades {
  connect(token: string, wish: ConnectWish): Promise<(channel: Channel) => Promise<void>>
  agentControl(): Promise<(control: ControlSocket) => Promise<void>>
  agentData(token: string): Promise<(channel: Channel) => void>
}

export async function createServer(config: RelayConfig, log: Log): Promise<FastifyInstance> {
  const { tls } = config.listen
  const options = {
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
  } as const
  const http = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS }
  const app: FastifyInstance =
    tls === undefined
      ? Fastify({ ...options, http })
      : (Fastify({
          ...options,
          https: {
            ...http,
            cert: await readFile(tls.certificate),
            key: await readFile(tls.key),
            minVersion: 'TLSv1.2',
          },
        }) as unknown as FastifyInstance)
  app.setErrorHandler((thrown: FastifyError, request, reply) => {
    const error = apiError(thrown)
    if (error.code === 'ERR_GATE_INTERNAL') log.error('api.failed', { path: request.routeOptions.url, error: thrown })
    return reply.code(errorCodes[error.code].status).send(error.toJSON())
  })
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send(new GateError('ERR_GATE_NOT_FOUND', 'there is nothing here').toJSON()),
  )
  return app
}

function apiError(thrown: FastifyError): GateError {
  if (thrown instanceof ZodError) {
    const issues = thrown.issues.map(issue => `${issue.path.join('.') || 'body'}: ${issue.message}`)
    return new GateError('ERR_GATE_USAGE', `the request is not understood: ${issues.join('; ')}`)
  }
  if (typeof thrown.statusCode === 'number' && thrown.statusCode < 500) {
    return new GateError('ERR_GATE_USAGE', `the request is not understood (${thrown.code})`)
  }
  return asGateError(thrown)
}

/** Lets WebSockets in. A stream's failure after the upgrade is said on the stream itself. */
export function acceptUpgrades(server: Server, upgrades: Upgrades, log: Log): void {
  const acceptor = createAcceptor()
  let handshakes = 0
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A socket that breaks during the handshake has nobody else to tell.
    socket.on('error', () => socket.destroy())
    if (handshakes >= MAX_HANDSHAKES) {
      return refuseUpgrade(
        socket,
        new GateError('ERR_GATE_LIMIT', 'too many connections are being opened', { hint: 'Try again.' }),
      )
    }
    handshakes += 1
    admit(acceptor, upgrades, request, socket, head, log)
      .catch((thrown: unknown) => {
        const error = asGateError(thrown)
        if (error.code === 'ERR_GATE_INTERNAL') log.error('upgrade.failed', { error })
        refuseUpgrade(socket, error)
      })
      .finally(() => {
        handshakes -= 1
      })
  })
}

async function admit(
  acceptor: ReturnType<typeof createAcceptor>,
  upgrades: Upgrades,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  log: Log,
): Promise<void> {
  // gate's clients are no browsers; a page that dials here is an attack.
  if (request.headers.origin !== undefined) throw new GateError('ERR_GATE_FORBIDDEN', 'browsers may not open streams')
  const { pathname } = new URL(request.url ?? '/', 'http://relay')
  const connect = /^\/v1\/connect\/([a-z0-9._-]{1,63})$/.exec(pathname)
  if (connect?.[1] !== undefined) {
    const clientAddress = addressOf(request)
    const task = header(request, 'gate-task', MAX_TASK_LENGTH)
    const reason = header(request, 'gate-reason', MAX_REASON_LENGTH)
    const breakGlass = request.headers['gate-break-glass'] !== undefined
    if (breakGlass && reason === undefined)
      throw new GateError('ERR_GATE_USAGE', 'the glass is not broken without a reason', { hint: 'Add --reason TEXT.' })
    const isPeerGone = request.headers['gate-peer'] !== undefined
    const wish = { target: connect[1], task, reason, breakGlass, isPeerGone, clientAddress }
    const serve = await upgrades.connect(bearer(request), wish)
    const channel = await acceptor.channel(request, socket, head, 'ERR_GATE_CANCELLED')
    later(serve(channel), channel, log)
  } else if (pathname === '/v1/agent/control') {
    const serve = await upgrades.agentControl()
    const control = await acceptor.control(request, socket, head)
    serve(control).catch(error => log.error('agent.failed', { error }))
  } else if (pathname === '/v1/agent/data') {
    const serve = await upgrades.agentData(bearer(request))
    serve(await acceptor.channel(request, socket, head, 'ERR_GATE_AGENT_LOST'))
  } else throw new GateError('ERR_GATE_NOT_FOUND', 'there is no such stream')
}

function later(serving: Promise<void>, channel: Channel, log: Log): void {
  serving.then(
    () => channel.destroy(),
    (thrown: unknown) => {
      const error = asGateError(thrown)
      if (error.code === 'ERR_GATE_INTERNAL') log.error('stream.failed', { error })
      channel.destroy(error)
    },
  )
}

/** The other end of a request's socket; an IPv4 address as such, also on a socket that takes both. */
function addressOf({ socket }: IncomingMessage): string {
  const address = socket.remoteAddress
  if (address === undefined) throw new GateError('ERR_GATE_CANCELLED', 'the client went away')
  return address.replace(/^::ffff:(?=\d+\.)/, '')
}

/** The token of an Authorization header. @throws {GateError} ERR_GATE_UNAUTHENTICATED when there is none. */
export function bearer(request: IncomingMessage): string {
  const match = /^Bearer ([A-Za-z0-9_-]{1,512})$/.exec(request.headers.authorization ?? '')
  if (match?.[1] === undefined)
    throw new GateError('ERR_GATE_UNAUTHENTICATED', 'no session token was shown', { hint: 'Run gate login.' })
  return match[1]
}

/** A percent-encoded header: task and reason may hold any character, HTTP headers may not. */
function header(request: IncomingMessage, name: string, limit: number): string | undefined {
  const value = request.headers[name]
  if (typeof value !== 'string' || value === '') return undefined
  let text: string
  try {
    text = decodeURIComponent(value)
  } catch (cause) {
    throw new GateError('ERR_GATE_USAGE', `the header ${name} is not percent-encoded`, { cause })
  }
  if (text.length > limit) throw new GateError('ERR_GATE_LIMIT', `${name} has more than ${limit} characters`)
  return text
}
