// The lock file between real processes: one holder at a time, released by any death, never taken from the living.
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, utimes, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { systemClock } from '@gate/shared/clock'
import { takeLock } from '@gate/shared/lock'
import t from 'tap'
import { createHandClock } from '../support/clock.ts'
import { type Running, start } from '../support/process.ts'
import { temporaryDirectory } from '../support/tmp.ts'

const holder = fileURLToPath(new URL('../support/lock-holder.js', import.meta.url))
const hold = (path: string, patienceMs = 0): Running => start(process.execPath, [holder, path, String(patienceMs)])
const conflict = { code: 'ERR_GATE_CONFLICT' }
const LONG_AGO = new Date('2001-01-01')
const FAR_AHEAD = new Date(Date.now() + 3_600_000)

t.test('a lock is held by one process, and given to the next when that one ends it', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  await using first = hold(path)
  await first.waitFor(/^taken$/m)
  await t.rejects(takeLock(path, 0, systemClock), {
    ...conflict,
    message: `${path} is held by process ${first.pid} on ${hostname()}`,
  })
  await using second = hold(path, 60_000)
  const waiting = takeLock(path, 60_000, systemClock)
  first.child.stdin?.end()
  await first.waitFor(/given back/)
  // One of the two that wait has it now; when that one gives it back, the other.
  const winner = await Promise.race([waiting.then(() => 'us'), second.waitFor(/^taken$/m).then(() => 'them')])
  if (winner === 'them') {
    t.notOk(await Promise.race([waiting, new Promise(resolve => setImmediate(() => resolve(undefined)))]))
    second.child.stdin?.end()
  } else t.notMatch(second.stdout(), 'taken')
  const lock = await waiting
  await lock[Symbol.asyncDispose]()
  await second.waitFor(/^taken$/m)
  second.child.stdin?.end()
  await second.finished()
  t.same(await readdir(directory.path), [], 'nothing is left behind')
})

t.test('a holder that is killed holds nothing any more', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  await using first = hold(path)
  await first.waitFor(/^taken$/m)
  first.kill('SIGKILL')
  await first.finished()
  t.ok(existsSync(path), 'its file is still there')
  await using lock = await takeLock(path, 0, systemClock)
  t.match(JSON.parse(await readFile(lock.path, 'utf8')), { pid: process.pid })
})

t.test('a holder that is only stopped still holds it', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  await using first = hold(path)
  await first.waitFor(/^taken$/m)
  first.kill('SIGSTOP')
  await t.rejects(takeLock(path, 100, systemClock), conflict)
  first.kill('SIGCONT')
})

t.test('of many processes that find a dead holder at once, one gets the lock at a time', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  await using first = hold(path)
  await first.waitFor(/^taken$/m)
  first.kill('SIGKILL')
  await first.finished()
  let holders = 0
  let most = 0
  let turns = 0
  const work = async (): Promise<void> => {
    await using _lock = await takeLock(path, 60_000, systemClock)
    holders += 1
    most = Math.max(most, holders)
    turns += 1
    await new Promise(resolve => setImmediate(resolve))
    holders -= 1
  }
  const others = Array.from({ length: 4 }, () => {
    const other = hold(path, 60_000)
    other.child.stdin?.end()
    return other
  })
  await Promise.all([...Array.from({ length: 10 }, work), ...others.map(other => other.finished())])
  t.same([turns, most], [10, 1])
  for (const other of others) t.match(other.stdout(), /^taken\ngiven back\n$/)
  t.same(await readdir(directory.path), [])
})

t.test('a file of a process that has our old number is a dead one’s', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  // As after a restart of a container, in which every relay is process 1.
  const owner = { pid: process.pid, started: '1', host: hostname(), token: 'old' }
  await writeFile(path, JSON.stringify(owner))
  await using _lock = await takeLock(path, 0, systemClock)
  t.notMatch(await readFile(path, 'utf8'), '"old"')
})

t.test('a file of another machine is never judged', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  const owner = { pid: 2 ** 22 + 1, started: '1', host: 'another-machine', token: 'x' }
  await writeFile(path, JSON.stringify(owner))
  await utimes(path, LONG_AGO, LONG_AGO)
  await t.rejects(takeLock(path, 0, systemClock), { ...conflict, message: /another-machine/ })
})

t.test('what a crash left half done is cleared away, whatever its time says', async t => {
  for (const [name, time] of [
    ['old', LONG_AGO],
    ['from the future, since the clock went back', FAR_AHEAD],
  ] as const) {
    for (const text of ['', '{"pid":', '[]', '"x"', '{"pid":1}']) {
      await using directory = await temporaryDirectory('lock')
      const path = join(directory.path, 'relay.lock')
      await writeFile(path, text)
      await utimes(path, time, time)
      await using _lock = await takeLock(path, 0, systemClock)
      t.match(JSON.parse(await readFile(path, 'utf8')), { pid: process.pid }, `${name}: ${text}`)
    }
    await using directory = await temporaryDirectory('lock')
    const path = join(directory.path, 'relay.lock')
    await writeFile(path, JSON.stringify({ pid: 2 ** 22 + 1, started: '1', host: hostname(), token: 'x' }))
    await mkdir(`${path}.guard`)
    await utimes(`${path}.guard`, time, time)
    await using _lock = await takeLock(path, 0, systemClock)
    t.match(JSON.parse(await readFile(path, 'utf8')), { pid: process.pid }, `a guard, ${name}`)
  }
})

t.test('a file that is being written this moment, or guarded, is waited for and not for ever', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  await writeFile(path, '')
  const clock = createHandClock()
  const taking = takeLock(path, 1000, clock)
  await clock.sleeping()
  clock.advance(2000)
  await t.rejects(taking, conflict)
  await writeFile(path, JSON.stringify({ pid: 2 ** 22 + 1, started: '1', host: hostname(), token: 'x' }))
  await mkdir(`${path}.guard`)
  const again = takeLock(path, 1000, clock)
  await clock.sleeping()
  clock.advance(2000)
  await t.rejects(again, conflict)
})

t.test('a lock that somebody else took over is not removed by its old holder', async t => {
  await using directory = await temporaryDirectory('lock')
  const path = join(directory.path, 'relay.lock')
  const lock = await takeLock(path, 0, systemClock)
  const other = JSON.stringify({ pid: process.pid, started: '', host: hostname(), token: 'another' })
  await writeFile(path, other)
  await lock[Symbol.asyncDispose]()
  t.equal(await readFile(path, 'utf8'), other)
})
