// Channels over a real WebSocket server, and what people send who know the protocol and mean no good.
import { getEventListeners, once } from 'node:events'
import { createServer } from 'node:net'
import { errorCodes, GateError } from '@gate/shared/errors'
import type { StreamMessage } from '@gate/shared/messages'
import { socketPort } from '@gate/shared/port'
import { refuseUpgrade } from '@gate/shared/websocket/accept'
import type { Channel } from '@gate/shared/websocket/channel'
import { dialChannel } from '@gate/shared/websocket/dial'
import { MAX_MESSAGE_BYTES } from '@gate/shared/websocket/limits'
import fc from 'fast-check'
import t from 'tap'
import { WebSocket } from 'ws'
import {
  dialOptions,
  frame,
  handshake,
  openControlTunnel,
  openRaw,
  openTunnel,
  type RawPeer,
  startTunnelServer,
  type TunnelServer,
} from '../support/tunnel.ts'

async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const tunnel = (): ReturnType<typeof openTunnel> => openTunnel('ERR_GATE_RELAY_UNREACHABLE', 'ERR_GATE_CANCELLED')
const TEXT = 1
const BINARY = 2
const CONTINUATION = 0
const PING = 9

t.test('a channel', async t => {
  await t.test('carries any bytes both ways, however they are cut', async t => {
    const writes = fc.array(fc.uint8Array({ maxLength: 5000 }), { maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(writes, writes, async (there, back) => {
        await using pair = await tunnel()
        const send = async (channel: Channel, chunks: Uint8Array[]): Promise<void> => {
          for (const chunk of chunks) await channel.write(Buffer.from(chunk))
          channel.end()
        }
        const [far, near] = await Promise.all([
          readAll(pair.far),
          readAll(pair.near),
          send(pair.near, there),
          send(pair.far, back),
        ])
        await Promise.all([pair.near.closed, pair.far.closed])
        return far.equals(Buffer.concat(there)) && near.equals(Buffer.concat(back))
      }),
      { numRuns: 20 },
    )
    t.pass()
  })

  await t.test('cuts a long write into messages that the other side takes', async t => {
    await using pair = await tunnel()
    const big = Buffer.alloc(3 * MAX_MESSAGE_BYTES + 1, 'gate')
    const reading = readAll(pair.far)
    await pair.near.write(big)
    pair.near.end()
    t.ok((await reading).equals(big))
  })

  await t.test('goes on one way after the other has ended, and closes without a failure when both have', async t => {
    await using pair = await tunnel()
    const failures: GateError[] = []
    pair.near.onFailure = cause => failures.push(cause)
    pair.far.onFailure = cause => failures.push(cause)
    await pair.near.write(Buffer.from('question'))
    pair.near.end()
    t.equal(String(await readAll(pair.far)), 'question')
    t.equal(pair.near.open, false)
    t.equal(pair.near.write(Buffer.from('after the end')), undefined)
    t.equal(pair.far.open, true)
    await pair.far.write(Buffer.from('answer'))
    pair.far.end()
    t.equal(String(await readAll(pair.near)), 'answer')
    await Promise.all([pair.near.closed, pair.far.closed])
    t.same(failures, [])
    t.same([pair.near.broken, pair.far.broken], [undefined, undefined])
  })

  await t.test('says an error to the other side with everything a person needs', async t => {
    await using pair = await tunnel()
    const reading = failure(readAll(pair.near))
    const told: GateError[] = []
    pair.near.onFailure = cause => told.push(cause)
    const error = new GateError('ERR_GATE_REFUSED', 'no', { hint: 'ask bob', detail: 'rule x', fields: { C: '42501' } })
    pair.far.destroy(error)
    t.match(await reading, { code: 'ERR_GATE_REFUSED', message: 'no', hint: 'ask bob', fields: { C: '42501' } })
    await Promise.all([pair.near.closed, pair.far.closed])
    t.equal(told.length, 1, 'once')
    const late: GateError[] = []
    pair.far.onFailure = cause => late.push(cause)
    t.equal(late.length, 1, 'and whoever asks after it happened is told at once')
    t.match(told[0], { code: 'ERR_GATE_REFUSED' })
  })

  await t.test('says an error also when its texts are longer than a message may be', async t => {
    await using pair = await tunnel()
    const reading = failure(readAll(pair.near))
    const long = 'é'.repeat(10_000)
    pair.far.destroy(new GateError('ERR_GATE_REFUSED', long, { hint: long, detail: long, fields: { M: long } }))
    t.match(await reading, { code: 'ERR_GATE_REFUSED', message: /^é{4096}$/, fields: { M: /^é{4096}$/ } })
  })

  await t.test('gives what was sent before an error no chance to pass for the whole', async t => {
    await using pair = await tunnel()
    await pair.far.write(Buffer.from('half a row'))
    pair.far.destroy(new GateError('ERR_GATE_RECORD', 'the disk is full'))
    t.match(await failure(readAll(pair.near)), { code: 'ERR_GATE_RECORD' })
  })

  await t.test('that breaks without a word is the error of the side that lost it', async t => {
    await using pair = await tunnel()
    const [near, far] = [failure(readAll(pair.near)), failure(readAll(pair.far))]
    pair.socket.resetAndDestroy()
    t.match(await near, { code: 'ERR_GATE_RELAY_UNREACHABLE' })
    t.match(await far, { code: 'ERR_GATE_CANCELLED' })
    await Promise.all([pair.near.closed, pair.far.closed])
    t.equal(pair.near.write(Buffer.from('x')), undefined)
    pair.near.send({ type: 'notice', text: 'x' })
    pair.near.end()
    pair.near.destroy()
  })

  await t.test('shows that it broke also after its other side was done', async t => {
    await using pair = await tunnel()
    pair.far.end()
    t.equal((await readAll(pair.near)).length, 0)
    t.equal(pair.near.broken, undefined)
    pair.socket.resetAndDestroy()
    await pair.near.closed
    t.match(pair.near.broken, { code: 'ERR_GATE_RELAY_UNREACHABLE' })
  })

  await t.test('gives other messages to its owner, and without one keeps a few and then breaks', async t => {
    await using pair = await tunnel()
    const heard: StreamMessage[] = []
    const done = new Promise<void>(resolve => {
      pair.near.onMessage = message => {
        heard.push(message)
        if (heard.length === 2) resolve()
      }
    })
    pair.far.send({ type: 'notice', text: 'held: r_1' })
    pair.far.send({ type: 'opened', detail: { version: '16' } })
    await done
    t.same(heard, [
      { type: 'notice', text: 'held: r_1' },
      { type: 'opened', detail: { version: '16' } },
    ])
    const reading = failure(readAll(pair.near))
    for (let sent = 0; sent <= 8; sent += 1) pair.near.send({ type: 'notice', text: 'nobody wants this' })
    t.match(await failure(readAll(pair.far)), { code: 'ERR_GATE_PROTOCOL' })
    t.match(await reading, { code: 'ERR_GATE_PROTOCOL' }, 'the sender hears of it')
  })
})

t.test('a side that does not read makes the other wait, and takes a bounded amount', async t => {
  const cases = [
    ['big messages', Buffer.alloc(64 * 1024, 'x'), 32 * 1024 * 1024],
    ['messages of one byte', Buffer.from('x'), 100_000],
  ] as const
  for (const [name, chunk, total] of cases) {
    await t.test(name, async t => {
      await using pair = await tunnel()
      const paused = once(pair.socket, 'pause')
      let written = 0
      const writing = (async () => {
        for (; written < total; written += chunk.length) {
          const full = pair.near.write(chunk)
          if (full !== undefined) await full
          // Single bytes are small enough that all of them could be queued in one turn.
          else if (written % 1000 === 0) await turn()
        }
        pair.near.end()
      })()
      await paused
      for (let count = 0; count < 500; count += 1) await turn()
      t.ok(pair.socket.isPaused(), 'its socket is left alone')
      const read = pair.socket.bytesRead
      t.ok(read <= 256 * 1024 + 5 * 64 * 1024, `${read} bytes were read from the socket`)
      if (chunk.length > 1) t.ok(written < total, `the writer waits after ${written} bytes`)
      let received = 0
      for await (const bytes of pair.far) received += bytes.length
      await writing
      t.equal(received, total, 'nothing is lost by waiting')
    })
  }

  await t.test('and a writer that waits is released when the tunnel breaks', async t => {
    await using pair = await tunnel()
    let full: Promise<void> | undefined
    while (full === undefined) full = pair.near.write(Buffer.alloc(MAX_MESSAGE_BYTES))
    pair.socket.resetAndDestroy()
    await full
    t.match(await failure(readAll(pair.near)), { code: 'ERR_GATE_RELAY_UNREACHABLE' })
  })

  await t.test('and closing does not wait for it', async t => {
    await using pair = await tunnel()
    while (pair.near.write(Buffer.alloc(MAX_MESSAGE_BYTES)) === undefined);
    pair.near.destroy(new GateError('ERR_GATE_SHUTDOWN', 'going down'))
    await pair.near.closed
    t.match(await failure(readAll(pair.far)), GateError)
    await pair.far.closed
  })
})

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

t.test('a handshake', async t => {
  await t.test('of another protocol, version or form is refused, and whoever waits for it is told', async t => {
    const outcomes: Promise<unknown>[] = []
    await using server = await startTunnelServer((acceptor, ...upgrade) =>
      outcomes.push(failure(acceptor.channel(...upgrade, 'ERR_GATE_CANCELLED'))),
    )
    const bad = [
      handshake({ Upgrade: 'h2c' }),
      handshake({ 'Sec-WebSocket-Version': '7' }),
      handshake({ 'Sec-WebSocket-Version': '' }),
      handshake({ 'Sec-WebSocket-Key': '' }),
      handshake({ 'Sec-WebSocket-Key': 'short' }),
      handshake({ 'Sec-WebSocket-Protocol': 'a,,b' }),
      handshake().replace('GET', 'POST'),
    ]
    for (const text of bad) {
      await using peer = await openRaw(server.port)
      peer.socket.write(text)
      t.match(await peer.closed, /^HTTP\/1\.1 4\d\d /)
    }
    t.equal(outcomes.length, bad.length)
    for (const outcome of outcomes) t.match(await outcome, { code: 'ERR_GATE_PROTOCOL' })
  })

  await t.test('whose sender is gone before it is answered ends the wait for it', async t => {
    let asking: () => void = () => {}
    const asked = new Promise<void>(resolve => {
      asking = resolve
    })
    let upgrading: (outcome: unknown) => void = () => {}
    const outcome = new Promise<unknown>(resolve => {
      upgrading = resolve
    })
    await using server = await startTunnelServer((acceptor, request, socket, head) => {
      // As while a relay looks the token up: the sender goes away, and only then the upgrade is granted.
      socket.resume().once('close', () => {
        failure(acceptor.channel(request, socket, head, 'ERR_GATE_CANCELLED')).then(upgrading, upgrading)
      })
      asking()
    })
    await using peer = await openRaw(server.port)
    peer.socket.write(handshake())
    await asked
    peer.socket.resetAndDestroy()
    t.match(await outcome, { code: 'ERR_GATE_PROTOCOL' })
  })

  await t.test('that never ends, or has a header of a megabyte, gets no channel', async t => {
    let upgrades = 0
    await using server = await startTunnelServer(() => {
      upgrades += 1
    })
    await using huge = await openRaw(server.port)
    huge.socket.write(handshake({ Authorization: `Bearer ${'x'.repeat(1024 * 1024)}` }))
    t.match(await huge.closed, /^HTTP\/1\.1 431 /)
    await using plain = await openRaw(server.port)
    plain.socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.replace('\r\n\r\n', '\r\nBad Header: x\r\n\r\n'))
    t.match(await plain.closed, /^HTTP\/1\.1 400 /)
    t.equal(upgrades, 0)
  })

  await t.test('that is refused gives the dialler the relay’s own error', async t => {
    const error = new GateError('ERR_GATE_FORBIDDEN', 'none of your groups may open prod', { hint: 'Ask bob.' })
    await using server = await startTunnelServer((_acceptor, _request, socket) => refuseUpgrade(socket, error))
    t.match(await failure(dialChannel(server.url, 'ERR_GATE_CANCELLED', dialOptions)), {
      code: 'ERR_GATE_FORBIDDEN',
      message: error.message,
      hint: 'Ask bob.',
    })
    await using peer = await openRaw(server.port)
    peer.socket.write(handshake())
    const answer = await peer.closed
    t.match(answer, `HTTP/1.1 ${errorCodes.ERR_GATE_FORBIDDEN.status} `)
    t.same(JSON.parse(answer.split('\r\n\r\n')[1] ?? ''), error.toJSON())
  })

  await t.test('that is refused in other words is an unreachable relay', async t => {
    const bodies = [
      '',
      'no',
      '[]',
      'null',
      '{"code":"ERR_GATE_FORBIDDEN"}',
      'x'.repeat(1024 * 1024),
      '{"code":1,"message":{}}',
    ]
    const more = ['{"code":"ERR_GATE_FORBIDDEN","message":"m","hint":[],"fields":3}']
    for (const body of [...bodies, ...more]) {
      await using server = await startTunnelServer((_acceptor, _request, socket) =>
        socket.end(`HTTP/1.1 418 Teapot\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`),
      )
      const thrown = await failure(dialChannel(server.url, 'ERR_GATE_CANCELLED', dialOptions))
      t.match(thrown, { code: 'ERR_GATE_RELAY_UNREACHABLE', message: 'the relay answered 418' }, body.slice(0, 40))
    }
  })
})

