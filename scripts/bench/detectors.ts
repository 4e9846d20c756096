// Micro-benchmark of the detectors on values that hold nothing, as nearly all do. node scripts/dist/bench/detectors.js
import { cpus } from 'node:os'
import { compileDetectors, detectorKinds } from '@gate/relay/mask/detectors'
import { compileJsonDetectors } from '@gate/relay/mask/json'
import { table } from './report.ts'
import { quantile } from './statistics.ts'

const BLOCK_BYTES = 2 * 1024 * 1024
const WARM_UP_RUNS = 10
const RUNS = 20

type Mask = (value: Buffer) => Buffer | undefined

/** Values of one sort; about BLOCK_BYTES of them. */
function values(make: (index: number) => string): Buffer[] {
  const all: Buffer[] = []
  for (let bytes = 0, index = 0; bytes < BLOCK_BYTES; index += 1) {
    const value = Buffer.from(make(index))
    all.push(value)
    bytes += value.length
  }
  return all
}

const prose =
  'The relay reads every message, asks policy before it goes on, and writes down what it did: nobody has to trust anybody. '
const uuid = (index: number): string =>
  `${(index * 2_654_435_761).toString(16).padStart(8, '0').slice(-8)}-9c3a-4f1e-8b7d-0a1b2c3d4e5f`

const sorts: readonly (readonly [name: string, values: Buffer[]])[] = [
  ['prose of 120 bytes', values(() => prose)],
  ['prose of 8 kB', values(() => prose.repeat(68))],
  ['names of 12 bytes', values(index => `Ada Nr${(index % 26) + 10} Byron`)],
  ['numbers of 7 digits', values(index => String(1_000_000 + index))],
  ['timestamps', values(index => `2023-11-23 10:${10 + (index % 50)}:00.123456+00`)],
  ['uuids', values(uuid)],
  [
    'log lines',
    values(
      index =>
        `2023-11-23T10:15:00.123Z INFO worker[${index % 99}] request done path=/api/v1/items status=200 took=12ms`,
    ),
  ],
]
const documents: readonly (readonly [name: string, values: Buffer[]])[] = [
  [
    'JSON of 200 bytes',
    values(index =>
      JSON.stringify({ id: index, name: 'Ada', tags: ['a', 'b'], at: '2023-11-23T10:15:00Z', note: prose }),
    ),
  ],
  ['JSON with escapes', values(index => JSON.stringify({ id: index, note: `${prose}\n"${prose}"\n` }))],
]

function measure(mask: Mask, all: readonly Buffer[]): { megabytesPerSecond: number; nsPerValue: number } {
  const bytes = all.reduce((sum, value) => sum + value.length, 0)
  const run = (): number => {
    // CPU time and not the clock's: others may work on the machine.
    const before = process.cpuUsage()
    for (const value of all) if (mask(value) !== undefined) throw new Error(`found something in ${value}`)
    return process.cpuUsage(before).user / 1e6
  }
  for (let index = 0; index < WARM_UP_RUNS; index += 1) run()
  const seconds = quantile(Array.from({ length: RUNS }, run), 0.5)
  return { megabytesPerSecond: bytes / 1e6 / seconds, nsPerValue: (seconds * 1e9) / all.length }
}

const withoutIp = detectorKinds.filter(kind => kind !== 'ip')
const text = compileDetectors(withoutIp, { with: 'redact' })
const json = compileJsonDetectors(withoutIp, { with: 'redact' })
const measured = [
  ...sorts.map(([name, all]) => ({ name, ...measure(text, all) })),
  ...documents.map(([name, all]) => ({ name, ...measure(json, all) })),
]
const rows = measured.map(({ name, megabytesPerSecond, nsPerValue }) => [
  name,
  megabytesPerSecond.toFixed(0),
  nsPerValue.toFixed(0),
])
const title = `Node ${process.versions.node}, ${cpus()[0]?.model.trim()}; all detectors but ip; CPU time, medians of ${RUNS} runs after ${WARM_UP_RUNS}`
process.stdout.write(`${title}\n\n${table([['values that hold nothing', 'MB/s', 'ns/value'], ...rows])}\n`)
