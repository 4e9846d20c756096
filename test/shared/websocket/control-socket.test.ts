// Control sockets: whole messages, and no more of them than somebody takes.
import { once } from 'node:events'
import t from 'tap'
import { WebSocket } from 'ws'
import { openControlTunnel, startTunnelServer, turn } from '../../support/tunnel.ts'

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
