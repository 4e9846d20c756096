// Dialling a tunnel: where nobody listens or answers, and what stops it.
import { getEventListeners, once } from 'node:events'
import { createServer } from 'node:net'
import { GateError } from '@gate/shared/errors'
import { dialTunnel } from '@gate/shared/websocket/dial'
import t from 'tap'
import { dialOptions, failure, startTunnelServer, turn } from '../../support/tunnel.ts'

t.test('dialling', async t => {
  await t.test('a port where nobody listens says which relay, and leaves nothing behind', async t => {
    const server = await startTunnelServer(() => {})
    await server[Symbol.asyncDispose]()
    const controller = new AbortController()
    const thrown = await failure(
      dialTunnel(server.url, { lost: 'ERR_GATE_CANCELLED' }, { ...dialOptions, signal: controller.signal }),
    )
    t.match(thrown, {
      code: 'ERR_GATE_RELAY_UNREACHABLE',
      message: /127\.0\.0\.1:\d+: nothing listens there \(ECONNREFUSED\)/,
    })
    t.equal(getEventListeners(controller.signal, 'abort').length, 0)
  })

  await t.test('a server that takes the connection and says nothing gives up in time', async t => {
    const mute = createServer(() => {})
    mute.listen(0, '127.0.0.1')
    await once(mute, 'listening')
    const address = mute.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const options = { ...dialOptions, timeoutMs: 50 }
    const thrown = await failure(dialTunnel(`ws://127.0.0.1:${port}/`, { lost: 'ERR_GATE_CANCELLED' }, options))
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
    const dialling = dialTunnel(
      server.url,
      { lost: 'ERR_GATE_CANCELLED' },
      { ...dialOptions, signal: controller.signal },
    )
    t.equal(await failure(dialling), reason)
    while (closed === 0) await turn()
    const again = dialTunnel(server.url, { lost: 'ERR_GATE_CANCELLED' }, { ...dialOptions, signal: controller.signal })
    t.equal(await failure(again), reason, 'a signal that has aborted already')
  })

  await t.test('an opened tunnel no longer hangs on the signal it was dialled with', async t => {
    const controller = new AbortController()
    await using server = await startTunnelServer((acceptor, ...upgrade) => {
      acceptor.tunnel(...upgrade, { lost: 'ERR_GATE_CANCELLED' }).catch(() => {})
    })
    const tunnel = await dialTunnel(
      server.url,
      { lost: 'ERR_GATE_CANCELLED' },
      { ...dialOptions, signal: controller.signal },
    )
    t.equal(getEventListeners(controller.signal, 'abort').length, 0)
    controller.abort()
    t.equal(tunnel.open, true)
    tunnel.destroy()
    await tunnel.closed
  })
})
