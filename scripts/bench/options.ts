// The command line of the benchmark.
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'

export const groups = ['pgbench', 'copy', 'select', 'distinct', 'migration', 'connect', 'idle', 'stream'] as const

export interface Options {
  readonly json: boolean
  readonly rounds: number
  readonly rows: number
  readonly pgbenchSeconds: number
  readonly connections: number
  /** Different statements of the workloads that have many. */
  readonly statements: number
  /** Rounds of a migration's statements. */
  readonly migrations: number
  readonly idleConnections: number
  readonly streamBytes: number
  readonly profile: string | undefined
  /** Whether a workload, or a measurement of memory, was chosen: by its name or the beginning of it. */
  wants(name: string): boolean
}

export const usage = `node scripts/dist/bench/postgres.js [options] [workload …]

Workloads: ${groups.join(', ')}; or one by its whole name, for example pgbench-prepared-8. All of them when none is given.

  --quick          fewer rows, shorter runs, three rounds: under three minutes
  --rounds <n>     rounds of each workload (5; at least 3 say anything)
  --seconds <n>    seconds of each pgbench run (5)
  --rows <n>       rows of the large results (1000000)
  --json           one JSON object on stdout instead of the table
  --profile <dir>  all hops write CPU profiles there; node scripts/dist/bench/profile.js <dir> shows them
  --help           this
`

const GIGABYTE = 1_000_000_000

function number(text: string | undefined, option: string, fallback: number): number {
  if (text === undefined) return fallback
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  throw new Error(`--${option}: expected a whole number, got "${text}"`)
}

/** Undefined when help was asked for. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      rows: { type: 'string' },
      profile: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help === true) return undefined
  const quick = values.quick === true
  const wants = (name: string): boolean =>
    positionals.length === 0 || positionals.some(chosen => name === chosen || name.startsWith(`${chosen}-`))
  for (const chosen of positionals) {
    if (!groups.some(group => chosen === group || chosen.startsWith(`${group}-`)))
      throw new Error(`unknown workload ${chosen}; there are ${groups.join(', ')}`)
  }
  return {
    json: values.json === true,
    rounds: number(values.rounds, 'rounds', quick ? 3 : 5),
    rows: number(values.rows, 'rows', quick ? 300_000 : 1_000_000),
    pgbenchSeconds: number(values.seconds, 'seconds', quick ? 2 : 5),
    connections: quick ? 40 : 200,
    statements: quick ? 2_000 : 10_000,
    migrations: quick ? 10 : 40,
    idleConnections: 200,
    streamBytes: quick ? GIGABYTE / 4 : 2 * GIGABYTE,
    profile: values.profile === undefined ? undefined : resolve(values.profile),
    wants,
  }
}
