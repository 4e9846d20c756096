// Loaded into the relay by latency.ts: takes down how long the record takes for each command, and writes it out when the relay ends.
import { writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const file = process.env['BENCH_LATENCY']

if (isMainThread && file !== undefined) {
  const { Recorder } = await import('@gate/relay/record/recorder')
  const taken: { append: number[]; later: number[]; sync: number[] } = { append: [], later: [], sync: [] }
  const { append, later, sync } = Recorder.prototype
  Recorder.prototype.append = function (body) {
    const from = performance.now()
    const sequence = append.call(this, body)
    if (body.type === 'command') taken.append.push(performance.now() - from)
    return sequence
  }
  Recorder.prototype.later = function (body) {
    const from = performance.now()
    later.call(this, body)
    if (body.type === 'outcome') taken.later.push(performance.now() - from)
  }
  Recorder.prototype.sync = async function () {
    const from = performance.now()
    await sync.call(this)
    taken.sync.push(performance.now() - from)
  }
  process.on('exit', () => writeFileSync(file, JSON.stringify(taken)))
}
