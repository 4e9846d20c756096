// Frames by hand, as people send them who know the protocol and mean no good; and what gate sends itself.
import type { GateError } from '@gate/shared/errors'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialChannel } from '@gate/shared/websocket/dial'
import { MAX_MESSAGE_BYTES } from '@gate/shared/websocket/limits'
import t from 'tap'
import {
  dialOptions,
  failure,
  frame,
  handshake,
  openRaw,
  type RawPeer,
  readAll,
  startTunnelServer,
  type TunnelServer,
} from '../../support/tunnel.ts'

const TEXT = 1
const BINARY = 2
const CONTINUATION = 0
const PING = 9

/** A server whose channels the test reads, and a raw peer that is past the handshake. */
async function openAttack(): Promise<AsyncDisposable & { peer: RawPeer; channel: Channel; server: TunnelServer }> {
  let accepted: (channel: Promise<Channel>) => void = () => {}
  const far = new Promise<Channel>(resolve => {
    accepted = resolve
  })
  const server = await startTunnelServer((acceptor, ...upgrade) =>
    accepted(acceptor.channel(...upgrade, 'ERR_GATE_CANCELLED')),
  )
  const peer = await openRaw(server.port)
  peer.socket.write(handshake())
  await peer.waitFor(/\r\n\r\n/)
  return { peer, server, channel: await far, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

t.test('frames by hand', async t => {
  const limit = MAX_MESSAGE_BYTES
  await t.test('a zero mask and any other are taken, whole or in fragments', async t => {
    await using attack = await openAttack()
    const { peer, channel } = attack
    peer.socket.write(frame('zero ', { opcode: BINARY }))
    peer.socket.write(frame('masked ', { opcode: BINARY, mask: [1, 2, 3, 4] }))
    peer.socket.write(frame('in ', { opcode: BINARY, final: false }))
    peer.socket.write(frame('', { opcode: PING }))
    peer.socket.write(frame('parts', { opcode: CONTINUATION }))
    peer.socket.write(frame('', { opcode: BINARY }))
    peer.socket.write(frame('{"type":"end"}', { opcode: TEXT, mask: [9, 9, 9, 9] }))
    t.equal(String(await readAll(channel)), 'zero masked in parts')
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
    ['a text that is no JSON', frame('garbage', { opcode: TEXT }), 'ERR_GATE_PROTOCOL'],
    ['a message of the future', frame('{"type":"steal"}', { opcode: TEXT }), 'ERR_GATE_PROTOCOL'],
    ['a text over 64 kB', frame(`"${'x'.repeat(65 * 1024)}"`, { opcode: TEXT }), 'ERR_GATE_LIMIT'],
    [
      'bytes after the end',
      Buffer.concat([frame('{"type":"end"}', { opcode: TEXT }), frame('more', { opcode: BINARY })]),
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

  await t.test('a peer that closes in the middle of a frame is one that went away', async t => {
    await using attack = await openAttack()
    const { peer, channel } = attack
    const reading = failure(readAll(channel))
    peer.socket.end(frame('abc', { opcode: BINARY, length: 100 }))
    t.match(await reading, { code: 'ERR_GATE_CANCELLED' })
  })
})

t.test('what gate sends is masked with zeros, and compression is not offered', async t => {
  let seen: (text: Buffer) => void = () => {}
  const bytes = new Promise<Buffer>(resolve => {
    seen = resolve
  })
  await using server = await startTunnelServer((acceptor, request, socket, head) => {
    t.equal(request.headers['sec-websocket-extensions'], undefined)
    acceptor.channel(request, socket, head, 'ERR_GATE_CANCELLED').catch(() => {})
    socket.prependListener('data', (chunk: Buffer) => seen(chunk))
  })
  const channel = await dialChannel(server.url, 'ERR_GATE_CANCELLED', dialOptions)
  const sent = Buffer.from('plain text')
  await channel.write(sent)
  const chunk = await bytes
  t.same(chunk, frame('plain text', { opcode: BINARY }))
  t.equal(String(sent), 'plain text', 'and what was given to write is as it was')
  channel.destroy()
  await channel.closed
})
