// A WebSocket server on loopback with nothing behind it: both ends of a tunnel are the test's.
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ErrorCode } from '@gate/shared/errors'
import type { StreamMessage } from '@gate/shared/messages'
import { createAcceptor } from '@gate/shared/websocket/accept'
import type { Channel } from '@gate/shared/websocket/channel'
import type { ControlSocket } from '@gate/shared/websocket/control-socket'
import { type DialOptions, dialControl, dialTunnel } from '@gate/shared/websocket/dial'
import type { Tunnel } from '@gate/shared/websocket/tunnel'

type Acceptor = ReturnType<typeof createAcceptor>
type Upgrade = (acceptor: Acceptor, request: IncomingMessage, socket: Duplex, head: Buffer) => void

export interface TunnelServer extends AsyncDisposable {
  readonly port: number
  /** `ws://127.0.0.1:PORT/`. */
  readonly url: string
  /** The TCP sockets of accepted connections, in order. */
  readonly sockets: readonly Socket[]
}

/** What becomes of each upgrade is the test's business. */
export async function startTunnelServer(upgrade: Upgrade): Promise<TunnelServer> {
  const acceptor = createAcceptor()
  const sockets: Socket[] = []
  const server = createServer({ maxHeaderSize: 16 * 1024 })
  server.on('connection', socket => sockets.push(socket))
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    upgrade(acceptor, request, socket, head)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    port,
    url: `ws://127.0.0.1:${port}/`,
    sockets,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

export interface Pair<End> extends AsyncDisposable {
  readonly near: End
  readonly far: End
  /** The TCP socket under the far end. */
  readonly socket: Socket
}

async function open<End extends Tunnel | ControlSocket>(
  accept: (acceptor: Acceptor, request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<End>,
  dial: (url: string) => Promise<End>,
): Promise<Pair<End>> {
  let accepted: (far: Promise<End>) => void = () => {}
  const far = new Promise<End>(resolve => {
    accepted = resolve
  })
  const server = await startTunnelServer((...upgrade) => accepted(accept(...upgrade)))
  const near = await dial(server.url)
  const [socket] = server.sockets
  if (socket === undefined) throw new Error('nobody dialled')
  return {
    near,
    far: await far,
    socket,
    [Symbol.asyncDispose]: async () => {
      near.destroy()
      await server[Symbol.asyncDispose]()
    },
  }
}

export const dialOptions: DialOptions = { headers: {}, timeoutMs: 30_000 }

/** The message that channels of tests are opened with. */
export const opening = {
  type: 'open',
  stream: 's_1',
  target: 'prod-db',
  parameters: {},
} as const satisfies StreamMessage

export interface TunnelPair extends Pair<Tunnel> {
  /** Opens a channel from the near side; `near` and `far` are its two sides. */
  channel(): Promise<{ readonly near: Channel; readonly far: Channel }>
}

/** Two tunnels that are each other's other side: `near` dialled, `far` was accepted, over `way` where one is given. */
export async function openTunnel(
  nearLost: ErrorCode,
  farLost: ErrorCode,
  way: (url: string) => Promise<string> = async url => url,
): Promise<TunnelPair> {
  const taking: ((channel: Channel) => void)[] = []
  const opened = (channel: Channel): void => taking.shift()?.(channel)
  const pair = await open(
    (acceptor, request, socket, head) => acceptor.tunnel(request, socket, head, { lost: farLost, opened }),
    async url => dialTunnel(await way(url), { lost: nearLost }, dialOptions),
  )
  const channel = async (): Promise<{ near: Channel; far: Channel }> => {
    const far = new Promise<Channel>(resolve => taking.push(resolve))
    const near = pair.near.openChannel(opening)
    return { near, far: await far }
  }
  return { ...pair, channel }
}

/** As between gate connect and the relay. */
export const tunnels = (way?: (url: string) => Promise<string>): ReturnType<typeof openTunnel> =>
  openTunnel('ERR_GATE_RELAY_UNREACHABLE', 'ERR_GATE_CANCELLED', way)

/** The two sides of a channel that is alone in its tunnel. */
export async function tunnel(): Promise<Pair<Channel>> {
  const pair = await tunnels()
  const { near, far } = await pair.channel()
  return { near, far, socket: pair.socket, [Symbol.asyncDispose]: () => pair[Symbol.asyncDispose]() }
}

export function openControlTunnel(): Promise<Pair<ControlSocket>> {
  return open(
    (acceptor, request, socket, head) => acceptor.control(request, socket, head),
    url => dialControl(url, dialOptions),
  )
}

/** A peer that speaks WebSocket by hand, and need not do so well. */
export interface RawPeer extends AsyncDisposable {
  readonly socket: Socket
  /** Everything received so far as Latin-1. */
  received(): string
  /** Resolves with what was received when the other side has closed the connection. */
  readonly closed: Promise<string>
  /** Resolves when what was received matches. */
  waitFor(pattern: RegExp): Promise<string>
}

export async function openRaw(port: number): Promise<RawPeer> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let text = ''
  const watchers = new Set<() => void>()
  socket.on('error', () => {})
  socket.on('data', chunk => {
    text += chunk.toString('latin1')
    for (const watcher of watchers) watcher()
  })
  const closed = new Promise<string>(resolve => socket.once('close', () => resolve(text)))
  await once(socket, 'connect')
  return {
    socket,
    received: () => text,
    closed,
    waitFor: pattern =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(text)) return
          watchers.delete(look)
          resolve(text)
        }
        watchers.add(look)
        closed.then(() => reject(new Error(`closed after: ${text}`)), reject)
        look()
      }),
    [Symbol.asyncDispose]: async () => void socket.destroy(),
  }
}

/** A handshake that a server accepts. */
export function handshake(headers: Readonly<Record<string, string>> = {}): string {
  const all = {
    Host: '127.0.0.1',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === '' ? [] : [`${name}: ${value}`]))
  return `GET / HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
}

export interface FrameOptions {
  readonly opcode: number
  readonly final?: boolean
  readonly mask?: readonly [number, number, number, number] | null
  /** Three reserved bits. */
  readonly reserved?: number
  /** What the header says instead of the payload's length. */
  readonly length?: number
}

/** One frame of RFC 6455 section 5.2, with any mistake that is asked for. */
export function frame(payload: Buffer | string, options: FrameOptions): Buffer {
  const bytes = Buffer.from(payload)
  const { opcode, final = true, mask = [0, 0, 0, 0], reserved = 0, length = bytes.length } = options
  const header = Buffer.alloc(14)
  header[0] = (final ? 0x80 : 0) | (reserved << 4) | opcode
  const masked = mask === null ? 0 : 0x80
  let at = 2
  if (length < 126) header[1] = masked | length
  else if (length < 65_536) {
    header[1] = masked | 126
    at = header.writeUInt16BE(length, 2)
  } else {
    header[1] = masked | 127
    at = header.writeBigUInt64BE(BigInt(length), 2)
  }
  if (mask === null) return Buffer.concat([header.subarray(0, at), bytes])
  header.set(mask, at)
  return Buffer.concat([header.subarray(0, at + 4), bytes.map((byte, index) => byte ^ (mask[index % 4] ?? 0))])
}

/** Everything up to the end. */
export async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** What it fails with; undefined when it does not. */
export const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )

/** Lets what is there be read and written once. */
export const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
