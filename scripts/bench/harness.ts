// What every benchmark of whole routes needs around it: one temporary directory, clean interruption, no child left behind.
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { ownChildren } from './proc.ts'

export const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** Children that were told to stop have this long; PostgreSQL and gate end by themselves well before. */
const STOP_MS = 8_000
const LOOK_MS = 100

async function stopChildren(): Promise<void> {
  const deadline = performance.now() + STOP_MS
  for (let round = 0; ; round += 1) {
    const children = await ownChildren()
    if (children.length === 0) return
    const late = performance.now() > deadline
    // Once is enough: told twice, gate stops in the middle of its own cleaning up.
    for (const pid of round === 0 || late ? children : []) {
      try {
        process.kill(pid, late ? 'SIGKILL' : 'SIGINT')
      } catch {
        // It ended by itself in between.
      }
    }
    await wait(LOOK_MS)
  }
}

/** Rejects when somebody interrupts. */
function interruption(): { signal: AbortSignal; interrupted: Promise<never> } {
  const controller = new AbortController()
  const interrupted = new Promise<never>((_resolve, reject) => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) {
      process.once(name, () => {
        const reason = new Interrupted(`stopped by ${name}`)
        controller.abort(reason)
        reject(reason)
      })
    }
  })
  return { signal: controller.signal, interrupted }
}

class Interrupted extends Error {}

/** Runs a benchmark, prints what it gives, and ends the process with 0, 1 or, interrupted, 130. */
export async function runBenchmark(measure: (signal: AbortSignal) => Promise<string>): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the benchmark reads /proc: it needs Linux')
  const { signal, interrupted } = interruption()
  // One place for all temporary directories, which PostgreSQL's user has to be able to enter.
  const directory = await mkdtemp(join(tmpdir(), 'gate-bench-'))
  await chmod(directory, 0o711)
  process.env['TMPDIR'] = directory
  let code = 0
  try {
    process.stdout.write(`${await Promise.race([measure(signal), interrupted])}\n`)
  } catch (thrown) {
    say(thrown instanceof Interrupted ? thrown.message : String((thrown as Error).stack))
    code = thrown instanceof Interrupted ? 130 : 1
  } finally {
    // Also after a failure half-way, when nobody owns what was started.
    await stopChildren()
    await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 })
  }
  process.exit(code)
}
