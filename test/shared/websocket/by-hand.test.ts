// Tunnels by hand, as people send them who know the protocol and mean no good; and what gate sends itself.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { GateError } from '@gate/shared/errors'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialTunnel } from '@gate/shared/websocket/dial'
import { FramePacker, type Kind } from '@gate/shared/websocket/frames'
import {
  MAX_FRAME_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_UNTAKEN_BYTES,
  MAX_WINDOW_BYTES,
  WINDOW_BYTES,
} from '@gate/shared/websocket/limits'
import type { Tunnel } from '@gate/shared/websocket/tunnel'
import t from 'tap'
import {
  dialOptions,
  failure,
  frame,
  handshake,
  opening,
  openRaw,
  type RawPeer,
  readAll,
  startTunnelServer,
  type TunnelServer,
} from '../../support/tunnel.ts'
import { until } from '../../support/until.ts'

const TEXT = 1
const BINARY = 2
const CONTINUATION = 0
const PING = 9

const lost = 'ERR_GATE_CANCELLED'

/** One frame of a tunnel, as it stands in a message. */
function inner(channel: number, kind: Exclude<Kind, 'data-follows'>, payload: Buffer | string = ''): Buffer {
  const packer = new FramePacker()
  packer.add(channel, kind, Buffer.from(payload))
  return Buffer.concat(packer.take())
}

