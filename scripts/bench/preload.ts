// Loaded into every hop by --profile: profiles the thread that moves data, and writes what it found when the process ends.
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'
import { isMainThread } from 'node:worker_threads'

const SAMPLE_EVERY_US = 500
const directory = process.env['BENCH_PROFILE']

// Node 20 allows --cpu-prof on the command line only, and gate's command lines are made elsewhere.
if (isMainThread && directory !== undefined) {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY_US })
  session.post('Profiler.start')
  process.on('exit', () => {
    session.post('Profiler.stop', (error, result) => {
      if (error === null) writeFileSync(join(directory, `${process.pid}.cpuprofile`), JSON.stringify(result.profile))
    })
  })
}
