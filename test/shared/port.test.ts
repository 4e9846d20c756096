// Ports over real sockets: order, back-pressure, half-close, and what becomes of them when a side breaks.
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { GateError } from '@gate/shared/errors'
import { Inbox, join, type Port, pump, SOCKET_INBOX_BYTES, socketPort } from '@gate/shared/port'
import fc from 'fast-check'
import t from 'tap'

interface Pair extends AsyncDisposable {
  /** The side that the test plays itself. */
  readonly near: Socket
  /** The side that is made a port. */
  readonly far: Socket
}

/** Two ends of one TCP connection on loopback. */
async function connectPair(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true })
  near.on('error', () => {})
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[Socket], unknown]
  server.close()
  return {
    near,
    far,
    [Symbol.asyncDispose]: async () => {
      near.destroy()
      far.destroy()
    },
  }
}

async function readAll(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** Reads to the end and leaves the other direction open, which iterating over a socket would not. */
function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise(resolve => {
    socket.on('data', chunk => chunks.push(chunk))
    socket.once('end', () => resolve(Buffer.concat(chunks)))
  })
}

/** Errors come before it and are somebody else's. */
const closing = (socket: Socket): Promise<void> => new Promise(resolve => socket.once('close', () => resolve()))

/** What reading ends with: nothing, or the error that it throws. */
const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )

const lost = { name: 'GateError', code: 'ERR_GATE_CANCELLED' }

