// Rounds: every route in turn, so that the noise of a shared machine hits all alike; ratios are taken within a round.
import { cpuSeconds } from './proc.ts'
import { type Person, type Role, type Route, type RouteName, roles } from './setup.ts'
import { type Summary, summarise } from './statistics.ts'
import type { Workload } from './workloads.ts'

type PerRole<T> = Readonly<Partial<Record<Role, T>>>

interface Sample {
  /** Units per second. */
  readonly rate: number
  /** CPU seconds per unit of each hop. */
  readonly cpu: PerRole<number>
}

export interface Result {
  readonly name: string
  readonly what: string
  readonly unit: string
  readonly per: number
  readonly target: number | undefined
  readonly rate: Readonly<Record<RouteName, Summary>>
  /** gate's rate through the forwarder's, and through the direct one; round by round. */
  readonly ofForwarder: Summary
  readonly ofDirect: Summary
  readonly forwarderOfDirect: Summary
  /** CPU microseconds for `per` units. */
  readonly cpu: Readonly<Record<RouteName, PerRole<Summary>>>
}

/** A window of time in which a route's hops worked on one workload, in microseconds of the machine's monotonic clock. */
export interface Window {
  readonly workload: string
  readonly route: RouteName
  readonly pids: PerRole<number>
  readonly fromUs: number
  readonly toUs: number
}

const nowUs = (): number => Number(process.hrtime.bigint() / 1000n)

async function usage(route: Route, person: Person): Promise<PerRole<number>> {
  const entries = Object.entries(route.processes(person))
  return Object.fromEntries(await Promise.all(entries.map(async ([role, pid]) => [role, await cpuSeconds(pid)])))
}

async function sample(workload: Workload, route: Route, signal: AbortSignal, windows: Window[]): Promise<Sample> {
  const { person } = workload
  const before = await usage(route, person)
  const fromUs = nowUs()
  const { units, seconds } = await workload.run(route.endpoint(person), signal)
  const pids = route.processes(person)
  windows.push({ workload: workload.name, route: route.name, pids, fromUs, toUs: nowUs() })
  const after = await usage(route, person)
  const cpu = Object.fromEntries(
    roles.flatMap(role => {
      const [from, to] = [before[role], after[role]]
      return from === undefined || to === undefined ? [] : [[role, (to - from) / units]]
    }),
  )
  return { rate: units / seconds, cpu }
}

/** Measures one workload on all routes. `windows` collects when each route worked on it. */
export async function measure(
  workload: Workload,
  routes: readonly Route[],
  rounds: number,
  signal: AbortSignal,
  windows: Window[],
): Promise<Result> {
  for (const route of routes) {
    signal.throwIfAborted()
    await workload.warmUp(route.endpoint(workload.person), signal)
  }
  const taken: Record<RouteName, Sample[]> = { direct: [], forwarder: [], gate: [] }
  for (let round = 0; round < rounds; round += 1) {
    const turn = round % routes.length
    // Each route is first, second and last in turn: none always runs after the busiest one.
    for (const route of [...routes.slice(turn), ...routes.slice(0, turn)]) {
      signal.throwIfAborted()
      taken[route.name].push(await sample(workload, route, signal, windows))
    }
  }
  return result(workload, taken)
}

function result(workload: Workload, taken: Readonly<Record<RouteName, readonly Sample[]>>): Result {
  const { name, what, unit, per, target } = workload
  const rates = (route: RouteName): number[] => taken[route].map(({ rate }) => rate)
  const ratio = (of: RouteName, to: RouteName): Summary =>
    summarise(rates(of).map((rate, round) => rate / (rates(to)[round] ?? Number.NaN)))
  const cpu = (route: RouteName): PerRole<Summary> =>
    Object.fromEntries(
      roles.flatMap(role => {
        const values = taken[route].flatMap(each => each.cpu[role] ?? [])
        return values.length === 0 ? [] : [[role, summarise(values.map(seconds => seconds * 1e6 * per))]]
      }),
    )
  return {
    name,
    what,
    unit,
    per,
    target,
    rate: {
      direct: summarise(rates('direct')),
      forwarder: summarise(rates('forwarder')),
      gate: summarise(rates('gate')),
    },
    ofForwarder: ratio('gate', 'forwarder'),
    ofDirect: ratio('gate', 'direct'),
    forwarderOfDirect: ratio('forwarder', 'direct'),
    cpu: { direct: {}, forwarder: cpu('forwarder'), gate: cpu('gate') },
  }
}
