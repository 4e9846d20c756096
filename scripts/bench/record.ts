// Measures the record alone: writing events, waiting for the disk, and checking what was written. See README.md beside this file.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { directorySource } from '@gate/cli/record-source'
import type { EventBody } from '@gate/relay/record/events'
import { Recorder } from '@gate/relay/record/recorder'
import { durabilities } from '@gate/relay/session/durability'
import { systemClock } from '@gate/shared/clock'
import { silentLog } from '@gate/shared/log'
import { createVerifier } from '@gate/shared/record/checkpoint'
import { readNote, verifyRecord } from '@gate/shared/record/verify'
import { testTree } from '#support/record'

const BATCH = 500
const SYNCS = 200
const VERIFY_ROUNDS = 5

const { values } = parseArgs({ options: { events: { type: 'string', default: '200000' } } })
const count = Number(values.events)
if (!Number.isInteger(count) || count < BATCH) throw new Error(`--events: expected a whole number from ${BATCH} on`)

/** A command as pgbench sends it, known from before. */
const command = (number: number): EventBody => ({
  type: 'command',
  session: 's_000000000001',
  command: number,
  action: 'select',
  text: '',
  sameTextAs: 1,
  parameters: [{ text: String(number), bytes: 6, format: 'text' }],
  resources: [{ kind: 'table', name: 'public.pgbench_accounts', mode: 'read' }],
  facts: { hasWhere: true, tables: ['public.pgbench_accounts'], columns: ['abalance', 'aid'] },
  decision: { effect: 'allow', rule: 'everything' },
  policy: 'a'.repeat(64),
})

const say = (what: string, value: string): void => void process.stdout.write(`${what.padEnd(44)} ${value}\n`)
const directory = await mkdtemp(join(tmpdir(), 'gate-bench-record-'))
try {
  const recorder = await Recorder.open(directory, testTree, systemClock, silentLog)
  let inAppend = 0
  const began = performance.now()
  for (let done = 0; done < count; done += BATCH) {
    const from = performance.now()
    for (let index = 0; index < BATCH; index += 1) recorder.append(command(done + index))
    inAppend += performance.now() - from
    // No relay writes so fast for so long: the tree has to keep up.
    if (done % (20 * BATCH) === 0) await recorder.seal()
  }
  say('append, µs an event', ((inAppend / count) * 1000).toFixed(1))
  await recorder.seal()
  say('append and tree, µs an event', (((performance.now() - began) / count) * 1000).toFixed(1))
  // What a command pays under each durability: `write` waits for nothing, `fsync` shares a sync with whoever comes meanwhile.
  for (const clients of [1, 8, 64]) {
    for (const durability of durabilities) {
      const from = performance.now()
      await Promise.all(
        Array.from({ length: clients }, async () => {
          for (let index = 0; index < SYNCS; index += 1) {
            recorder.append(command(index))
            if (durability === 'fsync') await recorder.sync()
          }
        }),
      )
      const each = ((performance.now() - from) / SYNCS / clients) * 1000
      say(`${durability}, ${clients} at once, µs a command`, each.toFixed(each < 100 ? 1 : 0))
    }
  }
  await recorder.close()
  const verifier = createVerifier(testTree.origin, testTree.key)
  const read = directorySource(directory)
  for (let round = 1; round <= VERIFY_ROUNDS; round += 1) {
    const used = process.cpuUsage()
    const from = performance.now()
    const { bytes, findings, head } = await verifyRecord({ read, note: await readNote(read), verifier, kept: [] })
    if (findings.length > 0) throw new Error(JSON.stringify(findings))
    const { user, system } = process.cpuUsage(used)
    const rate = (bytes / 1e3 / (performance.now() - from)).toFixed(0)
    say(
      `verify, MB/s (round ${round}, ${head.size} records)`,
      `${rate}, of CPU ${(bytes / (user + system)).toFixed(0)}`,
    )
  }
} finally {
  await rm(directory, { recursive: true, force: true })
}
