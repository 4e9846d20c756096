// The recorder on real disks that refuse: nothing counts as recorded that is not, and it goes on when the disk does.
import { pbkdf2 } from 'node:crypto'
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, readFile, rm, rmdir, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { EventBody } from '@gate/relay/record/events'
import { segmentName } from '@gate/relay/record/journal'
import { Recorder } from '@gate/relay/record/recorder'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { collectLog } from '../../support/log.ts'
import { run, start } from '../../support/process.ts'
import { journalEvents, testTree } from '../../support/record.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const main = fileURLToPath(new URL('../../support/recorder-main.js', import.meta.url))
const isRoot = process.getuid?.() === 0

/** False when the shell can do it, otherwise the reason for skipping. */
const unless = async (script: string, reason: string): Promise<string | false> =>
  (await run('sh', ['-c', script])).code === 0 ? false : `NOT TESTED: ${reason}`
const noLimit = await unless('ulimit -S -f 10', 'the size of files cannot be limited on this system')
const noPrlimit = noLimit || (await unless('command -v prlimit', 'there is no prlimit (util-linux) on this system'))
const noMount = await unless(
  'd=$(mktemp -d) && mount -t tmpfs -o size=64k tmpfs "$d" && umount "$d" && rmdir "$d"',
  'only root can mount a small file system; the limit of a file is tested all the same',
)

const outcome = (command: number, status = 'SELECT 1'): EventBody => ({
  type: 'outcome',
  session: 's_1',
  command,
  status,
})

/** The commands of every outcome in the journal, after checking that no number is missing. */
async function recorded(directory: string): Promise<number[]> {
  const events = await journalEvents(directory)
  return events.flatMap(({ body }) => (body.type === 'outcome' ? [body.command] : []))
}

const wait = (ms: number): Promise<void> => systemClock.sleep(ms)

t.test('events are numbered from 1, chained over restarts, and kept where only we can read them', async t => {
  await using temporary = await temporaryDirectory('record')
  const directory = join(temporary.path, 'records')
  for (const life of [0, 1, 2]) {
    const recorder = await Recorder.open(directory, testTree, systemClock, silentLog)
    t.equal(recorder.sequence, 1 + life * 2)
    t.equal(recorder.append(outcome(life * 2)), 2 + life * 2)
    recorder.append(outcome(life * 2 + 1))
    t.equal(recorder.size, (await stat(join(directory, segmentName(1)))).size)
    await recorder.close()
  }
  t.same(await recorded(directory), [0, 1, 2, 3, 4, 5])
  t.match(
    await readFile(join(directory, segmentName(1)), 'utf8'),
    /^\{"sequence":1,"timeMs":\d+,"body":\{"type":"log.start"/,
  )
  t.equal((await stat(directory)).mode & 0o777, 0o700)
  t.equal((await stat(join(directory, segmentName(1)))).mode & 0o777, 0o600)
})

t.test('what may wait is written before the next event, or soon', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  recorder.later(outcome(1))
  recorder.later(outcome(2))
  t.same(await recorded(directory.path), [])
  recorder.append(outcome(3))
  t.same(await recorded(directory.path), [1, 2, 3])
  recorder.later(outcome(4))
  const deadline = Date.now() + 20_000
  while ((await recorded(directory.path)).length < 4 && Date.now() < deadline) await wait(20)
  t.same(await recorded(directory.path), [1, 2, 3, 4])
  recorder.later(outcome(5))
  await recorder.close()
  t.same(await recorded(directory.path), [1, 2, 3, 4, 5], 'also at the end')
})

t.test('a file that is large enough is followed by another, without a gap', async t => {
  await using directory = await temporaryDirectory('record')
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog, { segmentBytes: 400 })
  for (let command = 1; command <= 20; command += 1) {
    recorder.later(outcome(command * 2 - 1))
    recorder.append(outcome(command * 2))
  }
  await recorder.close()
  t.ok((await readdir(directory.path)).length > 5)
  t.same(
    await recorded(directory.path),
    Array.from({ length: 40 }, (_, index) => index + 1),
  )
})

