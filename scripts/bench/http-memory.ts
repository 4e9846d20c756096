// Whether a relay stays flat while gigabytes go through its HTTP room: down, up, and masked line by line.
import { setTimeout as wait } from 'node:timers/promises'
import { Client } from 'undici'
import { sample } from './memory.ts'
import { residentBytes } from './proc.ts'
import type { Person, Route } from './setup.ts'

const MIB = 1024 * 1024
const STREAMED_BYTES = 2 * 1024 * MIB
const MASKED_BYTES = 500 * MIB
/** What goes through first, so that code, heap and caches are not counted as a transfer's. */
const WARM_BYTES = 64 * MIB
/** A relay that kept what goes through would pass this within seconds; its young heap alone moves by tens of megabytes. */
const MAX_GROWTH_BYTES = 160 * MIB
const CHUNK_BYTES = 64 * 1024
const SETTLE_MS = 2_000

export interface TransferMemory {
  readonly what: string
  readonly bytes: number
  readonly seconds: number
  readonly before: number
  readonly peak: number
}

type Transfer = (client: Client, bytes: number, signal: AbortSignal) => Promise<void>

/** Gets a body and looks at it; `check` is told each piece. @throws when there is less than `least`. */
async function download(
  client: Client,
  path: string,
  bytes: number,
  least: number,
  signal: AbortSignal,
  check: (chunk: Buffer) => void,
): Promise<void> {
  const { statusCode, body } = await client.request({ method: 'GET', path: `${path}?bytes=${bytes}`, signal })
  let received = 0
  for await (const chunk of body) {
    received += (chunk as Buffer).length
    check(chunk as Buffer)
  }
  if (statusCode !== 200 || received < least) throw new Error(`${path}: ${statusCode}, ${received} of ${least} bytes`)
}

function* pieces(bytes: number): Generator<Buffer> {
  const chunk = Buffer.alloc(CHUNK_BYTES, 'u')
  for (let left = bytes; left > 0; left -= CHUNK_BYTES) yield left < CHUNK_BYTES ? chunk.subarray(0, left) : chunk
}

const transfers: readonly (readonly [what: string, person: Person, bytes: number, run: Transfer])[] = [
  [
    'down, nothing masked',
    'bob',
    STREAMED_BYTES,
    (client, bytes, signal) => download(client, '/zeros', bytes, bytes, signal, () => {}),
  ],
  [
    'up, nothing masked',
    'bob',
    STREAMED_BYTES,
    async (client, bytes, signal) => {
      const { body } = await client.request({ method: 'PUT', path: '/sink', body: pieces(bytes) as never, signal })
      const received = await body.text()
      if (received !== String(bytes)) throw new Error(`/sink: ${received} of ${bytes} bytes`)
    },
  ],
  [
    'down, NDJSON with one field masked',
    'alice',
    MASKED_BYTES,
    (client, bytes, signal) =>
      // What is masked is shorter.
      download(client, '/rows', bytes, bytes / 2, signal, chunk => {
        if (chunk.includes('@')) throw new Error('/rows: a field that is masked came clear')
      }),
  ],
]

/** @throws when the relay grew by more than the bound. */
export async function httpMemory(route: Route, signal: AbortSignal): Promise<TransferMemory[]> {
  const measured: TransferMemory[] = []
  for (const [what, person, bytes, run] of transfers) {
    const pid = route.processes(person).relay
    if (pid === undefined) throw new Error(`${route.name} has no relay`)
    const client = new Client(`http://127.0.0.1:${route.endpoint(person).port}`)
    await run(client, WARM_BYTES, signal)
    await wait(SETTLE_MS, undefined, { signal })
    const before = await residentBytes(pid)
    const samples: number[] = []
    const stop = new AbortController()
    const sampling = sample(pid, samples, AbortSignal.any([signal, stop.signal]))
    const from = performance.now()
    await run(client, bytes, signal)
    const seconds = (performance.now() - from) / 1000
    stop.abort()
    await sampling
    await client.close()
    const peak = Math.max(...samples)
    measured.push({ what, bytes, seconds, before, peak })
    if (peak - before > MAX_GROWTH_BYTES)
      throw new Error(`${what}: the relay grew by ${Math.round((peak - before) / MIB)} MiB`)
  }
  return measured
}

export function formatMemory(measured: readonly TransferMemory[]): string {
  const mib = (bytes: number): string => `${Math.round(bytes / MIB)} MiB`
  const lines = measured.map(
    ({ what, bytes, seconds, before, peak }) =>
      `${what}: ${mib(bytes)} in ${seconds.toFixed(1)} s (${mib(bytes / seconds)}/s), relay ${mib(before)} before, ${mib(peak)} at its peak`,
  )
  return [...lines, `bound: ${mib(MAX_GROWTH_BYTES)} more than before`].join('\n')
}
