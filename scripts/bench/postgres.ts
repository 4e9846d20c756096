// Measures gate against a bare forwarder and against no gateway at all: `npm run bench`. See README.md beside this file.
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { runBenchmark, say } from './harness.ts'
import { idleMemory, type StreamMemory, streamMemory } from './memory.ts'
import { type Options, readOptions, usage } from './options.ts'
import { format, type Report } from './report.ts'
import { measure, type Result, type Window } from './rounds.ts'
import { type Setup, setUp } from './setup.ts'
import { checkRoutes, workloads } from './workloads.ts'

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

const options = readOptions(process.argv.slice(2))
if (options === undefined) process.stdout.write(usage)
else {
  await runBenchmark(async signal => {
    const report = await bench(options, signal)
    return options.json ? JSON.stringify(report, undefined, 2) : format(report)
  })
}