t.test('a command whose record is being synced while its file becomes full is not refused', async t => {
  await using directory = await temporaryDirectory('record')
  for (const more of [1, 2, 3]) {
    const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog, { segmentBytes: 10 })
    // The threads that sync are busy, so that the sync begins after its file was replaced.
    const busy = Array.from({ length: 4 }, () => promisify(pbkdf2)('a', 'b', 50_000, 32, 'sha512'))
    recorder.append(outcome(1))
    const synced = recorder.sync()
    for (let next = 0; next < more; next += 1) recorder.append(outcome(2))
    await t.resolves(synced, `${more} files later`)
    await Promise.all(busy)
    await recorder.close()
  }
})

t.test('who writes faster than the tree grows waits for it, and is not refused', async t => {
  await using temporary = await temporaryDirectory('record')
  const directory = join(temporary.path, 'records')
  const recorder = await Recorder.open(directory, testTree, systemClock, silentLog)
  const status = 'x'.repeat(4000)
  t.equal(recorder.ready(false), undefined)
  let waits = 0
  // Twice what may be on its way into the tree.
  for (let command = 0; command < 32_000; command += 1) {
    recorder.append(outcome(command, status))
    const ready = recorder.ready(false)
    if (ready === undefined) continue
    waits += 1
    await ready
  }
  t.ok(waits > 0, `waited ${waits} times`)
  t.equal(recorder.ready(false), undefined)
  // A tree that cannot be written is not waited for: then the limit of what is on its way counts.
  await recorder.seal()
  await rm(join(directory, 'tile'), { recursive: true })
  await writeFile(join(directory, 'tile'), 'in the way')
  const fill = (): void => {
    for (let command = 0; command < 32_000; command += 1) recorder.append(outcome(command, status))
  }
  t.throws(fill, { code: 'ERR_GATE_RECORD', message: /not in its tree yet/ })
  await recorder.ready(false)
  await t.rejects(recorder.seal(), { code: 'ERR_GATE_RECORD' })
  t.equal(recorder.ready(false), undefined)
  await recorder.close()
})

t.test('a directory that cannot be used is an error of the record', async t => {
  await using directory = await temporaryDirectory('record')
  const file = join(directory.path, 'file')
  await writeFile(file, '')
  await t.rejects(Recorder.open(file, testTree, systemClock, silentLog), { code: 'ERR_GATE_RECORD' })
  if (isRoot) return
  await mkdir(join(directory.path, 'closed'))
  await chmod(join(directory.path, 'closed'), 0o500)
  await t.rejects(Recorder.open(join(directory.path, 'closed'), testTree, systemClock, silentLog), {
    code: 'ERR_GATE_RECORD',
  })
})

t.test('a next file that cannot be made records nothing, says so once, and loses no number', async t => {
  await using directory = await temporaryDirectory('record')
  const log = collectLog()
  const recorder = await Recorder.open(directory.path, testTree, systemClock, log, { segmentBytes: 10 })
  await mkdir(join(directory.path, segmentName(2)))
  for (let attempt = 0; attempt < 3; attempt += 1) {
    t.throws(() => recorder.append(outcome(1)), { code: 'ERR_GATE_RECORD', message: /EEXIST/, hint: /disk/ })
    t.equal(recorder.sequence, 1)
  }
  t.same(
    log.entries.map(({ event }) => event),
    ['record.failing'],
  )
  await rmdir(join(directory.path, segmentName(2)))
  t.equal(recorder.append(outcome(2)), 2)
  t.same(
    log.entries.map(({ event }) => event),
    ['record.failing', 'record.writing-again'],
  )
  await recorder.close()
  t.same(await recorded(directory.path), [2])
})

t.test('a disk that cannot promise to keep what it has fails the sync', async t => {
  await using directory = await temporaryDirectory('record')
  // The null device takes every write, and answers fdatasync with EINVAL.
  await symlink('/dev/null', join(directory.path, segmentName(1)))
  const recorder = await Recorder.open(directory.path, testTree, systemClock, silentLog)
  recorder.append(outcome(1))
  await t.rejects(recorder.sync(), { code: 'ERR_GATE_RECORD', message: /EINVAL/ })
  await t.rejects(Promise.all([recorder.sync(), recorder.sync()]), { code: 'ERR_GATE_RECORD' })
})

