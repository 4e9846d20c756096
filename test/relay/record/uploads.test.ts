// The record in a bucket of a real server: what it has proves everything, and nothing is gone here before it is there.
import { existsSync } from 'node:fs'
import { cp, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EventBody } from '@gate/relay/record/events'
import { type ObjectStore, openBucket } from '@gate/relay/record/object-store'
import { Recorder } from '@gate/relay/record/recorder'
import type { UploadTerms } from '@gate/relay/record/uploads'
import { systemClock } from '@gate/shared/clock'
import { type Log, silentLog } from '@gate/shared/log'
import { createVerifier } from '@gate/shared/record/checkpoint'
import { bundlePath } from '@gate/shared/record/tiles'
import { type Verified, verifyRecord } from '@gate/shared/record/verify'
import t from 'tap'
import { collectLog } from '../../support/log.ts'
import { testTree } from '../../support/record.ts'
import { BUCKET, credentials, type Fault, s3Program, startS3, startWire } from '../../support/s3.ts'
import { temporaryDirectory } from '../../support/tmp.ts'
import { until } from '../../support/until.ts'

const found = await s3Program()
const skip = 'missing' in found ? found.missing : false
const program = 'program' in found ? found.program : ''

const outcome = (command: number): EventBody => ({ type: 'outcome', session: 's_1', command, status: 'SELECT 1' })
const short = { delayMs: 20, backoffMs: 20, longestBackoffMs: 50, keptBundles: 0 }

let places = 0
async function bucketAt(endpoint: string, prefix = `relay_${++places}/`, timeoutMs = 2_000): Promise<ObjectStore> {
  return openBucket(
    { endpoint, region: 'us-east-1', bucket: BUCKET, prefix, credentials, forcePathStyle: true },
    timeoutMs,
  )
}
const open = (directory: string, store: ObjectStore, more: Partial<UploadTerms> = {}, log: Log = silentLog) =>
  Recorder.open(directory, testTree, systemClock, log, {
    segmentBytes: 5_000,
    uploads: { store, place: 'here', ...short, ...more },
  })
const verify = (read: ObjectStore['get']): Promise<Verified> =>
  verifyRecord({ read, verifier: createVerifier(testTree.origin, testTree.key), kept: [] })

/** Records of the bucket's checkpoint. */
const sizeOf = async (store: ObjectStore): Promise<number> =>
  Number((await store.get('checkpoint'))?.toString('utf8').split('\n')[1] ?? 0)
const fill = (recorder: Recorder, count: number): void => {
  for (let command = 0; command < count; command += 1) recorder.append(outcome(command))
}
const journalsOf = async (directory: string): Promise<string[]> =>
  (await readdir(directory)).filter(name => name.startsWith('events-')).sort()
async function numbersOf(recorder: Recorder): Promise<number[]> {
  const numbers: number[] = []
  for await (const { sequence } of recorder.readFrom(1)) numbers.push(sequence)
  return numbers
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1)

