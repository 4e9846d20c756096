// Measures gate against a bare forwarder and against no gateway at all: `npm run bench`. See README.md beside this file.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { idleMemory, type StreamMemory, streamMemory } from './memory.ts'
import { type Options, readOptions, usage } from './options.ts'
import { ownChildren } from './proc.ts'
import { format, type Report } from './report.ts'
import { measure, type Result, type Window } from './rounds.ts'
import { type Setup, setUp } from './setup.ts'
import { checkRoutes, workloads } from './workloads.ts'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** A row of `people` and of `documents` on the wire, with its header, roughly: to ask for so many bytes. */
const PEOPLE_ROW_BYTES = 78
const DOCUMENTS_ROW_BYTES = 112

async function measureAll(setup: Setup, options: Options, signal: AbortSignal, windows: Window[]): Promise<Result[]> {
  const results: Result[] = []
  for (const workload of await workloads(setup, options)) {
    if (!options.wants(workload.name)) continue
    say(`${workload.name} …`)
    results.push(await measure(workload, setup.routes, options.rounds, signal, windows))
  }
  return results
}

async function measureStreams({ routes, rows }: Setup, options: Options, signal: AbortSignal): Promise<StreamMemory[]> {
  const { streamBytes } = options
  const [, ...relayed] = routes
  const times = (rowBytes: number): number => Math.max(1, Math.round(streamBytes / (rows * rowBytes)))
  const clear = `SELECT id, body FROM documents, times WHERE n <= ${times(DOCUMENTS_ROW_BYTES)}`
  const masked = `SELECT id, email, note FROM people, times WHERE n <= ${times(PEOPLE_ROW_BYTES)}`
  const measured: StreamMemory[] = []
  for (const route of relayed) {
    say(`stream through ${route.name} …`)
    measured.push(await streamMemory(route, 'bob', 'rows of 100 B', clear, streamBytes, signal))
    if (route.name !== 'gate') continue
    measured.push(await streamMemory(route, 'alice', '1 of 3 columns masked', masked, streamBytes, signal))
  }
  return measured
}

async function bench(options: Options, signal: AbortSignal): Promise<Report> {
  const loadBefore = loadavg()[0] ?? Number.NaN
  const { profile } = options
  if (profile !== undefined) await mkdir(profile, { recursive: true })
  const windows: Window[] = []
  const idle = []
  await using setup = await setUp({ rows: options.rows, profile, signal, say })
  await checkRoutes(setup)
  // Memory of idle connections first: after the other workloads heaps are as large as those made them.
  for (const route of options.wants('idle') ? setup.routes.slice(1) : []) {
    say(`idle connections through ${route.name} …`)
    idle.push(await idleMemory(route, options.idleConnections, signal))
  }
  const stream = options.wants('stream') ? await measureStreams(setup, options, signal) : []
  const results = await measureAll(setup, options, signal, windows)
  if (profile !== undefined) await writeFile(join(profile, 'windows.json'), JSON.stringify(windows))
  return { machine: await machine(setup, loadBefore), rounds: options.rounds, results, idle, stream }
}

async function machine({ postgres }: Setup, loadBefore: number): Promise<Report['machine']> {
  const [cpu] = cpus()
  const version = (await postgres.query('SHOW server_version'))[0]?.[0] ?? 'of unknown version'
  return {
    cpu: cpu?.model.trim() ?? 'unknown',
    cores: cpus().length,
    node: process.versions.node,
    postgres: `PostgreSQL ${version.replace(/ .*/, '')}`,
    loadBefore,
    loadAfter: loadavg()[0] ?? Number.NaN,
  }
}

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

async function main(options: Options): Promise<void> {
  const { signal, interrupted } = interruption()
  // One place for all temporary directories, which PostgreSQL's user has to be able to enter.
  const directory = await mkdtemp(join(tmpdir(), 'gate-bench-'))
  await chmod(directory, 0o711)
  process.env['TMPDIR'] = directory
  let code = 0
  try {
    const report = await Promise.race([bench(options, signal), interrupted])
    process.stdout.write(`${options.json ? JSON.stringify(report, undefined, 2) : format(report)}\n`)
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

if (process.platform !== 'linux') throw new Error('the benchmark reads /proc: it needs Linux')
const options = readOptions(process.argv.slice(2))
if (options === undefined) process.stdout.write(usage)
else await main(options)
