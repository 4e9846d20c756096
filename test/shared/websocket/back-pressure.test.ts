// Channels whose other side does not read.
import { once } from 'node:events'
import { GateError } from '@gate/shared/errors'
import { MAX_MESSAGE_BYTES } from '@gate/shared/websocket/limits'
import t from 'tap'
import { failure, readAll, tunnel, turn } from '../../support/tunnel.ts'

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