t.test('dialling', async t => {
  await t.test('a port where nobody listens says which relay, and leaves nothing behind', async t => {
    const server = await startTunnelServer(() => {})
    await server[Symbol.asyncDispose]()
    const controller = new AbortController()
    const thrown = await failure(
      dialChannel(server.url, 'ERR_GATE_CANCELLED', { ...dialOptions, signal: controller.signal }),
    )
    t.match(thrown, { code: 'ERR_GATE_RELAY_UNREACHABLE', message: /127\.0\.0\.1:\d+ \(ECONNREFUSED\)/ })
    t.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  await t.test('a server that takes the connection and says nothing gives up in time', async t => {
    const mute = createServer(() => {})
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const address = mute.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const options = { ...dialOptions, timeoutMs: 50 }
    const thrown = await failure(dialChannel(`ws://127.0.0.1:${port}/`, 'ERR_GATE_CANCELLED', options))
    t.match(thrown, { code: 'ERR_GATE_RELAY_UNREACHABLE' })
    mute.close()
  })

  await t.test('stops when its signal aborts, before or while it waits', async t => {
    const reason = new GateError('ERR_GATE_SHUTDOWN', 'going down')
    const upgrades: (() => void)[] = []
    let closed = 0
    await using server = await startTunnelServer((_acceptor, _request, socket) => {
      socket.resume().on('end', () => {
        closed += 1
      })
      for (const tell of upgrades) tell()
    })
    const controller = new AbortController()
    upgrades.push(() => controller.abort(reason))
    const dialling = dialChannel(server.url, 'ERR_GATE_CANCELLED', { ...dialOptions, signal: controller.signal })
    t.equal(await failure(dialling), reason)
    while (closed === 0) await turn()
    const again = dialChannel(server.url, 'ERR_GATE_CANCELLED', { ...dialOptions, signal: controller.signal })
    t.equal(await failure(again), reason, 'a signal that has aborted already')
  })

  await t.test('an opened channel no longer hangs on the signal it was dialled with', async t => {
    const controller = new AbortController()
    await using server = await startTunnelServer((acceptor, ...upgrade) => {
      acceptor.channel(...upgrade, 'ERR_GATE_CANCELLED').catch(() => {})
    })
    const channel = await dialChannel(server.url, 'ERR_GATE_CANCELLED', { ...dialOptions, signal: controller.signal })
    t.equal(getEventListeners(controller.signal, 'abort').length, 0)
    controller.abort()
    t.equal(channel.open, true)
    channel.destroy()
    await channel.closed
  })
})

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

t.test('a control socket', async t => {
  await t.test('carries whole messages both ways', async t => {
    await using pair = await openControlTunnel()
    const heard = new Promise<Buffer>(resolve => {
      pair.far.onBytes = resolve
    })
    pair.near.send(Buffer.from([1, 2, 3]))
    t.same(await heard, Buffer.from([1, 2, 3]))
    pair.far.destroy()
    await Promise.all([pair.near.closed, pair.far.closed])
    pair.near.send(Buffer.from([1]))
  })

  await t.test(
    'ends at a text, at a message over 64 kB, and at more messages than can wait for somebody to take them',
    async t => {
      const sends: [string, (socket: WebSocket) => void][] = [
        ['text', socket => socket.send('text')],
        ['too long', socket => socket.send(Buffer.alloc(64 * 1024 + 1))],
      ]
      for (const [name, send] of sends) {
        const heard: Buffer[] = []
        await using server = await startTunnelServer((acceptor, ...upgrade) => {
          acceptor.control(...upgrade).then(
            control => {
              control.onBytes = bytes => heard.push(bytes)
            },
            () => {},
          )
        })
        const socket = new WebSocket(server.url)
        await once(socket, 'open')
        send(socket)
        await once(socket, 'close')
        t.same(heard, [], name)
      }
      await using pair = await openControlTunnel()
      for (let sent = 0; sent <= 8; sent += 1) pair.near.send(Buffer.from([sent]))
      await Promise.all([pair.near.closed, pair.far.closed])
      t.equal(pair.near.open, false)
    },
  )

  await t.test('keeps what comes along with the handshake for whoever takes it later', async t => {
    await using pair = await openControlTunnel()
    pair.near.send(Buffer.from([1]))
    pair.near.send(Buffer.from([2]))
    await turn()
    await new Promise(resolve => setTimeout(resolve, 50))
    const heard: number[] = []
    pair.far.onBytes = bytes => heard.push(...bytes)
    t.same(heard, [1, 2])
    pair.near.send(Buffer.from([3]))
    pair.near.destroy()
    await pair.far.closed
    t.same(heard, [1, 2, 3])
  })

  await t.test('gives up a peer that reads nothing', async t => {
    await using pair = await openControlTunnel()
    pair.near.onBytes = () => {}
    pair.socket.pause()
    for (let sent = 0; sent < 100_000 && pair.near.open; sent += 1) {
      pair.near.send(Buffer.alloc(60 * 1024))
      if (sent % 16 === 0) await turn()
    }
    t.equal(pair.near.open, false)
    await pair.near.closed
  })
})

t.test('a whole connection through two sockets and a channel keeps every byte', async t => {
  // TCP client → port ⇄ channel ⇄ port → TCP server, as in gate connect and the agent.
  await using pair = await tunnel()
  const server = createServer({ allowHalfOpen: true }, socket => socket.pipe(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await using peer = await openRaw(typeof address === 'object' && address !== null ? address.port : 0)
  const data = Buffer.alloc(2 * 1024 * 1024, 'abcdefg')
  const [back] = await Promise.all([
    (async () => {
      const reading = readAll(pair.near)
      for (let at = 0; at < data.length; at += 10_000) await pair.near.write(data.subarray(at, at + 10_000))
      pair.near.end()
      return reading
    })(),
    (async () => {
      const port = socketPort(peer.socket, 'ERR_GATE_TARGET_UNREACHABLE')
      const there = (async () => {
        for await (const bytes of pair.far) await port.write(bytes)
        port.end()
      })()
      for await (const bytes of port) await pair.far.write(bytes)
      pair.far.end()
      await there
    })(),
  ])
  t.ok(back.equals(data))
  server.close()
})
