// WebSockets whose messages may be longer than they are by default: long ones pass masked and recorded, longer ones end it.
import { once } from 'node:events'
import t from 'tap'
import { WebSocket } from 'ws'
import { startHttpWorld } from '../support/http-world.ts'

const policy = `
targets:
  - match: { name: billing-api }
    allow: { groups: [engineers, support] }
    rules:
      - { name: everything, allow: [engineers, support] }
    mask:
      - { fields: ["email"], for: { groups: [support] }, with: redact }
`

t.test('messages up to limits.websocket_message_bytes pass', async t => {
  const MEBIBYTE = 1024 * 1024
  await using world = await startHttpWorld({
    policy,
    relay: { more: `limits: { websocket_message_bytes: ${4 * MEBIBYTE} }` },
  })
  await using connection = await (await world.person('carol')).connect('billing-api')
  const socket = new WebSocket(`ws://127.0.0.1:${connection.port}/echo-socket`, ['chat'])
  await once(socket, 'open')
  const message = (bytes: number): string => JSON.stringify({ email: 'ann@example.com', notes: 'x'.repeat(bytes) })
  socket.send(message(3 * MEBIBYTE))
  const [answer] = (await once(socket, 'message')) as [Buffer]
  t.equal(answer.toString().length, message(3 * MEBIBYTE).length - 'ann@example.com'.length + '****'.length)
  t.match(answer.toString('utf8', 0, 20), '{"email":"****"')
  socket.send(message(4 * MEBIBYTE))
  const [code] = (await once(socket, 'close')) as [number]
  t.equal(code, 1009)
})
