// Handshakes that are no good, that are refused, and whose senders go away.
import { errorCodes, GateError } from '@gate/shared/errors'
import { refuseUpgrade } from '@gate/shared/websocket/accept'
import { dialTunnel } from '@gate/shared/websocket/dial'
import t from 'tap'
import { dialOptions, failure, handshake, openRaw, startTunnelServer } from '../../support/tunnel.ts'

t.test('a handshake', async t => {
  await t.test('of another protocol, version or form is refused, and whoever waits for it is told', async t => {
    const outcomes: Promise<unknown>[] = []
    await using server = await startTunnelServer((acceptor, ...upgrade) =>
      outcomes.push(failure(acceptor.tunnel(...upgrade, { lost: 'ERR_GATE_CANCELLED' }))),
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
        failure(acceptor.tunnel(request, socket, head, { lost: 'ERR_GATE_CANCELLED' })).then(upgrading, upgrading)
      })
      asking()
    })
    await using peer = await openRaw(server.port)
    peer.socket.write(handshake())
    await asked
    peer.socket.resetAndDestroy()
    t.match(await outcome, { code: 'ERR_GATE_PROTOCOL' })
  })

  await t.test('that never ends, or has a header of a megabyte, gets no tunnel', async t => {
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
    t.match(await failure(dialTunnel(server.url, { lost: 'ERR_GATE_CANCELLED' }, dialOptions)), {
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
      const thrown = await failure(dialTunnel(server.url, { lost: 'ERR_GATE_CANCELLED' }, dialOptions))
      t.match(thrown, { code: 'ERR_GATE_RELAY_UNREACHABLE', message: /^the relay answered 418, / }, body.slice(0, 40))
    }
  })
})