const credit = (channel: number, bytes: number): Buffer => {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(bytes)
  return inner(channel, 'credit', payload)
}
const opened = inner(1, 'open', JSON.stringify(opening))
setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function memory(): number {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

/** Of a channel that is over. */
const late = inner(2, 'data', Buffer.alloc(4096))
const binary = (...parts: Buffer[]): Buffer => frame(Buffer.concat(parts), { opcode: BINARY })

interface Attack extends AsyncDisposable {
  readonly peer: RawPeer
  readonly server: TunnelServer
  readonly tunnel: Tunnel
  /** The first channel, which the peer opened. */
  readonly channel: Channel
}

/** A server whose channels the test reads, and a raw peer that is past the handshake and has opened a channel. */
async function openAttack(): Promise<Attack> {
  let accepted: (tunnel: Promise<Tunnel>) => void = () => {}
  const far = new Promise<Tunnel>(resolve => {
    accepted = resolve
  })
  let take: (channel: Channel) => void = () => {}
  const first = new Promise<Channel>(resolve => {
    take = resolve
  })
  const server = await startTunnelServer((acceptor, ...upgrade) =>
    accepted(acceptor.tunnel(...upgrade, { lost, opened: channel => take(channel) })),
  )
  const peer = await openRaw(server.port)
  peer.socket.write(handshake())
  await peer.waitFor(/\r\n\r\n/)
  peer.socket.write(binary(opened))
  return {
    peer,
    server,
    tunnel: await far,
    channel: await first,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

t.test('frames by hand', async t => {
  const limit = MAX_MESSAGE_BYTES
  await t.test('a zero mask and any other are taken, whole or in fragments', async t => {
    await using attack = await openAttack()
    const { peer, channel } = attack
    const said = (text: string): Buffer => inner(1, 'data', text)
    peer.socket.write(frame(said('zero '), { opcode: BINARY }))
    peer.socket.write(frame(said('masked '), { opcode: BINARY, mask: [1, 2, 3, 4] }))
    const parts = said('in parts')
    peer.socket.write(frame(parts.subarray(0, 11), { opcode: BINARY, final: false }))
    peer.socket.write(frame('', { opcode: PING }))
    peer.socket.write(frame(parts.subarray(11), { opcode: CONTINUATION }))
    peer.socket.write(frame('', { opcode: BINARY }))
    peer.socket.write(binary(said(' and'), said(' several'), inner(1, 'message', '{"type":"end"}')))
    t.equal(String(await readAll(channel)), 'zero masked in parts and several')
  })

  const attacks: [name: string, bytes: Buffer, code: string][] = [
    ['a frame without a mask', frame('x', { opcode: BINARY, mask: null }), 'ERR_GATE_CANCELLED'],
    [
      'a message that promises 2^53 bytes',
      frame('', { opcode: BINARY, length: Number.MAX_SAFE_INTEGER }),
      'ERR_GATE_CANCELLED',
    ],
    ['a message one byte too long', frame('', { opcode: BINARY, length: limit + 1 }), 'ERR_GATE_CANCELLED'],
    [
      'fragments that add up to too much',
      Buffer.concat([
        frame(Buffer.alloc(limit), { opcode: BINARY, final: false }),
        frame('x', { opcode: CONTINUATION, final: false }),
      ]),
      'ERR_GATE_CANCELLED',
    ],
    [
      'a hundred thousand empty fragments',
      Buffer.concat([
        frame('', { opcode: BINARY, final: false }),
        ...Array.from({ length: 100_000 }, () => frame('', { opcode: CONTINUATION, final: false })),
      ]),
      'ERR_GATE_CANCELLED',
    ],
    ['a continuation of nothing', frame('x', { opcode: CONTINUATION }), 'ERR_GATE_CANCELLED'],
    ['a reserved bit, as compression would set it', frame('x', { opcode: BINARY, reserved: 4 }), 'ERR_GATE_CANCELLED'],
    ['an unknown opcode', frame('x', { opcode: 3 }), 'ERR_GATE_CANCELLED'],
    ['a ping of 126 bytes', frame('x'.repeat(126), { opcode: PING }), 'ERR_GATE_CANCELLED'],
    ['a text that is no UTF-8', frame(Buffer.from([0xc3, 0x28]), { opcode: TEXT }), 'ERR_GATE_CANCELLED'],
    ['a text', frame('{"type":"end"}', { opcode: TEXT }), 'ERR_GATE_PROTOCOL'],
    ['a frame that is cut off', binary(inner(1, 'data', 'abc').subarray(0, -1)), 'ERR_GATE_PROTOCOL'],
    ['half a header', binary(inner(1, 'data', 'abc').subarray(0, 5)), 'ERR_GATE_PROTOCOL'],
    ['a frame of no known kind', binary(Buffer.from([0, 0, 0, 1, 9, 0, 0, 0])), 'ERR_GATE_PROTOCOL'],
    ['a frame that says it is too long', binary(Buffer.from([0, 0, 0, 1, 1, 0x7f, 0xff, 0xff])), 'ERR_GATE_LIMIT'],
    ['a payload that follows and does not', binary(Buffer.from([0, 0, 0, 1, 2, 0, 0, 9]), opened), 'ERR_GATE_PROTOCOL'],
    [
      'a payload that follows in another length',
      Buffer.concat([binary(Buffer.from([0, 0, 0, 1, 2, 0, 0, 9])), binary(Buffer.from('12345678'))]),
      'ERR_GATE_PROTOCOL',
    ],
    ['a channel that was never opened', binary(inner(7, 'data', 'x')), 'ERR_GATE_PROTOCOL'],
    ['a channel that is opened twice', binary(opened), 'ERR_GATE_PROTOCOL'],
    ['credit for nothing', binary(credit(1, MAX_WINDOW_BYTES)), 'ERR_GATE_PROTOCOL'],
    ['credit of five bytes', binary(inner(1, 'credit', '12345')), 'ERR_GATE_PROTOCOL'],
    ['a message that is no JSON', binary(inner(1, 'message', 'garbage')), 'ERR_GATE_PROTOCOL'],
    ['a message of the future', binary(inner(1, 'message', '{"type":"steal"}')), 'ERR_GATE_PROTOCOL'],
    ['a message over 64 kB', binary(inner(1, 'message', `"${'x'.repeat(65 * 1024)}"`)), 'ERR_GATE_LIMIT'],
    [
      'bytes after the end',
      binary(inner(1, 'message', '{"type":"end"}'), inner(1, 'data', 'more')),
      'ERR_GATE_PROTOCOL',
    ],
    [
      'more than there is room for',
      Buffer.concat(
        Array.from({ length: Math.ceil(WINDOW_BYTES / MAX_FRAME_BYTES) + 2 }, () =>
          binary(Buffer.from([0, 0, 0, 1, 1, 2, 0, 0]), Buffer.alloc(MAX_FRAME_BYTES)),
        ),
      ),
      'ERR_GATE_PROTOCOL',
    ],
  ]
  for (const [name, bytes, code] of attacks) {
    await t.test(`${name} ends the channel`, async t => {
      await using attack = await openAttack()
      const { peer, channel } = attack
      const failed = new Promise<GateError>(resolve => {
        channel.onFailure = resolve
      })
      channel.onMessage = () => t.fail('it was understood')
      peer.socket.write(bytes)
      t.match(await failed, { code })
      t.match(channel.broken, { code })
      // Otherwise the closing handshake is waited for.
      peer.socket.destroy()
      await channel.closed
    })
  }

  await t.test('what is wrong with one channel alone leaves the others', async t => {
    await using attack = await openAttack()
    const { peer, tunnel, channel } = attack
    peer.socket.write(binary(inner(2, 'open', 'garbage')))
    await peer.waitFor(/a stream message is not JSON/)
    t.equal(channel.broken, undefined)
    peer.socket.write(binary(inner(1, 'message', '{"type":"steal"}'), inner(1, 'data', 'late')))
    t.match(await failure(readAll(channel)), { code: 'ERR_GATE_PROTOCOL' })
    t.equal(tunnel.open, true)
    t.equal(tunnel.count, 0)
  })

  await t.test('frames of a channel that is over are late, and passed over', async t => {
    await using attack = await openAttack()
    const { peer, tunnel, channel } = attack
    peer.socket.write(binary(inner(1, 'close')))
    t.match(await failure(readAll(channel)), { code: lost })
    peer.socket.write(
      binary(inner(1, 'data', 'late'), credit(1, 1_000_000), inner(1, 'message', 'x'), inner(1, 'close')),
    )
    peer.socket.write(binary(inner(2, 'open', JSON.stringify(opening))))
    await until('the next channel', () => tunnel.count === 1)
    t.equal(tunnel.open, true)
  })

  await t.test('a peer may open channels only where that is wanted', async t => {
    let accepted: (tunnel: Promise<Tunnel>) => void = () => {}
    const far = new Promise<Tunnel>(resolve => {
      accepted = resolve
    })
    await using server = await startTunnelServer((acceptor, ...upgrade) =>
      accepted(acceptor.tunnel(...upgrade, { lost })),
    )
    await using peer = await openRaw(server.port)
    peer.socket.write(handshake())
    peer.socket.write(binary(opened))
    const tunnel = await far
    await until('the end', () => !tunnel.open)
    t.equal(tunnel.count, 0)
  })

  await t.test('pings without end, whose answers nobody takes, end the channel', async t => {
    await using attack = await openAttack()
    const { peer, channel, server } = attack
    peer.socket.pause()
    const ping = Buffer.concat(Array.from({ length: 500 }, () => frame('x'.repeat(125), { opcode: PING })))
    const flood = (): void => {
      while (!peer.socket.destroyed && peer.socket.write(ping));
    }
    peer.socket.on('drain', flood)
    let queued = 0
    const watch = setInterval(() => {
      queued = Math.max(queued, server.sockets[0]?.writableLength ?? 0)
    }, 1)
    flood()
    await channel.closed
    clearInterval(watch)
    t.ok(queued < 1024 * 1024, `${queued} bytes of answers were waiting`)
  })

  await t.test('channels without end, whose refusals nobody reads, end the tunnel', async t => {
    let accepted: (tunnel: Promise<Tunnel>) => void = () => {}
    const far = new Promise<Tunnel>(resolve => {
      accepted = resolve
    })
    const refusal = new GateError('ERR_GATE_NOT_FOUND', 'there is no such target')
    await using server = await startTunnelServer((acceptor, ...upgrade) =>
      accepted(acceptor.tunnel(...upgrade, { lost, opened: channel => channel.destroy(refusal) })),
    )
    const peer = await openRaw(server.port)
    peer.socket.write(handshake())
    await peer.waitFor(/\r\n\r\n/)
    peer.socket.pause()
    const tunnel = await far
    let id = 0
    let queued = 0
    const open = (): Buffer => {
      id += 1
      return inner(id, 'open', JSON.stringify(opening))
    }
    const flood = (): void => {
      let goesOn = true
      while (goesOn && !peer.socket.destroyed) {
        if (id > 500_000) return void peer.socket.destroy()
        queued = Math.max(queued, server.sockets[0]?.writableLength ?? 0)
        goesOn = peer.socket.write(binary(...Array.from({ length: 500 }, open)))
      }
    }
    peer.socket.on('drain', flood)
    flood()
    await tunnel.closed
    t.ok(id < 500_000, `${id} were opened`)
    t.ok(queued < 2 * MAX_UNTAKEN_BYTES, `${queued} bytes of refusals were waiting`)
    t.equal(tunnel.count, 0)
    peer.socket.destroy()
  })

  await t.test('what waits to be read keeps nothing of what came with it', async t => {
    await using attack = await openAttack()
    const { peer, channel } = attack
    const before = memory()
    peer.socket.write(binary(inner(2, 'open', JSON.stringify(opening)), inner(2, 'close')))
    const message = binary(inner(1, 'data', 'x'), ...Array.from({ length: 7 }, () => late), inner(1, 'data', 'y'))
    for (let count = 0; count < 1_500; count += 1)
      if (!peer.socket.write(message)) await new Promise(resolve => peer.socket.once('drain', resolve))
    peer.socket.write(binary(inner(1, 'message', '{"type":"end"}')))
    let ended = (): void => {}
    const all = new Promise<void>(resolve => {
      ended = resolve
    })
    channel.onMessage = ended
    peer.socket.write(binary(inner(1, 'message', JSON.stringify({ type: 'notice', text: 'all came' }))))
    await all
    const kept = memory() - before
    t.ok(kept < 10 * MAX_MESSAGE_BYTES, `${kept} bytes are kept of 3,000`)
    t.equal(String(await readAll(channel)), 'xy'.repeat(1_500))
  })

  await t.test('a peer that closes in the middle of a frame is one that went away', async t => {
    await using attack = await openAttack()
    const { peer, channel } = attack
    const reading = failure(readAll(channel))
    peer.socket.end(frame(inner(1, 'data', 'abc'), { opcode: BINARY, length: 100 }))
    t.match(await reading, { code: 'ERR_GATE_CANCELLED' })
  })
})

t.test('what gate sends is masked with zeros, and compression is not offered', async t => {
  const chunks: Buffer[] = []
  await using server = await startTunnelServer((acceptor, request, socket, head) => {
    t.equal(request.headers['sec-websocket-extensions'], undefined)
    acceptor.tunnel(request, socket, head, { lost, opened: () => {} }).catch(() => {})
    socket.prependListener('data', (chunk: Buffer) => chunks.push(chunk))
  })
  const tunnel = await dialTunnel(server.url, { lost }, dialOptions)
  const channel = tunnel.openChannel(opening)
  const sent = Buffer.from('plain text')
  await channel.write(sent)
  const message = binary(opened, inner(1, 'data', 'plain text'))
  await until('pings, and the message', () => Buffer.concat(chunks).includes('plain text'))
  t.ok(Buffer.concat(chunks).includes(message), 'what belongs to one turn is one message')
  t.equal(String(sent), 'plain text', 'and what was given to write is as it was')
  tunnel.destroy()
  await tunnel.closed
})
