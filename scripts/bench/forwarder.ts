// The yardstick: three hops as gate has them, a WebSocket for each connection, and nothing else. One process per hop, chosen by a mode; with
// `http` relay and agent read and write HTTP anew instead of handing bytes on.
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { letHeapGrow } from '@gate/shared/heap'
import { join, type Port, socketPort } from '@gate/shared/port'
import { Client } from 'undici'
import { serveAgent, serveRelay } from './http-shape.ts'
import { acceptPlain, dialPlain } from './plain-socket.ts'

/** WebSockets that the agent keeps dialled ahead. */
const IDLE_STREAMS = 4
const HOST = '127.0.0.1'

/** Connections end in the middle when a benchmark does; that is nobody's failure. */
const ignore = (_error: unknown): void => {}
const ready = (port: number): void => void process.stdout.write(`ready ${port}\n`)

/** Accepts local connections; each becomes one WebSocket to the relay. */
function cli(relayPort: number): void {
  const serve = async (socket: Socket): Promise<void> => {
    const port = await dialPlain(`ws://${HOST}:${relayPort}/client`)
    await join(socketPort(socket, 'ERR_GATE_CANCELLED'), port)
  }
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, socket => {
    socket.on('error', ignore)
    serve(socket).catch(() => socket.destroy())
  })
  server.listen(0, HOST, () => ready((server.address() as AddressInfo).port))
}

/** Joins each client's WebSocket with one that the agent dialled ahead. */
function relay(isHttp: boolean): void {
  const idle: Port<Buffer>[] = []
  const waiting: ((port: Port<Buffer>) => void)[] = []
  const take = (): Port<Buffer> | Promise<Port<Buffer>> => idle.shift() ?? new Promise(resolve => waiting.push(resolve))
  const offer = (port: Port<Buffer>): void => {
    const next = waiting.shift()
    if (next === undefined) idle.push(port)
    else next(port)
  }
  const serve = async (client: Port<Buffer>): Promise<void> => {
    const target = await take()
    await (isHttp ? serveRelay(client, target) : join(client, target))
  }
  const server = createHttpServer()
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', ignore)
    const accepted = acceptPlain(request, socket, head)
    if (request.url === '/agent') accepted.then(offer, ignore)
    else accepted.then(client => serve(client).catch(() => client.destroy())).catch(ignore)
  })
  server.listen(0, HOST, () => ready((server.address() as AddressInfo).port))
}

/** Keeps WebSockets to the relay dialled ahead; each one that is put to use, by its first bytes, gets a connection to the server. */
async function agent(relayPort: number, targetPort: number, isHttp: boolean): Promise<void> {
  const serve = async (port: Port<Buffer>): Promise<void> => {
    if (isHttp) return serveAgent(port, new Client(`http://${HOST}:${targetPort}`))
    await join(port, socketPort(await connect(targetPort), 'ERR_GATE_TARGET_UNREACHABLE'))
  }
  const dial = async (): Promise<void> => {
    const port = await dialPlain(`ws://${HOST}:${relayPort}/agent`)
    const first = port[Symbol.asyncIterator]().next()
    first
      .then(({ value, done }) => {
        dial().catch(ignore)
        if (done === true) return port.destroy()
        return serve(startingWith(value, port))
      })
      .catch(() => port.destroy())
  }
  await Promise.all(Array.from({ length: IDLE_STREAMS }, dial))
  ready(0)
}

/** A port whose first bytes were read already. */
function startingWith(first: Buffer, port: Port<Buffer>): Port<Buffer> {
  const all = async function* (): AsyncGenerator<Buffer> {
    yield first
    yield* port
  }
  return {
    [Symbol.asyncIterator]: all,
    write: bytes => port.write(bytes),
    end: () => port.end(),
    destroy: cause => port.destroy(cause),
  }
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
