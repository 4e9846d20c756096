// Reads what `--profile` wrote: the functions in which each hop spent its time, per workload.
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { table } from './report.ts'
import type { Window } from './rounds.ts'

/** The part of Chrome's .cpuprofile format that is read here. */
interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
    readonly children?: readonly number[]
  }[]
  readonly startTime: number
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

/** Microseconds by function. */
interface Times {
  readonly self: Map<string, number>
  /** With everything that it called. */
  readonly total: Map<string, number>
}

const DEFAULT_TOP = 30
const IDLE = '(idle)'

/** See preload.ts; undefined when the process was killed before it could write. */
async function readProfile(directory: string, pid: number): Promise<Profile | undefined> {
  const text = await readFile(join(directory, `${pid}.cpuprofile`), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as Profile)
}

function nameOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  const file = url.replace(/^.*\/(?=(?:relay|agent|cli|shared|scripts)\/dist\/|node_modules\/)/, '')
  return `${functionName || '(anonymous)'} ${file}${file === '' ? '' : `:${lineNumber + 1}`}`.trim()
}

/** For every node its own name and those of its callers, each once, also in recursion. */
function stacks({ nodes }: Profile): Map<number, string[]> {
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map(child => [child, id] as const)))
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]))
  return new Map(
    nodes.map(({ id }) => {
      const stack: string[] = []
      for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) stack.push(names.get(at) ?? '')
      return [id, [...new Set(stack)]]
    }),
  )
}

function timesWithin(profile: Profile, windows: readonly Window[]): Times {
  const times: Times = { self: new Map(), total: new Map() }
  const add = (to: Map<string, number>, name: string, spent: number): void =>
    void to.set(name, (to.get(name) ?? 0) + spent)
  const known = stacks(profile)
  let at = profile.startTime
  for (const [index, id] of profile.samples.entries()) {
    const spent = profile.timeDeltas[index] ?? 0
    at += spent
    if (!windows.some(({ fromUs, toUs }) => at >= fromUs && at <= toUs)) continue
    const stack = known.get(id) ?? []
    add(times.self, stack[0] ?? '', spent)
    for (const name of stack) add(times.total, name, spent)
  }
  return times
}

function show(title: string, { self, total }: Times, top: number): string {
  const idle = self.get(IDLE) ?? 0
  const all = [...self.values()].reduce((sum, time) => sum + time, 0)
  const share = (time: number): string => `${((time / (all - idle)) * 100).toFixed(1)} %`
  const hidden = new Set([IDLE, '(root)'])
  const largest = (times: ReadonlyMap<string, number>): [string, number][] =>
    [...times]
      .filter(([name]) => !hidden.has(name))
      .sort(([, a], [, b]) => b - a)
      .slice(0, top)
  const list = (head: string, times: ReadonlyMap<string, number>): string =>
    table([
      [head, 'share', 'ms'],
      ...largest(times).map(([name, time]) => [name, share(time), (time / 1000).toFixed(0)]),
    ])
  return [
    `${title}: busy ${((1 - idle / all) * 100).toFixed(0)} % of ${(all / 1e6).toFixed(1)} s`,
    list('by itself', self),
    list('with what it calls', total),
  ].join('\n\n')
}

const [directory, top = String(DEFAULT_TOP)] = process.argv.slice(2)
if (directory === undefined) throw new Error('expected the directory that was given to --profile')
const windows = JSON.parse(await readFile(join(directory, 'windows.json'), 'utf8')) as Window[]
for (const key of new Set(windows.map(({ workload, route }) => `${workload} through ${route}`))) {
  const chosen = windows.filter(({ workload, route }) => `${workload} through ${route}` === key)
  for (const [role, pid] of Object.entries(chosen[0]?.pids ?? {})) {
    const profile = await readProfile(directory, pid)
    if (profile === undefined) continue
    process.stdout.write(`${show(`${key}, ${role}`, timesWithin(profile, chosen), Number(top))}\n\n`)
  }
}
