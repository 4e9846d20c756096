// Local connections that are broken off, between real sockets: who reads late, who does not read, who has gone, what was ended.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { breakOff } from '@gate/cli/last-bytes'
import { unsentIn } from '@gate/cli/peer'
import t from 'tap'

const server = createServer({ allowHalfOpen: true, noDelay: true })
server.listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())

interface Pair {
  readonly ours: Socket
  readonly client: Socket
  readonly seen: { bytes: number; end: string }
}

async function pair(): Promise<Pair> {
  const address = server.address()
  const accepted = once(server, 'connection')
  const client = connect({ port: typeof address === 'object' ? (address?.port ?? 0) : 0, host: '127.0.0.1' })
  const [ours] = (await accepted) as [Socket]
  ours.on('error', () => {})
  const seen = { bytes: 0, end: '' }
  client.on('error', ({ code }: NodeJS.ErrnoException) => {
    seen.end ||= String(code)
  })
  client.on('end', () => {
    seen.end ||= 'end'
  })
  client.on('data', chunk => {
    seen.bytes += chunk.length
  })
  return { ours, client, seen }
}

/** Also of one that breaks. */
const closed = (socket: Socket): Promise<unknown> => new Promise(resolve => socket.once('close', resolve))

const LARGE = Buffer.alloc(1_000_000, 'x')

t.test('what had come is read before the reset', async t => {
  const { ours, client, seen } = await pair()
  client.pause()
  ours.write(LARGE)
  await wait(100)
  const done = breakOff(ours)
  await wait(300)
  client.resume()
  await Promise.all([done, closed(client)])
  t.same(seen, { bytes: LARGE.length, end: 'ECONNRESET' })
})

t.test('where nothing is left it is reset at once', async t => {
  const { ours, client, seen } = await pair()
  ours.write('words')
  await wait(50)
  const began = performance.now()
  await Promise.all([breakOff(ours), closed(client)])
  t.same(seen, { bytes: 5, end: 'ECONNRESET' })
  if (process.platform === 'linux') t.ok(performance.now() - began < 500)
})

t.test('what was ended before ends', async t => {
  const { ours, client, seen } = await pair()
  client.write('something that nobody reads')
  ours.write(LARGE)
  ours.end('last words')
  await Promise.all([breakOff(ours), closed(client)])
  t.same(seen, { bytes: LARGE.length + 10, end: 'end' })
})

t.test('nobody is waited for who has gone', async t => {
  const { ours, client } = await pair()
  client.pause()
  ours.write(LARGE)
  await wait(100)
  const done = breakOff(ours)
  await wait(50)
  client.resetAndDestroy()
  await done
  t.ok(ours.destroyed)
})

t.test('how much is unsent, as the table of the system says', async t => {
  const [ours, peer] = [
    { address: '127.0.0.1', port: 59_455 },
    { address: '127.0.0.1', port: 60_534 },
  ]
  const row = ' 240: 0100007F:E83F 0100007F:EC76 01 003E1200:00000007 04:00000026 00000000     0        0 4136526\n'
  t.equal(unsentIn(row, ours, peer), 0x3e1200)
  t.equal(unsentIn(row, peer, ours), 0)
  t.equal(unsentIn('', ours, peer), 0)
})
