// The relay's door: HTTPS for the API, upgrades for streams; everything unauthenticated is refused here.
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { asGateError, errorCodes, GateError } from '@gate/shared/errors'
import type { Log } from '@gate/shared/log'
import { createAcceptor, refuseUpgrade } from '@gate/shared/websocket/accept'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import type { Tunnel } from '@gate/shared/websocket/tunnel'
import Fastify, { type FastifyError, type FastifyInstance } from 'fastify'
import { ZodError } from 'zod'
import type { RelayConfig } from '../config.ts'
import { ClientTunnels, type Connect } from './client-tunnels.ts'

const MAX_HEADER_BYTES = 32 * 1024
const MAX_BODY_BYTES = 64 * 1024
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 30_000
/** Upgrades that are being authenticated; more are turned away rather than queued. */
const MAX_HANDSHAKES = 500

/** Who may upgrade to what, and what becomes of it. What throws refuses the upgrade. */
export interface Upgrades {
  /** The subject's id. */
  person(token: string): Promise<string>
  connect: Connect
  agentControl(): Promise<(control: ControlSocket) => Promise<void>>
  agentData(token: string): Promise<(tunnel: Tunnel) => void>
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
export function acceptUpgrades(app: FastifyInstance, upgrades: Upgrades, { limits }: RelayConfig, log: Log): void {
  const door = new Door(upgrades, limits.connections, limits.connections_per_subject, log)
  let handshakes = 0
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // A socket that breaks during the handshake has nobody else to tell.
    socket.on('error', () => socket.destroy())
    if (handshakes >= MAX_HANDSHAKES) {
      return refuseUpgrade(
        socket,
        new GateError('ERR_GATE_LIMIT', 'too many connections are being opened', { hint: 'Try again.' }),
      )
    }
    handshakes += 1
    door
      .admit(request, socket, head)
      .catch((thrown: unknown) => {
        const error = asGateError(thrown)
        if (error.code === 'ERR_GATE_INTERNAL') log.error('upgrade.failed', { error })
        refuseUpgrade(socket, error)
      })
      .finally(() => {
        handshakes -= 1
      })
  })
  // The server waits for its sockets; whatever ran in them has had its last words by now.
  app.addHook('preClose', async () => door.close())
}

class Door {
  readonly #upgrades: Upgrades
  readonly #acceptor = createAcceptor()
  readonly #clients: ClientTunnels
  readonly #tunnels = new Set<Tunnel>()
  readonly #log: Log

  constructor(upgrades: Upgrades, connections: number, connectionsPerSubject: number, log: Log) {
    this.#upgrades = upgrades
    const limits = { connections, connectionsPerSubject, handshakes: MAX_HANDSHAKES }
    this.#clients = new ClientTunnels(upgrades.connect, limits, log)
    this.#log = log
  }

  async admit(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // gate's clients are no browsers; a page that dials here is an attack.
    if (request.headers.origin !== undefined) throw new GateError('ERR_GATE_FORBIDDEN', 'browsers may not open streams')
    const { pathname } = new URL(request.url ?? '/', 'http://relay')
    if (pathname === '/v1/connect') return this.#client(request, socket, head)
    if (pathname === '/v1/agent/control') {
      const serve = await this.#upgrades.agentControl()
      const control = await this.#acceptor.control(request, socket, head)
      serve(control).catch(error => this.#log.error('agent.failed', { error }))
    } else if (pathname === '/v1/agent/data') {
      const serve = await this.#upgrades.agentData(bearer(request))
      serve(this.#keep(await this.#acceptor.tunnel(request, socket, head, { lost: 'ERR_GATE_AGENT_LOST' })))
    } else if (pathname.startsWith('/v1/connect/'))
      throw new GateError('ERR_GATE_PROTOCOL', 'this relay no longer speaks as your gate does', {
        hint: 'Install the gate that goes with the relay.',
      })
    else throw new GateError('ERR_GATE_NOT_FOUND', 'there is no such stream')
  }

  async #client(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const clientAddress = addressOf(request)
    const subject = await this.#upgrades.person(bearer(request))
    const leave = this.#clients.admit(subject)
    try {
      const tunnel = await this.#acceptor.tunnel(request, socket, head, {
        lost: 'ERR_GATE_CANCELLED',
        opened: (channel, message) => void this.#clients.serve(channel, message, subject, clientAddress),
      })
      this.#clients.keep(this.#keep(tunnel), leave)
    } catch (thrown) {
      leave()
      throw thrown
    }
  }

  #keep(tunnel: Tunnel): Tunnel {
    this.#tunnels.add(tunnel)
    void tunnel.closed.then(() => this.#tunnels.delete(tunnel))
    return tunnel
  }

  close(): void {
    for (const tunnel of this.#tunnels) tunnel.destroy()
  }
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
