// Memory: what an idle connection costs each hop, and whether a relay stays flat while a large result goes through.
import { setTimeout as wait } from 'node:timers/promises'
import { RawClient } from './client.ts'
import { residentBytes } from './proc.ts'
import { type Person, type Role, type Route, type RouteName, roles } from './setup.ts'
import { quantile } from './statistics.ts'

type PerRole = Readonly<Partial<Record<Role, number>>>

export interface IdleMemory {
  readonly route: RouteName
  readonly connections: number
  /** Bytes before, and what each connection added. */
  readonly before: PerRole
  readonly perConnection: PerRole
}

export interface StreamMemory {
  readonly route: RouteName
  readonly what: string
  readonly bytes: number
  readonly seconds: number
  readonly before: number
  readonly peak: number
  /** Medians of the first and the last fifth of the samples: a leak would lie between them. */
  readonly early: number
  readonly late: number
  /** What the relay grew by while the client had stopped reading. */
  readonly whileStalled: number
}

/** Connections that are opened and closed first, so that code and caches are not counted as theirs. */
const WARM_CONNECTIONS = 50
/** Memory counts when it has stayed within a megabyte for this many looks: what a start or a burst leaves is collected late. */
const STEADY_LOOKS = 6
const STEADY_BYTES = 1024 * 1024
const LOOK_MS = 500
const LONGEST_SETTLE_MS = 20_000
const SAMPLE_MS = 100
const STALL_MS = 2_000

async function resident(route: Route, person: Person): Promise<PerRole> {
  const entries = Object.entries(route.processes(person))
  return Object.fromEntries(await Promise.all(entries.map(async ([role, pid]) => [role, await residentBytes(pid)])))
}

async function settled(route: Route, signal: AbortSignal): Promise<PerRole> {
  const deadline = performance.now() + LONGEST_SETTLE_MS
  let last = await resident(route, 'bob')
  for (let steady = 0; steady < STEADY_LOOKS && performance.now() < deadline; ) {
    await wait(LOOK_MS, undefined, { signal })
    const now = await resident(route, 'bob')
    const same = roles.every(role => Math.abs((now[role] ?? 0) - (last[role] ?? 0)) < STEADY_BYTES)
    steady = same ? steady + 1 : 0
    last = now
  }
  return last
}

async function openMany(route: Route, count: number, signal: AbortSignal): Promise<RawClient[]> {
  const opened: RawClient[] = []
  while (opened.length < count) {
    signal.throwIfAborted()
    const connection = await RawClient.open(route.endpoint('bob'))
    opened.push(connection)
    await connection.query('select 1')
  }
  return opened
}

const close = async (connections: readonly RawClient[]): Promise<unknown> =>
  Promise.all(connections.map(connection => connection[Symbol.asyncDispose]()))

export async function idleMemory(route: Route, connections: number, signal: AbortSignal): Promise<IdleMemory> {
  await close(await openMany(route, WARM_CONNECTIONS, signal))
  const before = await settled(route, signal)
  const opened = await openMany(route, connections, signal)
  const after = await settled(route, signal)
  await close(opened)
  const perConnection = Object.fromEntries(
    roles.flatMap(role => {
      const [from, to] = [before[role], after[role]]
      return from === undefined || to === undefined ? [] : [[role, (to - from) / connections]]
    }),
  )
  return { route: route.name, connections, before, perConnection }
}

/** Reads about `bytes` through a route, with one pause in the middle, and watches its relay. */
export async function streamMemory(
  route: Route,
  person: Person,
  what: string,
  sql: string,
  bytes: number,
  signal: AbortSignal,
): Promise<StreamMemory> {
  const pid = route.processes(person).relay
  if (pid === undefined) throw new Error(`${route.name} has no relay`)
  await using connection = await RawClient.open(route.endpoint(person))
  const before = await residentBytes(pid)
  const samples: number[] = []
  const stop = new AbortController()
  const sampling = sample(pid, samples, AbortSignal.any([signal, stop.signal]))
  let whileStalled: number | undefined
  const stall = async (): Promise<void> => {
    const from = await residentBytes(pid)
    await wait(STALL_MS, undefined, { signal })
    whileStalled = (await residentBytes(pid)) - from
  }
  const progress = (read: number): Promise<void> | undefined => {
    if (whileStalled !== undefined || read < bytes / 2) return undefined
    whileStalled = 0
    return stall()
  }
  try {
    const answered = await connection.query(sql, { progress })
    const fifth = Math.max(1, Math.floor(samples.length / 5))
    return {
      route: route.name,
      what,
      bytes: answered.bytes,
      seconds: answered.seconds - STALL_MS / 1000,
      before,
      peak: Math.max(...samples),
      early: quantile(samples.slice(0, fifth), 0.5),
      late: quantile(samples.slice(-fifth), 0.5),
      whileStalled: whileStalled ?? 0,
    }
  } finally {
    stop.abort()
    await sampling
  }
}

/** Looks at a process's memory ten times a second until the signal. */
export async function sample(pid: number, into: number[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    into.push(await residentBytes(pid).catch(() => Number.NaN))
    await wait(SAMPLE_MS, undefined, { signal }).catch(() => {})
  }
}