t.test(
  'a file that may not grow, then may: half a line is cut off again and no number is missing',
  { skip: noPrlimit },
  async t => {
    await using directory = await temporaryDirectory('record')
    // The limit is one of this process alone, in blocks of 512 bytes: 5 kB, and the soft one, so that it can be lifted.
    await using child = start('sh', [
      '-c',
      'ulimit -S -f 10 && exec "$0" --no-warnings "$1" "$2"',
      process.execPath,
      main,
      directory.path,
    ])
    await child.waitFor(/^open$/m)
    let told = 0
    const tell = async (word: string): Promise<string> => {
      child.child.stdin?.write(`${word}\n`)
      told += 1
      const [line] = await child.waitFor(new RegExp(`^${told} .*$`, 'm'))
      return line.slice(String(told).length + 1)
    }
    const written: number[] = []
    for (let step = 0; step < 8; step += 1) {
      const answer = await tell('append')
      if (answer.startsWith('written')) written.push(told)
      else t.equal(answer, 'ERR_GATE_RECORD EFBIG')
    }
    t.same(written, [1, 2, 3, 4])
    t.same(await tell('later'), 'later')
    t.same(await tell('append'), 'ERR_GATE_RECORD EFBIG')
    t.same(await tell('sync'), 'synced', 'what is there is safe')
    t.same(await recorded(directory.path), written, 'and the file holds nothing else that counts')
    t.ok((await stat(join(directory.path, segmentName(1)))).size <= 5120)
    t.equal((await run('prlimit', ['--pid', String(child.pid), '--fsize=1000000'])).code, 0)
    t.equal(await tell('append'), 'written 7', 'the event that waited is 6')
    child.child.stdin?.end()
    await child.waitFor(/^closed$/m)
    t.same(await recorded(directory.path), [...written, 9, 12])
    t.equal((await Recorder.open(directory.path, testTree, systemClock, silentLog)).sequence, 7)
  },
)

t.test('a relay that dies in the middle of a full disk leaves a log that goes on', { skip: noLimit }, async t => {
  await using directory = await temporaryDirectory('record')
  await using child = start('sh', [
    '-c',
    'ulimit -f 10 && exec "$0" --no-warnings "$1" "$2"',
    process.execPath,
    main,
    directory.path,
  ])
  await child.waitFor(/^open$/m)
  child.child.stdin?.write('append\n'.repeat(7))
  await child.waitFor(/^7 ERR_GATE_RECORD/m)
  child.kill('SIGKILL')
  await child.finished()
  t.equal((await stat(join(directory.path, segmentName(1)))).size, 5120, 'with half a line at its end')
  const log = collectLog()
  const recorder = await Recorder.open(directory.path, testTree, systemClock, log)
  t.match(log.entries, [{ event: 'record.torn-line-removed' }])
  recorder.append(outcome(100))
  await recorder.close()
  t.same(await recorded(directory.path), [1, 2, 3, 4, 100])
})

t.test('a file system that is full, then is not', { skip: noMount }, async t => {
  await using directory = await temporaryDirectory('record')
  const disk = join(directory.path, 'disk')
  await mkdir(disk)
  t.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk])).code, 0)
  try {
    const log = collectLog()
    const recorder = await Recorder.open(join(disk, 'records'), testTree, systemClock, log)
    const written: number[] = []
    const long = 'x'.repeat(3000)
    let failures = 0
    for (let command = 1; command <= 40; command += 1) {
      try {
        recorder.append(outcome(command, long))
        written.push(command)
      } catch (thrown) {
        t.match(thrown, { code: 'ERR_GATE_RECORD', message: /ENOSPC/ })
        failures += 1
      }
      if (failures === 3 && !existsSync(join(disk, 'ballast'))) t.same(await recorded(join(disk, 'records')), written)
    }
    t.ok(failures > 10 && written.length > 10)
    // Outcomes wait while they can; when there are too many, whoever reports them is told.
    t.throws(
      () => {
        for (let command = 0; command < 1000; command += 1) recorder.later(outcome(1000 + command, long))
      },
      { code: 'ERR_GATE_RECORD' },
    )
    await run('mount', ['-o', 'remount,size=16m', disk])
    recorder.append(outcome(50))
    await recorder.close()
    const all = await recorded(join(disk, 'records'))
    t.same(all.slice(0, written.length), written)
    t.equal(all.at(-1), 50)
    const waited = all.slice(written.length, -1)
    t.same(
      waited,
      waited.map((_, index) => 1000 + index),
      'everything that waited, in order',
    )
    t.ok(waited.length > 300)
    t.match(log.entries.at(-1), { event: 'record.writing-again' })
  } finally {
    await run('umount', [disk])
  }
})
