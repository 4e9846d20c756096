// A disk that fails to keep what it took: that file is never believed again, and the record goes on once everything is elsewhere.
import { existsSync } from 'node:fs'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EventBody } from '@gate/relay/record/events'
import { segmentName } from '@gate/relay/record/journal'
import type { Recorder as AnyRecorder } from '@gate/relay/record/recorder'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { createVerifier } from '@gate/shared/record/checkpoint'
import { verifyRecord } from '@gate/shared/record/verify'
import t from 'tap'
import { collectLog } from '../../support/log.ts'
import { testTree } from '../../support/record.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const faults = await temporaryDirectory('disk')
t.teardown(() => faults[Symbol.asyncDispose]())
process.env['GATE_TEST_DISK'] = faults.path
await import('../../support/disk-faults.js')
const { Recorder } = await import('@gate/relay/record/recorder')

const outcome = (command: number, status = 'SELECT 1'): EventBody => ({
  type: 'outcome',
  session: 's_1',
  command,
  status,
})
const fail = (): Promise<void> => writeFile(join(faults.path, 'fail'), '')
const hold = (): Promise<void> => writeFile(join(faults.path, 'hold'), '')
const heal = async (): Promise<void> => {
  for (const what of ['fail', 'hold']) await rm(join(faults.path, what), { force: true })
}
const numbers = async (recorder: AnyRecorder): Promise<number[]> => {
  const found: number[] = []
  for await (const { sequence } of recorder.readFrom(1)) found.push(sequence)
  return found
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

t.test('after a sync that failed nothing is recorded until the tree has everything, then in a new file', async t => {
  await using directory = await temporaryDirectory('record')
  const log = collectLog()
  const recorder = await Recorder.open(directory.path, testTree, systemClock, log)
  recorder.append(outcome(1))
  await recorder.sync()
  recorder.append(outcome(2))
  await fail()
  await t.rejects(recorder.sync(), { code: 'ERR_GATE_RECORD', message: /EIO/ })
  await heal()
  await t.rejects(recorder.sync(), { code: 'ERR_GATE_RECORD', message: /EIO/ }, 'the disk is asked no more about it')
  t.throws(() => recorder.append(outcome(3)), { code: 'ERR_GATE_RECORD', message: /EIO/ })
  t.equal(recorder.sequence, 3, 'and no number is lost')
  const before = await readFile(join(directory.path, segmentName(1)), 'utf8')
  await recorder.seal()
  t.equal(recorder.head.size, 3)
  t.equal(recorder.append(outcome(4)), 4)
  await recorder.sync()
  t.equal(await readFile(join(directory.path, segmentName(1)), 'utf8'), before, 'nothing is added to that file')
  t.match(await readFile(join(directory.path, segmentName(4)), 'utf8'), /^\{"sequence":4,/)
  t.same(await numbers(recorder), upTo(4))
  t.same(
    log.entries.map(({ event }) => event),
    ['record.failing', 'record.writing-again'],
  )
  await recorder.close()
  // What that file holds is not asked at the next start either: a machine that crashed would have it empty.
  await writeFile(join(directory.path, segmentName(1)), Buffer.alloc(before.length))
  const again = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  t.same(await numbers(again), upTo(4))
  await again.close()
})

t.test('it comes back by itself, with what had to wait', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  recorder.append(outcome(1))
  await fail()
  await t.rejects(recorder.sync(), { code: 'ERR_GATE_RECORD' })
  await heal()
  recorder.later(outcome(2))
  const deadline = Date.now() + 30_000
  while (!existsSync(join(directory.path, segmentName(3))) && Date.now() < deadline) await systemClock.sleep(20)
  t.match(await readFile(join(directory.path, segmentName(3)), 'utf8'), /^\{"sequence":3,/)
  t.equal(recorder.append(outcome(3)), 4)
  await recorder.sync()
  await recorder.close()
  const read = (path: string): Promise<Buffer | undefined> =>
    readFile(join(directory.path, path)).catch(() => undefined)
  const verified = await verifyRecord({ read, verifier: createVerifier(testTree.origin, testTree.key), kept: [] })
  t.same([verified.head.size, verified.findings], [4, []])
})

t.test('who waits behind a sync that fails is not served by a later one of the same file', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  await hold()
  recorder.append(outcome(1))
  const first = recorder.sync()
  recorder.append(outcome(2))
  const second = recorder.sync()
  const third = recorder.sync()
  await fail()
  await rm(join(faults.path, 'hold'))
  first.catch(heal)
  const answers = await Promise.allSettled([first, second, third])
  for (const answer of answers)
    t.match(answer, { status: 'rejected', reason: { code: 'ERR_GATE_RECORD', message: /EIO/ } })
  await heal()
  await t.rejects(recorder.close(), { code: 'EIO' })
})

t.test('a file that was full before its sync failed is not believed either', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog, { segmentBytes: 10 })
  await hold()
  recorder.append(outcome(1))
  const synced = recorder.sync()
  recorder.append(outcome(2))
  t.equal((await readdir(directory.path)).filter(name => name.endsWith('.jsonl')).length, 3)
  await fail()
  const failed = t.rejects(synced, { code: 'ERR_GATE_RECORD' })
  await rm(join(faults.path, 'hold'))
  await failed
  await heal()
  t.throws(() => recorder.append(outcome(3)), { code: 'ERR_GATE_RECORD' })
  await recorder.seal()
  recorder.append(outcome(4))
  await recorder.sync()
  t.same(await numbers(recorder), upTo(4))
  await recorder.close()
})

t.test('one sync serves everything that was written while another one ran', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  await hold()
  const order: string[] = []
  recorder.append(outcome(1))
  const first = recorder.sync().then(() => order.push('first'))
  const rest = upTo(50).map(async index => {
    recorder.append(outcome(index))
    await recorder.sync()
    order.push('rest')
  })
  await systemClock.sleep(50)
  t.same(order, [], 'nobody goes on before the disk has it')
  await heal()
  await Promise.all([first, ...rest])
  t.same([order.length, order[0]], [51, 'first'])
  await recorder.close()
})

t.test('reading while the tree grows gives every event once', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  const wrong: number[][] = []
  for (let round = 0; round < 30; round += 1) {
    for (let command = 0; command < 50; command += 1) recorder.append(outcome(command))
    const sealed = recorder.seal()
    let done = false
    const over = sealed.then(() => {
      done = true
    })
    while (!done) {
      const found = await numbers(recorder)
      await new Promise(resolve => setImmediate(resolve))
      if (found.some((number, at) => number !== at + 1)) wrong.push(found)
    }
    await over
  }
  t.same(wrong, [])
  await recorder.close()
})