t.test('an inbox', async t => {
  await t.test('gives every unit once and in order, and pauses its source while it is full', async t => {
    const steps = fc.array(fc.oneof(fc.integer({ min: 1, max: 400 }), fc.constant('take' as const)), { maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(steps, async steps => {
        let paused = false
        const inbox = new Inbox<Buffer>(
          2000,
          () => {
            paused = true
          },
          () => {
            paused = false
          },
        )
        const pushed: Buffer[] = []
        const taken: Buffer[] = []
        let queued = 0
        for (const step of steps) {
          if (step === 'take') {
            if (taken.length === pushed.length) continue
            const { value } = await inbox.next()
            taken.push(value)
            queued -= value.length
            if (queued === 0 && paused) return false
          } else if (!paused) {
            const unit = Buffer.alloc(step, pushed.length % 256)
            pushed.push(unit)
            inbox.push(unit)
            queued += step
          }
          if (queued > 2400) return false
        }
        inbox.finish()
        for await (const unit of inbox) taken.push(unit)
        return taken.length === pushed.length && taken.every((unit, index) => unit === pushed[index]) && !paused
      }),
    )
    t.pass()
  })

  await t.test('counts also what a unit costs beside its bytes', async t => {
    let pushed = 0
    let paused = false
    const inbox = new Inbox<Buffer>(
      256 * 1024,
      () => {
        paused = true
      },
      () => {},
    )
    for (; !paused && pushed < 1_000_000; pushed += 1) inbox.push(Buffer.alloc(1))
    t.ok(pushed < 10_000, `paused after ${pushed} single bytes`)
  })

  await t.test('tells of every unit that somebody got, whether it waited or they did', async t => {
    const told: string[] = []
    const go = (): void => {}
    const inbox = new Inbox<Buffer>(10, go, go, unit => told.push(String(unit)))
    const waiting = inbox.next()
    inbox.push(Buffer.from('a'))
    await waiting
    inbox.push(Buffer.from('b'))
    inbox.push(Buffer.from('never read'))
    await inbox.next()
    t.same(told, ['a', 'b'])
  })

  await t.test('ends only after what is queued was read', async t => {
    const inbox = new Inbox<Buffer>(
      10,
      () => {},
      () => {},
    )
    inbox.push(Buffer.from('a'))
    inbox.push(Buffer.from('b'))
    inbox.finish()
    inbox.push(Buffer.from('late'))
    inbox.fail(new GateError('ERR_GATE_CANCELLED', 'too late to matter'))
    t.equal(String(await readAll(inbox)), 'ab')
  })

  await t.test('that fails drops what is queued and throws, also to whoever waits already', async t => {
    const cause = new GateError('ERR_GATE_AGENT_LOST', 'gone')
    const make = (): Inbox<Buffer> =>
      new Inbox<Buffer>(
        10,
        () => {},
        () => {},
      )
    const waiting = make()
    const next = failure(waiting.next())
    waiting.fail(cause)
    t.equal(await next, cause)
    const queued = make()
    queued.push(Buffer.from('secret'))
    queued.fail(cause)
    queued.finish()
    t.equal(await failure(queued.next()), cause)
    t.equal(await failure(queued.next()), cause, 'and again')
  })
})

t.test('a socket as a port', async t => {
  await t.test('carries bytes both ways, and goes on one way after the other has ended', async t => {
    await using pair = await connectPair()
    const port = socketPort(pair.far, 'ERR_GATE_CANCELLED')
    pair.near.end('question')
    t.equal(String(await readAll(port)), 'question')
    const answer = collect(pair.near)
    await port.write(Buffer.from('answer '))
    await port.write(Buffer.from('in two parts'))
    port.end()
    port.end()
    t.equal(String(await answer), 'answer in two parts')
    t.equal(port.broken, undefined)
  })

  await t.test('that nobody reads takes a bounded amount and makes the writer wait', async t => {
    await using pair = await connectPair()
    const port = socketPort(pair.far, 'ERR_GATE_CANCELLED')
    const writer = socketPort(pair.near, 'ERR_GATE_CANCELLED')
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const total = 64 * 1024 * 1024
    let written = 0
    const paused = once(pair.far, 'pause')
    const writing = (async () => {
      for (; written < total; written += chunk.length) {
        const full = writer.write(chunk)
        if (full !== undefined) await full
      }
      writer.end()
    })()
    await paused
    // Whatever the writer could still do without a reader, it has done after so many turns.
    for (let turn = 0; turn < 1000; turn += 1) await new Promise(resolve => setImmediate(resolve))
    t.ok(written < total / 2, `${written} bytes were taken before anybody read`)
    t.ok(pair.far.bytesRead <= SOCKET_INBOX_BYTES + 2 * 64 * 1024, `${pair.far.bytesRead} of them by the port`)
    let received = 0
    for await (const bytes of port) received += bytes.length
    await writing
    t.equal(received, total)
  })

  await t.test('that breaks throws the code it was given, whoever is reading', async t => {
    await using pair = await connectPair()
    const port = socketPort(pair.far, 'ERR_GATE_CANCELLED')
    const reading = failure(readAll(port))
    pair.near.resetAndDestroy()
    t.match(await reading, lost)
    t.match(port.broken, lost)
    t.equal(port.write(Buffer.from('nobody')), undefined, 'writing goes on without waiting for ever')
    port.end()
  })

  await t.test('that was gone before it became a port throws at once', async t => {
    await using pair = await connectPair()
    pair.far.destroy()
    await closing(pair.far)
    t.match(await failure(readAll(socketPort(pair.far, 'ERR_GATE_CANCELLED'))), lost)
  })

  await t.test('that is destroyed throws the cause', async t => {
    await using pair = await connectPair()
    const port = socketPort(pair.far, 'ERR_GATE_CANCELLED')
    const cause = new GateError('ERR_GATE_SHUTDOWN', 'going down')
    const reading = failure(readAll(port))
    const closed = closing(pair.near.resume())
    port.destroy(cause)
    t.equal(await reading, cause)
    pair.near.end()
    await closed
  })

  await t.test('releases a writer that waits when the other side goes away', async t => {
    await using pair = await connectPair()
    const port = socketPort(pair.far, 'ERR_GATE_CANCELLED')
    const reading = failure(readAll(port))
    let full: Promise<void> | undefined
    while (full === undefined) full = port.write(Buffer.alloc(1024 * 1024))
    pair.near.resetAndDestroy()
    await full
    t.match(await reading, lost)
  })
})

t.test('two joined ports', async t => {
  const joined = async (): Promise<{ left: Pair; right: Pair; done: Promise<void>; ports: Port<Buffer>[] }> => {
    const [left, right] = [await connectPair(), await connectPair()]
    const ports = [socketPort(left.far, 'ERR_GATE_CANCELLED'), socketPort(right.far, 'ERR_GATE_TARGET_UNREACHABLE')]
    const [a, b] = ports as [Port<Buffer>, Port<Buffer>]
    return { left, right, done: join(a, b), ports }
  }

  await t.test('pass everything on, each end on its own, and are done when both are', async t => {
    const { left, right, done } = await joined()
    await using _left = left
    await using _right = right
    const big = Buffer.alloc(5 * 1024 * 1024, 'gate')
    left.near.end(big)
    t.ok((await collect(right.near)).equals(big))
    right.near.end('answer')
    t.equal(String(await collect(left.near)), 'answer')
    await done
  })

  await t.test('break together, and say which side it was', async t => {
    const { left, right, done } = await joined()
    await using _left = left
    await using _right = right
    const failed = failure(done)
    const closed = once(left.near.resume(), 'end')
    right.near.resetAndDestroy()
    t.match(await failed, { code: 'ERR_GATE_TARGET_UNREACHABLE' })
    await closed
  })

  await t.test('stop when a client that has said its last word is killed in the middle of the answer', async t => {
    const { left, right, done } = await joined()
    await using _left = left
    await using _right = right
    const failed = failure(done)
    left.near.end('select everything')
    const told = once(right.near, 'data')
    await told
    // The server never ends by itself: only the broken client can end it.
    const closed = closing(right.near)
    const flood = (): void => {
      while (!right.near.destroyed && right.near.write(Buffer.alloc(64 * 1024)));
    }
    right.near.on('drain', flood)
    flood()
    await once(left.near, 'data')
    left.near.resetAndDestroy()
    t.match(await failed, lost)
    await closed
  })
})

t.test('a pump leaves the source alone while the sink is full', async t => {
  let asked = 0
  let release: (() => void) | undefined
  const written: number[] = []
  const source = {
    async *[Symbol.asyncIterator]() {
      for (asked = 1; asked <= 3; asked += 1) yield asked
    },
    write: () => undefined,
    end: () => {},
    destroy: () => {},
  }
  let ended = false
  const sink: Port<number> = {
    async *[Symbol.asyncIterator]() {},
    write: unit => {
      written.push(unit)
      return new Promise(resolve => {
        release = resolve
      })
    },
    end: () => {
      ended = true
    },
    destroy: () => {},
  }
  const pumping = pump(source, sink)
  for (const expected of [1, 2, 3]) {
    await new Promise(resolve => setImmediate(resolve))
    t.same([written.at(-1), asked, ended], [expected, expected, false])
    release?.()
  }
  await pumping
  t.ok(ended)
})
