// The record on the disk: found again after any power cut, refused after any other change, and read back session by session.
import { copyFile, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EventBody, StoredEvent } from '@gate/relay/record/events'
import { segmentName } from '@gate/relay/record/journal'
import { Recorder } from '@gate/relay/record/recorder'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import t from 'tap'
import { collectLog } from '../../support/log.ts'
import { testTree } from '../../support/record.ts'
import { temporaryDirectory } from '../../support/tmp.ts'

const outcome = (session: string, command: number, status = 'SELECT 1'): EventBody => ({
  type: 'outcome',
  session,
  command,
  status,
})

/** Writes a log and leaves it as a relay does that goes down in order. */
async function write(directory: string, bodies: readonly EventBody[], segmentBytes = 1_000_000): Promise<void> {
  const recorder = await Recorder.open(directory, testTree, systemClock, silentLog, { segmentBytes })
  for (const body of bodies) recorder.append(body)
  await recorder.close()
}

async function read(directory: string, session: string, first = 1, last?: number): Promise<StoredEvent[]> {
  const recorder = await Recorder.open(directory, testTree, systemClock, silentLog)
  try {
    const events: StoredEvent[] = []
    for await (const event of recorder.read(session, first, last)) events.push(event)
    return events
  } finally {
    await recorder.close()
  }
}

/** The number of the newest event, as a relay finds it. */
async function newest(directory: string, log = silentLog): Promise<number> {
  const recorder = await Recorder.open(directory, testTree, systemClock, log)
  await recorder.close()
  return recorder.sequence
}

/** Takes the tree away: what is left is a relay that died before its first checkpoint. */
async function withoutTree(directory: string): Promise<void> {
  await rm(join(directory, 'tile'), { recursive: true })
  await rm(join(directory, 'checkpoint'))
}

t.test('half a line at the end, cut at any byte, is cut off, and the log goes on', async t => {
  await using directory = await temporaryDirectory('record')
  await write(directory.path, [outcome('s_1', 1), outcome('s_1', 2, 'SÉLÈCT 😀 "}')])
  await withoutTree(directory.path)
  const file = join(directory.path, segmentName(1))
  const whole = await readFile(file)
  const lastStart = whole.lastIndexOf(10, whole.length - 2) + 1
  t.ok(whole.length - lastStart > 80)
  const wrong: unknown[] = []
  for (let cut = lastStart; cut < whole.length; cut += 1) {
    await using copy = await temporaryDirectory('record')
    await writeFile(join(copy.path, segmentName(1)), whole.subarray(0, cut))
    const log = collectLog()
    const sequence = await newest(copy.path, log)
    const left = await readFile(join(copy.path, segmentName(1)))
    const said = log.entries.some(({ event }) => event === 'record.torn-line-removed')
    if (sequence !== 2 || left.length !== lastStart || said !== cut > lastStart) wrong.push({ cut, sequence })
  }
  t.same(wrong, [])
  for (const cut of [lastStart, lastStart + 1, whole.length - 1]) {
    await using copy = await temporaryDirectory('record')
    await writeFile(join(copy.path, segmentName(1)), whole.subarray(0, cut))
    await write(copy.path, [outcome('s_1', 2, 'again')])
    t.same(
      (await read(copy.path, 's_1')).map(({ sequence }) => sequence),
      [2, 3],
    )
  }
})

t.test('a power cut that takes lines which the tree has already takes nothing', async t => {
  await using directory = await temporaryDirectory('record')
  await write(directory.path, [outcome('s_1', 1), outcome('s_1', 2), outcome('s_1', 3)])
  const file = join(directory.path, segmentName(1))
  const whole = await readFile(file)
  for (const keep of [whole.length - 1, whole.indexOf(10) + 5, 10, 0]) {
    await writeFile(file, whole.subarray(0, keep))
    const before = await newest(directory.path)
    await write(directory.path, [outcome('s_2', before)])
    const all = [...(await read(directory.path, 's_1')), ...(await read(directory.path, 's_2'))]
    t.same(
      all.map(({ sequence }) => sequence),
      Array.from({ length: before }, (_, index) => index + 2),
      `${keep} bytes of the journal left`,
    )
  }
})

t.test('half a first line is cut off too, and the log begins again', async t => {
  await using directory = await temporaryDirectory('record')
  const file = join(directory.path, segmentName(1))
  for (const text of ['', '{', '{"sequence":1,"timeMs":1,"body":{"type":"log.st']) {
    await writeFile(file, text)
    await write(directory.path, [outcome('s_1', 1)])
    t.equal(await newest(directory.path), 2, JSON.stringify(text))
    await withoutTree(directory.path)
  }
})

t.test('a log in which a line was changed, removed, swapped or added is not gone on with', async t => {
  await using directory = await temporaryDirectory('record')
  await write(
    directory.path,
    Array.from({ length: 5 }, (_, index) => outcome('s_1', index + 1)),
  )
  const file = join(directory.path, segmentName(1))
  const text = await readFile(file, 'utf8')
  const lines = text.split('\n').slice(0, -1)
  const [, second = '', third = ''] = lines
  const changes: [string, string[]][] = [
    ['changed', lines.with(2, third.replace('SELECT 1', 'SELECT 2'))],
    ['removed', lines.toSpliced(2, 1)],
    ['the first removed', lines.slice(1)],
    ['one taken away at the end and another put there', [...lines.slice(0, -1), second]],
    ['swapped', lines.with(1, third).with(2, second)],
    ['repeated', lines.toSpliced(2, 0, second)],
    ['empty one added', lines.toSpliced(2, 0, '')],
    ['foreign one added at the end', [...lines, '{"sequence":7,"timeMs":1,"body":{}}']],
  ]
  for (const [what, changed] of changes) {
    await writeFile(file, changed.map(line => `${line}\n`).join(''))
    await t.rejects(write(directory.path, []), { code: 'ERR_GATE_RECORD', message: /^record \d / }, what)
    t.equal(await readFile(file, 'utf8'), changed.map(line => `${line}\n`).join(''), `${what}: left as evidence`)
  }
  await writeFile(file, text)
  await write(directory.path, [])
})

