// Tunnels at random: channels that are opened, written to, ended and destroyed from both sides, over TCP that is cut anywhere.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { GateError } from '@gate/shared/errors'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialTunnel } from '@gate/shared/websocket/dial'
import type { Tunnel } from '@gate/shared/websocket/tunnel'
import { seeded } from './random-sql.ts'
import { dialOptions, opening, startTunnelServer } from './tunnel.ts'

const SIZES = [1, 7, 100, 4_095, 4_097, 20_000, 131_072, 131_073, 400_000] as const
/** Nothing that a round does takes so long: whatever is not over by then hangs. */
const HANGS_MS = 20_000

type Random = () => number
const below = (random: Random, limit: number): number => Math.floor(random() * limit)

/** What one side of a channel sent, and how its part in it ended. */
interface Sent {
  bytes: number
  how: 'open' | 'ended' | 'destroyed'
}

interface Ends {
  readonly channel: Channel
  readonly sent: Sent
  readonly other: Sent
  /** Of the bytes that this side sends. */
  readonly key: number
}

/** The byte at a place of a stream: a piece that is lost, doubled or another stream's shows. */
const byteAt = (key: number, place: number): number => (Math.imul(place + key * 7_919, 2_654_435_761) >>> 13) & 0xff

function piece(key: number, from: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at += 1) bytes[at] = byteAt(key, from + at)
  return bytes
}

async function write({ channel, sent, key }: Ends, random: Random): Promise<void> {
  // Who does not wait must lose nothing by it either.
  const waits = random() < 0.6
  for (let count = below(random, 12); count > 0 && channel.open; count -= 1) {
    const bytes = piece(key, sent.bytes, SIZES[below(random, SIZES.length)] ?? 1)
    sent.bytes += bytes.length
    const full = channel.write(bytes)
    if (full !== undefined && waits) await full
    if (random() < 0.3) channel.send({ type: 'notice', text: String(sent.bytes) })
    if (random() < 0.2) await wait(below(random, 4))
  }
  if (random() < 0.15) {
    sent.how = 'destroyed'
    channel.destroy(random() < 0.5 ? undefined : new GateError('ERR_GATE_CANCELLED', 'at random'))
  } else if (channel.open) {
    sent.how = 'ended'
    channel.end()
  }
}

/** Reads until the end; what is wrong with what came. A reader that gives up destroys the channel. */
async function read({ channel, sent, other, key }: Ends, random: Random): Promise<string | undefined> {
  const givesUpAfter = random() < 0.15 ? below(random, 300_000) : Number.POSITIVE_INFINITY
  let place = 0
  if (random() < 0.3) await wait(below(random, 80))
  try {
    for await (const bytes of channel) {
      for (const byte of bytes) {
        if (byte !== byteAt(key ^ 1, place)) return `byte ${place} is another than was sent`
        place += 1
      }
      if (place > other.bytes) return `${place} bytes came of ${other.bytes}`
      if (random() < 0.05) await wait(below(random, 6))
      if (place < givesUpAfter) continue
      sent.how = 'destroyed'
      channel.destroy()
    }
  } catch (thrown) {
    return thrown instanceof GateError ? undefined : String(thrown)
  }
  if (other.how === 'ended' && place !== other.bytes) return `the end came after ${place} bytes of ${other.bytes}`
  return undefined
}

