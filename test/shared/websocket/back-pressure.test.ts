// Channels whose other side does not read.
import { GateError } from '@gate/shared/errors'
import { MAX_FRAME_BYTES, SEND_HIGH_WATER_BYTES, WINDOW_BYTES } from '@gate/shared/websocket/limits'
import t from 'tap'
import { failure, readAll, tunnel, tunnels, turn } from '../../support/tunnel.ts'

const MEBIBYTE = 1024 * 1024

t.test('a side that does not read makes the other wait, and takes a bounded amount', async t => {
  const cases = [
    ['big pieces', Buffer.alloc(64 * 1024, 'x'), 32 * MEBIBYTE],
    ['pieces of one byte', Buffer.from('x'), 100_000],
  ] as const
  for (const [name, chunk, total] of cases) {
    await t.test(name, async t => {
      await using pair = await tunnel()
      let written = 0
      let waits = 0
      const writing = (async () => {
        for (; written < total; written += chunk.length) {
          const full = pair.near.write(chunk)
          if (full === undefined) continue
          waits += 1
          await full
        }
        pair.near.end()
      })()
      for (let count = 0; count < 500; count += 1) await turn()
      t.ok(waits > 0 && written < total, `the writer waits after ${written} bytes`)
      const { bytesRead } = pair.socket
      t.ok(bytesRead <= WINDOW_BYTES + MAX_FRAME_BYTES, `${bytesRead} bytes came over the socket`)
      let received = 0
      for await (const bytes of pair.far) received += bytes.length
      await writing
      t.equal(received, total, 'nothing is lost by waiting')
    })
  }

  await t.test('and other channels of the tunnel go on, both ways', async t => {
    await using pair = await tunnels()
    const stuck = await pair.channel()
    while (stuck.near.write(Buffer.alloc(MAX_FRAME_BYTES)) === undefined);
    while (stuck.far.write(Buffer.alloc(MAX_FRAME_BYTES)) === undefined);
    const { near, far } = await pair.channel()
    const reading = Promise.all([readAll(near), readAll(far)])
    for (const side of [near, far]) {
      for (let count = 0; count < 40; count += 1) await side.write(Buffer.alloc(MAX_FRAME_BYTES, 'y'))
      side.end()
    }
    t.same(
      (await reading).map(bytes => bytes.length),
      [40 * MAX_FRAME_BYTES, 40 * MAX_FRAME_BYTES],
    )
    stuck.near.destroy()
  })

  await t.test('and what is said beside the bytes stays in its place between them', async t => {
    await using pair = await tunnel()
    const heard: string[] = []
    pair.far.onMessage = message => heard.push(message.type)
    while (pair.near.write(Buffer.alloc(MAX_FRAME_BYTES)) === undefined);
    pair.near.send({ type: 'notice', text: 'behind all of it' })
    for (let count = 0; count < 20; count += 1) await turn()
    t.same(heard, [], 'it waits with the bytes before it')
    for await (const _bytes of pair.far) if (heard.length > 0) break
    t.same(heard, ['notice'])
  })

  await t.test('and a writer that waits is released when the tunnel breaks', async t => {
    await using pair = await tunnel()
    let full: Promise<void> | undefined
    while (full === undefined) full = pair.near.write(Buffer.alloc(MEBIBYTE))
    pair.socket.resetAndDestroy()
    await full
    t.match(await failure(readAll(pair.near)), { code: 'ERR_GATE_RELAY_UNREACHABLE' })
  })

  await t.test('and a writer that waits is released when the other side closes the channel', async t => {
    await using pair = await tunnel()
    let full: Promise<void> | undefined
    while (full === undefined) full = pair.near.write(Buffer.alloc(MEBIBYTE))
    pair.far.destroy()
    await full
    t.match(await failure(readAll(pair.near)), { code: 'ERR_GATE_RELAY_UNREACHABLE' })
  })

  await t.test('and closing does not wait for it', async t => {
    await using pair = await tunnel()
    while (pair.near.write(Buffer.alloc(MEBIBYTE)) === undefined);
    pair.near.destroy(new GateError('ERR_GATE_SHUTDOWN', 'going down'))
    await pair.near.closed
    t.match(await failure(readAll(pair.far)), GateError)
    await pair.far.closed
  })

  await t.test('and the last bytes of a side that ends and goes reach whoever reads late', async t => {
    await using pair = await tunnel()
    const last = Buffer.alloc(WINDOW_BYTES + 4 * MAX_FRAME_BYTES, 'z')
    const written = pair.near.write(last)
    pair.near.end()
    pair.near.destroy()
    for (let count = 0; count < 20; count += 1) await turn()
    t.ok((await readAll(pair.far)).equals(last))
    await written
  })
})

t.test('a socket that is not read makes writers of all channels wait', async t => {
  await using pair = await tunnels()
  const { near } = await pair.channel()
  pair.socket.pause()
  let queued = 0
  const channels = [near]
  for (;;) {
    const writes = channels.map(channel => channel.write(Buffer.alloc(MAX_FRAME_BYTES)))
    queued += MAX_FRAME_BYTES
    if (writes.some(full => full !== undefined) && channels.length > 64) break
    channels.push(pair.near.openChannel({ type: 'open', stream: 's', target: 'prod-db', parameters: {} }))
    await turn()
    if (channels.length > 1_000) break
  }
  t.ok(channels.length <= 1_000, `writers wait with ${channels.length} channels`)
  t.ok(queued > SEND_HIGH_WATER_BYTES)
  pair.near.destroy()
})