t.test('a log in several files', async t => {
  await using directory = await temporaryDirectory('record')
  const bodies = Array.from({ length: 30 }, (_, index) => outcome(index % 3 === 0 ? 's_a' : 's_b', index + 1))
  await write(directory.path, bodies, 600)
  const names = (await readdir(directory.path)).filter(name => name.endsWith('.jsonl')).sort()
  t.ok(names.length >= 5, `${names.length} files`)

  await t.test('is named after the first event of each, and read through in order', async t => {
    for (const name of names) {
      const [first = ''] = (await readFile(join(directory.path, name), 'utf8')).split('\n')
      t.equal(name, segmentName(Number(/"sequence":(\d+)/.exec(first)?.[1])))
    }
    const all = await read(directory.path, 's_a')
    t.same(
      all.map(({ body }) => body),
      bodies.filter(body => 'session' in body && body.session === 's_a'),
    )
  })

  await t.test('gives the events of a session between two numbers', async t => {
    const all = (await read(directory.path, 's_b')).map(({ sequence }) => sequence)
    for (const [first, last] of [
      [1, 31],
      [5, 20],
      [20, undefined],
      [31, 31],
      [40, 50],
      [7, 6],
    ] as const) {
      t.same(
        (await read(directory.path, 's_b', first, last)).map(({ sequence }) => sequence),
        all.filter(number => number >= first && (last === undefined || number <= last)),
        `${first} to ${last}`,
      )
    }
    t.same(await read(directory.path, 's_'), [])
    t.same(await read(directory.path, 's_none'), [])
  })

  await t.test('goes on in the newest file, also when that is still empty', async t => {
    await writeFile(join(directory.path, segmentName(32)), '')
    await write(directory.path, [outcome('s_c', 1)], 600)
    t.match(await readFile(join(directory.path, segmentName(32)), 'utf8'), /^\{"sequence":32,/)
    await writeFile(join(directory.path, 'notes.txt'), 'of an administrator')
    await mkdir(join(directory.path, 'events-1.jsonl'))
    t.equal(await newest(directory.path), 32, 'what is no file of the journal is left alone')
  })

  await t.test(
    'does not need what the tree has, and is not gone on with when a line is missing that it has not',
    async t => {
      const before = names.at(-1) ?? ''
      await rename(join(directory.path, before), join(directory.path, 'moved'))
      t.equal(await newest(directory.path), 32)
      t.equal((await read(directory.path, 's_b')).length, 20)
      await rename(join(directory.path, 'moved'), join(directory.path, before))
      await using copy = await temporaryDirectory('record')
      for (const name of [names[0] ?? '', names[2] ?? ''])
        await copyFile(join(directory.path, name), join(copy.path, name))
      await t.rejects(newest(copy.path), { code: 'ERR_GATE_RECORD', message: /^record \d+ is missing before events-/ })
      await rm(join(copy.path, names[0] ?? ''))
      await t.rejects(newest(copy.path), { code: 'ERR_GATE_RECORD', message: /^record 1 is missing/ })
    },
  )
})

t.test('files whose events are all in whole bundles are not kept twice', async t => {
  await using directory = await temporaryDirectory('record')
  const bodies = Array.from({ length: 700 }, (_, index) => outcome('s_1', index + 1))
  await write(directory.path, bodies, 10_000)
  const names = (await readdir(directory.path)).filter(name => name.endsWith('.jsonl')).sort()
  t.ok(names.length < 10, `${names.length} files`)
  t.ok(Number(/\d+/.exec(names[1] ?? '')?.[0]) > 512, 'those that hold what is in no whole bundle are there')
  t.same(
    (await read(directory.path, 's_1')).map(({ body }) => body),
    bodies,
  )
  await write(directory.path, [outcome('s_2', 1)])
  t.equal(await newest(directory.path), 702)
})

t.test('a session shows only its own events', async t => {
  await using directory = await temporaryDirectory('record')
  const liar = `","session":"s_1"} {"session":"s_1","type":"outcome"} "session":"s_1"`
  await write(directory.path, [
    outcome('s_1', 1),
    outcome('s_2', 1, liar),
    outcome('s_11', 1),
    { type: 'view', session: 's_1', by: 'bob' },
  ])
  t.same(
    (await read(directory.path, 's_1')).map(({ sequence }) => sequence),
    [2, 5],
  )
  t.same(
    (await read(directory.path, 's_2')).map(({ body }) => body),
    [outcome('s_2', 1, liar)],
  )
})

t.test('a statement with any kind of line break in it is shown', async t => {
  await using directory = await temporaryDirectory('record')
  const bodies = ['\n', '\r\n', '\r', '\u2028', '\u2029', '\u0085', '\v', '\f'].map((text, index) =>
    outcome('s_1', index + 1, `before${text}after`),
  )
  await write(directory.path, bodies)
  t.same(
    (await read(directory.path, 's_1')).map(({ body }) => body),
    bodies,
  )
})