t.test('a record in a bucket', { skip }, async t => {
  await using server = await startS3(program)
  await using wire = await startWire(server)

  await t.test('is there whole, its checkpoint last, and what is there need not be here', async t => {
    await using directory = await temporaryDirectory('record')
    const store = await bucketAt(wire.endpoint)
    const recorder = await open(directory.path, store)
    wire.requests.length = 0
    fill(recorder, 700)
    await recorder.seal()
    await until('all of it', async () => (await sizeOf(store)) === 701)
    const verified = await verify(store.get.bind(store))
    t.same([verified.head.size, verified.findings], [701, []])
    const puts = wire.requests.filter(({ method }) => method === 'PUT').map(({ path }) => path.split('?')[0] ?? '')
    t.equal(
      puts.findLastIndex(path => path.endsWith('/checkpoint')),
      puts.length - 1,
    )
    for (const part of ['tile/entries/000', 'tile/entries/001', 'tile/0/000', 'tile/0/001'])
      t.equal(puts.filter(path => path.endsWith(part)).length, 1, `${part} once`)
    await until('less here', () => !existsSync(join(directory.path, bundlePath(1))))
    t.notOk(existsSync(join(directory.path, bundlePath(0))))
    t.ok(existsSync(join(directory.path, 'tile', '0', '000')), 'the hashes stay')
    t.same(await numbersOf(recorder), upTo(701), 'and everything is read back')
    t.equal((await recorder.part(bundlePath(0)))?.length, (await store.get(bundlePath(0)))?.length)
    fill(recorder, 300)
    await recorder.close()
    const again = await open(directory.path, await bucketAt(wire.endpoint, `relay_${places}/`))
    t.same(await numbersOf(again), upTo(1001))
    await again.close()
    const after = await bucketAt(server.endpoint, `relay_${places}/`)
    t.equal(await sizeOf(after), 1001, 'the end is uploaded when a relay goes down')
    t.same((await verify(after.get.bind(after))).findings, [])
    const prefix = `relay_${places}/`
    const parts = (await server.names(`${prefix}tile/0/`)).filter(name => name.includes('.p/'))
    t.ok(parts.length <= 3, `${parts.length} superseded parts`)
    await using copy = await temporaryDirectory('copy')
    await server.copy(prefix, copy.path)
    const copied = await verify(path => readFile(join(copy.path, path)).catch(() => undefined))
    t.same([copied.head.size, copied.findings], [1001, []], 'a synced directory is as good')
    const bytes = await readFile(join(copy.path, bundlePath(0)), 'latin1')
    const changed = bytes.replace('"command":41,', '"command":14,')
    await server.put(`${prefix}${bundlePath(0)}`, Buffer.from(changed, 'latin1'))
    const store2 = await bucketAt(server.endpoint, prefix)
    const suspect = await open(directory.path, store2)
    await t.rejects(numbersOf(suspect), { code: 'ERR_GATE_TAMPERED' }, 'what was changed there is not shown')
    await suspect.close()
    const { findings } = await verify(after.get.bind(after))
    t.same(findings, [{ record: 43, what: 'record 43 was changed' }])
    after.close()
  })

  await t.test(
    'that cannot be reached: work goes on up to a limit, stops with a word, and goes on by itself',
    async t => {
      await using directory = await temporaryDirectory('record')
      const log = collectLog()
      const store = await bucketAt(wire.endpoint)
      const recorder = await open(directory.path, store, { backlogBytes: 100_000 }, log)
      fill(recorder, 300)
      await recorder.seal()
      await until('the first', async () => (await sizeOf(store)) === 301)
      await server.kill()
      let refused: unknown
      let written = 301
      while (refused === undefined && written < 10_000) {
        try {
          fill(recorder, 50)
          written += 50
          await recorder.seal()
        } catch (thrown) {
          refused = thrown
        }
      }
      t.match(refused, { code: 'ERR_GATE_RECORD', message: /has not reached its storage/, hint: /record\.storage/ })
      t.ok(written > 600 && written < 3_000, `${written} events`)
      t.equal(recorder.head.size, written, 'and the tree is signed all the same')
      const [oldest = ''] = await journalsOf(directory.path)
      t.ok(Number(/\d+/.exec(oldest)?.[0]) <= 257, 'the journal still has what the bucket has not')
      t.ok(existsSync(join(directory.path, bundlePath(1))))
      await server.restart()
      await until('going on', async () => {
        try {
          fill(recorder, 1)
          return true
        } catch {
          return false
        }
      })
      await recorder.seal()
      await until('all of it', async () => (await sizeOf(store)) === recorder.sequence)
      t.same((await verify(store.get.bind(store))).findings, [])
      t.match(
        log.entries.map(({ event }) => event),
        ['record.upload-failing', 'record.uploading-again'],
      )
      await recorder.close()
    },
  )

  for (const fault of [
    'error 500',
    'no answer',
    'half a request',
    'answer lost',
    'other bytes',
    'other checksum',
  ] as const satisfies readonly Fault[])
    await t.test(`on a bad way (${fault}) is acknowledged only when it is there`, async t => {
      await using directory = await temporaryDirectory('record')
      const log = collectLog()
      const store = await bucketAt(wire.endpoint, undefined, 500)
      const honest = await bucketAt(server.endpoint, `relay_${places}/`)
      let bad = true
      wire.requests.length = 0
      wire.fault = (method, path) => (bad && method === 'PUT' && path.includes('entries') ? fault : 'none')
      const recorder = await open(directory.path, store, {}, log)
      fill(recorder, 600)
      await recorder.seal()
      await until('three tries', () => wire.requests.filter(({ path }) => path.includes('entries/000')).length >= 3)
      // The bucket has it then, and finds out at the next try, which reads it back.
      const isThere = fault === 'answer lost' || fault === 'other checksum'
      if (!isThere) t.equal(await sizeOf(honest), 0, 'no checkpoint before what it covers')
      if (fault === 'other bytes')
        t.notOk(wire.requests.some(({ path, status }) => path.includes('entries') && status === 200))
      if (!isThere) {
        t.ok(existsSync(join(directory.path, bundlePath(0))))
        t.equal((await journalsOf(directory.path))[0], 'events-000000000000001.jsonl', 'nothing is forgotten here')
      }
      bad = false
      await until('all of it', async () => (await sizeOf(honest)) === 601)
      if (isThere) t.ok(wire.requests.some(({ method, path }) => method === 'GET' && path.includes('entries/000')))
      t.same((await verify(honest.get.bind(honest))).findings, [])
      wire.fault = () => 'none'
      await recorder.close()
      honest.close()
    })

  await t.test('whose names are taken by something else is left alone, and nothing is forgotten here', async t => {
    await using directory = await temporaryDirectory('record')
    const log = collectLog()
    const store = await bucketAt(server.endpoint)
    await store.put(bundlePath(0), Buffer.from('of another relay'), 'once')
    const recorder = await open(directory.path, store, {}, log)
    fill(recorder, 600)
    await recorder.seal()
    await until('a word', () => log.entries.some(({ event }) => event === 'record.upload-failing'))
    t.match(log.entries[0]?.fields, { error: { code: 'ERR_GATE_TAMPERED' } })
    t.equal((await store.get(bundlePath(0)))?.toString(), 'of another relay')
    t.equal(await sizeOf(store), 0)
    t.ok(existsSync(join(directory.path, bundlePath(0))))
    await recorder.close()
  })

  await t.test('that has lost its end, or this directory has, is noticed at the start', async t => {
    await using directory = await temporaryDirectory('record')
    await using older = await temporaryDirectory('older')
    const store = await bucketAt(server.endpoint)
    const recorder = await open(directory.path, store)
    fill(recorder, 10)
    await recorder.close()
    await cp(directory.path, older.path, { recursive: true })
    const more = await open(directory.path, await bucketAt(server.endpoint, `relay_${places}/`))
    fill(more, 10)
    await more.close()
    await cp(join(directory.path, 'uploaded.json'), join(older.path, 'uploaded.json'))
    await t.rejects(open(older.path, await bucketAt(server.endpoint, `relay_${places}/`)), {
      code: 'ERR_GATE_RECORD',
      message: /the bucket has 21 records, and the tree here 11/,
    })
  })
})
