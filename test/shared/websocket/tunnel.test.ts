// Tunnels over a real WebSocket server: many channels in one, and how the whole ends.
import type { GateError } from '@gate/shared/errors'
import type { Channel } from '@gate/shared/websocket/channel'
import fc from 'fast-check'
import t from 'tap'
import { failure, opening, readAll, tunnels, turn } from '../../support/tunnel.ts'
import { until } from '../../support/until.ts'

t.test('channels of one tunnel', async t => {
  await t.test('carry any bytes at the same time, each its own', async t => {
    const writes = fc.array(fc.uint8Array({ maxLength: 9000 }), { maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(writes, writes), { minLength: 2, maxLength: 12 }), async all => {
        await using pair = await tunnels()
        const send = async (channel: Channel, chunks: Uint8Array[]): Promise<void> => {
          for (const chunk of chunks) await channel.write(Buffer.from(chunk))
          channel.end()
        }
        const same = await Promise.all(
          all.map(async ([there, back]) => {
            const { near, far } = await pair.channel()
            const [one, other] = await Promise.all([readAll(far), readAll(near), send(near, there), send(far, back)])
            await Promise.all([near.closed, far.closed])
            return one.equals(Buffer.concat(there)) && other.equals(Buffer.concat(back))
          }),
        )
        return same.every(Boolean) && pair.near.count === 0 && pair.far.count === 0
      }),
      { numRuns: 20 },
    )
    t.pass()
  })

  await t.test('leave together in one message when they were written to in one turn', async t => {
    await using pair = await tunnels()
    const channels = [await pair.channel(), await pair.channel(), await pair.channel()]
    let messages = 0
    pair.socket.on('data', () => {
      messages += 1
    })
    const reading = channels.map(async ({ far }) => (await far[Symbol.asyncIterator]().next()).value)
    for (const [at, { near }] of channels.entries()) void near.write(Buffer.from(`for ${at}`))
    t.same((await Promise.all(reading)).map(String), ['for 0', 'for 1', 'for 2'])
    t.equal(messages, 1)
  })

  await t.test('end each by itself', async t => {
    await using pair = await tunnels()
    const [one, other] = [await pair.channel(), await pair.channel()]
    one.far.destroy()
    t.match(await failure(readAll(one.near)), { code: 'ERR_GATE_RELAY_UNREACHABLE' })
    await other.near.write(Buffer.from('still here'))
    other.near.end()
    t.equal(String(await readAll(other.far)), 'still here')
  })

  await t.test('each answer for messages that are too long', async t => {
    await using pair = await tunnels()
    const [one, other] = [await pair.channel(), await pair.channel()]
    const long = { ...opening, parameters: { application_name: 'x'.repeat(4097) } }
    t.throws(() => pair.near.openChannel(long), { code: 'ERR_GATE_LIMIT', message: /application_name/ })
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`p${at}`, 'x'.repeat(4096)]))
    t.throws(() => pair.near.openChannel({ ...opening, parameters: many }), { code: 'ERR_GATE_LIMIT' })
    one.near.send({ ...opening, parameters: many })
    t.match(await failure(readAll(one.far)), { code: 'ERR_GATE_LIMIT' })
    await other.near.write(Buffer.from('still here'))
    other.near.end()
    t.equal(String(await readAll(other.far)), 'still here')
  })

  await t.test('all end with the tunnel, each as one that was lost', async t => {
    await using pair = await tunnels()
    const channels = [await pair.channel(), await pair.channel()]
    const told: GateError[] = []
    for (const { near } of channels) near.onFailure = cause => told.push(cause)
    pair.socket.resetAndDestroy()
    for (const { near, far } of channels) {
      t.match(await failure(readAll(near)), { code: 'ERR_GATE_RELAY_UNREACHABLE' })
      t.match(await failure(readAll(far)), { code: 'ERR_GATE_CANCELLED' })
      await Promise.all([near.closed, far.closed])
    }
    t.equal(told.length, 2)
    t.equal(pair.near.usable, false)
    const late = pair.near.openChannel(opening)
    t.equal(late.open, false, 'and one that is opened afterwards is none')
    t.match(late.broken, { code: 'ERR_GATE_RELAY_UNREACHABLE' })
    await late.closed
    t.equal(pair.near.count, 0)
  })
})

t.test('a tunnel', async t => {
  await t.test('that retires lets its channels come to their end, then closes', async t => {
    await using pair = await tunnels()
    const { near, far } = await pair.channel()
    pair.near.retire()
    t.equal(pair.near.usable, false)
    await near.write(Buffer.from('last words'))
    t.equal(pair.near.open, true)
    near.end()
    far.end()
    t.equal(String(await readAll(far)), 'last words')
    await Promise.all([pair.near.closed, pair.far.closed])
    t.equal(near.broken, undefined)
  })

  await t.test('that retires without channels closes at once', async t => {
    await using pair = await tunnels()
    pair.far.retire()
    await Promise.all([pair.near.closed, pair.far.closed])
    t.pass()
  })

  await t.test('that is idle is closed, and one that is not stays', async t => {
    await using pair = await tunnels()
    const { near } = await pair.channel()
    pair.far.closeWhenIdle(20)
    for (let count = 0; count < 20; count += 1) await new Promise(resolve => setTimeout(resolve, 5))
    t.equal(pair.near.open, true)
    near.destroy()
    await pair.near.closed
    t.equal(pair.far.open, false)
  })

  await t.test('keeps nothing of channels that are over', async t => {
    await using pair = await tunnels()
    for (let count = 0; count < 200; count += 1) {
      const { near, far } = await pair.channel()
      if (count % 2 === 0) near.destroy()
      else {
        near.end()
        far.end()
      }
      await Promise.all([near.closed, far.closed])
    }
    await turn()
    await until('no channel', () => pair.near.count + pair.far.count === 0)
    t.equal(pair.near.open, true)
  })
})
