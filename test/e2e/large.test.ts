// Values as large as PostgreSQL takes them, in both directions: no program on the way grows with them.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { client, int16, int32, message } from '../support/wire.ts'
import { openPolicy, startWorld } from '../support/world.ts'

const MEBIBYTE = 1024 * 1024
/** MaxAllocSize of src/include/utils/memutils.h, less what stands around the value in its message. */
const LARGEST_VALUE_BYTES = 1024 * MEBIBYTE - 1 - 64
/** Of each program; what Node keeps for its own sockets and collects when it likes is far below. */
const MAX_GROWTH_BYTES = 160 * MEBIBYTE
const SAMPLE_INTERVAL_MS = 50

async function residentBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1024
}

/** The most that a process holds while something runs, more than before. */
async function growth(pids: readonly number[], work: () => Promise<void>): Promise<number[]> {
  const before = await Promise.all(pids.map(residentBytes))
  const most = [...before]
  let running = true
  const watching = (async () => {
    while (running) {
      for (const [index, pid] of pids.entries()) most[index] = Math.max(most[index] ?? 0, await residentBytes(pid))
      await new Promise(resolve => setTimeout(resolve, SAMPLE_INTERVAL_MS))
    }
  })()
  await work()
  running = false
  await watching
  return most.map((bytes, index) => bytes - (before[index] ?? 0))
}

const READY = message('Z', 'I')

/** Counts what comes up to ReadyForQuery; the value itself is nowhere kept whole. */
async function untilReady(socket: Socket): Promise<{ bytes: number; end: string }> {
  let bytes = 0
  let end = Buffer.alloc(0)
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length
    end = Buffer.concat([end, chunk]).subarray(-256)
    if (end.subarray(-READY.length).equals(READY)) break
  }
  return { bytes, end: end.toString('latin1') }
}

async function sendMuch(socket: Socket, bytes: number): Promise<void> {
  const piece = Buffer.alloc(MEBIBYTE, 'y')
  for (let left = bytes; left > 0; left -= piece.length)
    if (!socket.write(piece.subarray(0, Math.min(left, piece.length)))) await once(socket, 'drain')
}

const skip = process.platform === 'linux' ? false : 'memory is read from /proc'

t.test('a value of a gibibyte', { skip }, async t => {
  await using world = await startWorld({ policy: openPolicy })
  const bob = await world.person('bob')
  await using gate = await bob.connect('prod-db')
  const pids = [world.relay.process().pid, world.agent.process().pid, gate.process.pid]
  const names = ['relay', 'agent', 'gate connect']
  const socket = connect(gate.port, '127.0.0.1')
  socket.write(client.startup({ user: 'bob', database: 'app' }))
  await untilReady(socket)

  await t.test('comes whole, and no program holds it', async t => {
    const grown = await growth(pids, async () => {
      socket.write(client.query(`select repeat('x', ${LARGEST_VALUE_BYTES})`))
      const { bytes, end } = await untilReady(socket)
      t.match(end, 'xxC\0\0\0\rSELECT 1\0')
      t.ok(bytes > LARGEST_VALUE_BYTES, `${bytes} bytes`)
    })
    for (const [index, bytes] of grown.entries()) t.ok(bytes < MAX_GROWTH_BYTES, `${names[index]}: ${bytes}`)
  })

  await t.test('goes as a parameter, and no program holds it', async t => {
    const bytes = 256 * MEBIBYTE
    const grown = await growth(pids, async () => {
      socket.write(client.parse('', 'select length($1::text)'))
      const before = Buffer.concat([Buffer.from('\0\0'), int16(0, 1), int32(bytes)])
      const header = message('B')
      header.writeInt32BE(4 + before.length + bytes + 2, 1)
      socket.write(Buffer.concat([header, before]))
      await sendMuch(socket, bytes)
      socket.write(Buffer.concat([int16(0), client.execute(''), client.sync]))
      t.match((await untilReady(socket)).end, `${bytes}C`)
    })
    for (const [index, grew] of grown.entries()) t.ok(grew < MAX_GROWTH_BYTES, `${names[index]}: ${grew}`)
  })
  socket.destroy()
})
