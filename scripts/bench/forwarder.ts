// The yardstick: gate's three hops and gate's own WebSocket code, and nothing else. One process per hop, chosen by a mode; with
// `http` relay and agent read and write HTTP anew instead of handing bytes on.
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import type { GateError } from '@gate/shared/errors'
import { letHeapGrow } from '@gate/shared/heap'
import { join, socketPort } from '@gate/shared/port'
import { createAcceptor } from '@gate/shared/websocket/accept'
import type { Channel } from '@gate/shared/websocket/channel'
import { type DialOptions, dialChannel } from '@gate/shared/websocket/dial'
import { Client } from 'undici'
import { serveAgent, serveRelay } from './http-shape.ts'

/** As many as gate's agent keeps: IDLE_STREAMS in relay/egress/agents.ts. */
const IDLE_STREAMS = 4
const HOST = '127.0.0.1'

const dialOptions: DialOptions = { headers: {}, timeoutMs: 10_000 }
/** Connections end in the middle when a benchmark does; that is nobody's failure. */
const ignore = (_error: unknown): void => {}
const ready = (port: number): void => void process.stdout.write(`ready ${port}\n`)

/** Accepts local connections; each becomes one WebSocket to the relay. */
function cli(relayPort: number): void {
  const serve = async (socket: Socket): Promise<void> => {
    const channel = await dialChannel(`ws://${HOST}:${relayPort}/client`, 'ERR_GATE_RELAY_UNREACHABLE', dialOptions)
    await join(socketPort(socket, 'ERR_GATE_CANCELLED'), channel)
  }
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, socket => {
    socket.on('error', ignore)
    serve(socket).catch(() => socket.destroy())
  })
  server.listen(0, HOST, () => ready((server.address() as AddressInfo).port))
}

/** Joins each client's WebSocket with one that the agent dialled ahead. */
function relay(isHttp: boolean): void {
  const acceptor = createAcceptor()
  const idle: Channel[] = []
  const waiting: ((channel: Channel) => void)[] = []
  const take = (): Channel | Promise<Channel> => idle.shift() ?? new Promise(resolve => waiting.push(resolve))
  const offer = (channel: Channel): void => {
    const next = waiting.shift()
    if (next === undefined) idle.push(channel)
    else next(channel)
  }
  // An 'open' that came in one segment with the answer to the upgrade would be there before anybody listens for it.
  const whenListening = (channel: Channel): Promise<Channel> =>
    new Promise(resolve => {
      channel.onMessage = () => resolve(channel)
    })
  const serve = async (client: Channel): Promise<void> => {
    const target = await take()
    const opened = new Promise<void>((resolve, reject: (cause: GateError) => void) => {
      target.onMessage = () => resolve()
      target.onFailure = reject
    })
    target.send({ type: 'open', stream: 'bench', target: 'bench', parameters: {} })
    await opened
    await (isHttp ? serveRelay(client, target) : join(client, target))
  }
  const server = createHttpServer()
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', ignore)
    const accepted = acceptor.channel(request, socket, head, 'ERR_GATE_CANCELLED')
    if (request.url === '/agent') accepted.then(whenListening).then(offer, ignore)
    else accepted.then(client => serve(client).catch(() => client.destroy())).catch(ignore)
  })
  server.listen(0, HOST, () => ready((server.address() as AddressInfo).port))
}

/** Keeps WebSockets to the relay dialled ahead; each one that is put to use gets a connection to the server. */
async function agent(relayPort: number, targetPort: number, isHttp: boolean): Promise<void> {
  const serve = async (channel: Channel): Promise<void> => {
    if (isHttp) {
      channel.send({ type: 'opened', detail: {} })
      return serveAgent(channel, new Client(`http://${HOST}:${targetPort}`))
    }
    const socket = await connect(targetPort)
    channel.send({ type: 'opened', detail: {} })
    await join(channel, socketPort(socket, 'ERR_GATE_TARGET_UNREACHABLE'))
  }
  const dial = async (): Promise<void> => {
    const channel = await dialChannel(`ws://${HOST}:${relayPort}/agent`, 'ERR_GATE_RELAY_UNREACHABLE', dialOptions)
    channel.onMessage = () => {
      dial().catch(ignore)
      serve(channel).catch(() => channel.destroy())
    }
    channel.send({ type: 'notice', text: 'listening' })
  }
  await Promise.all(Array.from({ length: IDLE_STREAMS }, dial))
  ready(0)
}

function connect(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: HOST, port, noDelay: true, allowHalfOpen: true })
    socket.once('error', reject)
    socket.once('connect', () => resolve(socket))
  })
}

const [mode, ...ports] = process.argv.slice(2)
const isHttp = ports.includes('http')
const [first = 0, second = 0] = ports.map(Number)
// As gate's programs do: a signal is a normal end, so that a profile that was asked for is written.
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => process.exit(0))
letHeapGrow()
if (mode === 'cli') cli(first)
else if (mode === 'relay') relay(isHttp)
else if (mode === 'agent') await agent(first, second, isHttp)
else throw new Error(`expected cli, relay or agent, got ${mode}`)
