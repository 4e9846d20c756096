// Windows of channels: they grow with a long way whose far end reads, within limits, and stay as they are otherwise.
import { Cleanup } from '@gate/shared/cleanup'
import type { Channel } from '@gate/shared/websocket/channel'
import { MAX_FRAME_BYTES, MAX_WINDOW_BYTES, WINDOW_BYTES } from '@gate/shared/websocket/limits'
import { Growth, growthOfProcess, ReceiveWindow, type Way } from '@gate/shared/websocket/window'
import t from 'tap'
import { startLongWay } from '../../support/long-way.ts'
import { type TunnelPair, tunnels } from '../../support/tunnel.ts'
import { until } from '../../support/until.ts'

const PIECE = 64 * 1024
const MOST = 64 * 1024 * 1024

function windowOn(way: Way): { window: ReceiveWindow; pass: (tookMs: number) => number } {
  let nowMs = 0
  const window = new ReceiveWindow(way, () => nowMs)
  let size = WINDOW_BYTES
  /** A whole window comes and is read; gives what it has become. */
  const pass = (tookMs: number): number => {
    let credit = 0
    nowMs += tookMs
    for (let bytes = 0; bytes < size; bytes += PIECE) {
      window.receive(PIECE)
      credit += window.read(PIECE)
    }
    size += credit - size
    return size
  }
  return { window, pass }
}

t.test('a window that is read within two round trips doubles, up to 8 MiB', async t => {
  const { window, pass } = windowOn({ roundTripMs: 100, growth: new Growth(MOST) })
  t.equal(pass(300), WINDOW_BYTES, 'whoever takes longer is not held up by it')
  t.same(
    [pass(110), pass(110), pass(110), pass(110), pass(110)].map(bytes => bytes / WINDOW_BYTES),
    [2, 4, 8, 16, 16],
  )
  t.equal(MAX_WINDOW_BYTES / WINDOW_BYTES, 16)
  for (let bytes = 0; bytes < MAX_WINDOW_BYTES; bytes += PIECE) window.receive(PIECE)
  window.receive(MAX_FRAME_BYTES)
  t.throws(() => window.receive(PIECE), { code: 'ERR_GATE_PROTOCOL' })
})

t.test('it stays as it is', async t => {
  const growth = new Growth(MOST)
  for (const [name, roundTripMs, tookMs] of [
    ['before anybody knows how long the way is', undefined, 1],
    ['on a short way', 4.9, 1],
    ['where pings are answered late on purpose', 60_000, 2_000],
  ] as const)
    t.equal(windowOn({ roundTripMs, growth }).pass(tookMs), WINDOW_BYTES, name)
})

t.test('a tunnel and a process have so much for it, and get back what channels had', async t => {
  const process = new Growth(3 * WINDOW_BYTES)
  const tunnel = new Growth(2 * WINDOW_BYTES, process)
  const first = windowOn({ roundTripMs: 100, growth: tunnel })
  t.equal(first.pass(1), 2 * WINDOW_BYTES)
  t.equal(first.pass(1), 2 * WINDOW_BYTES, 'twice as much again is more than the tunnel has')
  const other = windowOn({ roundTripMs: 100, growth: new Growth(8 * WINDOW_BYTES, process) })
  t.equal(other.pass(1), 2 * WINDOW_BYTES)
  t.equal(other.pass(1), 2 * WINDOW_BYTES, 'and than the process has')
  first.window.close()
  first.window.close()
  const third = windowOn({ roundTripMs: 100, growth: tunnel })
  t.equal(third.pass(1), 2 * WINDOW_BYTES)
  third.window.close()
  other.window.close()
  t.equal(process.take(3 * WINDOW_BYTES), true)
  t.equal(process.take(1), false)
})

t.test('over a long way', async t => {
  let most = { there: 0, back: 0 }
  await using ways = new Cleanup()
  await using pair = await tunnels(async url => {
    const way = ways.use(await startLongWay(Number(new URL(url).port), 100))
    most = way.most
    return `ws://127.0.0.1:${way.port}/`
  })
  await until('both sides know how long it is', () => roundTrips(pair).every(ms => ms >= 150))
  const { near, far } = await pair.channel()
  for (const [name, from, to, direction] of [
    ['to who was dialled', near, far, 'there'],
    ['to who dialled', far, near, 'back'],
  ] as const) {
    await fill(from, to, () => most[direction] > 4 * WINDOW_BYTES)
    t.ok(most[direction] > 4 * WINDOW_BYTES, `${most[direction]} bytes were on their way ${name}`)
  }
  near.destroy()
  await Promise.all([near.closed, far.closed])
  t.equal(growthOfProcess.take(128 * 1024 * 1024), true, 'all is given back')
  growthOfProcess.giveBack(128 * 1024 * 1024)
})

function roundTrips({ near, far }: TunnelPair): readonly number[] {
  return [near.roundTripMs ?? 0, far.roundTripMs ?? 0]
}

/** One side writes what it may, the other reads it at once, until something is so or 256 MiB have gone through. */
async function fill(from: Channel, to: Channel, done: () => boolean): Promise<void> {
  let read = 0
  let written = 0
  const writing = (async () => {
    for (; !done() && written < 256 * 1024 * 1024; written += PIECE) await from.write(Buffer.alloc(PIECE))
  })()
  const bytes = to[Symbol.asyncIterator]()
  while (!done() || read < written) read += ((await bytes.next()).value as Buffer).length
  await writing
}