/** Hands bytes on in pieces of any length. */
async function startShredder(
  port: number,
  random: Random,
): Promise<{ port: number; sockets: Socket[]; close(): void }> {
  const sockets: Socket[] = []
  const server = createServer(near => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true })
    sockets.push(near, far)
    const shred = async (from: Socket, to: Socket): Promise<void> => {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        for (let at = 0, length = 0; at < chunk.length; at += length) {
          length = random() < 0.5 ? chunk.length : 1 + below(random, 3_000)
          if (!to.write(chunk.subarray(at, at + length))) await Promise.race([once(to, 'drain'), once(to, 'close')])
          if (random() < 0.01) await wait(1)
        }
      }
      to.end()
    }
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => {})
      from.on('close', () => to.destroy())
      shred(from, to).catch(() => to.destroy())
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    sockets,
    close: () => {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

interface Round {
  readonly random: Random
  readonly near: Tunnel
  readonly far: Promise<Tunnel>
  readonly taking: Map<string, (channel: Channel) => void>
}

/** One channel from its opening until both sides know that it is over; what is wrong with it. */
async function live(round: Round, number: number): Promise<string | undefined> {
  const { random, near, taking } = round
  await wait(below(random, 15))
  if (!near.usable) return undefined
  const [nearSent, farSent]: [Sent, Sent] = [
    { bytes: 0, how: 'open' },
    { bytes: 0, how: 'open' },
  ]
  const side = (ends: Ends): Promise<(string | undefined)[]> => {
    ends.channel.onMessage = () => {}
    return Promise.all([read(ends, random), write(ends, random).then(() => undefined)])
  }
  const stream = String(number)
  let isTaken = false
  const other = new Promise<(string | undefined)[]>(resolve => {
    taking.set(stream, channel => {
      isTaken = true
      resolve(side({ channel, sent: farSent, other: nearSent, key: number * 2 + 1 }))
    })
  })
  const channel = near.openChannel({ ...opening, stream })
  const mine = side({ channel, sent: nearSent, other: farSent, key: number * 2 })
  // One that is destroyed at once, or with its tunnel, may never have come to the other side.
  const gone = channel.closed.then(() => wait(50)).then(() => (isTaken ? other : []))
  const found = [...(await mine), ...(await Promise.race([other, gone]))]
  await channel.closed
  const wrong = found.find(each => each !== undefined)
  return wrong === undefined ? undefined : `channel ${number}: ${wrong}`
}

/** What went wrong in one tunnel with its channels; undefined when nothing did. */
export async function randomTunnel(seed: number): Promise<string | undefined> {
  const random = seeded(seed)
  const taking = new Map<string, (channel: Channel) => void>()
  let accept: (tunnel: Promise<Tunnel>) => void = () => {}
  const far = new Promise<Tunnel>(resolve => {
    accept = resolve
  })
  await using server = await startTunnelServer((acceptor, ...upgrade) =>
    accept(
      acceptor.tunnel(...upgrade, {
        lost: 'ERR_GATE_CANCELLED',
        opened: (channel, message) => taking.get(message.type === 'open' ? message.stream : '')?.(channel),
      }),
    ),
  )
  const shredder = await startShredder(server.port, random)
  const stop = new AbortController()
  try {
    const near = await dialTunnel(
      `ws://127.0.0.1:${shredder.port}/`,
      { lost: 'ERR_GATE_RELAY_UNREACHABLE' },
      dialOptions,
    )
    const channels = Array.from({ length: 1 + below(random, 12) }, (_, at) => live({ random, near, far, taking }, at))
    const isCut = random() < 0.3
    if (isCut)
      void wait(below(random, 60)).then(() => {
        const way = random()
        if (way < 0.4) shredder.sockets[below(random, 2)]?.resetAndDestroy()
        else if (way < 0.6) near.destroy()
        else if (way < 0.8) void far.then(tunnel => tunnel.destroy())
        else near.retire()
      })
    const hangs = wait(HANGS_MS, ['it hangs'], { signal: stop.signal, ref: false }).catch(() => [])
    const found = await Promise.race([Promise.all(channels), hangs])
    const wrong = found.find(each => each !== undefined)
    if (wrong !== undefined) return wrong
    const both = [near, await far]
    for (let count = 0; count < 100 && both.some(tunnel => tunnel.count > 0); count += 1) await wait(10)
    const left = both.map(tunnel => tunnel.count)
    return left.every(count => count === 0) ? undefined : `channels are left: ${left.join(' and ')}`
  } finally {
    stop.abort()
    shredder.close()
  }
}
