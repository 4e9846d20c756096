// Channels over a real WebSocket server: any bytes both ways, how they end, and what is said beside them.
import { once } from 'node:events'
import { createServer } from 'node:net'
import { GateError } from '@gate/shared/errors'
import type { StreamMessage } from '@gate/shared/messages'
import { socketPort } from '@gate/shared/port'
import type { Channel } from '@gate/shared/websocket/channel'
import { MAX_FRAME_BYTES } from '@gate/shared/websocket/limits'
import fc from 'fast-check'
import t from 'tap'
import { failure, openRaw, readAll, tunnel } from '../../support/tunnel.ts'

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

  await t.test('cuts a long write into pieces that the other side takes', async t => {
    await using pair = await tunnel()
    const big = Buffer.alloc(9 * MAX_FRAME_BYTES + 1, 'gate')
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
